"""Prepare a batch: what would go, what is new, what is an update, what cannot go and why, before anything is sent (RULES 26)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import delete, insert, select, update

from plugin import directory, durations, jobs
from plugin.bitrix24 import documents
from plugin.db import Transaction
from plugin.domain.crm import Customer, Invoice, Visitor
from plugin.domain.preview import GONE, check_before_send
from plugin.domain.problems import LATER, Problem
from plugin.kinds import KINDS
from plugin.kinds import Kind as DocumentKind
from plugin.models import Batch, BatchDocument, Bitrix24Login, Job, Link, Portal
from plugin.portals import Ready, currencies, organisation_value, ready
from plugin.sending import foresee, quoted
from plugin.sending.work import Work
from plugin.services import Services
from plugin.talking import PortalRest, portal_rest, service_rest
from plugin.usecases import batches, invoice_states
from plugin.usecases.shown import InvoiceFilter
from plugin.wire import NoAnswer

#: Up to so many are prepared while the person waits, and listed in full; more are prepared by a worker.
AT_ONCE = 200
MOST = 50_000

Kind = Literal["send", "pull"]


def prepare(
    services: Services,
    visitor: Visitor,
    document: DocumentKind,
    *,
    kind: Kind,
    ids: Sequence[int] | None,
    filter: InvoiceFilter | None = None,
    all_linked: bool = False,
    as_new: bool = False,
    push: bool = False,
    keep: bool = False,
) -> int:
    """Make a batch of these documents, of everything in the filter, or of all linked ones. Returns its id; nothing is sent yet.

    Fetching needs no confirmation and starts at once.
    """
    with services.db.reading() as session:
        context = ready(session, visitor.portal_id)
    rest = portal_rest(services, visitor.portal_id, visitor.user_id, "people", timeout=30)
    wanted, more = _first_ids(services, visitor, context, rest, document, ids, filter, all_linked)
    if not wanted:
        raise Problem("batch.nothing_chosen")
    selection: dict[str, Any] = {"as_new": as_new, "push": push, "keep": keep, "all_linked": all_linked, "ids": wanted}
    if more:
        selection |= {"ids": None if ids is None else list(ids), "filter": None if filter is None else invoice_states.filter_to_json(filter)}
    batch_id = _new_batch(services, visitor, context, document, kind, selection, 0 if more else len(wanted), by_worker=more)
    if more:
        return batch_id
    try:
        prepare_documents(services, batch_id, rest, context, visitor.admin, wanted)
    except Problem as problem:
        with services.db.transaction() as tx:
            fail_preparation(tx, batch_id, problem, services.now())
        raise
    _prepared(services, batch_id, kind, visitor)
    return batch_id


def send_again(services: Services, visitor: Visitor, batch_id: int) -> int:
    """A new batch of the failed ones; nothing goes before it is confirmed."""
    with services.db.reading() as session:
        batch = batches.own(session, visitor, batch_id)
        failed = list(
            session.scalars(
                select(BatchDocument.crm_id).where(BatchDocument.batch_id == batch_id, BatchDocument.outcome.in_(("problem", "cancelled", "refused")))
            )
        )
    return prepare(services, visitor, KINDS[batch.crm_kind], kind="pull" if batch.kind == "pull" else "send", ids=failed)


def _first_ids(
    services: Services,
    visitor: Visitor,
    context: Ready,
    rest: PortalRest,
    document: DocumentKind,
    ids: Sequence[int] | None,
    filter: InvoiceFilter | None,
    all_linked: bool,
) -> tuple[list[int], bool]:
    """The ids, if they are few enough to be prepared at once; else the first of them, and True."""
    if all_linked:
        every = linked_ids(services, visitor.portal_id, context.organisation.id, document)
    elif ids is not None:
        every = list(dict.fromkeys(ids))[:MOST]
    elif filter is not None:
        narrowed = invoice_states.narrowed(services, visitor, rest, filter)
        every = [number for part in documents.ids_matching(rest, document.crm, narrowed, AT_ONCE + 1) for number in part]
    else:
        every = []
    return every[:AT_ONCE], len(every) > AT_ONCE


def linked_ids(services: Services, portal_id: int, organisation_id: int, document: DocumentKind) -> list[int]:
    """Every document of this kind of the portal that has one in this organisation."""
    mine = (Link.portal_id == portal_id, Link.organisation_id == organisation_id, Link.crm_kind == document.name, Link.ended_at.is_(None))
    query = select(Link.crm_id).where(*mine)
    with services.db.reading() as session:
        return list(session.scalars(query.order_by(Link.crm_id)))


def _new_batch(
    services: Services, visitor: Visitor, context: Ready, document: DocumentKind, kind: Kind, selection: dict[str, Any], total: int, by_worker: bool
) -> int:
    """The batch, with an order to prepare it: at once, or later should the page that is about to do so never come to its end."""
    now = services.now()
    begin = now if by_worker else now + timedelta(seconds=durations.PREPARED_BY_PAGE / services.config.pace)
    with services.db.transaction() as tx:
        number = tx.scalar(
            update(Portal)
            .where(Portal.id == visitor.portal_id)
            .values(last_batch_number=Portal.last_batch_number + 1)
            .returning(Portal.last_batch_number)
            .execution_options(synchronize_session=False)
        )
        batch = Batch(
            portal_id=visitor.portal_id,
            organisation_id=context.organisation.id,
            number=number or 0,
            kind=kind,
            crm_kind=document.name,
            state="preparing",
            created_by=visitor.user_id,
            created_by_name=visitor.name,
            lang=visitor.lang[:8],
            selection=selection,
            total=total,
            created_at=now,
        )
        tx.add(batch)
        tx.flush()
        bell = jobs.portal_bell(visitor.portal_id)
        jobs.order(tx, jobs.Order(visitor.portal_id, jobs.PREPARE, _preparation(batch.id), bell, acting_user=visitor.user_id, cause=jobs.PERSON), begin)
        if by_worker:
            tx.after_commit(lambda: services.bells.ring(bell))
        return batch.id


def _preparation(batch_id: int) -> str:
    return f"batch:{batch_id}"


def prepare_large(services: Services, batch_id: int) -> None:
    """The worker's part: everything of a large selection, with progress, as the person who asked for it. Safe to repeat."""
    with services.db.reading() as session:
        batch = session.get_one(Batch, batch_id)
        if batch.state != "preparing":
            return
        context = ready(session, batch.portal_id)
        login = session.scalar(select(Bitrix24Login).where(Bitrix24Login.portal_id == batch.portal_id, Bitrix24Login.user_id == batch.created_by))
        portal = session.get_one(Portal, batch.portal_id)
        done = set(session.scalars(select(BatchDocument.crm_id).where(BatchDocument.batch_id == batch_id)))
    if login is None:
        raise Problem("portal.person_unknown")
    visitor = Visitor(portal.id, portal.member_id, portal.domain, login.user_id, login.name, login.admin, batch.lang, login.timezone)
    rest = portal_rest(services, batch.portal_id, batch.created_by, "bulk")
    every = _every_id(services, visitor, context, rest, KINDS[batch.crm_kind], batch.selection)
    with services.db.transaction() as tx:
        tx.execute(update(Batch).where(Batch.id == batch_id).values(total=len(every), prepared=len(done)))
    left = [number for number in every if number not in done]
    step = documents.LIMIT if login.admin else AT_ONCE
    for start in range(0, len(left), step):
        prepare_documents(services, batch_id, rest, context, login.admin, left[start : start + step])
    _prepared(services, batch_id, "pull" if batch.kind == "pull" else "send", visitor)


def _every_id(services: Services, visitor: Visitor, context: Ready, rest: PortalRest, document: DocumentKind, selection: dict[str, Any]) -> list[int]:
    if selection.get("all_linked"):
        return linked_ids(services, visitor.portal_id, context.organisation.id, document)
    if selection.get("ids") is not None:
        return [int(one) for one in selection["ids"]]
    narrowed = invoice_states.narrowed(services, visitor, rest, invoice_states.filter_from_json(selection["filter"]))
    return [number for part in documents.ids_matching(rest, document.crm, narrowed, MOST) for number in part]


def prepare_documents(services: Services, batch_id: int, rest: PortalRest, context: Ready, admin: bool, ids: Sequence[int]) -> None:
    """Read these with the person's own token and write down a verdict for each."""
    with services.db.reading() as session:
        batch = session.get_one(Batch, batch_id)
    sending, document = batch.kind == "send", KINDS[batch.crm_kind]
    try:
        found = documents.read_documents(rest, document.crm, ids, as_admin=admin, details=sending, code_field=code_field(context))
    except NoAnswer as error:
        raise Problem("bitrix24.no_answer", LATER) from error
    if not sending:
        rows = _pull_rows(services, context, batch, ids, found)
    else:
        whole = found if admin else _whole(services, context, document, found)
        rows = _Verdicts(services, context, batch).rows(ids, found, whole)
    with services.db.transaction() as tx:
        if tx.get_one(Batch, batch_id, with_for_update=True).state != "preparing":
            return
        for start in range(0, len(rows), 500):
            tx.execute(insert(BatchDocument), rows[start : start + 500])
        tx.execute(update(Batch).where(Batch.id == batch_id).values(prepared=Batch.prepared + len(rows)).execution_options(synchronize_session=False))


def code_field(context: Ready) -> str:
    """The product field that holds item codes, as the adapter calls it."""
    return "xmlId" if context.settings.item_code_source == "xmlId" else "code"


def _whole(services: Services, context: Ready, document: DocumentKind, found: documents.Read) -> documents.Read:
    """What this person may see, as sending will read it: with products, which Bitrix24 tells administrators only."""
    try:
        rest = service_rest(services, context.portal.id, "people")
        return documents.read_documents(rest, document.crm, list(found.documents), as_admin=True, code_field=code_field(context))
    except (Problem, NoAnswer):
        return found


def _row(batch: Batch, crm_id: int, verdict: str, problem: Problem | None = None) -> dict[str, Any]:
    return {
        "portal_id": batch.portal_id,
        "batch_id": batch.id,
        "crm_kind": batch.crm_kind,
        "crm_id": crm_id,
        "number": "",
        "title": "",
        "customer": "",
        "amount": None,
        "currency": "",
        "verdict": "refused" if problem else verdict,
        "notes": None,
        "outcome": "refused" if problem else "",
        "problem_code": problem.code if problem else None,
        "problem_params": problem.params if problem else None,
    }


def _unseen(crm_id: int, found: documents.Read) -> Problem:
    if crm_id in found.missing:
        return Problem("send.deleted")
    denied = found.denied.get(crm_id)
    return Problem("send.may_not_see") if denied is None or denied.code == "bitrix24.access_denied" else denied


def _described(row: dict[str, Any], invoice: Invoice, customer: str) -> dict[str, Any]:
    return row | {
        "number": invoice.number[:255],
        "title": invoice.title[:255],
        "customer": customer[:255],
        "amount": invoice.total,
        "currency": invoice.currency[:3],
    }


class _Verdicts:
    """New, update or refused, with the same checks that sending makes."""

    def __init__(self, services: Services, context: Ready, batch: Batch) -> None:
        self.services, self.context, self.batch, self.kind = services, context, batch, KINDS[batch.crm_kind]
        with services.db.reading() as session:
            self.accounts = directory.accounts(session, context.organisation.id)
            self.tax_rates = directory.tax_rates(session, context.organisation.id)

    def rows(self, ids: Sequence[int], found: documents.Read, whole: documents.Read) -> list[dict[str, Any]]:
        """`found` is what this person sees and is shown; `whole` the same invoices as they will be sent."""
        links = _links(self.services, self.context, self.kind, ids)
        foreseen = foresee.customers(self.services, self.context, list(whole.customers.values()))
        verdicts = {crm_id: self._verdict(invoice, links.get(crm_id), whole, foreseen) for crm_id, invoice in whole.documents.items()}
        works = [self._work(whole.documents[crm_id], links[crm_id], whole) for crm_id, (verdict, _) in verdicts.items() if verdict == "update"]
        quoted.attach(self.services, works)
        forbidden: dict[int, Problem] = foresee.edits(self.services, self.context, works) if works else {}
        self._fetch_gone([crm_id for crm_id, problem in forbidden.items() if problem.code == "edit.gone"])
        rows = []
        for crm_id in ids:
            seen = found.documents.get(crm_id)
            verdict, notes = verdicts.get(crm_id, (_unseen(crm_id, found), []))
            if seen is None:
                rows.append(_row(self.batch, crm_id, "refused", _unseen(crm_id, found)))
                continue
            row = self._judged(crm_id, forbidden.get(crm_id, verdict))
            customer = found.customers.get(seen.customer_ref) if seen.customer_ref else None
            rows.append(_described(row, seen, customer.name if customer else "") | {"notes": notes or None})
        return rows

    def _fetch_gone(self, crm_ids: Sequence[int]) -> None:
        """Voided or deleted in Xero, as nobody has told us yet: it is fetched at once, so that "send as new" is open (RULES 13)."""
        organisation_id, now = self.context.organisation.id, self.services.now()
        bell = jobs.organisation_bell(organisation_id)
        orders = [
            jobs.Order(self.context.portal.id, jobs.PULL, self.kind.subject(crm_id), bell, organisation_id, jobs.EVENTS, cause=jobs.PERSON)
            for crm_id in crm_ids
        ]
        if orders:
            with self.services.db.transaction() as tx:
                jobs.order_many(tx, orders, now)
                tx.after_commit(lambda: self.services.bells.ring(bell))

    def _judged(self, crm_id: int, verdict: str | Problem) -> dict[str, Any]:
        return _row(self.batch, crm_id, "", verdict) if isinstance(verdict, Problem) else _row(self.batch, crm_id, verdict)

    def _as_new(self, link: Link | None) -> bool:
        return bool(self.batch.selection.get("as_new")) and link is not None and link.xero_status in GONE

    def _work(self, invoice: Invoice, link: Link, whole: documents.Read) -> Work:
        """The order that a confirmation would make, for judging only."""
        payload = {name: True for name in ("push", "keep") if self.batch.selection.get(name)}
        job = Job(portal_id=self.context.portal.id, subject=self.kind.subject(invoice.id), acting_user=self.batch.created_by, payload=payload)
        customer = whole.customers.get(invoice.customer_ref) if invoice.customer_ref else None
        return Work(job, self.context, self.kind, invoice.id, invoice, customer, whole.products, link)

    def _verdict(self, invoice: Invoice, link: Link | None, whole: documents.Read, foreseen: dict[str, Any]) -> tuple[str | Problem, list[dict[str, Any]]]:
        customer = whole.customers.get(invoice.customer_ref) if invoice.customer_ref else None
        verdict = self._checked(invoice, customer, link, whole)
        told = foreseen.get(customer.subject) if customer is not None and not isinstance(verdict, Problem) else None
        if isinstance(told, Problem):
            return told, []
        return verdict, [told] if told is not None else []

    def _checked(self, invoice: Invoice, customer: Customer | None, link: Link | None, whole: documents.Read) -> str | Problem:
        if invoice.customer_ref and customer is None:
            return Problem("send.customer_gone", kind=invoice.customer_ref[0], id=invoice.customer_ref[1])
        return check_before_send(
            invoice,
            self.context.settings,
            organisation_value(self.context.organisation),
            link.xero_status or "DRAFT" if link is not None and not self._as_new(link) else None,
            accounts=self.accounts,
            tax_rates=self.tax_rates,
            currencies=currencies(self.context.organisation),
            products=whole.products,
            contact_tax=self.context.settings.tax_by_customer.get(customer.subject, "") if customer else "",
            older_too=True,
        )


def _links(services: Services, context: Ready, document: DocumentKind, ids: Sequence[int]) -> dict[int, Link]:
    found: dict[int, Link] = {}
    with services.db.reading() as session:
        for start in range(0, len(ids), 500):
            query = select(Link).where(
                Link.portal_id == context.portal.id,
                Link.organisation_id == context.organisation.id,
                Link.crm_kind == document.name,
                Link.crm_id.in_(ids[start : start + 500]),
                Link.ended_at.is_(None),
            )
            found |= {link.crm_id: link for link in session.scalars(query)}
    return found


def _pull_rows(services: Services, context: Ready, batch: Batch, ids: Sequence[int], found: documents.Read) -> list[dict[str, Any]]:
    links = _links(services, context, KINDS[batch.crm_kind], ids)
    rows = []
    for crm_id in ids:
        invoice = found.documents.get(crm_id)
        if invoice is None:
            rows.append(_row(batch, crm_id, "refused", _unseen(crm_id, found)))
            continue
        problem = None if crm_id in links else Problem("pull.not_linked")
        rows.append(_described(_row(batch, crm_id, "update", problem), invoice, ""))
    return rows


def _prepared(services: Services, batch_id: int, kind: Kind, visitor: Visitor) -> None:
    with services.db.transaction() as tx:
        tx.execute(update(Batch).where(Batch.id == batch_id, Batch.state == "preparing").values(state="to_confirm"))
        _nothing_to_prepare(tx, batch_id)
        if kind == "pull":
            batches.start(services, tx, visitor, tx.get_one(Batch, batch_id))


def _nothing_to_prepare(tx: Transaction, batch_id: int) -> None:
    """The page was here first: nobody else need come."""
    tx.execute(delete(Job).where(Job.kind == jobs.PREPARE, Job.subject == _preparation(batch_id), Job.state == "waiting"))


def fail_preparation(tx: Transaction, batch_id: int, problem: Problem, now: datetime) -> None:
    """The selection could not be prepared: the batch ends and says why."""
    _nothing_to_prepare(tx, batch_id)
    tx.execute(
        update(Batch)
        .where(Batch.id == batch_id, Batch.state == "preparing")
        .values(state="cancelled", finished_at=now, problem_code=problem.code, problem_params=problem.params)
        .execution_options(synchronize_session=False)
    )
