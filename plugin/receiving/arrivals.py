"""What was made in Xero and shall appear in a portal: noted here once, in the conductor's turn, and ordered from the portal's worker.

A portal gets it only if it switched that on, only from its start date on (RULES 9), and never what a portal sent (RULES 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from plugin import directory, jobs, leases
from plugin.db import Transaction
from plugin.domain.compare import GONE
from plugin.domain.ledger import Document
from plugin.domain.numbers import OURS
from plugin.domain.settings import Settings
from plugin.models import IMPORTED, Arrival, Call, Connection, DirectoryEntry, Job, Link, Portal
from plugin.portals import current_settings, ensure_row
from plugin.sending.flight import Flight

INVOICE, BILL, CONTACT = "invoice", "bill", "contact"
#: In the Url of every document that was sent from a CRM, whichever (RULES 11).
_FROM_A_CRM = "/crm/type/31/details/"
#: Which kind a document of Xero is here.
_TYPES = {"ACCREC": INVOICE, "ACCPAY": BILL}
SUBJECT = "arrivals"
CHUNK = 500


def consider_documents(flight: Flight, brought: Sequence[Document]) -> None:
    """Note the sales invoices and bills among these that nobody sent, for each portal that wants them."""
    made_there = [one for one in brought if one.type in _TYPES and one.status not in GONE and _FROM_A_CRM not in one.url]
    if not made_there:
        return
    with flight.services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        for portal_id, settings in _portals(tx, flight.books.organisation_id):
            for kind in wanted_kinds(settings):
                _note(flight, tx, portal_id, kind, [one.id for one in made_there if _TYPES[one.type] == kind and not_before(settings, one)])


def anybody_wants_documents(session: Session, organisation_id: int) -> bool:
    """Has some portal switched on that invoices or bills made in Xero appear in it?"""
    return any(wanted_kinds(settings) for _, settings in _portals(session, organisation_id))


def wanted_kinds(settings: Settings) -> tuple[str, ...]:
    """Kinds of document that this portal wants to be brought; bills only into a place that it has chosen."""
    return (*((INVOICE,) if settings.bring_documents else ()), *((BILL,) if settings.bring_bills and settings.bills_type else ()))


def not_before(settings: Settings, document: Document) -> bool:
    """Nothing older than the start date is imported by itself (RULES 9)."""
    return settings.start_date is not None and document.date is not None and document.date >= settings.start_date


def consider_contacts(flight: Flight) -> None:
    """Note the contacts that appeared in Xero since a portal asked for them."""
    organisation_id = flight.books.organisation_id
    with flight.services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        for portal_id, settings in _portals(tx, organisation_id):
            if settings.bring_contacts and settings.bring_contacts_from:
                new = select(DirectoryEntry.xero_id).where(
                    DirectoryEntry.organisation_id == organisation_id,
                    DirectoryEntry.kind == directory.CONTACT,
                    DirectoryEntry.active,
                    DirectoryEntry.appeared_at >= datetime.fromisoformat(settings.bring_contacts_from),
                    ~DirectoryEntry.code.startswith(OURS),
                )
                _note(flight, tx, portal_id, CONTACT, list(tx.scalars(new)))


def _portals(session: Session, organisation_id: int) -> list[tuple[int, Settings]]:
    """Portals that are connected to it and set up, with what they chose. One whose connection is in trouble gets its share later."""
    ids = session.scalars(
        select(Connection.portal_id)
        .join(Portal, (Portal.id == Connection.portal_id) & Portal.uninstalled_at.is_(None))
        .where(Connection.organisation_id == organisation_id, Connection.ended_at.is_(None))
    ).all()
    held = [(portal_id, current_settings(session, portal_id, organisation_id)) for portal_id in ids]
    return [(portal_id, found[1]) for portal_id, found in held if found is not None]


def _note(flight: Flight, tx: Transaction, portal_id: int, kind: str, xero_ids: Sequence[str]) -> None:
    services, organisation_id = flight.services, flight.books.organisation_id
    new = _unknown(tx, portal_id, organisation_id, kind, xero_ids)
    if not new:
        return
    now, bell = services.now(), jobs.portal_bell(portal_id)
    for xero_id in new:
        ensure_row(tx, Arrival, portal_id=portal_id, organisation_id=organisation_id, xero_kind=kind, xero_id=xero_id, created_at=now)
    jobs.order(tx, jobs.Order(portal_id, jobs.BRING, SUBJECT, bell, organisation_id, jobs.BULK), now)
    tx.after_commit(lambda: services.bells.ring(bell))


def _unknown(session: Session, portal_id: int, organisation_id: int, kind: str, xero_ids: Sequence[str]) -> list[str]:
    """Those that were not noted before, are not linked here, and were sent by no portal."""
    known: set[str] = set()
    for start in range(0, len(xero_ids), CHUNK):
        part = xero_ids[start : start + CHUNK]
        noted = (Arrival.portal_id == portal_id, Arrival.organisation_id == organisation_id, Arrival.xero_kind == kind, Arrival.xero_id.in_(part))
        known |= set(session.scalars(select(Arrival.xero_id).where(*noted)))
        known |= set(session.scalars(select(Link.xero_id).where(_held(portal_id, organisation_id, kind), Link.xero_id.in_(part))))
    return [one for one in dict.fromkeys(xero_ids) if one not in known]


def linked(session: Session, portal_id: int, organisation_id: int, kind: str, xero_id: str) -> bool:
    """Does this portal have it already, or did another one send it?"""
    return session.scalar(select(Link.id).where(_held(portal_id, organisation_id, kind), Link.xero_id == xero_id).limit(1)) is not None


def _held(portal_id: int, organisation_id: int, kind: str) -> ColumnElement[bool]:
    """Links that keep a thing from being brought into this portal: a contact's own live one, a document's also when it has ended."""
    here = and_(Link.organisation_id == organisation_id, Link.xero_kind == kind, Link.portal_id == portal_id)
    if kind == CONTACT:
        return and_(here, Link.ended_at.is_(None))
    return or_(here, and_(Link.organisation_id == organisation_id, Link.xero_kind == kind, Link.how != IMPORTED))


def unsettled(session: Session, organisation_id: int, before: datetime) -> bool:
    """Is a call open that may have made something before this moment? Then nobody knows yet whose it is."""
    held = select(Job.id).join(Call, Call.id == Job.call_id).where(Job.organisation_id == organisation_id, Job.call_id.is_not(None), Call.sent_at <= before)
    return session.scalar(held.limit(1)) is not None


def under_way(session: Session, portal_id: int) -> frozenset[str]:
    """Documents that Bitrix24 was asked to make and that are not linked yet: the portal's report of that orders nothing."""
    mine = (Arrival.portal_id == portal_id, Arrival.xero_kind == INVOICE, Arrival.state == "announced")
    return frozenset(session.scalars(select(Arrival.xero_id).where(*mine)))
