"""Documents and contacts made in Xero become invoices, bills, companies and people of the portal: read, announce, talk, record (RULES 4, 9, 14).

What is announced and not recorded was interrupted: when the portal can no longer be at work on it, its mark is looked for before anything is made again.

Problems made here: bring.unsettled, bring.in_flight (later). Of one document: bring.doubtful (number), bring.customer (problem, details), bring.no_place,
and Bitrix24's own.
Activities: activity.brought (number, total, currency), activity.not_brought (number, problem, details), activity.contact_brought (name).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from plugin import activity, directory, durations, jobs, sentences
from plugin.bitrix24 import bringing as crm
from plugin.bitrix24 import customers, documents
from plugin.bitrix24.client import Rest
from plugin.bitrix24.fields import Value
from plugin.bitrix24.stages import UNKNOWN_TYPE
from plugin.db import Transaction
from plugin.domain.brought import is_person, rows_of, stage_of, title_of, total_of
from plugin.domain.compare import GONE
from plugin.domain.crm import Invoice
from plugin.domain.ledger import Document
from plugin.domain.matching import Candidates, Listed, match_contact, may_link, person_name
from plugin.domain.numbers import contact_number
from plugin.domain.problems import Problem, after
from plugin.domain.statuses import status_word
from plugin.kinds import BILL, INVOICE, Kind, of_portal
from plugin.models import IMPORTED, Arrival, Link
from plugin.portals import Ready, current_settings, ready
from plugin.receiving import arrivals
from plugin.sending.record import see, shown_fingerprint, today_of
from plugin.services import Services
from plugin.talking import XeroBooks, books_of, service_rest
from plugin.xero import contacts as xero_contacts
from plugin.xero import documents as xero_documents
from plugin.xero.contacts import Card

Customer = tuple[Literal["company", "contact"], int]
#: Arrivals of one piece of work; the rest is ordered again.
TOGETHER = 30
#: How long an open call is waited for before its document can be told from one that was made in Xero.
SETTLE_SECONDS = 30.0


def bring(services: Services, portal_id: int) -> None:
    """Do what is noted for this portal. Safe to repeat and to be killed anywhere."""
    with services.db.reading() as session:
        context = ready(session, portal_id)
        noted = _unfinished(session, context, TOGETHER + 1)
    noted, more = noted[:TOGETHER], noted[TOGETHER:]
    if not noted:
        return
    with services.db.reading() as session:
        if arrivals.unsettled(session, context.organisation.id, max(one.created_at for one in noted)):
            raise Problem("bring.unsettled", after(SETTLE_SECONDS))
    since = services.now() - timedelta(seconds=durations.IMPORT_LASTS / services.config.pace)
    if any(one.state == "announced" and one.announced_at is not None and one.announced_at > since for one in noted):
        raise Problem("bring.in_flight", after(durations.IMPORT_LASTS))
    rest = service_rest(services, portal_id)  # first: where nobody can write to the portal, Xero is asked nothing
    work = _Bringing(services, context, books_of(services, context.connection, "bulk"), rest)
    work.documents(INVOICE, [one for one in noted if one.xero_kind == arrivals.INVOICE])
    work.contacts([one for one in noted if one.xero_kind == arrivals.CONTACT])
    work.bills([one for one in noted if one.xero_kind == arrivals.BILL])
    if more:
        bell = jobs.portal_bell(portal_id)
        with services.db.transaction() as tx:
            order = jobs.Order(portal_id, jobs.BRING, arrivals.SUBJECT, bell, context.organisation.id, jobs.BULK, cause=jobs.SWEEP)
            jobs.order(tx, order, services.now())
            tx.after_commit(lambda: services.bells.ring(bell))


def _unfinished(session: Session, context: Ready, most: int) -> list[Arrival]:
    mine = (Arrival.portal_id == context.portal.id, Arrival.organisation_id == context.organisation.id, Arrival.state.in_(("wanted", "announced")))
    return list(session.scalars(select(Arrival).where(*mine).order_by(Arrival.id).limit(most)))


@dataclass
class _Bringing:
    """One piece of work for one portal."""

    services: Services
    context: Ready
    books: XeroBooks
    rest: Rest

    def bills(self, noted: Sequence[Arrival]) -> None:
        """Into the smart process that the portal chose. One that has been deleted since holds up nothing else."""
        try:
            self.documents(of_portal(BILL, self.context.settings), noted)
        except Problem as problem:
            if problem.code != "bring.no_place":
                raise
            stopped = (Arrival.id.in_([one.id for one in noted]), Arrival.state.in_(("wanted", "announced")))
            refused = {"state": "refused", "problem_code": "bring.no_place", "problem_params": {}, "finished_at": self.services.now()}
            with self.services.db.transaction() as tx:
                tx.execute(update(Arrival).where(*stopped).values(**refused).execution_options(synchronize_session=False))

    def documents(self, kind: Kind, noted: Sequence[Arrival]) -> None:
        """Bring these documents of one kind."""
        by_id = {one.xero_id: one for one in noted}
        found = {one.id: one for one in xero_documents.invoices_by_ids(self.books, by_id)} if by_id else {}
        for xero_id, arrival in by_id.items():
            document = found.get(xero_id)
            free = self._announce(arrival)
            if document is None or document.status in GONE or not free:
                self._end(arrival, "refused" if free else "linked")
                found.pop(xero_id, None)
        if not found:
            return
        made = self._marked(kind, found)
        owners = self._customers([one.contact_id for one in found.values()], suppliers=kind.name == BILL.name)
        new = [one for one in found.values() if one.id not in made]
        if kind is INVOICE:
            new = self._without_alike(new, by_id)
        going: list[tuple[Document, crm.NewDocument]] = []
        for document in new:
            owner = owners.get(document.contact_id)
            if isinstance(owner, tuple):
                going.append((document, self._new(kind, document, owner)))
            else:
                self._refuse(
                    by_id[document.id], document, Problem("bring.customer", problem=owner.code if owner else "", details=owner.params if owner else {})
                )
        made |= self._import(kind, going, by_id)
        self._finish(kind, [(found[xero_id], crm_id) for xero_id, crm_id in made.items()], by_id)

    def _marked(self, kind: Kind, found: dict[str, Document]) -> dict[str, int]:
        try:
            return crm.marked(self.rest, kind.crm, found)
        except Problem as problem:
            if kind is INVOICE or problem.code not in UNKNOWN_TYPE:
                raise
            raise Problem("bring.no_place") from problem

    def _without_alike(self, new: Sequence[Document], by_id: dict[str, Arrival]) -> list[Document]:
        """What already exists is linked, not repeated (RULES 10): an invoice that names the document or has its number and agrees."""
        ids = crm.alike_invoices(self.rest, [one.number for one in new], [one.id for one in new]) if new else []
        held = list(documents.read_documents(self.rest, INVOICE.crm, ids, as_admin=True, details=False).documents.values()) if ids else []
        left = []
        for document in new:
            alike = [one for one in held if document.id == one.fields.get("xero_id", "").lower() or (document.number and one.number == document.number)]
            if not alike:
                left.append(document)
            elif (same := self._same(document, alike)) is not None:
                self._link(INVOICE, by_id[document.id], document, same, "linked")
            else:
                self._refuse(by_id[document.id], document, Problem("bring.doubtful", number=alike[0].number))
        return left

    def _same(self, document: Document, alike: Sequence[Invoice]) -> Invoice | None:
        with self.services.db.reading() as session:
            same_contact = (Link.portal_id == self.context.portal.id, Link.organisation_id == self.context.organisation.id, Link.xero_kind == "contact")
            query = select(Link.crm_kind, Link.crm_id).where(*same_contact, Link.xero_id == document.contact_id, Link.ended_at.is_(None))
            owners = {(kind, number) for kind, number in session.execute(query)}
            taken = set(
                session.scalars(
                    select(Link.crm_id).where(
                        Link.portal_id == self.context.portal.id,
                        Link.organisation_id == self.context.organisation.id,
                        Link.crm_kind == "invoice",
                        Link.ended_at.is_(None),
                    )
                )
            )
        for one in alike:
            contact_id = document.contact_id if one.customer_ref in owners else "another"
            listed = Listed(one.id, one.number, "", one.total, one.currency, one.date, contact_id=contact_id)
            if one.id not in taken and may_link(listed, document):
                return one
        return None

    def _new(self, kind: Kind, document: Document, owner: Customer) -> crm.NewDocument:
        settings = self.context.settings
        word = status_word(document, today_of(self.context.organisation, self.services.now()))
        fields: dict[str, Value] = {
            "xero_id": document.id,
            "xero_number": document.number,
            "xero_status": sentences.sentence(f"status.{word}", {}, self.context.portal.lang),
            "xero_url": xero_documents.deep_link(self.context.organisation.short_code, kind.name, document.id),
            "xero_paid": (document.amount_paid + document.amount_credited, document.currency),
            "xero_due": (document.amount_due, document.currency),
            "xero_paid_on": document.fully_paid_on,
            "xero_synced": self.services.now(),
        }
        return crm.NewDocument(
            xero_id=document.id,
            title=title_of(document),
            number=document.number if kind is INVOICE else "",
            stage_id=stage_of(word, settings, kind.name),
            date=document.date,
            due_date=document.due_date,
            company_id=owner[1] if owner[0] == "company" else None,
            contact_id=owner[1] if owner[0] == "contact" else None,
            seller_id=settings.sellers[0] if len(settings.sellers) == 1 else None,
            currency=document.currency,
            fields={name: value for name, value in fields.items() if value is not None},
        )

    def _import(self, kind: Kind, going: Sequence[tuple[Document, crm.NewDocument]], by_id: dict[str, Arrival]) -> dict[str, int]:
        made: dict[str, int] = {}
        for start in range(0, len(going), crm.TOGETHER):
            part = [pair for pair in going[start : start + crm.TOGETHER] if self._announce(by_id[pair[0].id])]
            outcomes = crm.import_documents(self.rest, kind.crm, [one for _, one in part]) if part else {}
            for document, _ in part:
                outcome = outcomes[document.id]
                if isinstance(outcome, int):
                    made[document.id] = outcome
                elif outcome.retry.kind == "never":
                    self._refuse(by_id[document.id], document, outcome)
                else:
                    raise outcome
        return made

    def _finish(self, kind: Kind, made: Sequence[tuple[Document, int]], by_id: dict[str, Arrival]) -> None:
        """Rows and total, then the link; a document found by its mark may have been left without either."""
        if not made:
            return
        with self.services.db.reading() as session:
            rates = {name: one.rate for name, one in directory.tax_rates(session, self.context.organisation.id).items()}
        rows = {crm_id: rows_of(document, rates) for document, crm_id in made}
        crm.set_rows(self.rest, kind.crm, {crm_id: some for crm_id, some in rows.items() if total_of(some) >= 0})
        totals = crm.totals(self.rest, kind.crm, [crm_id for _, crm_id in made])
        for document, crm_id in made:
            if totals.get(crm_id, document.total) != document.total:
                crm.fix_total(self.rest, kind.crm, crm_id, document.total)
        read = documents.read_documents(self.rest, kind.crm, [crm_id for _, crm_id in made], as_admin=True, details=False).documents
        for document, crm_id in made:
            if crm_id in read:
                self._link(kind, by_id[document.id], document, read[crm_id], IMPORTED)
            else:
                self._end(by_id[document.id], "refused")  # somebody deleted it in this moment

    def contacts(self, noted: Sequence[Arrival]) -> None:
        by_id = {one.xero_id: one for one in noted}
        for arrival in noted:
            self._announce(arrival)
        owners = self._customers(by_id)
        for xero_id, arrival in by_id.items():
            owner = owners.get(xero_id)
            if isinstance(owner, tuple):
                self._end(arrival, "made", crm_kind=owner[0], crm_id=owner[1])
            elif owner is None:
                self._end(arrival, "refused")
            else:
                self._end(arrival, "refused", problem_code=owner.code, problem_params=owner.params)

    def _customers(self, contact_ids: Sequence[str] | dict[str, Arrival], suppliers: bool = False) -> dict[str, Customer | Problem]:
        """Whose each contact is in the CRM: by link, by mark, by its one equal name, else made now (RULES 14)."""
        wanted = [one for one in dict.fromkeys(contact_ids) if one]
        owners: dict[str, Customer | Problem] = {**self._linked(wanted)}
        missing = [one for one in wanted if one not in owners]
        if not missing:
            return owners
        kinds: tuple[crm.Kind, ...] = ("company", "contact")
        for kind in kinds:
            for xero_id, crm_id in crm.marked_customers(self.rest, kind, [one for one in missing if one not in owners]).items() if missing else ():
                owners[xero_id] = self._link_customer(xero_id, (kind, crm_id), "", IMPORTED)
        cards = {card.contact.id: card for card in xero_contacts.cards_by_ids(self.books, [one for one in missing if one not in owners])}
        new: list[crm.NewCustomer] = []
        for xero_id, card in cards.items():
            found = self._alike(card)
            if isinstance(found, (tuple, Problem)):
                owners[xero_id] = self._link_customer(xero_id, found, card.contact.name, "matched") if isinstance(found, tuple) else found
            else:
                new.append(_new_customer(card, suppliers))
        outcomes = crm.import_customers(self.rest, new)
        made = {outcome: one for one in new if isinstance(outcome := outcomes[one.xero_id], int)}
        crm.add_requisites(self.rest, made)
        for one in new:
            outcome = outcomes[one.xero_id]
            owners[one.xero_id] = self._link_customer(one.xero_id, (one.kind, outcome), one.name, IMPORTED) if isinstance(outcome, int) else outcome
        return owners

    def _linked(self, contact_ids: Sequence[str]) -> dict[str, Customer]:
        """The first of several customers that share a contact, companies before people."""
        mine = (Link.portal_id == self.context.portal.id, Link.organisation_id == self.context.organisation.id, Link.xero_kind == "contact")
        with self.services.db.reading() as session:
            query = select(Link).where(*mine, Link.xero_id.in_(list(contact_ids)), Link.ended_at.is_(None)).order_by(Link.crm_kind.desc(), Link.id.desc())
            return {link.xero_id: (link.crm_kind, link.crm_id) for link in session.scalars(query)}  # type: ignore[misc]

    def _alike(self, card: Card) -> Customer | Problem | None:
        """Exactly one customer of equal name without another tax number is it; several are a person's question."""
        contact, kinds = card.contact, ("company", "contact")
        refs: list[Customer] = []
        for kind in kinds:
            person = kind == "contact"
            if not person or (contact.first_name and contact.last_name):
                refs += [(kind, number) for number in crm.named_customers(self.rest, kind, contact.name, contact.first_name, contact.last_name)]  # type: ignore[arg-type,misc]
        same = []
        for customer in customers.read(self.rest, refs) if refs else ():
            named = replace(customer, name=person_name(customer, self.context.settings.name_person))
            ours = contact_number(self.context.portal.member_id, customer.kind, customer.id)
            if match_contact(named, ours, Candidates([contact])).kind in ("single_name", "linked_number"):
                same.append((customer.kind, customer.id))
        if len(same) > 1:
            return Problem("bring.several", name=contact.name, count=len(same))
        return same[0] if same else None

    def _link_customer(self, xero_id: str, owner: Customer, name: str, how: str) -> Customer:
        portal_id, organisation_id, now = self.context.portal.id, self.context.organisation.id, self.services.now()
        mine = (Link.portal_id == portal_id, Link.organisation_id == organisation_id, Link.crm_kind == owner[0], Link.crm_id == owner[1])
        with self.services.db.transaction() as tx:
            if tx.scalar(select(Link.id).where(*mine, Link.ended_at.is_(None))) is None:
                link = Link(portal_id=portal_id, organisation_id=organisation_id, crm_kind=owner[0], crm_id=owner[1], created_at=now)
                link.xero_kind, link.xero_id, link.how = "contact", xero_id, how
                tx.add(link)
                who: dict[str, Any] = {"organisation_id": organisation_id, "subject": f"{owner[0]}:{owner[1]}", "xero_id": xero_id}
                if how == IMPORTED and name:
                    activity.record(tx, portal_id, "activity.contact_brought", now, **who, name=name)
        return owner

    def _announce(self, arrival: Arrival) -> bool:
        """Committed before Bitrix24 is asked: whoever finds it so waits, and looks for the mark first. False for what some portal has already.

        Raises where another worker announced it since it was read: a frozen one and the one that took its work over go on at the same moment.
        """
        with self.services.db.transaction() as tx:
            if arrivals.linked(tx, arrival.portal_id, arrival.organisation_id, arrival.xero_kind, arrival.xero_id):
                return False
            as_read = Arrival.announced_at.is_(None) if arrival.announced_at is None else Arrival.announced_at == arrival.announced_at
            now = self.services.now()
            mine = tx.execute(
                update(Arrival)
                .where(Arrival.id == arrival.id, as_read)
                .values(state="announced", announced_at=now)
                .execution_options(synchronize_session=False)
            )
            if not mine.rowcount:  # type: ignore[attr-defined]
                raise Problem("bring.in_flight", after(durations.IMPORT_LASTS))
        arrival.announced_at = now
        return True

    def _link(self, kind: Kind, arrival: Arrival, document: Document, invoice: Invoice, how: str) -> None:
        portal_id, organisation_id, now = self.context.portal.id, self.context.organisation.id, self.services.now()
        link = Link(portal_id=portal_id, organisation_id=organisation_id, crm_kind=kind.name, crm_id=invoice.id, xero_kind=kind.name, xero_id=document.id)
        link.how, link.created_at, link.settings_number, link.suffix = how, now, self.context.settings_number, 0
        link.crm_stage, link.crm_updated_at = invoice.stage_id, max(now, invoice.updated_at)
        see(link, document, today_of(self.context.organisation, now))
        link.written = shown_fingerprint(link) if how == IMPORTED else ""
        with self.services.db.transaction() as tx:
            if arrivals.linked(tx, portal_id, organisation_id, kind.name, document.id):
                self._set(tx, arrival, "linked", now, crm_kind=kind.name, crm_id=invoice.id)
                return
            if kind.name == BILL.name and not _still_there(tx, self.context, kind):
                link.ended_at, link.ended_reason = now, "place_left"
            tx.add(link)
            tx.flush()
            self._set(tx, arrival, "made" if how == IMPORTED else "linked", now, crm_kind=kind.name, crm_id=invoice.id)
            code = "activity.brought" if how == IMPORTED else "activity.linked"
            who: dict[str, Any] = {"organisation_id": organisation_id, "subject": kind.subject(invoice.id), "xero_id": document.id, "cause": jobs.SWEEP}
            number = document.number if kind is INVOICE else title_of(document)
            activity.record(tx, portal_id, code, now, **who, number=number, total=str(document.total), currency=document.currency)
            if how != IMPORTED:
                bell = jobs.portal_bell(portal_id)
                payload = {"link": link.id, "stage": False}
                jobs.order(tx, jobs.Order(portal_id, jobs.WRITE_BACK, kind.back_subject(invoice.id), bell, organisation_id, jobs.BULK, None, payload), now)
                tx.after_commit(lambda: self.services.bells.ring(bell))

    def _refuse(self, arrival: Arrival, document: Document, problem: Problem) -> None:
        now = self.services.now()
        with self.services.db.transaction() as tx:
            self._set(tx, arrival, "refused", now, problem_code=problem.code, problem_params=problem.params)
            who: dict[str, Any] = {"organisation_id": arrival.organisation_id, "xero_id": document.id}
            told: dict[str, Any] = {"number": document.number or title_of(document), "problem": problem.code, "details": problem.params}
            activity.record(tx, arrival.portal_id, "activity.not_brought", now, **who, **told)

    def _end(self, arrival: Arrival, state: str, **values: object) -> None:
        with self.services.db.transaction() as tx:
            self._set(tx, arrival, state, self.services.now(), **values)

    @staticmethod
    def _set(tx: Transaction, arrival: Arrival, state: str, now: datetime, **values: object) -> None:
        given = {"state": state, "finished_at": now, **values}
        tx.execute(update(Arrival).where(Arrival.id == arrival.id).values(**given).execution_options(synchronize_session=False))


def _still_there(tx: Transaction, context: Ready, kind: Kind) -> bool:
    """Is this still the place that the portal has chosen for its bills?"""
    held = current_settings(tx, context.portal.id, context.organisation.id)
    return held is not None and of_portal(BILL, held[1]).crm == kind.crm


def _new_customer(card: Card, supplier: bool) -> crm.NewCustomer:
    contact = card.contact
    kind: crm.Kind = "contact" if is_person(contact) else "company"
    return crm.NewCustomer(
        contact.id,
        kind,
        contact.name,
        contact.first_name,
        contact.last_name,
        contact.email,
        card.phones,
        card.addresses,
        contact.tax_number,
        card.company_number,
        supplier,
    )
