"""How Xero writes things: dates, numbers, identifiers, JSON and XML (X§2.2 to X§2.4)."""

from __future__ import annotations

import json
import re
import unicodedata
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any
from xml.sax.saxutils import escape

ZERO_ID = "00000000-0000-0000-0000-000000000000"
CENT = Decimal("0.01")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS_DATE = re.compile(r"/Date\((-?\d+)([+-]\d{4})?\)/")
_CALENDAR = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ].*)?")
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def new_id() -> str:
    """A fresh GUID in Xero's lower-case form."""
    return str(uuid.uuid4())


def is_id(text: object) -> bool:
    return isinstance(text, str) and bool(_GUID.fullmatch(text))


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def ms_time(moment: datetime) -> str:
    """A moment with offset: `/Date(1789257600000+0000)/`."""
    return f"/Date({_milliseconds(moment)}+0000)/"


def ms_time_bare(moment: datetime) -> str:
    """A moment without offset, as the envelope and items carry it."""
    return f"/Date({_milliseconds(moment)})/"


def ms_date(day: date) -> str:
    """A calendar date: midnight UTC."""
    return f"/Date({(day - date(1970, 1, 1)).days * 86_400_000}+0000)/"


def ms_date_bare(day: date) -> str:
    return f"/Date({(day - date(1970, 1, 1)).days * 86_400_000})/"


def iso_date(day: date) -> str:
    return f"{day.isoformat()}T00:00:00"


def iso_z(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_seven(moment: datetime) -> str:
    """Seven fraction digits and no zone, as `/connections` writes its times (X§1.5)."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0"


def iso_thousandth(moment: datetime) -> str:
    """Milliseconds and no zone, as webhooks write their times (X§8.3)."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def to_millisecond(moment: datetime) -> datetime:
    """Xero keeps milliseconds."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def parse_date(value: object) -> date | None:
    """A calendar date as Xero accepts it, or None when it is none."""
    if not isinstance(value, str):
        return None
    if found := _MS_DATE.fullmatch(value):
        return (_EPOCH + timedelta(milliseconds=int(found[1]))).date()
    if found := _CALENDAR.fullmatch(value.strip()):
        try:
            return date(int(found[1]), int(found[2]), int(found[3]))
        except ValueError:
            return None
    return None


def parse_since(text: str) -> datetime | None:
    """`If-Modified-Since`: ISO taken as UTC, or RFC 1123; accurate to the second (X§2.1)."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError):
            return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.replace(microsecond=0)


def parse_number(value: object) -> Decimal | None:
    """A JSON number or a string holding one (X§2.4), or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, str):
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            return None
        return number if number.is_finite() else None
    return None


class Rounding:
    """Rounding to places in one of the two modes the reference leaves open (X§4.9)."""

    def __init__(self, bankers: bool) -> None:
        self._mode = ROUND_HALF_EVEN if bankers else ROUND_HALF_UP

    def to(self, amount: Decimal, places: int = 2) -> Decimal:
        return amount.quantize(Decimal(1).scaleb(-places), self._mode)


def plain_name(name: str) -> str:
    """The form in which names are compared: no case, accents or extra spaces (X§5.4)."""
    bare = "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))
    return " ".join(bare.casefold().split())


def _jsonable(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def to_json(value: object) -> bytes:
    """UTF-8 JSON; decimals become JSON numbers."""
    return json.dumps(value, default=_jsonable, ensure_ascii=False, separators=(",", ":")).encode()


def from_json(raw: bytes) -> Any:
    """Parsed JSON with exact decimals; raises ValueError."""
    return json.loads(raw.decode("utf-8"), parse_float=Decimal)


_SINGULAR = {"Addresses": "Address", "Currencies": "Currency", "TrackingCategories": "TrackingCategory", "History": "HistoryRecord"}


def _xml(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return f"<{name}>{''.join(_xml(key, one) for key, one in value.items())}</{name}>"
    if isinstance(value, list):
        single = _SINGULAR.get(name, name.removesuffix("s"))
        return f"<{name}>{''.join(_xml(single, one) for one in value)}</{name}>"
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, str) and (found := _MS_DATE.fullmatch(value)):
        value = (_EPOCH + timedelta(milliseconds=int(found[1]))).strftime("%Y-%m-%dT%H:%M:%S")
    return f"<{name}>{escape(str(value))}</{name}>"


def to_xml(root: str, value: dict[str, object]) -> bytes:
    """A plain XML rendering: what a caller gets who forgot `Accept` (X§2.1)."""
    return f'<?xml version="1.0" encoding="utf-8"?>{_xml(root, value)}'.encode()
