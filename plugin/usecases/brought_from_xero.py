"""What is made in Xero and shall appear in Bitrix24: off until an administrator switches it on (RULES 9).

Problem: portal.not_set_up. Activities: activity.settings_changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from sqlalchemy import func, select, update

from plugin import activity, directory, jobs
from plugin.db import Transaction
from plugin.domain.crm import Visitor
from plugin.domain.problems import RECONNECT, Problem
from plugin.kinds import INVOICE
from plugin.models import Arrival, Connection
from plugin.portals import change_settings, current_settings, live_connection
from plugin.receiving import arrivals, rhythm
from plugin.services import Services
from plugin.usecases import NotAllowed


@dataclass(frozen=True)
class Brought:
    """The section of the settings: what is switched on, and what has come of it so far."""

    documents: bool
    contacts: bool
    start_date: date | None
    made_documents: int = 0
    made_contacts: int = 0
    refused: int = 0
    slower: bool = False  # Xero's news does not arrive: changes show later than usual


def shown(services: Services, visitor: Visitor) -> Brought | None:
    """The section, or nothing before the set-up was confirmed."""
    if not visitor.admin:
        raise NotAllowed
    with services.db.reading() as session:
        live = live_connection(session, visitor.portal_id)
        held = current_settings(session, visitor.portal_id, live.organisation_id) if live is not None else None
        if live is None or held is None:
            return None
        mine = (Arrival.portal_id == visitor.portal_id, Arrival.organisation_id == live.organisation_id)
        count = select(func.count()).select_from(Arrival).where(*mine)
        documents, contacts = (
            session.scalar(count.where(Arrival.state == "made", Arrival.xero_kind == kind)) or 0 for kind in (arrivals.INVOICE, arrivals.CONTACT)
        )
        refused = session.scalar(count.where(Arrival.state == "refused", Arrival.problem_code.is_not(None)))
        slower = rhythm.unheard(session, live.organisation_id)
    settings = held[1]
    return Brought(settings.bring_documents, settings.bring_contacts, settings.start_date, documents, contacts, refused or 0, slower)


def save(services: Services, visitor: Visitor, documents: bool, contacts: bool) -> None:
    """Switch it on or off. What was refused before is tried again, and documents since the start date are looked for at once."""
    if not visitor.admin:
        raise NotAllowed
    now = services.now()
    with services.db.transaction() as tx:
        live = live_connection(tx, visitor.portal_id)
        if live is None:
            raise Problem("portal.not_connected", RECONNECT)
        tx.execute(select(Connection.id).where(Connection.id == live.id).with_for_update())
        held = current_settings(tx, visitor.portal_id, live.organisation_id)
        if held is None:
            raise Problem("portal.not_set_up", RECONNECT)
        since = held[1].bring_contacts_from if held[1].bring_contacts else now.isoformat()
        changes = {"bring_documents": documents, "bring_contacts": contacts, "bring_contacts_from": since if contacts else ""}
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
        if documents and held[1].start_date is not None:
            _look_back(tx, live.organisation_id, datetime.combine(held[1].start_date, time(), UTC), now)
        _try_again(tx, services, visitor.portal_id, live.organisation_id, now)
        bell = jobs.organisation_bell(live.organisation_id)
        tx.after_commit(lambda: services.bells.ring(bell))


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
