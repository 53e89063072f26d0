"""What an answer says about Xero's limits (X§2.1, §3.1, §3.2). Headers are sometimes absent: every number may be None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """What is left of each allowance after this answer; on a 429 also which limit was hit and for how long."""

    minute_left: int | None = None
    day_left: int | None = None
    app_minute_left: int | None = None
    retry_after: int | None = None
    problem: str = ""


def seen(headers: Mapping[str, str]) -> Seen:
    """Read the limit headers, whatever their case."""
    found = {name.lower(): value for name, value in headers.items()}
    return Seen(
        minute_left=_whole(found.get("x-minlimit-remaining")),
        day_left=_whole(found.get("x-daylimit-remaining")),
        app_minute_left=_whole(found.get("x-appminlimit-remaining")),
        retry_after=_whole(found.get("retry-after")),
        problem=found.get("x-rate-limit-problem", "").strip().lower(),
    )


def _whole(text: str | None) -> int | None:
    try:
        return max(0, int(text)) if text is not None else None
    except ValueError:
        return None
