"""What happened, sentence by sentence: the page, its search, and the same as a file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from flask import Blueprint, Response, request, send_file, stream_with_context
from flask.typing import ResponseReturnValue

from plugin.usecases import activity_log
from plugin.web import sheets
from plugin.web.here import services, visitor, whole
from plugin.web.render import page, part
from plugin.web.words import PERIODS

blueprint = Blueprint("activity", __name__, url_prefix="/activity")


@blueprint.get("")
def listed() -> ResponseReturnValue:
    """The page, newest first."""
    found = _found(request.args)
    return page("activity/page.html", "activity", people=activity_log.people(services(), visitor()), **found)


@blueprint.get("/list")
def narrowed() -> ResponseReturnValue:
    """Only the list, for another page of it or other filters."""
    return part("activity/list.html", **_found(request.args))


@blueprint.post("/export")
def export() -> ResponseReturnValue:
    """The same list as a file: CSV flows while it is read, a spreadsheet is made first."""
    asked, name = asked_filter(request.form), f"activity-{services().now():%Y-%m-%d}"
    if request.form.get("format") == "xlsx":
        rows = activity_log.export(services(), visitor(), asked, sheets.ROWS_MOST)
        return send_file(sheets.workbook(rows), mimetype=sheets.XLSX, as_attachment=True, download_name=f"{name}.xlsx")
    answer = Response(stream_with_context(sheets.csv_lines(activity_log.export(services(), visitor(), asked))), mimetype="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def asked_filter(asked: Mapping[str, str]) -> activity_log.ActivityFilter:
    """The filter in a request; what makes no sense counts as not asked."""
    period, person = asked.get("period", ""), asked.get("person", "")
    custom = period == "custom"
    return activity_log.ActivityFilter(
        search=asked.get("search", "").strip()[:200],
        document=asked.get("document", "").strip()[:100],
        group=asked.get("group", "") if asked.get("group") in activity_log.GROUPS else "",
        person=person if person == "auto" or whole(person, 0) else "",
        period=period if period in PERIODS else "",
        first=_day(asked.get("first", "")) if custom else None,
        last=_day(asked.get("last", "")) if custom else None,
    )


def _found(asked: Mapping[str, str]) -> dict[str, Any]:
    number, narrowed_to = whole(asked.get("page", "")), asked_filter(asked)
    rows, pages = activity_log.page(services(), visitor(), narrowed_to, number)
    return {"rows": rows, "number": number, "pages": pages, "asked": narrowed_to}


def _day(value: str) -> date | None:
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None
