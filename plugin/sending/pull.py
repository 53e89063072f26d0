"""Update from Xero: what Xero authors comes back, many documents a call; what has not changed costs no write (RULES 32)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select

from plugin import directory, durations, jobs, leases
from plugin.domain.ledger import Document
from plugin.domain.problems import Problem
from plugin.kinds import Kind
from plugin.limits import Lane
from plugin.models import Connection, Job, Link
from plugin.sending.flight import Flight
from plugin.sending.record import Recorder, end_jobs, order_write_back, see, shown_fingerprint, today_of
from plugin.sending.work import Work, by_kind
from plugin.xero.client import Caller

#: Above this many, one modified-since pass brings them all.
BY_IDS_MOST = 200
CHUNK = 500


def pull(flight: Flight, works: Sequence[Work], lane: Lane) -> None:
    """Read these documents again and record what changed."""
    for kind, of_kind in by_kind(works).items():
        _pull(flight, kind, of_kind, lane)


def _pull(flight: Flight, kind: Kind, works: Sequence[Work], lane: Lane) -> None:
    links = _links(flight, kind, works)
    known = [one for one in works if (one.job.portal_id, one.crm_id) in links]
    unknown = [(one.job, Problem("pull.not_linked")) for one in works if (one.job.portal_id, one.crm_id) not in links]
    ids = list(dict.fromkeys(links[one.job.portal_id, one.crm_id].xero_id for one in known))
    books = replace(flight.books, lane=lane)
    try:
        found = {one.id: one for one in kind.xero.by_ids(books, ids)} if len(ids) <= BY_IDS_MOST else _pass(flight, kind, books, ids)
    except Problem as problem:
        _end(flight, [*unknown, *((one.job, problem) for one in known)])
        return
    _end(flight, unknown)
    by_ids = len(ids) <= BY_IDS_MOST
    for start in range(0, len(known), CHUNK):
        _record(flight, known[start : start + CHUNK], links, found, by_ids)


def _links(flight: Flight, kind: Kind, works: Sequence[Work]) -> dict[tuple[int, int], Link]:
    found: dict[tuple[int, int], Link] = {}
    portals = {one.job.portal_id for one in works}
    with flight.services.db.reading() as session:
        for portal_id in portals:
            ids = [one.crm_id for one in works if one.job.portal_id == portal_id]
            for start in range(0, len(ids), CHUNK):
                query = select(Link).where(
                    Link.portal_id == portal_id,
                    Link.organisation_id == flight.books.organisation_id,
                    Link.crm_kind == kind.name,
                    Link.crm_id.in_(ids[start : start + CHUNK]),
                    Link.ended_at.is_(None),
                )
                found |= {(link.portal_id, link.crm_id): link for link in session.scalars(query)}
    return found


def _pass(flight: Flight, kind: Kind, books: Caller, ids: Sequence[str]) -> dict[str, Document]:
    """One modified-since pass over the whole organisation; every linked document that it brings is recorded, asked for or not.

    What it does not bring has not changed since the watermark. Without one the first pass reads everything once.
    """
    services = flight.services
    with services.db.reading() as session:
        mark = directory.watermark(session, flight.books.organisation_id, kind.watermark)
    since = mark - timedelta(seconds=durations.OVERLAP) if mark else None
    found: dict[str, Document] = {}
    newest, page, pages = mark, 1, 1
    while page <= pages:
        part, pages = kind.xero.modified(books, since, page, summary=True)
        found |= {one.id: one for one in part}
        newest = max([one.updated_at for one in part if one.updated_at] + ([newest] if newest else []), default=None)
        page += 1
    wanted = set(ids)
    _record_others(flight, kind, [one for one in found.values() if one.id not in wanted])
    now = services.now()
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        directory.set_watermark(tx, flight.books.organisation_id, kind.watermark, newest or now, now)
    return found


def _record_others(flight: Flight, kind: Kind, brought: Sequence[Document]) -> None:
    """Linked documents that nobody asked for: orders are made for those that changed, so that no later pass misses them."""
    services, now = flight.services, flight.services.now()
    by_id = {one.id: one for one in brought}
    ids = list(by_id)
    for start in range(0, len(ids), CHUNK):
        with services.db.transaction() as tx:
            leases.check(tx, flight.lease, flight.fence)
            query = (
                select(Link)
                .join(
                    Connection, (Connection.portal_id == Link.portal_id) & (Connection.organisation_id == Link.organisation_id) & Connection.ended_at.is_(None)
                )
                .where(
                    Link.organisation_id == flight.books.organisation_id,
                    Link.xero_kind == kind.name,
                    Link.xero_id.in_(ids[start : start + CHUNK]),
                    Link.ended_at.is_(None),
                )
            )
            bell = jobs.organisation_bell(flight.books.organisation_id)
            orders: dict[int, list[jobs.Order]] = {}
            for link in tx.scalars(query):
                updated = by_id[link.xero_id].updated_at
                if updated is None or link.xero_updated_at is None or updated > link.xero_updated_at:
                    order = jobs.Order(link.portal_id, jobs.PULL, kind.subject(link.crm_id), bell, link.organisation_id, jobs.EVENTS)
                    order = replace(order, cause=jobs.SWEEP, caused_at=updated)
                    orders.setdefault(link.portal_id, []).append(order)
            for of_portal in orders.values():
                jobs.order_many(tx, of_portal, now)


def _record(flight: Flight, works: Sequence[Work], links: dict[tuple[int, int], Link], found: dict[str, Document], by_ids: bool) -> None:
    services, now = flight.services, flight.services.now()
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        recorder = Recorder(services, tx, now)
        brought = [link.id for one in works if (link := links[one.job.portal_id, one.crm_id]).xero_id in found]
        current = {link.id: link for link in tx.scalars(select(Link).where(Link.id.in_(brought)))}
        same: list[Job] = []
        for one in works:
            link = links[one.job.portal_id, one.crm_id]
            document = found.get(link.xero_id)
            if document is None and by_ids:
                end_jobs(recorder, [(one.job, Problem("xero.gone", number=link.number))], services.config.pace)
            elif document is None or not _changed(recorder, one, current[link.id], document):
                same.append(one.job)
        for job in same:
            recorder.end(job, "unchanged")
        recorder.finish()


def _changed(recorder: Recorder, one: Work, link: Link, document: Document) -> bool:
    """Record one document. Older news than the link has seen is ignored; equal times are decided by what it says (RULES 22)."""
    if document.updated_at and link.xero_updated_at and document.updated_at < link.xero_updated_at:
        return False
    was, amount = link.xero_word, link.amount_due
    changed = see(link, document, today_of(one.ready.organisation, recorder.now))
    if not changed and link.written == shown_fingerprint(link):
        return False
    recorder.end(one.job, "updated" if changed else "unchanged")
    if changed:
        recorder.say(
            one.job,
            "activity.status_changed",
            xero_id=document.id,
            number=document.number,
            before=was,
            after=link.xero_word,
            due_before=str(amount),
            due=str(link.amount_due),
        )
    order_write_back(recorder, one.job, link, was=was)
    return True


def _end(flight: Flight, ended: Iterable[tuple[Job, Problem | None]]) -> None:
    pairs = list(ended)
    if not pairs:
        return
    with flight.services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        recorder = Recorder(flight.services, tx, flight.services.now())
        end_jobs(recorder, pairs, flight.services.config.pace)
        recorder.finish()
