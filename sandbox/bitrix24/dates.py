"""How Bitrix24 writes and reads moments and dates (B§8.0)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from sandbox.bitrix24.errors import RestError


def seconds(moment: datetime) -> datetime:
    """The portal's database knows whole seconds only."""
    return moment.astimezone(UTC).replace(microsecond=0)


def write_moment(moment: datetime | None, zone: tzinfo) -> str | None:
    """Server clock and server offset, never the user's."""
    return None if moment is None else moment.astimezone(zone).isoformat(timespec="seconds")


def write_date(day: date | None, zone: tzinfo, now: datetime, position: str) -> str | None:
    """A date field comes as a datetime: local midnight plus the server's *current* offset, so a server west of UTC writes the day before."""
    if day is None:
        return None
    midnight = datetime.combine(day, time(), zone)
    if position == "shifted":
        midnight = midnight + (now.astimezone(zone).utcoffset() or timedelta())
    return midnight.isoformat(timespec="seconds")


def read_moment(value: Any, zone: tzinfo, field: str) -> datetime | None:
    """ISO 8601 with an offset is converted, without one it is read in the server's zone."""
    if value in (None, "", False):
        return None
    if isinstance(value, datetime):
        return seconds(value)
    try:
        moment = datetime.fromisoformat(str(value).replace(" ", "T", 1))
    except ValueError as error:
        raise _not_valid(field) from error
    return seconds(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def read_date(value: Any, zone: tzinfo, field: str) -> date | None:
    """A bare date is itself; a datetime is first moved to the server's zone and may land on the previous day."""
    if value in (None, "", False):
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    text = str(value)
    try:
        if len(text) == 10:
            return date.fromisoformat(text)
    except ValueError as error:
        raise _not_valid(field) from error
    moment = read_moment(value, zone, field)
    return None if moment is None else moment.astimezone(zone).date()


def _not_valid(field: str) -> RestError:
    return RestError("CRM_FIELD_ERROR_VALUE_NOT_VALID", f"Invalid value of the field &quot;{field}&quot;", 400)
