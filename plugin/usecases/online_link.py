"""The address under which a customer sees the invoice: asked of Xero once, when somebody wants it, within a twentieth of the day (RULES 31).

Problems: online.not_sent, online.not_approved, online.allowance; and Xero's own.
"""

from __future__ import annotations

from sqlalchemy import select, update

from plugin.domain.crm import Visitor
from plugin.domain.problems import Problem
from plugin.kinds import INVOICE
from plugin.models import Link
from plugin.portals import live_connection
from plugin.services import Services
from plugin.talking import books_of
from plugin.usecases import NotHere, list_invoices
from plugin.xero import documents

SHARE = 0.05


def get(services: Services, visitor: Visitor, crm_id: int) -> str:
    """The address, from our own row where it is known; for whoever may see the invoice in Bitrix24."""
    if not list_invoices.rows(services, visitor, INVOICE, [crm_id]):
        raise NotHere
    with services.db.reading() as session:
        connection = live_connection(session, visitor.portal_id)
        if connection is None or connection.problem:
            raise Problem(connection.problem if connection is not None and connection.problem else "portal.not_connected")
        mine = (Link.portal_id == visitor.portal_id, Link.organisation_id == connection.organisation_id)
        link = session.scalar(select(Link).where(*mine, Link.crm_kind == INVOICE.name, Link.crm_id == crm_id, Link.ended_at.is_(None)))
    if link is None:
        raise Problem("online.not_sent")
    if link.online_url:
        return link.online_url
    if link.xero_status not in ("AUTHORISED", "PAID"):
        raise Problem("online.not_approved")
    books = books_of(services, connection, "people")
    if not services.xero_limits.spend(books.tenant_id, "online", SHARE):
        raise Problem("online.allowance")
    url = documents.online_url(books, link.xero_id)
    if not url:
        raise Problem("online.not_approved")
    with services.db.transaction() as tx:
        tx.execute(update(Link).where(Link.id == link.id).values(online_url=url).execution_options(synchronize_session=False))
    return url
