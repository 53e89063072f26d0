"""Xero's webhooks: signature over the raw bytes, stored, answered; then each portal's linked documents are looked at again (X§8)."""

from __future__ import annotations

from sqlalchemy import select

from plugin import jobs
from plugin.kinds import INVOICE
from plugin.models import Callback, Connection, Link, Organisation
from plugin.services import Services
from plugin.xero import webhooks

WANTED = ("INVOICE",)


def receive(services: Services, raw: bytes, signature: str | None) -> bool:
    """Take one delivery. False: the signature is wrong. Events of organisations that nobody here has are acknowledged and dropped."""
    if not webhooks.verify(raw, signature, services.config.xero_webhook_keys):
        return False
    told: dict[str, set[str]] = {}
    for event in webhooks.events(raw):
        if event.category.upper() in WANTED:
            told.setdefault(event.tenant_id, set()).add(event.resource_id)
    if not told:
        return True
    now = services.now()
    with services.db.transaction() as tx:
        for organisation in tx.scalars(select(Organisation).where(Organisation.tenant_id.in_(list(told)))):
            ids = sorted(told[organisation.tenant_id])
            links = tx.scalars(
                select(Link)
                .join(
                    Connection, (Connection.portal_id == Link.portal_id) & (Connection.organisation_id == Link.organisation_id) & Connection.ended_at.is_(None)
                )
                .where(Link.organisation_id == organisation.id, Link.xero_id.in_(ids), Link.xero_kind == INVOICE.name, Link.ended_at.is_(None))
            ).all()
            bell = jobs.organisation_bell(organisation.id)
            for portal_id in {link.portal_id for link in links}:
                orders = [
                    jobs.Order(portal_id, jobs.PULL, INVOICE.subject(link.crm_id), bell, organisation.id, jobs.EVENTS, cause=jobs.XERO)
                    for link in links
                    if link.portal_id == portal_id
                ]
                jobs.order_many(tx, orders, now)
            tx.add(Callback(organisation_id=organisation.id, kind="xero.invoice", body={"ids": ids}, received_at=now, done_at=now))
            if links:
                tx.after_commit(lambda bell=bell: services.bells.ring(bell))  # type: ignore[misc]
    return True
