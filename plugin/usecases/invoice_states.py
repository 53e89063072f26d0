"""What the list is narrowed to, in Bitrix24's terms: periods become times, states of transfer become ids that only we know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.orm import Session

from plugin.bitrix24 import documents
from plugin.domain.crm import Visitor
from plugin.kinds import KINDS, Kind
from plugin.models import Batch, BatchDocument, Followed, Link
from plugin.portals import live_connection
from plugin.sending.send import ECHO
from plugin.services import Services
from plugin.usecases.shown import InvoiceFilter


def narrowed(services: Services, visitor: Visitor, rest: documents.Rest, asked: InvoiceFilter) -> documents.Narrowed:
    """The filter as Bitrix24 understands it, for this visitor's day and this portal's links."""
    begin, end = period(asked, services.now(), zone(visitor.timezone))
    ids, not_ids = _ids_of_state(services, visitor, rest, KINDS[asked.document], asked.state)
    return documents.Narrowed(changed_from=begin, changed_to=end, search=asked.search, ids=ids, not_ids=not_ids)


def zone(name: str) -> tzinfo:
    """The visitor's time zone; UTC where Bitrix24 does not tell one that we know."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def period(asked: InvoiceFilter, now: datetime, where: tzinfo) -> tuple[datetime | None, datetime | None]:
    """Begin and end (not included) of the chosen period of last change, in the visitor's days."""
    today = now.astimezone(where).date()
    firsts = {
        "today": today,
        "7days": today - timedelta(days=6),
        "30days": today - timedelta(days=29),
        "month": today.replace(day=1),
        "quarter": today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1),
    }
    first, last = (asked.changed_from, asked.changed_to) if asked.period == "custom" else (firsts.get(asked.period), None)
    begin = datetime.combine(_sane(first), time(), where) if first else None
    end = datetime.combine(_sane(last) + timedelta(days=1), time(), where) if last else None
    return begin, end


def _sane(day: date) -> date:
    """A day that has a day before and after it in every time zone."""
    return min(max(day, date(1000, 1, 1)), date(9000, 1, 1))


def _ids_of_state(services: Services, visitor: Visitor, rest: documents.Rest, kind: Kind, state: str) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    if not state:
        return None, ()
    with services.db.reading() as session:
        links = _links(session, visitor.portal_id, kind)
        troubled = problem_ids(session, visitor.portal_id, kind)
    if state == "not_sent":
        return None, tuple(links)
    if state == "sent":
        return tuple(links), ()
    if state == "problem":
        return tuple(troubled), ()
    return changed_ids(rest, kind, links), ()


def _links(session: Session, portal_id: int, kind: Kind) -> dict[int, datetime | None]:
    """Linked documents with the moment of the CRM's side that we have seen."""
    connection = live_connection(session, portal_id)
    if connection is None:
        return {}
    query = select(Link.crm_id, Link.crm_updated_at).where(
        Link.portal_id == portal_id, Link.organisation_id == connection.organisation_id, Link.crm_kind == kind.name, Link.ended_at.is_(None)
    )
    return {row.crm_id: row.crm_updated_at for row in session.execute(query)}


def problem_ids(session: Session, portal_id: int, kind: Kind) -> list[int]:
    """Documents whose latest attempt ended with a problem and that were not settled since, and those that could not go by themselves."""
    latest = (
        select(func.max(BatchDocument.id).label("id"))
        .where(BatchDocument.portal_id == portal_id, BatchDocument.crm_kind == kind.name, BatchDocument.outcome != "")
        .group_by(BatchDocument.crm_id)
        .subquery()
    )
    mine = (Link.portal_id == portal_id, Link.crm_kind == kind.name, Link.crm_id == BatchDocument.crm_id, Link.ended_at.is_(None))
    settled = exists().where(*mine, Link.settled_at > func.coalesce(BatchDocument.finished_at, Batch.created_at))
    stopped = (
        select(BatchDocument.crm_id)
        .join(latest, latest.c.id == BatchDocument.id)
        .join(Batch, Batch.id == BatchDocument.batch_id)
        .where(BatchDocument.outcome.in_(("problem", "refused")), ~settled)
    )
    held = select(Followed.crm_id).where(Followed.portal_id == portal_id, Followed.crm_kind == kind.name, Followed.state == "problem")
    return list({*session.scalars(stopped), *session.scalars(held)})


def settled_since(settled_at: datetime | None, at: datetime) -> bool:
    """Did the document reach Xero after this, by itself or by a rule? Then what failed before is over."""
    return settled_at is not None and settled_at > at


def changed_ids(rest: documents.Rest, kind: Kind, links: dict[int, datetime | None]) -> tuple[int, ...]:
    """Linked documents that were changed in the CRM after we last saw them, as this visitor may see them."""
    times = documents.updated_times(rest, kind.crm, links)
    return tuple(crm_id for crm_id, at in times.items() if has_changed(at, links[crm_id]))


def has_changed(updated_at: datetime, seen: datetime | None) -> bool:
    """Was the CRM's side changed by somebody else after we last saw or wrote it?"""
    return seen is None or updated_at > seen + ECHO


def filter_to_json(asked: InvoiceFilter) -> dict[str, Any]:
    """A filter as it is kept with a batch."""
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in asdict(asked).items()}


def filter_from_json(stored: dict[str, Any]) -> InvoiceFilter:
    """The filter that was kept."""
    days = {name: date.fromisoformat(stored[name]) if stored.get(name) else None for name in ("changed_from", "changed_to")}
    return InvoiceFilter(**{**stored, **days})


@dataclass(frozen=True)
class Attempt:
    """A document's place in a batch: what came of it, when (of one that still waits: when the batch was made), and whose batch that is."""

    crm_id: int
    outcome: str
    at: datetime
    problem_code: str | None
    problem_params: dict[str, Any] | None
    batch_id: int
    batch_number: int
    created_by: int


_LATEST = (
    select(func.max(BatchDocument.id).label("id"))
    .where(
        *(BatchDocument.portal_id == bindparam("portal"), BatchDocument.crm_kind == bindparam("kind"), BatchDocument.outcome != ""),
        BatchDocument.crm_id.in_(bindparam("ids", expanding=True)),
    )
    .group_by(BatchDocument.crm_id)
    .subquery()
)
_ATTEMPTS = (
    select(
        *(BatchDocument.crm_id, BatchDocument.outcome, func.coalesce(BatchDocument.finished_at, Batch.created_at)),
        *(BatchDocument.problem_code, BatchDocument.problem_params, Batch.id, Batch.number, Batch.created_by),
    )
    .join(_LATEST, _LATEST.c.id == BatchDocument.id)
    .join(Batch, Batch.id == BatchDocument.batch_id)
)


def latest_attempts(session: Session, portal_id: int, kind: Kind, ids: Sequence[int]) -> dict[int, Attempt]:
    """Each document's newest place in a batch that was confirmed."""
    found = session.execute(_ATTEMPTS, {"portal": portal_id, "kind": kind.name, "ids": ids})
    return {one.crm_id: one for one in (Attempt(*row) for row in found)}
