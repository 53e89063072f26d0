"""What Xero told us is taken from the inbox: documents that some portal has are read again, for each portal that has them (X§8.6).

Told twice, late or in another order, it is the same order; what is read decides, never what was told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from sqlalchemy import select

from plugin import directory, inbox, jobs
from plugin.db import Transaction
from plugin.kinds import INVOICE, LINKED
from plugin.models import Callback, Organisation
from plugin.receiving import arrivals, changes, rhythm
from plugin.services import Services

CHUNK = 500


def drain(services: Services, organisation_id: int, should_stop: Callable[[], bool]) -> None:
    """Take everything that Xero has told us about this organisation. Safe from any process at any time."""

    def take(tx: Transaction, messages: Sequence[Callback]) -> None:
        _take(services, tx, organisation_id, messages)

    inbox.drain(services, inbox.organisation_bell(organisation_id), take, should_stop)


def _take(services: Services, tx: Transaction, organisation_id: int, messages: Sequence[Callback]) -> None:
    organisation = tx.scalars(select(Organisation).where(Organisation.id == organisation_id).with_for_update()).one()
    organisation.heard_at, organisation.unheard = max(one.received_at for one in messages), 0
    bell, now, pace = jobs.organisation_bell(organisation_id), services.now(), services.config.pace
    linked = _order_readings(tx, organisation_id, [one for one in messages if one.kind == "xero.invoice"], bell, services)
    wanted = []
    if _ids(messages, "xero.invoice") - linked and arrivals.anybody_wants_documents(tx, organisation_id):
        wanted.append(rhythm.want(tx, organisation_id, INVOICE.watermark, now, pace))
    if _ids(messages, "xero.contact"):
        wanted.append(rhythm.want(tx, organisation_id, directory.CONTACT, now, pace))
    if _ids(messages, "xero.credit_note"):
        wanted.append(rhythm.want(tx, organisation_id, rhythm.CREDIT_NOTES, now, pace))
    for at in wanted:
        tx.after_commit(lambda at=at: services.bells.ring(bell, max(0.0, (at - now).total_seconds())))  # type: ignore[misc]


def _ids(messages: Iterable[Callback], kind: str) -> set[str]:
    return {xero_id for one in messages if one.kind == kind for xero_id in one.body["ids"]}


def _order_readings(tx: Transaction, organisation_id: int, messages: Sequence[Callback], bell: str, services: Services) -> set[str]:
    """Orders for the linked documents among these. Returns which those are."""
    told = {xero_id: one.received_at for one in reversed(messages) for xero_id in one.body["ids"]}  # the first telling counts
    ids, linked = list(told), set[str]()
    for start in range(0, len(ids), CHUNK):
        by_portal: dict[int, list[jobs.Order]] = {}
        for link in tx.scalars(changes.live_links(INVOICE, organisation_id, ids[start : start + CHUNK])):
            linked.add(link.xero_id)
            order = jobs.Order(link.portal_id, jobs.PULL, LINKED[link.crm_kind].subject(link.crm_id), bell, organisation_id, jobs.EVENTS)
            by_portal.setdefault(link.portal_id, []).append(replace(order, cause=jobs.XERO, caused_at=told[link.xero_id]))
        for orders in by_portal.values():
            jobs.order_many(tx, orders, services.now())
    if linked:
        tx.after_commit(lambda: services.bells.ring(bell))
    return linked
