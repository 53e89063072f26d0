"""Overdue comes with the day and with nothing else: found in our own rows soon after an organisation's midnight, without a call (RULES 20)."""

from __future__ import annotations

from datetime import date

from sqlalchemy import select

from plugin.kinds import INVOICE, together
from plugin.models import Connection, Link, Organisation
from plugin.receiving.changes import CHUNK, tell
from plugin.sending.record import Recorder, Unasked, order_write_back, today_of
from plugin.services import Services

#: What an approved document without money is called while it is not overdue.
_BEFORE = ("authorised", "sent")


def look(services: Services) -> None:
    """Documents whose due date has passed since each organisation's last day; safe to repeat, and to be killed in the middle."""
    now = services.now()
    with services.db.reading() as session:
        used = select(Connection.organisation_id).where(Connection.ended_at.is_(None))
        organisations = session.scalars(select(Organisation).where(Organisation.id.in_(used))).all()
    for organisation in organisations:
        today = today_of(organisation, now)
        if organisation.overdue_until is None or organisation.overdue_until < today:
            _turn_day(services, organisation.id, today)


def _turn_day(services: Services, organisation_id: int, today: date) -> None:
    while _some(services, organisation_id, today):
        pass
    with services.db.transaction() as tx:
        tx.get_one(Organisation, organisation_id).overdue_until = today


def _some(services: Services, organisation_id: int, today: date) -> bool:
    with services.db.transaction() as tx:
        recorder = Recorder(services, tx, services.now())
        links = tx.scalars(
            select(Link)
            .join(Connection, (Connection.portal_id == Link.portal_id) & (Connection.organisation_id == Link.organisation_id) & Connection.ended_at.is_(None))
            .where(
                Link.organisation_id == organisation_id,
                Link.xero_kind.in_(together(INVOICE)),
                Link.xero_status == "AUTHORISED",
                Link.xero_word.in_(_BEFORE),
                Link.due_date < today,
                Link.ended_at.is_(None),
            )
            .order_by(Link.id)
            .limit(CHUNK)
            .with_for_update(of=Link)
        ).all()
        for link in links:
            was, link.xero_word = link.xero_word, "overdue"
            tell(recorder, Unasked.of(link), link, was, link.amount_due)
            order_write_back(recorder, Unasked.of(link), link, was=was)
        recorder.finish()
    return len(links) == CHUNK
