"""Bitrix24's ways of writing values, read into ours and back (B§8.0)."""

from __future__ import annotations

import html
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from plugin.domain.problems import Problem

#: Bitrix24's ids are MySQL's INT; what is larger is no id and has no room in a column.
LARGEST = 2**31 - 1
#: No amount of a CRM has more digits before or behind its point; arithmetic with them would never end.
DIGITS = 18


def ident(value: Any) -> int | None:
    """An id, or None: "no link" is 0, null or empty, and legacy methods write ids as strings."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):  # the last is JSON's 1e999
        return None
    return number if number and abs(number) <= LARGEST else None


def text(value: Any) -> str:
    """A string; null and false are empty."""
    return "" if value is None or value is False else str(value)


def yes(value: Any) -> bool:
    return value in ("Y", "y", True, 1, "1")


def amount(value: Any) -> Decimal:
    """A number exactly as written; nothing is zero."""
    read = optional_amount(value)
    return Decimal(0) if read is None else read


def optional_amount(value: Any) -> Decimal | None:
    """A number, or None where the difference from zero matters (taxRate: null is "no tax", B§8.6)."""
    if value is None or value == "" or value is False:
        return None
    try:
        read = Decimal(str(value))
    except InvalidOperation as error:
        raise Problem("bitrix24.unreadable", value=value) from error
    if not read.is_finite() or (read and abs(read.adjusted()) > DIGITS):
        raise Problem("bitrix24.unreadable", value=str(value)[:40])
    return read


def moment(value: Any) -> datetime | None:
    """A datetime with its offset, as UTC."""
    if not value:
        return None
    try:
        read = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise Problem("bitrix24.unreadable", value=value) from error
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def decode_date(value: Any) -> date | None:
    """The calendar date in a date field: the nearest UTC midnight, for it comes as local midnight plus the server's offset (B§8.0, §15.15).

    A plain local midnight is taken as it stands: the shifted form shows 00:00 only where the shift is nothing.
    """
    if not value:
        return None
    written = str(value)
    if len(written) == 10:
        return date.fromisoformat(written)
    try:
        read = datetime.fromisoformat(written)
    except ValueError as error:
        raise Problem("bitrix24.unreadable", value=value) from error
    if read.tzinfo is None or read.time() == time():
        return read.date()
    return (read.astimezone(UTC) + timedelta(hours=12)).date()


def iso(value: datetime) -> str:
    """A moment for filters and fields: always with its offset, without which it would be read in the server's zone."""
    if value.tzinfo is None:
        raise ValueError("a moment needs its zone")
    return value.astimezone(UTC).isoformat(timespec="seconds")


def names(value: Any) -> frozenset[str]:
    """Scopes: a list, or words parted by spaces in one place and commas in another (B§1.5)."""
    words = value if isinstance(value, list) else re.split(r"[\s,]+", text(value))
    return frozenset(str(word) for word in words if word)


_TAGS = re.compile(r"<[^>]*>")
_BLOCKS = re.compile(r"<(?:br|/p|/div|/li|/tr|/h\d)\b[^>]*>", re.IGNORECASE)
_BBCODE = re.compile(r"\[/?(?:b|i|u|s|p|br|list|\*|url|img|quote|code|color|size|font|left|center|right|justify|table|tr|td|th)(?:=[^\]]*)?\]", re.IGNORECASE)


def words(value: Any, written_as: Any) -> str:
    """A text field without its markup: 1 is plain, 2 bbcode, 3 HTML, 0 unknown (B§8.3). Unknown with tags in it is read as HTML."""
    given, kind = text(value), ident(written_as) or 0
    if kind == 1 or not given:
        return given.strip()
    plain = _TAGS.sub("", _BLOCKS.sub("\n", given)) if kind == 3 or (kind == 0 and _TAGS.search(given)) else given
    if plain is not given:
        plain = html.unescape(plain)
    if kind != 3:
        plain = _BBCODE.sub("", plain)
    lines = (line.strip() for line in plain.replace("\r\n", "\n").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
