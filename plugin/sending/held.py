"""What Xero holds now of linked documents, for a comparison of three versions (RULES 19), with as few calls as that takes.

In a busy minute what happens by itself shares one reading: the list of what changed in Xero, taken over as a sweep takes it over, says which of our
documents are still as Xero answered when we last wrote them. Those need no reading of their own for the next few seconds (decision 0046).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import select

from plugin import directory, durations, jobs
from plugin.domain.compare import GONE, draft_from_json
from plugin.domain.ledger import Document
from plugin.kinds import INVOICE, Kind
from plugin.limits import SHARE_OF_SHARED, Lane
from plugin.models import Link
from plugin.receiving import sweeps
from plugin.sending.flight import Flight
from plugin.sending.work import Work
from plugin.talking import XeroBooks


def xero_now(flight: Flight, lane: Lane, kind: Kind, works: Sequence[Work]) -> dict[str, Document]:
    """What Xero holds of these, by its ids; what it does not know is missing. Raises the problem of a call that failed."""
    books = replace(flight.books, lane=lane)
    known = _unmoved(flight, books, works) if kind is INVOICE and _shares(flight, works) else {}
    return known | _read(books, kind, [one for one in works if one.link is not None and one.link.xero_id not in known])


def _read(books: XeroBooks, kind: Kind, works: Sequence[Work]) -> dict[str, Document]:
    """By ids, or in one modified-since pass where that takes fewer calls."""
    ids = [one.link.xero_id for one in works if one.link is not None]
    seen = [one.link.xero_updated_at for one in works if one.link is not None]
    singly = -(-len(ids) // kind.xero.together)
    found: dict[str, Document] = {}
    if singly > 1 and all(seen):
        since = min(at for at in seen if at is not None) - timedelta(seconds=1)
        part, pages = kind.xero.modified(books, since, 1, summary=False)
        if pages <= singly:
            found, page = {one.id: one for one in part}, 2
            while page <= min(pages, singly):
                part, pages = kind.xero.modified(books, since, page, summary=False)
                found |= {one.id: one for one in part}
                page += 1
    return found | {one.id: one for one in kind.xero.by_ids(books, [one for one in ids if one not in found])}


def _shares(flight: Flight, works: Sequence[Work]) -> bool:
    """Only what nobody waits for in front of a screen, and only where each run's own reading would use the minute up."""
    return all(one.job.priority == jobs.EVENTS for one in works) and flight.services.xero_limits.news_shares(flight.books.tenant_id)


def _unmoved(flight: Flight, books: XeroBooks, works: Sequence[Work]) -> dict[str, Document]:
    """Those of which Xero has said nothing since we wrote them, as its answer was then."""
    services = flight.services
    with services.db.reading() as session:
        read_at = directory.last_read(session, flight.books.organisation_id, INVOICE.watermark)
    if read_at is None:
        return {}  # the first synchronisation reads everything
    if (services.now() - read_at).total_seconds() * services.config.pace > durations.SHARED_READING:
        sweeps.read_documents(flight, replace(books, share=SHARE_OF_SHARED))
    with services.db.reading() as session:
        links = session.scalars(select(Link).where(Link.id.in_([one.link.id for one in works if one.link is not None]))).all()
    documents = {link.xero_id: document for link in links if (document := _as_answered(link)) is not None}
    # Who else the customer was there is told by Xero alone.
    return {one.link.xero_id: documents[one.link.xero_id] for one in works if one.link is not None and _same_customer(one, documents)}


def _same_customer(one: Work, documents: Mapping[str, Document]) -> bool:
    document = documents.get(one.link.xero_id) if one.link is not None else None
    return document is not None and document.contact_id == one.drafted.contact_id


def _as_answered(link: Link) -> Document | None:
    """The document of a link that nobody touched in Xero since our writing, with nothing paid; none where it has to be asked for."""
    unmoved = link.agreed_at is not None and link.agreed_at == link.xero_updated_at
    if not unmoved or not link.sent or link.xero_status in ("PAID", *GONE) or link.amount_paid != 0 or link.amount_due != link.total:
        return None
    sent = draft_from_json(link.sent)
    return Document(
        id=link.xero_id,
        type="ACCREC",
        number=link.number,
        status=link.xero_status,
        contact_id=sent.contact_id,
        contact_name="",
        date=sent.date,
        due_date=sent.due_date,
        currency=sent.currency,
        line_amount_types=sent.line_amount_types,
        reference=sent.reference,
        url=sent.url,
        total=sent.total,
        tax_total=Decimal(0),
        amount_due=sent.total,
        amount_paid=Decimal(0),
        amount_credited=Decimal(0),
        fully_paid_on=None,
        sent=False,
        updated_at=link.xero_updated_at,
        lines=sent.lines,
    )
