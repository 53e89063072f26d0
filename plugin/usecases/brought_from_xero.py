"""What is made in Xero and shall appear in Bitrix24: off until an administrator switches it on (RULES 9).

Problem: portal.not_set_up. Faults: see bills_place.py, and bring.in_flight. Activities: activity.settings_changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from plugin import activity, directory, jobs
from plugin.db import Transaction
from plugin.domain.crm import Visitor
from plugin.domain.problems import RECONNECT, Problem
from plugin.domain.settings import Settings
from plugin.kinds import BILL, INVOICE
from plugin.models import Arrival, Connection, Link
from plugin.portals import change_settings, current_settings, live_connection
from plugin.receiving import arrivals, rhythm
from plugin.services import Services
from plugin.usecases import NotAllowed, bills_place
from plugin.usecases.shown import Told


@dataclass(frozen=True)
class Brought:
    """The section of the settings: what is switched on, and what has come of it so far."""

    documents: bool
    bills: bool
    contacts: bool
    start_date: date | None
    place: bills_place.Place | None  # asked for where bills are switched on, or are about to be
    made_documents: int = 0
    made_bills: int = 0
    made_contacts: int = 0
    refused: int = 0
    slower: bool = False  # Xero's news does not arrive: changes show later than usual
    faults: Mapping[str, Told] = field(default_factory=dict)


def shown(services: Services, visitor: Visitor, asking: bool = False) -> Brought | None:
    """The section, or nothing before the set-up was confirmed. `asking`: with where bills go, though they are not switched on."""
    if not visitor.admin:
        raise NotAllowed
    with services.db.reading() as session:
        live = live_connection(session, visitor.portal_id)
        held = current_settings(session, visitor.portal_id, live.organisation_id) if live is not None else None
        if live is None or held is None:
            return None
        mine = (Arrival.portal_id == visitor.portal_id, Arrival.organisation_id == live.organisation_id)
        counted = select(Arrival.xero_kind, func.count()).where(*mine, Arrival.state == "made").group_by(Arrival.xero_kind)
        made: dict[str, int] = dict(session.execute(counted).all())
        refused = session.scalar(select(func.count()).select_from(Arrival).where(*mine, Arrival.state == "refused", Arrival.problem_code.is_not(None)))
        slower = rhythm.unheard(session, live.organisation_id)
    settings = held[1]
    return Brought(
        documents=settings.bring_documents,
        bills=settings.bring_bills,
        contacts=settings.bring_contacts,
        start_date=settings.start_date,
        place=bills_place.shown(services, visitor, settings) if settings.bring_bills or asking else None,
        made_documents=made.get(arrivals.INVOICE, 0),
        made_bills=made.get(arrivals.BILL, 0),
        made_contacts=made.get(arrivals.CONTACT, 0),
        refused=refused or 0,
        slower=slower,
    )


def asking(services: Services, visitor: Visitor) -> Brought:
    """The section for somebody who has just ticked bills: with where they may go."""
    found = shown(services, visitor, asking=True)
    if found is None:
        raise Problem("portal.not_set_up", RECONNECT)
    return found


def save(services: Services, visitor: Visitor, form: Mapping[str, str]) -> Brought | None:
    """Take what is ticked, and where bills go; with faults nothing is kept, and the section says what is wrong.

    What was refused before is tried again, and documents since the start date are looked for at once.
    """
    if not visitor.admin:
        raise NotAllowed
    with services.db.reading() as session:
        settings = _settings(session, visitor)[1]
    documents, bills, contacts = ("documents" in form, "bills" in form, "contacts" in form)
    chosen = bills_place.choose(services, visitor, settings, form) if bills else bills_place.Chosen()
    faults = dict(chosen.faults)
    if not faults and not _store(services, visitor, documents, bills, contacts, chosen.changes):
        faults = {"bills_place": Told("bring.in_flight")}
    found = shown(services, visitor, asking=bills)
    return replace(found, documents=documents, bills=bills, contacts=contacts, faults=faults) if found is not None and faults else found


def _settings(session: Session, visitor: Visitor) -> tuple[Connection, Settings]:
    live = live_connection(session, visitor.portal_id)
    if live is None:
        raise Problem("portal.not_connected", RECONNECT)
    held = current_settings(session, visitor.portal_id, live.organisation_id)
    if held is None:
        raise Problem("portal.not_set_up", RECONNECT)
    return live, held[1]


def _store(services: Services, visitor: Visitor, documents: bool, bills: bool, contacts: bool, place: Mapping[str, Any]) -> bool:
    """False: bills are on their way into the place that shall not be theirs any more."""
    now = services.now()
    with services.db.transaction() as tx:
        live, _ = _settings(tx, visitor)
        tx.execute(select(Connection.id).where(Connection.id == live.id).with_for_update())
        held = _settings(tx, visitor)[1]
        was = (held.bills_type, held.bills_process)
        moved = was[0] and was != (place.get("bills_type", was[0]), place.get("bills_process", was[1]))
        if moved and not _leave_place(tx, visitor, live, now):
            return False
        since = held.bring_contacts_from if held.bring_contacts else now.isoformat()
        changes = {"bring_documents": documents, "bring_bills": bills, "bring_contacts": contacts, "bring_contacts_from": since if contacts else "", **place}
        if change_settings(tx, visitor, live.organisation_id, now, **changes):
            activity.record(
                tx,
                visitor.portal_id,
                "activity.settings_changed",
                now,
                organisation_id=live.organisation_id,
                user_id=visitor.user_id,
                user_name=visitor.name,
            )
        if (documents or bills) and held.start_date is not None:
            _look_back(tx, live.organisation_id, datetime.combine(held.start_date, time(), UTC), now)
        _try_again(tx, services, visitor.portal_id, live.organisation_id, now)
        bell = jobs.organisation_bell(live.organisation_id)
        tx.after_commit(lambda: services.bells.ring(bell))
    return True


def _leave_place(tx: Transaction, visitor: Visitor, live: Connection, now: datetime) -> bool:
    """Bills brought so far stay where they are and are followed no longer: their ids would name other things in the new place."""
    mine = (Arrival.portal_id == visitor.portal_id, Arrival.organisation_id == live.organisation_id, Arrival.xero_kind == arrivals.BILL)
    if tx.scalar(select(exists().where(*mine, Arrival.state == "announced"))):
        return False
    links = (Link.portal_id == visitor.portal_id, Link.organisation_id == live.organisation_id, Link.crm_kind == BILL.name, Link.ended_at.is_(None))
    tx.execute(update(Link).where(*links).values(ended_at=now, ended_reason="place_left").execution_options(synchronize_session=False))
    return True


def _look_back(tx: Transaction, organisation_id: int, start: datetime, now: datetime) -> None:
    """The next reading begins at the start date: what changed since then comes by once more, and costs nothing where it is known."""
    mark = directory.watermark(tx, organisation_id, INVOICE.watermark)
    if mark is not None:
        directory.set_watermark(tx, organisation_id, INVOICE.watermark, min(mark, start), now)
        rhythm.ask(tx, organisation_id, INVOICE.watermark, now)


def _try_again(tx: Transaction, services: Services, portal_id: int, organisation_id: int, now: datetime) -> None:
    refused = (Arrival.portal_id == portal_id, Arrival.organisation_id == organisation_id, Arrival.state == "refused", Arrival.problem_code.is_not(None))
    again = update(Arrival).where(*refused).values(state="wanted", problem_code=None, problem_params=None, finished_at=None)
    if tx.execute(again.execution_options(synchronize_session=False)).rowcount:  # type: ignore[attr-defined]
        bell = jobs.portal_bell(portal_id)
        jobs.order(tx, jobs.Order(portal_id, jobs.BRING, arrivals.SUBJECT, bell, organisation_id, jobs.BULK), now)
        tx.after_commit(lambda: services.bells.ring(bell))
