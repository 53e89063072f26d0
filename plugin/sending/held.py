"""What Xero holds now of linked documents, for a comparison of three versions (RULES 19), with as few calls as that takes.

While changes come again and again, what happens by itself shares one reading: the list of what changed in Xero, taken over as a sweep
takes it over, says which of our documents are still as Xero answered when we last wrote them. Those need no reading of their own for the
next few seconds (decision 0046).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import select

from plugin import directory, jobs
from plugin.domain.compare import GONE, draft_from_json
from plugin.domain.drafts import invoice_fingerprint
from plugin.domain.ledger import Document
from plugin.kinds import INVOICE, Kind
from plugin.limits import SHARE_OF_READ, SHARE_OF_SHARED, Lane
from plugin.models import Link
from plugin.receiving import sweeps
from plugin.sending.flight import Flight
from plugin.sending.work import Work
from plugin.talking import XeroBooks

#: So long the processor is left to the thread that puts a question.
QUESTION_SECONDS = 0.004


@dataclass(frozen=True)
class Asked:
    """A reading that is under way on a thread: of these, by Xero's ids."""

    ids: frozenset[str]
    found: Future[dict[str, Document]]


def ask_ahead(flight: Flight, lane: Lane, works: Sequence[Work]) -> Asked | None:
    """A person waits: what the CRM has changed is read from Xero while drafts, contacts and items are made ready. Costs no call more, as a rule."""
    changed = [one for one in works if one.job.priority == jobs.PEOPLE and one.link is not None and not one.as_new and _seems_changed(one, one.link)]
    if not changed or len({one.kind.name for one in changed}) > 1 or len(changed) > changed[0].kind.xero.together:
        return None
    books = replace(flight.books, lane=lane)
    ids = frozenset(one.link.xero_id for one in changed if one.link is not None)
    asked = Asked(ids, flight.beside(lambda: _read(books, changed[0].kind, changed)))
    # What follows here takes as long as to say the question, and Xero far longer to answer it: the question goes first.
    wait([asked.found], timeout=QUESTION_SECONDS)
    return asked


def _seems_changed(one: Work, link: Link) -> bool:
    return one.invoice is not None and (link.crm_seen != invoice_fingerprint(one.invoice) or link.crm_stage != one.invoice.stage_id)


def xero_now(flight: Flight, lane: Lane, kind: Kind, works: Sequence[Work], asked: Asked | None) -> dict[str, Document]:
    """What Xero holds of these, by its ids; what it does not know is missing. Raises the problem of a call that failed."""
    books = replace(flight.books, lane=lane)
    # What nobody waits for in front of a screen.
    news = all(one.job.priority == jobs.EVENTS for one in works)
    known = _unmoved(flight, books, works) if news and kind is INVOICE and flight.services.news.goes_on(books.tenant_id) else {}
    ahead: frozenset[str] = frozenset()
    if asked is not None and any(one.link.xero_id in asked.ids for one in works if one.link is not None):
        known, ahead = known | asked.found.result(), asked.ids
    left = [one for one in works if one.link is not None and one.link.xero_id not in (known.keys() | ahead)]
    return known | _read(replace(books, share=SHARE_OF_READ) if news else books, kind, left)


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


def _unmoved(flight: Flight, books: XeroBooks, works: Sequence[Work]) -> dict[str, Document]:
    """Those of which Xero has said nothing since we wrote them, as its answer was then."""
    services = flight.services
    with services.db.reading() as session:
        mark = directory.watermark(session, books.organisation_id, INVOICE.watermark)
    if mark is None:
        return {}  # the first synchronisation reads everything
    if not services.news.is_known(books.tenant_id):
        sweeps.read_documents(flight, replace(books, share=SHARE_OF_SHARED))
        services.news.was_read(books.tenant_id)
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
