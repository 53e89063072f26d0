"""Invoices that were made from a quote in the CRM know it there (`parentId7`); here each finds the link of the other (B§8.2)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from plugin.db import Transaction
from plugin.domain.compare import GONE
from plugin.kinds import INVOICE, QUOTE
from plugin.models import Link
from plugin.sending.work import Work, by_portal
from plugin.services import Services


def attach(services: Services, works: Sequence[Work]) -> None:
    """Fill in the quote of each work that is an invoice made from one which is in Xero."""
    made = [one for one in works if one.kind is INVOICE and one.invoice is not None and one.invoice.quote_id]
    for portal_id, of_portal in by_portal(made).items():
        wanted = sorted({one.settled.quote_id for one in of_portal if one.settled.quote_id})
        found: dict[int, Link] = {}
        with services.db.reading() as session:
            for start in range(0, len(wanted), 500):
                query = select(Link).where(
                    Link.portal_id == portal_id,
                    Link.organisation_id == of_portal[0].ready.organisation.id,
                    Link.crm_kind == QUOTE.name,
                    Link.crm_id.in_(wanted[start : start + 500]),
                    Link.ended_at.is_(None),
                )
                found |= {link.crm_id: link for link in session.scalars(query)}
        for one in of_portal:
            one.quote = found.get(one.settled.quote_id or 0)


def has_invoice(tx: Transaction, quote: Link) -> bool:
    """Is an invoice in Xero that was made from this quote?"""
    made = (Link.portal_id == quote.portal_id, Link.made_from == quote.crm_id, Link.organisation_id == quote.organisation_id)
    alive = (Link.crm_kind == INVOICE.name, Link.ended_at.is_(None), Link.xero_status.not_in(GONE))
    return tx.scalar(select(Link.id).where(*made, *alive).limit(1)) is not None
