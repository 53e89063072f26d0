"""Xero's dates, numbers, ids and messages, read defensively (X§2.2, §2.3, §2.4, §9.2)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from plugin.domain.ledger import ZERO_GUID

_MS_DATE = re.compile(r"^/Date\((-?\d+)([+-]\d{4})?\)/$")
_ISO = re.compile(r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}:\d{2})(?:\.(\d+))?)?(Z|[+-]\d{2}:?\d{2})?$")
_CENT = Decimal("0.01")
_DIGITS = 18
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(value: object) -> datetime | None:
    """Any of Xero's date forms as an aware UTC time; None for anything else. The offset of the MS form is informative only."""
    if not isinstance(value, str):
        return None
    text = value.strip()
    try:
        if found := _MS_DATE.match(text):
            return _EPOCH + timedelta(milliseconds=int(found[1]))
        return _iso(text)
    except (ValueError, OverflowError):
        return None


def _iso(text: str) -> datetime | None:
    """ISO with 0 to 7 fraction digits; without a zone it is UTC."""
    found = _ISO.match(text)
    if not found:
        return None
    day, clock, fraction, zone = found.groups()
    whole = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{zone or 'Z'}").astimezone(UTC)
    return whole.replace(microsecond=int((fraction or "0")[:6].ljust(6, "0")))


def day(value: object) -> date | None:
    """A calendar date: Xero stores it as midnight UTC, so the UTC date is taken and no zone is applied (X§2.3)."""
    found = moment(value)
    return found.date() if found else None


def amount(value: object) -> Decimal:
    """A number or numeric string as Decimal; 0 where there is none. A float is never met: `Answer.json` makes Decimals."""
    return optional_amount(value) or Decimal(0)


def money(value: object) -> Decimal:
    """A total with its two decimals, so that it reads 345.00 however Xero wrote the number; more decimals are kept as they are."""
    found = amount(value)
    return found.quantize(_CENT) if found == round(found, 2) else found


def optional_amount(value: object) -> Decimal | None:
    """As `amount`, but None where Xero gave nothing."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, str)):
        return None
    try:
        found = Decimal(value)
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) <= _DIGITS else None


def guid(value: object) -> str:
    """An id in lower case; Xero's all-zero id of a failed create counts as none (X§2.2: never store it)."""
    text = value.strip().lower() if isinstance(value, str) else ""
    return "" if text == ZERO_GUID else text


def text(value: object) -> str:
    """A string; everything else, null included, is the empty string."""
    return value if isinstance(value, str) else ""


def flag(value: object) -> bool:
    """A boolean, also where it comes as the string "true" (OAS writes such defaults as strings)."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def objects(value: object) -> list[dict[str, Any]]:
    """The objects of a JSON array; nothing where it is something else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def part(value: object) -> dict[str, Any]:
    """A nested object; empty where it is something else."""
    return value if isinstance(value, dict) else {}


def messages(element: object) -> tuple[str, ...]:
    """All `ValidationErrors[].Message` of an element, nested objects included, each once, in order (X§4.7, §9.2)."""
    return said(element)[0]


def said(element: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The messages of an element, and its `Warnings[].Message`: those say that it was saved, but Xero left something out (X§4.7)."""
    errors: dict[str, None] = {}
    warnings: dict[str, None] = {}
    _gather(element, errors, warnings)
    return tuple(errors), tuple(warnings)


def _gather(node: object, errors: dict[str, None], warnings: dict[str, None]) -> None:
    if isinstance(node, list):
        for one in node:
            _gather(one, errors, warnings)
    elif isinstance(node, dict):
        for key, into in (("ValidationErrors", errors), ("Warnings", warnings)):
            if node.get(key):
                into |= dict.fromkeys(found for one in objects(node[key]) if (found := text(one.get("Message")).strip()))
        for name, value in node.items():
            if value and isinstance(value, (dict, list)) and name not in ("ValidationErrors", "Warnings"):
                _gather(value, errors, warnings)
