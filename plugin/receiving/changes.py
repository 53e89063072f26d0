"""Linked documents as Xero has them now: what is newer than the link has seen is recorded and written back, the rest costs nothing.

Older news is ignored; equal times are decided by what the document says (RULES 22).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Select, exists, select

from plugin import directory, durations, jobs, leases
from plugin.domain.ledger import Document
from plugin.kinds import INVOICE, Kind, together
from plugin.models import Connection, Job, Link, Organisation
from plugin.sending.flight import Flight
from plugin.sending.record import About, Recorder, Unasked, order_write_back, see, shown_fingerprint, today_of
from plugin.xero.client import Caller

CHUNK = 500
#: More than this, and the pass may as well move the watermark.
NEAR_PAGES = 3
#: A webhook may take its time; what changed later than this is not yet missed.
GRACE = timedelta(minutes=5)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def read_modified(flight: Flight, kind: Kind, books: Caller, found: Callable[[Sequence[Document]], None], *, near: bool = False) -> None:
    """One modified-since pass over the organisation's documents of this kind, page by page; the watermark moves when the last page is recorded.

    Without a watermark everything is read once. `near`: somebody waits for what is new now, and a sweep looks again later.
    """
    services, organisation_id = flight.services, flight.books.organisation_id
    with services.db.reading() as session:
        mark = directory.watermark(session, organisation_id, kind.watermark)
    if near and mark is not None and _read_near(kind, books, mark, found):
        return
    since = mark - timedelta(seconds=durations.OVERLAP) if mark else None
    newest, page, pages = mark, 1, 1
    while page <= pages:
        part, pages = kind.xero.modified(books, since, page, summary=True)
        newest = max([one.updated_at for one in part if one.updated_at] + ([newest] if newest else []), default=None)
        found(part)
        page += 1
        if page <= pages:
            flight.between()
    now = services.now()
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        directory.set_watermark(tx, organisation_id, kind.watermark, newest or now, now)


def _read_near(kind: Kind, books: Caller, mark: datetime, found: Callable[[Sequence[Document]], None]) -> bool:
    """What is newer than the watermark, with a small overlap: what we have sent ourselves in the last minutes is not all read again. False where that is much.

    The watermark stays: the next sweep looks for what Xero showed late.
    """
    since, page, pages = mark - timedelta(seconds=durations.NEAR_OVERLAP), 1, 1
    while page <= pages:
        part, pages = kind.xero.modified(books, since, page, summary=True)
        if page == 1 and pages > NEAR_PAGES:
            return False
        found(part)
        page += 1
    return True


def record(flight: Flight, kind: Kind, brought: Sequence[Document]) -> int:
    """Take over what changed in linked documents, in every portal that has them. Returns how many links changed."""
    services, now = flight.services, flight.services.now()
    by_id = {one.id: one for one in brought}
    ids, count = list(by_id), 0
    for start in range(0, len(ids), CHUNK):
        with services.db.transaction() as tx:
            leases.check(tx, flight.lease, flight.fence)
            organisation = tx.get_one(Organisation, flight.books.organisation_id)
            recorder = Recorder(services, tx, now)
            unheard: set[str] = set()
            for link in tx.scalars(live_links(kind, organisation.id, ids[start : start + CHUNK])):
                document, before = by_id[link.xero_id], link.xero_updated_at
                if not take(recorder, Unasked.of(link, document.updated_at), link, document, organisation):
                    continue
                count += 1
                if kind is INVOICE and _was_due(organisation, document, before, now) and not _ordered(recorder, link):
                    unheard.add(document.id)
            organisation.unheard += len(unheard)
            recorder.finish()
    return count


def live_links(kind: Kind, organisation_id: int, xero_ids: Sequence[str]) -> Select[Link]:
    """Links of these documents in every portal that has them, of all kinds that are one collection with this one at Xero."""
    return (
        select(Link)
        .join(Connection, (Connection.portal_id == Link.portal_id) & (Connection.organisation_id == Link.organisation_id) & Connection.ended_at.is_(None))
        .where(Link.organisation_id == organisation_id, Link.xero_kind.in_(together(kind)), Link.xero_id.in_(xero_ids), Link.ended_at.is_(None))
    )


def _was_due(organisation: Organisation, document: Document, before: datetime | None, now: datetime) -> bool:
    """Should a webhook have told of this change, and did none come since (RULES 35)?"""
    at = document.updated_at
    return at is not None and (before is None or at > before) and (organisation.heard_at or _BEGINNING) < at < now - GRACE


def _ordered(recorder: Recorder, link: Link) -> bool:
    """It was announced, and its reading waits for its turn."""
    mine = (Job.portal_id == link.portal_id, Job.kind == jobs.PULL, Job.subject == f"{link.crm_kind}:{link.crm_id}", Job.state != "done")
    return bool(recorder.tx.scalar(select(exists().where(*mine))))


def take(recorder: Recorder, about: About, link: Link, document: Document, organisation: Organisation) -> bool:
    """Record one document if it is news for the link, and order the write-back. False: nothing is new and everything is shown."""
    if document.updated_at and link.xero_updated_at and document.updated_at < link.xero_updated_at:
        return False
    was, amount = link.xero_word, link.amount_due
    changed = see(link, document, today_of(organisation, recorder.now))
    if not changed and link.written == shown_fingerprint(link):
        return False
    if changed:
        tell(recorder, about, link, was, amount)
    order_write_back(recorder, about, link, was=was)
    return True


def tell(recorder: Recorder, about: About, link: Link, was: str, due_before: object) -> None:
    """The sentence about a status or an amount that is another one now."""
    recorder.say(
        about,
        "activity.status_changed",
        xero_id=link.xero_id,
        number=link.number,
        before=was,
        after=link.xero_word,
        due_before=_text(due_before),
        due=_text(link.amount_due),
        changes=_differences(("status", was, link.xero_word), ("amount_due", due_before, link.amount_due)),
    )


def _differences(*values: tuple[str, object, object]) -> list[dict[str, str]]:
    """What is another one now, field by field as a person reads it."""
    return [{"field": name, "before": _text(before), "after": _text(after)} for name, before, after in values if before != after]


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:.2f}"  # the column holds four places, an amount has two
    return "" if value is None else str(value)
