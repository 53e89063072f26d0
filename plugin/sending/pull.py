"""Update from Xero: what Xero authors comes back, many documents a call; what has not changed costs no write (RULES 32)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import select

from plugin import leases
from plugin.domain.ledger import Document
from plugin.domain.problems import Problem
from plugin.kinds import Kind
from plugin.limits import Lane
from plugin.models import Job, Link
from plugin.receiving import changes
from plugin.sending.flight import Flight
from plugin.sending.record import Recorder, end_jobs, facts
from plugin.sending.work import Work, by_kind
from plugin.xero.client import Caller

#: Where asking by ids takes more calls than this, one modified-since pass brings them all.
BY_IDS_CALLS = 4
CHUNK = 500


def pull(flight: Flight, works: Sequence[Work], lane: Lane) -> None:
    """Read these documents again and record what changed."""
    for kind, of_kind in by_kind(works).items():
        _pull(flight, kind, of_kind, lane)


def _pull(flight: Flight, kind: Kind, works: Sequence[Work], lane: Lane) -> None:
    links = links_of(flight, kind, works)
    known = [one for one in works if (one.job.portal_id, one.crm_id) in links]
    unknown = [(one.job, Problem("pull.not_linked")) for one in works if (one.job.portal_id, one.crm_id) not in links]
    ids = list(dict.fromkeys(links[one.job.portal_id, one.crm_id].xero_id for one in known))
    books = replace(flight.books, lane=lane)
    by_ids = len(ids) <= BY_IDS_CALLS * kind.xero.together
    try:
        found = {one.id: one for one in kind.xero.by_ids(books, ids)} if by_ids else _pass(flight, kind, books, ids)
    except Problem as problem:
        _end(flight, [*unknown, *((one.job, problem) for one in known)])
        return
    _end(flight, unknown)
    for start in range(0, len(known), CHUNK):
        _record(flight, known[start : start + CHUNK], links, found, by_ids)


def links_of(flight: Flight, kind: Kind, works: Sequence[Work]) -> dict[tuple[int, int], Link]:
    """The live link of each of these, by portal and CRM id."""
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

    What it does not bring has not changed since the watermark.
    """
    wanted, found = set(ids), dict[str, Document]()

    def keep(part: Sequence[Document]) -> None:
        found.update((one.id, one) for one in part if one.id in wanted)
        changes.record(flight, kind, [one for one in part if one.id not in wanted])

    changes.read_modified(flight, kind, books, keep, near=True)
    return found


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
    """Record one document, and that its job is done."""
    before = facts(link)
    if not changes.take(recorder, one.job, link, document, one.ready.organisation):
        return False
    recorder.end(one.job, "updated" if facts(link) != before else "unchanged")
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
