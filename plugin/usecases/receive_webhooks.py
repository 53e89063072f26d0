"""Xero's webhooks: signature over the raw bytes, stored, answered; what follows is the inbox's business (X§8)."""

from __future__ import annotations

from sqlalchemy import select

from plugin import inbox
from plugin.models import Connection, Organisation
from plugin.services import Services
from plugin.xero import webhooks

#: Our word for each category that concerns us; the rest of what the app is subscribed to is acknowledged and dropped.
KINDS = {"INVOICE": "xero.invoice", "CREDITNOTE": "xero.credit_note", "CONTACT": "xero.contact"}


def receive(services: Services, raw: bytes, signature: str | None) -> bool:
    """Take one delivery. False: the signature is wrong. Events of organisations that nobody here has are acknowledged, dropped and counted."""
    if not webhooks.verify(raw, signature, services.config.xero_webhook_keys):
        services.counts.add("webhooks:forged")
        return False
    told: dict[tuple[str, str], dict[str, None]] = {}
    for event in webhooks.events(raw):
        if event.category in KINDS:
            told.setdefault((event.tenant_id, event.category), {})[event.resource_id] = None
    if not told:
        return True
    with services.db.reading() as session:
        live = select(Organisation.tenant_id, Organisation.id).join(Connection, (Connection.organisation_id == Organisation.id) & Connection.ended_at.is_(None))
        ours = dict(session.execute(live.where(Organisation.tenant_id.in_({tenant for tenant, _ in told}))).all())
    for (tenant, _), ids in told.items():
        services.counts.add("webhooks:taken" if tenant in ours else "webhooks:stranger", len(ids))
    messages = [
        inbox.Message(KINDS[category], "", {"ids": list(ids)}, organisation_id=ours[tenant]) for (tenant, category), ids in told.items() if tenant in ours
    ]
    inbox.store(services, messages)
    return True
