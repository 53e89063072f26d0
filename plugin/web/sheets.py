"""Activity as files. A text that a spreadsheet would take for a formula is written so that it stays a text."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

from flask_babel import gettext as _
from flask_babel import to_user_timezone
from xlsxwriter import Workbook

from plugin import sentences
from plugin.usecases.shown import ActivityRow
from plugin.web.words import CAUSES

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
#: A spreadsheet is made before it is sent; beyond so many rows a CSV serves better, and the last row says so.
ROWS_MOST = 100_000
_TOGETHER = 200
_CELL_MOST = 32_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def csv_lines(rows: Iterable[ActivityRow]) -> Iterator[bytes]:
    """The file in pieces, as they are read. It begins with a mark by which Excel knows its encoding."""
    yield "\ufeff".encode()
    kept = io.StringIO()
    writer = csv.writer(kept, lineterminator="\r\n")
    writer.writerow(_titles())
    for place, row in enumerate(rows, 1):
        writer.writerow([harmless(cell) for cell in _cells(row)])
        if place % _TOGETHER == 0:
            yield _emptied(kept)
    yield _emptied(kept)


def workbook(rows: Iterable[ActivityRow]) -> IO[bytes]:
    """The spreadsheet in a temporary file, written row by row. Every cell is a text: none is read as a formula or a link."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed by who sends it
    book = Workbook(file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False})
    sheet = book.add_worksheet(_("Activity")[:31])
    for column, (title, width) in enumerate(zip(_titles(), (20, 80, 60, 28, 28, 16, 60, 60), strict=True)):
        sheet.set_column(column, column, width)
        sheet.write_string(0, column, title)
    last = 0
    for last, row in enumerate(rows, 1):
        for column, cell in enumerate(_cells(row)):
            sheet.write_string(last, column, cell[:_CELL_MOST])
    if last == ROWS_MOST:
        sheet.write_string(last + 1, 1, _("There is more. Narrow the list, or take the CSV, which has no end."))
    book.close()
    file.seek(0)
    return file


def harmless(cell: str) -> str:
    """A text that stays one: an apostrophe stands before what a spreadsheet would calculate."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell


def _emptied(kept: io.StringIO) -> bytes:
    text = kept.getvalue()
    kept.seek(0)
    kept.truncate()
    return text.encode()


def _titles() -> list[str]:
    return [_("When"), _("What happened"), _("What changed"), _("Who"), _("Caused by"), _("Document"), _("In Bitrix24"), _("In Xero")]


def _cells(row: ActivityRow) -> list[str]:
    changes = "; ".join("{}: {} → {}".format(*(part or "–" for part in sentences.changed(one))) for one in row.changes)
    cause = str(CAUSES[row.cause]) if row.cause in CAUSES else ""
    when = to_user_timezone(row.at).strftime("%Y-%m-%d %H:%M:%S")
    return [when, sentences.sentence(row.told.code, row.told.params), changes, row.who, cause, row.subject, row.crm_path, row.xero_url]
