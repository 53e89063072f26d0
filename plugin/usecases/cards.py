"""What stands inside the CRM's own cards: a document with its differences and history, a customer with contact, balance and documents (RULES 25).

Everything begins with what Bitrix24 returns to the visitor's own token now; what it does not return is not here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import select

from plugin import directory, durations
from plugin.bitrix24 import customers, documents
from plugin.bitrix24.stages import UNKNOWN_TYPE
from plugin.domain.crm import Visitor
from plugin.domain.drafts import draft_from_json
from plugin.domain.ledger import Document, Draft
from plugin.domain.problems import Problem
from plugin.domain.versions import Versions, versions
from plugin.kinds import BILL, KINDS, Kind
from plugin.models import Job, Link, Organisation
from plugin.portals import Ready, live_connection, portal_kind, ready
from plugin.sending import foresee
from plugin.sending.work import Work
from plugin.services import Services
from plugin.talking import books_of, portal_rest, service_rest
from plugin.usecases import NotHere, activity_log, list_invoices, send_to_xero
from plugin.usecases.shown import Balance, CustomerCard, Differences, DocumentCard, InvoiceRow, Told
from plugin.wire import NoAnswer
from plugin.xero import contacts
from plugin.xero.documents import deep_link

#: Documents of a customer that are listed on its card, the newest first.
LISTED = 25
HISTORY = 10


def row_of(services: Services, visitor: Visitor, kind: Kind, crm_id: int) -> InvoiceRow:
    """Where this document stands, if Bitrix24 shows it to this person."""
    found = list_invoices.rows(services, visitor, kind, [crm_id])
    if not found:
        raise NotHere
    return found[0]


def document(services: Services, visitor: Visitor, kind: Kind, crm_id: int) -> DocumentCard:
    """The card of one document: where it stands and what happened to it. Differences are asked for apart, for they need Xero."""
    row = row_of(services, visitor, kind, crm_id)
    with services.db.reading() as session:
        may_send = list_invoices.may_send(session, visitor)
    history = activity_log.of_subject(services, visitor, kind.subject(crm_id), HISTORY)
    return DocumentCard(row, history, may_send)


def differences(services: Services, visitor: Visitor, kind: Kind, crm_id: int) -> Differences:
    """What the CRM says now, what was last sent, what Xero holds, field by field; one read from the people's allowance."""
    row = row_of(services, visitor, kind, crm_id)
    try:
        with services.db.reading() as session:
            context = ready(session, visitor.portal_id)
            link = _link(session, context, kind.name, crm_id)
        if link is None:
            return Differences("not_linked")
        work = _work(services, visitor, context, kind, crm_id, link)
        now, held, stop = foresee.now_and_held(services, context, work)
    except Problem as problem:
        return Differences("problem", problem=Told(problem.code, problem.params))
    except NoAnswer:
        return Differences("problem", problem=Told("bitrix24.no_answer"))
    sent = draft_from_json(link.sent) if link.sent else None
    found = versions(sent, now, held)
    names = _contact_names(services, context, row, sent, now, held)
    return Differences(
        _verdict(found, stop),
        tuple(_named(one, names) for one in found),
        (now.total, sent.total if sent is not None else None, held.total),
        held.currency,
        Told(stop.code, stop.params) if stop is not None else None,
    )


def _link(session: Any, context: Ready, crm_kind: str, crm_id: int) -> Link | None:
    mine = (Link.portal_id == context.portal.id, Link.organisation_id == context.organisation.id, Link.crm_kind == crm_kind, Link.crm_id == crm_id)
    found: Link | None = session.scalar(select(Link).where(*mine, Link.ended_at.is_(None)))
    return found


def _work(services: Services, visitor: Visitor, context: Ready, kind: Kind, crm_id: int, link: Link) -> Work:
    """The document as sending will read it: the visitor has just seen it, the rest is the service administrator's to read."""
    rest = service_rest(services, context.portal.id, "people")
    read = documents.read_documents(rest, kind.crm, [crm_id], as_admin=True, code_field=send_to_xero.code_field(context))
    invoice = read.documents.get(crm_id)
    if invoice is None:
        raise NotHere
    customer = read.customers.get(invoice.customer_ref) if invoice.customer_ref else None
    job = Job(portal_id=context.portal.id, subject=kind.subject(crm_id), acting_user=visitor.user_id, payload={})
    return Work(job, context, kind, crm_id, invoice, customer, read.products, link)


#: What stops an update, as the card says it.
_STOPS = {"edit.conflict": "both", "edit.gone": "gone", "edit.paid": "crm_paid"}


def _verdict(found: tuple[Versions, ...], stop: Problem | None) -> str:
    """One word for what sending would do, judged as sending judges it (RULES 19)."""
    if stop is not None:
        return _STOPS.get(stop.code, "stopped")
    if any(one.by != "xero" for one in found):
        return "crm"
    return "xero" if found else "equal"


def _contact_names(services: Services, context: Ready, row: InvoiceRow, sent: Draft | None, now: Draft, held: Document) -> Mapping[str, str]:
    """Customers are shown by name, the CRM's as this person may see it."""
    with services.db.reading() as session:
        known = directory.contacts_with(session, context.organisation.id, ids=[now.contact_id, sent.contact_id if sent is not None else "", held.contact_id])
    names = {one.id: one.name for one in known}
    return {**names, held.contact_id: held.contact_name or names.get(held.contact_id, ""), foresee.NEW_CONTACT: row.company or row.contact}


def _named(one: Versions, names: Mapping[str, str]) -> Versions:
    if one.field != "contact_id":
        return one
    sent = None if one.sent is None else names.get(one.sent, "–")
    return Versions(one.field, names.get(one.crm, "–"), sent, names.get(one.xero, "–"), one.by)


def customer(services: Services, visitor: Visitor, kind: customers.Kind, crm_id: int) -> CustomerCard:
    """A company's or contact's card: its contact in Xero, and its documents as this person may see them."""
    name = _seen(services, visitor, kind, crm_id)
    rest = portal_rest(services, visitor.portal_id, visitor.user_id, "people", timeout=15)
    rows: list[InvoiceRow] = []
    problem = None
    for document in _kinds(services, visitor):
        try:
            narrowed = documents.Narrowed(customer=(kind, crm_id))
            rows += list_invoices.narrowed_rows(services, visitor, rest, document, narrowed, LISTED)
        except Problem as one:
            if document.name == BILL.name and one.code in ("bitrix24.access_denied", *UNKNOWN_TYPE):
                continue  # their list is kept from this person, or has gone: then there are none here
            problem = Told(one.code, one.params)
        except NoAnswer:
            problem = Told("bitrix24.no_answer")
    rows.sort(key=lambda one: one.changed_at, reverse=True)
    contact_name, contact_url, connected = _contact(services, visitor, kind, crm_id)
    return CustomerCard(kind, crm_id, name, contact_name, contact_url, connected, tuple(rows[:LISTED]), problem)


def _kinds(services: Services, visitor: Visitor) -> list[Kind]:
    """What a customer's documents may be here: bills too where the portal keeps some."""
    with services.db.reading() as session:
        bills = portal_kind(session, visitor.portal_id, BILL)
    return [*KINDS.values(), *((bills,) if bills is not BILL else ())]


def _seen(services: Services, visitor: Visitor, kind: customers.Kind, crm_id: int) -> str:
    rest = portal_rest(services, visitor.portal_id, visitor.user_id, "people", timeout=15)
    try:
        name = customers.name_of(rest, kind, crm_id)
    except NoAnswer as error:
        raise Problem("bitrix24.no_answer") from error
    if name is None:
        raise NotHere
    return name


def _contact(services: Services, visitor: Visitor, kind: customers.Kind, crm_id: int) -> tuple[str, str, bool]:
    """Name and address of the linked contact, and whether Xero is connected at all."""
    with services.db.reading() as session:
        connection = live_connection(session, visitor.portal_id)
        if connection is None:
            return "", "", False
        organisation = session.get_one(Organisation, connection.organisation_id)
        link = _contact_link(session, visitor.portal_id, organisation.id, kind, crm_id)
        if link is None:
            return "", "", True
        found = directory.contacts_with(session, organisation.id, ids=[link.xero_id])
    name = found[0].name if found else link.number
    return name, deep_link(organisation.short_code, "contact", link.xero_id), True


def _contact_link(session: Any, portal_id: int, organisation_id: int, kind: str, crm_id: int) -> Link | None:
    mine = (Link.portal_id == portal_id, Link.organisation_id == organisation_id, Link.crm_kind == kind, Link.crm_id == crm_id)
    found: Link | None = session.scalar(select(Link).where(*mine, Link.ended_at.is_(None)))
    return found


def balance(services: Services, visitor: Visitor, kind: customers.Kind, crm_id: int) -> Balance:
    """What this customer owes, as Xero has it: one read from the people's allowance, kept for a few minutes."""
    _seen(services, visitor, kind, crm_id)
    try:
        with services.db.reading() as session:
            context = ready(session, visitor.portal_id)
            link = _contact_link(session, visitor.portal_id, context.organisation.id, kind, crm_id)
        if link is None:
            return Balance(currency=context.organisation.base_currency)
        outstanding, overdue = _owed(services, context, link.xero_id)
    except Problem as problem:
        return Balance(problem=Told(problem.code, problem.params))
    return Balance(context.organisation.base_currency, outstanding, overdue)


def _owed(services: Services, context: Ready, contact_id: str) -> tuple[Decimal, Decimal]:
    key = f"balance:{context.organisation.tenant_id}:{contact_id}"
    try:
        kept: Any = services.redis.get(key)
    except RedisError:
        kept = None
    if kept:
        outstanding, overdue = json.loads(kept)
        return Decimal(outstanding), Decimal(overdue)
    found = contacts.owed(books_of(services, context.connection, "people"), contact_id)
    try:
        services.redis.set(key, json.dumps([str(one) for one in found]), ex=int(durations.BALANCE_FRESH))
    except RedisError:
        return found
    return found
