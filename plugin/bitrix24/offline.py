"""The portal's own queue of events (B§5.5): it keeps the latest of each kind for each object until we ask, so nothing is lost while we are away.

Where the plan has "extended" offline events, what is read stays reserved for us until we say that it is safe; elsewhere it is gone when read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugin.bitrix24.client import Command, Reply, Rest
from plugin.bitrix24.events import Event
from plugin.bitrix24.packing import rows_under
from plugin.bitrix24.placements import document_events
from plugin.bitrix24.values import text, yes
from plugin.domain.problems import Problem

RESERVE, TAKE, NONE = "reserve", "take", "none"
PAGE = 50


@dataclass(frozen=True)
class Kept:
    """What the queue held. With a process id it is reserved: `clear` ends it. Events without a subject had no data with them."""

    events: tuple[Event, ...]
    process_id: str = ""


def ensure(rest: Rest) -> str:
    """Have the events of documents kept for us; an administrator's token. Returns how the queue is read, or "none" where the portal has no such queue."""
    known = rest.batch({"bound": ("event.get", {}), "events": ("events", {}), "extended": ("feature.get", {"CODE": "rest_offline_extended"})})
    if "bound" in known.errors:
        return NONE
    listed = known.results.get("events")
    names = document_events({text(one).upper() for one in listed} if isinstance(listed, list) else set())
    rows = rows_under(Reply(known.results.get("bound")), "")
    bound = {text(row.get("event")).upper() for row in rows if yes(row.get("offline")) and not text(row.get("connector_id"))}
    missing: dict[str, Command] = {name: ("event.bind", {"event": name, "event_type": "offline"}) for name in names if name not in bound}
    if missing:
        reply = rest.batch(missing)
        if not bound and len(reply.errors) == len(missing):
            return NONE
    found: Any = known.results.get("extended")
    return RESERVE if isinstance(found, Mapping) and yes(found.get("value")) else TAKE


def read(rest: Rest, way: str) -> Kept:
    """The oldest fifty. Where reserving is refused after all, they are taken at once."""
    if way == RESERVE:
        try:
            return _kept(rest.call("event.offline.get", {"clear": 0, "limit": PAGE}))
        except Problem as problem:
            if problem.retry.kind != "never":
                raise
    return _kept(rest.call("event.offline.get", {"clear": 1, "limit": PAGE}))


def clear(rest: Rest, process_id: str) -> None:
    """What was reserved under this id is safe with us."""
    rest.call("event.offline.clear", {"process_id": process_id})


def _kept(reply: Reply) -> Kept:
    found: Mapping[str, Any] = reply.result if isinstance(reply.result, Mapping) else {}
    events = rows_under(Reply(found.get("events")), "")
    return Kept(tuple(_event(row) for row in events), text(found.get("process_id")))


def _event(row: Mapping[str, Any]) -> Event:
    """As if it had been delivered. EVENT_DATA may be false (B§5.5): then only a sweep knows what it is about."""
    data = row.get("EVENT_DATA")
    named = isinstance(data, Mapping) and isinstance(data.get("FIELDS"), Mapping)
    fields = {name: str(value) for name, value in data["FIELDS"].items()} if named and isinstance(data, Mapping) else {}
    return Event(text(row.get("EVENT_NAME")).upper(), {"FIELDS": fields}, "", "", "", "", "", 0, None, frozenset(), "", "", "", 0)
