"""Reading an organisation's lists again, in its conductor's turn: after everything that was ordered, and people's orders between two pages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from sqlalchemy import select

from plugin import directory, durations, jobs, leases
from plugin.db import Transaction
from plugin.domain.ledger import Document
from plugin.domain.matching import follow_merge
from plugin.domain.problems import Problem
from plugin.kinds import INVOICE, KINDS, LINKED, Kind, together
from plugin.models import Connection, DirectoryEntry, Link
from plugin.receiving import arrivals, changes, rhythm
from plugin.sending.flight import Flight
from plugin.sending.record import Recorder, Unasked
from plugin.xero import credit_notes, documents
from plugin.xero.client import Caller

log = logging.getLogger("plugin.receiving")

OPEN_STATUSES = ("DRAFT", "SUBMITTED", "AUTHORISED")


def sweep(flight: Flight, resource: str) -> None:
    """Read one list. What stops it is noted, and it is tried again later; nothing is lost, for the watermark stays where it was."""
    services = flight.services
    try:
        READERS[resource](flight)
    except Problem as problem:
        log.info("%s of organisation %d could not be read: %s", resource, flight.books.organisation_id, problem.code)
        with services.db.transaction() as tx:
            leases.check(tx, flight.lease, flight.fence)
            rhythm.failed(tx, flight.books.organisation_id, resource, problem, services.now(), services.config.pace)


def read_documents(flight: Flight, books: Caller | None = None) -> None:
    """What changed among the invoices, taken over; `books`: not as a sweep, but in this lane. Raises the problem of a call that failed."""

    def found(part: Sequence[Document]) -> None:
        changes.record(flight, INVOICE, part)
        arrivals.consider_documents(flight, part)

    changes.read_modified(flight, INVOICE, books or flight.books, found)
    with flight.services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        rhythm.begin(tx, flight.books.organisation_id, flight.services.now())  # lists that a newer version reads besides


def _of(kind: Kind) -> Callable[[Flight], None]:
    """Documents of another kind, of which nothing is brought into the CRM by itself."""

    def read(flight: Flight) -> None:
        def found(part: Sequence[Document]) -> None:
            changes.record(flight, kind, part)

        changes.read_modified(flight, kind, flight.books, found)

    return read


def _open(flight: Flight) -> None:
    """Every document that is open in Xero, and by id the linked ones that we take for open and Xero does not: what moved without a mark (X§4.8)."""
    services, organisation_id = flight.services, flight.books.organisation_id
    seen: set[str] = set()
    page, pages = 1, 1
    while page <= pages:
        part, pages = documents.invoices_of_status(flight.books, OPEN_STATUSES, page)
        seen |= {one.id for one in part}
        changes.record(flight, INVOICE, part)
        flight.between()
        page += 1
    with services.db.reading() as session:
        held = session.scalars(
            select(Link.xero_id)
            .join(Connection, (Connection.portal_id == Link.portal_id) & (Connection.organisation_id == Link.organisation_id) & Connection.ended_at.is_(None))
            .where(Link.organisation_id == organisation_id, Link.xero_kind.in_(together(INVOICE)), Link.xero_status.in_(OPEN_STATUSES), Link.ended_at.is_(None))
        )
        closed = sorted(set(held) - seen)
    for start in range(0, len(closed), changes.CHUNK):
        changes.record(flight, INVOICE, INVOICE.xero.by_ids(flight.books, closed[start : start + changes.CHUNK]))
        flight.between()
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        rhythm.read(tx, organisation_id, rhythm.OPEN, services.now())


def _contacts(flight: Flight) -> None:
    directory.ensure(flight.services, flight.books, (directory.CONTACT,), fresh_for=0.0)
    follow_contacts(flight)


def _contacts_whole(flight: Flight) -> None:
    """A merge moves no mark of the contact that it ended (X§5.5): only reading all of them shows it."""
    services = flight.services
    directory.read_all_contacts(services, flight.books)
    follow_contacts(flight)
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        rhythm.read(tx, flight.books.organisation_id, rhythm.CONTACTS_WHOLE, services.now())


def follow_contacts(flight: Flight) -> None:
    """Customers linked to a contact that was merged go with it (RULES 14); contacts that are new are considered for portals that want them."""
    services, organisation_id, now = flight.services, flight.books.organisation_id, flight.services.now()
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        same = (DirectoryEntry.organisation_id == Link.organisation_id) & (DirectoryEntry.xero_id == Link.xero_id)
        gone = tx.execute(
            select(Link, DirectoryEntry)
            .join(DirectoryEntry, same & (DirectoryEntry.kind == directory.CONTACT))
            .where(Link.organisation_id == organisation_id, Link.xero_kind == "contact", Link.ended_at.is_(None), ~DirectoryEntry.active)
        ).all()
        merged = [(link, directory.contact_value(entry.body)) for link, entry in gone if entry.body.get("merged_to")]
        if merged:
            recorder = Recorder(services, tx, now)
            by_id = {one.id: one for one in directory.all_contacts(tx, organisation_id)}
            for link, contact in merged:
                last = follow_merge(contact, by_id)
                if last.id != contact.id:
                    link.xero_id, link.number = last.id, last.number
                    recorder.say(Unasked.of(link), "activity.contact_merged", xero_id=last.id, before=contact.name, contact=last.name)
            recorder.finish()
    arrivals.consider_contacts(flight)


def _credit_notes(flight: Flight) -> None:
    """Credit set against a linked invoice changes what is due there: those invoices are read again."""
    services, organisation_id = flight.services, flight.books.organisation_id
    with services.db.reading() as session:
        mark = directory.watermark(session, organisation_id, rhythm.CREDIT_NOTES)
        begin = mark or directory.watermark(session, organisation_id, INVOICE.watermark)
    newest, page, pages = begin, 1, 1
    credited: set[str] = set()
    while page <= pages:
        part, pages = credit_notes.modified(flight.books, begin - timedelta(seconds=durations.OVERLAP) if begin else None, page)
        for note in part:
            if begin is None or note.updated_at is None or note.updated_at > begin:
                credited |= set(note.invoice_ids)
            newest = max((one for one in (newest, note.updated_at) if one), default=None)
        flight.between()
        page += 1
    now = services.now()
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        order_readings(flight, tx, credited)
        rhythm.read(tx, organisation_id, rhythm.CREDIT_NOTES, now, newest or now)


def order_readings(flight: Flight, tx: Transaction, xero_ids: set[str]) -> None:
    """Linked documents of these ids are to be read again, for each portal that has them."""
    bell = jobs.organisation_bell(flight.books.organisation_id)
    found = list(tx.scalars(changes.live_links(INVOICE, flight.books.organisation_id, sorted(xero_ids)))) if xero_ids else []
    for link in found:
        jobs.order(
            tx,
            jobs.Order(link.portal_id, jobs.PULL, LINKED[link.crm_kind].subject(link.crm_id), bell, link.organisation_id, jobs.EVENTS, cause=jobs.SWEEP),
            flight.services.now(),
        )
    if found:
        tx.after_commit(lambda: flight.services.bells.ring(bell))


def _list(resource: str) -> Callable[[Flight], None]:
    return lambda flight: directory.ensure(flight.services, flight.books, (resource,), fresh_for=0.0)


#: How each list of `rhythm.BEATS` is read.
READERS: Mapping[str, Callable[[Flight], None]] = {
    INVOICE.watermark: read_documents,
    **{kind.watermark: _of(kind) for kind in KINDS.values() if kind is not INVOICE},
    rhythm.CREDIT_NOTES: _credit_notes,
    directory.CONTACT: _contacts,
    rhythm.OPEN: _open,
    rhythm.CONTACTS_WHOLE: _contacts_whole,
    **{name: _list(name) for name in (directory.ORGANISATION, directory.ACCOUNT, directory.TAX, directory.ITEM)},
}
