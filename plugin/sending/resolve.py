"""References resolved from the directory: the customer's contact and the rows' items; what is missing is united over the whole run.

A contact is found by our link, then our ContactNumber, then exactly one active contact of equal name without a different tax
number; else it is created by PUT. Never a POST by name, never a change of a contact that we did not create (RULES 14).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from plugin import activity, directory, durations, leases
from plugin.db import Transaction
from plugin.domain.crm import Customer, Product
from plugin.domain.ledger import Contact, Item
from plugin.domain.matching import clean_name, follow_merge, match_contact, normalise_name, person_name
from plugin.domain.numbers import contact_number, item_code
from plugin.domain.problems import LATER, Problem, after
from plugin.domain.translate import ItemChoice
from plugin.limits import Lane
from plugin.models import Call, Link
from plugin.portals import Ready
from plugin.sending.flight import Flight, Plan
from plugin.sending.work import Ended, Work
from plugin.services import Services
from plugin.wire import Answer
from plugin.xero import contacts, items
from plugin.xero.errors import problem_of_errors

#: Errors after which the directory was wrong about names or numbers: read it again, then try again.
_STALE = ("xero.contact_name_taken", "xero.contact_number_taken", "xero.item_exists", "xero.name_taken")


class Resolver:
    """Resolves a run of works for one organisation. `choices` is filled per portal: product id → item."""

    def __init__(self, flight: Flight, lane: Lane) -> None:
        self.flight, self.lane = flight, lane
        self.services, self.books = flight.services, flight.books
        self.choices: dict[int, dict[int, ItemChoice | None]] = {}
        self.problems: dict[str, Problem] = {}

    def contacts(self, works: Sequence[Work]) -> list[Ended]:
        """Give every work its ContactID, creating what is missing. Returns the works that end here."""
        ended: list[Ended] = []
        wanted = [one for one in works if one.customer is not None]
        unknown = self._match(wanted, ended)
        if unknown:
            # The directory may be older than a contact that somebody has just made: one modified-since read settles it.
            directory.ensure(self.services, self.books, (directory.CONTACT,), fresh_for=durations.DIRECTORY_FRESH)
            ended.clear()
            unknown = self._match(wanted, ended)
        if unknown:
            self._create_contacts(unknown)
            gone = {id(one.work) for one in ended}
            for one in unknown:
                if not one.contact_id and id(one) not in gone:
                    ended.append(Ended(one, self.problems.get(_subject(one), Problem("xero.unanswered", LATER))))
        return ended

    def _match(self, works: Sequence[Work], ended: list[Ended]) -> list[Work]:
        """Fill in what the directory knows; returns the works whose customer is in it nowhere."""
        unknown: list[Work] = []
        with self.services.db.reading() as session:
            links = _contact_links(session, works)
            names = {normalise_name(clean_name(self._name(one))) for one in works}
            numbers = {self._number(one) for one in works}
            candidates = directory.contacts_with(session, self.books.organisation_id, numbers=numbers, name_keys=names, ids=links.values())
            merged = {one.merged_to for one in candidates if one.merged_to} - {one.id for one in candidates}
            candidates += directory.contacts_with(session, self.books.organisation_id, ids=merged)
        by_id = {one.id: one for one in candidates}
        found: list[tuple[Work, Contact]] = []
        for one in works:
            linked = links.get((one.job.portal_id, _subject(one)))
            if linked and linked in by_id:
                contact = follow_merge(by_id[linked], by_id)
                if contact.active:
                    one.contact_id = contact.id
                    if contact.id != linked:
                        found.append((one, contact))
                    continue
                ended.append(Ended(one, Problem("send.contact_archived", contact=contact.name)))
                continue
            self._by_rules(one, candidates, found, ended, unknown)
        if found:
            self._keep_links(found)
        return unknown

    def _by_rules(self, one: Work, candidates: list[Contact], found: list[tuple[Work, Contact]], ended: list[Ended], unknown: list[Work]) -> None:
        match = match_contact(replace(self._customer(one), name=self._name(one)), self._number(one), candidates)
        names = [contact.name for contact in match.contacts]
        if match.kind in ("linked_number", "single_name"):
            one.contact_id = match.contacts[0].id
            found.append((one, match.contacts[0]))
            if match.kind == "single_name":
                one.note("note.contact_linked", contact=match.contacts[0].name)
        elif match.kind == "none":
            if one.ready.settings.create_contacts:
                unknown.append(one)
            else:
                ended.append(Ended(one, Problem("send.contact_missing", customer=self._name(one))))
        else:
            ended.append(Ended(one, Problem(f"send.contact_{match.kind}", customer=self._name(one), contacts=names, contact=names[0] if names else "")))

    def _customer(self, one: Work) -> Customer:
        assert one.customer is not None
        return one.customer

    def _name(self, one: Work) -> str:
        return person_name(self._customer(one), one.ready.settings.name_person)

    def _number(self, one: Work) -> str:
        customer = self._customer(one)
        return contact_number(one.ready.portal.member_id, customer.kind, customer.id)

    def _keep_links(self, found: list[tuple[Work, Contact]]) -> None:
        now = self.services.now()
        with self.services.db.transaction() as tx:
            leases.check(tx, self.flight.lease, self.flight.fence)
            for one, contact in {(_portal_subject(work)): (work, contact) for work, contact in found}.values():
                keep_contact_link(tx, one, contact, "matched", now)

    def _create_contacts(self, works: Sequence[Work]) -> None:
        """One PUT per fifty customers, each customer once however many documents wait for it."""
        first: dict[str, Work] = {}
        for one in works:
            first.setdefault(self._number(one), one)
        news = list(first.items())
        plans = []
        for start in range(0, len(news), contacts.CREATE_MOST):
            part = news[start : start + contacts.CREATE_MOST]
            sent = [contacts.NewContact(number, self._customer(one), clean_name(self._name(one))) for number, one in part]
            plans.append(
                self._plan(
                    "contacts",
                    contacts.CREATE_METHOD,
                    contacts.CREATE_PATH,
                    contacts.CREATE_PARAMS,
                    contacts.create_body(sent),
                    sent,
                    [one for _, one in part],
                    works,
                )
            )
        self.flight.fly(plans, self.lane)

    def _plan(
        self, operation: str, method: str, path: str, params: Any, body: bytes, sent: list[contacts.NewContact], part: list[Work], works: Sequence[Work]
    ) -> Plan:
        elements = [{"subject": _subject(one), "portal": one.job.portal_id, "mark": new.number} for one, new in zip(part, sent, strict=True)]
        return Plan(
            operation,
            method,
            path,
            dict(params),
            body,
            elements,
            [],
            take=lambda call, answer: self._take_contacts(call, answer, sent, part, works),
            refuse=lambda call, problem: self._refuse([_subject(one) for one in part], directory.CONTACT, problem),
        )

    def _take_contacts(self, call: Call, answer: Answer, sent: list[contacts.NewContact], part: list[Work], works: Sequence[Work]) -> None:
        now = self.services.now()
        outcomes = contacts.outcomes(answer, sent)
        stale = False
        with self.services.db.transaction() as tx:
            leases.check(tx, self.flight.lease, self.flight.fence)
            close_call(tx, call, answer, now)
            for one, outcome in zip(part, outcomes, strict=True):
                if outcome.ok and outcome.contact is not None:
                    directory.keep(tx, self.books.organisation_id, [directory.contact_row(outcome.contact)], now)
                    keep_contact_link(tx, one, outcome.contact, "created", now)
                    self._give(works, one, outcome.id)
                    continue
                problem = problem_of_errors(outcome.errors)
                stale = stale or problem.code in (*_STALE, "xero.unanswered")
                self.problems[_subject(one)] = Problem(problem.code, after(2), **problem.params) if problem.code in (*_STALE, "xero.unanswered") else problem
            if stale:
                directory.forget_freshness(tx, self.books.organisation_id, (directory.CONTACT,))

    def _give(self, works: Sequence[Work], one: Work, contact_id: str) -> None:
        for other in works:
            if _portal_subject(other) == _portal_subject(one):
                other.contact_id = contact_id

    def _refuse(self, subjects: list[str], resource: str, problem: Problem) -> None:
        """The call failed as a whole. If its outcome is unknown the directory is read again before the next attempt."""
        for subject in subjects:
            self.problems[subject] = problem
        with self.services.db.transaction() as tx:
            directory.forget_freshness(tx, self.books.organisation_id, (resource,))

    def items(self, works: Sequence[Work]) -> None:
        """Which item each product is, by code; missing ones are created where the portal allows it (RULES 15)."""
        wanted: dict[str, tuple[Work, Product]] = {}
        codes: dict[tuple[int, int], str] = {}
        for one in works:
            for row in one.settled.rows:
                product = one.products.get(row.product_id)
                if product is not None:
                    code = item_code(product, one.ready.settings.item_code_source, one.products.get(product.parent_id or 0))
                    codes[one.job.portal_id, product.id] = code
                    wanted.setdefault(code.casefold(), (one, product))
        if not codes:
            return
        known = self._known_items(codes.values())
        if any(code not in known for code in wanted):
            directory.ensure(self.services, self.books, (directory.ITEM,), fresh_for=durations.DIRECTORY_FRESH)
            known = self._known_items(codes.values())
        missing = [(code, one, product) for code, (one, product) in wanted.items() if code not in known and one.ready.settings.create_items]
        if missing:
            self._create_items(missing, codes)
            known = self._known_items(codes.values())
        for (portal_id, product_id), code in codes.items():
            item = known.get(code.casefold())
            self.choices.setdefault(portal_id, {})[product_id] = ItemChoice(item.code, item.id) if item is not None and item.is_sold else None

    def _known_items(self, codes: Any) -> dict[str, Item]:
        with self.services.db.reading() as session:
            return directory.items_by_code(session, self.books.organisation_id, codes)

    def _create_items(self, missing: list[tuple[str, Work, Product]], codes: dict[tuple[int, int], str]) -> None:
        plans = []
        for start in range(0, len(missing), items.CREATE_MOST):
            part = missing[start : start + items.CREATE_MOST]
            sent = [_new_item(codes[one.job.portal_id, product.id], product) for _, one, product in part]
            plans.append(
                Plan(
                    "items",
                    items.CREATE_METHOD,
                    items.CREATE_PATH,
                    dict(items.CREATE_PARAMS),
                    items.create_body(sent),
                    [
                        {"subject": f"product:{product.id}", "portal": one.job.portal_id, "mark": new.code}
                        for (_, one, product), new in zip(part, sent, strict=True)
                    ],
                    [],
                    take=lambda call, answer, sent=sent: self._take_items(call, answer, sent),  # type: ignore[misc]
                    refuse=lambda call, problem, part=part: self._refuse([f"product:{product.id}" for _, _, product in part], directory.ITEM, problem),  # type: ignore[misc]
                )
            )
        self.flight.fly(plans, self.lane)

    def _take_items(self, call: Call, answer: Answer, sent: list[Item]) -> None:
        now = self.services.now()
        made = [outcome.item for outcome in items.outcomes(answer, sent) if outcome.ok and outcome.item is not None]
        with self.services.db.transaction() as tx:
            leases.check(tx, self.flight.lease, self.flight.fence)
            close_call(tx, call, answer, now)
            directory.keep(tx, self.books.organisation_id, [directory.item_row(one) for one in made], now)
            if len(made) < len(sent):
                directory.forget_freshness(tx, self.books.organisation_id, (directory.ITEM,))


def _new_item(code: str, product: Product) -> Item:
    return Item(id="", code=code, name=items.item_name(product.name), description=product.description or product.name, unit_price=product.price)


def _subject(one: Work) -> str:
    return one.customer.subject if one.customer is not None else ""


def _portal_subject(one: Work) -> tuple[int, str]:
    return one.job.portal_id, _subject(one)


def _contact_links(session: Session, works: Sequence[Work]) -> dict[tuple[int, str], str]:
    """ContactIDs that these customers are linked to: (portal, "company:5") → id."""
    found: dict[tuple[int, str], str] = {}
    wanted: dict[tuple[int, int, str], set[int]] = {}
    for one in works:
        if one.customer is not None:
            wanted.setdefault((one.job.portal_id, one.ready.organisation.id, one.customer.kind), set()).add(one.customer.id)
    for (portal_id, organisation_id, kind), ids in wanted.items():
        every = sorted(ids)
        for start in range(0, len(every), 500):
            query = select(Link.crm_id, Link.xero_id).where(
                Link.portal_id == portal_id,
                Link.organisation_id == organisation_id,
                Link.crm_kind == kind,
                Link.crm_id.in_(every[start : start + 500]),
                Link.ended_at.is_(None),
            )
            found |= {(portal_id, f"{kind}:{crm_id}"): xero_id for crm_id, xero_id in session.execute(query)}
    return found


def keep_contact_link(tx: Transaction, one: Work, contact: Contact, how: str, now: Any) -> None:
    """Remember which contact this customer is; an older link to another contact ends."""
    assert one.customer is not None
    held = tx.scalar(
        select(Link).where(
            Link.portal_id == one.job.portal_id,
            Link.organisation_id == one.ready.organisation.id,
            Link.crm_kind == one.customer.kind,
            Link.crm_id == one.customer.id,
            Link.ended_at.is_(None),
        )
    )
    if held is not None and held.xero_id == contact.id:
        return
    if held is not None:
        held.ended_at, held.ended_reason = now, "merged"
        tx.flush()
    tx.add(
        Link(
            portal_id=one.job.portal_id,
            organisation_id=one.ready.organisation.id,
            crm_kind=one.customer.kind,
            crm_id=one.customer.id,
            xero_kind="contact",
            xero_id=contact.id,
            number=contact.number,
            how=how,
            created_at=now,
        )
    )
    activity.record(
        tx,
        one.job.portal_id,
        "activity.contact_created" if how == "created" else "activity.contact_linked",
        now,
        organisation_id=one.ready.organisation.id,
        subject=one.customer.subject,
        user_id=one.job.acting_user,
        xero_id=contact.id,
        customer=one.customer.name,
        contact=contact.name,
    )


def close_call(tx: Transaction, call: Call, answer: Answer, now: Any) -> None:
    """The answer of a recorded call is in."""
    held = tx.get_one(Call, call.id)
    held.answered_at, held.status, held.outcome = now, answer.status, "answered"
    held.seconds, held.request_id = answer.seconds, answer.request_id


def foresee(services: Services, context: Ready, customers: Sequence[Customer]) -> dict[str, Any]:
    """What sending will do about each customer, from the directory alone, for the confirmation (RULES 14).

    By subject: a note (linked to an existing contact, or new), or the problem that would stop it; absent where it is linked already.
    """
    organisation_id, settings, member_id = context.organisation.id, context.settings, context.portal.member_id
    named = {one.subject: replace(one, name=person_name(one, settings.name_person)) for one in customers}
    with services.db.reading() as session:
        linked = _linked_subjects(session, context, customers)
        candidates = directory.contacts_with(
            session,
            organisation_id,
            numbers=[contact_number(member_id, one.kind, one.id) for one in customers],
            name_keys=[normalise_name(clean_name(one.name)) for one in named.values()],
        )
    told: dict[str, Any] = {}
    for subject, one in named.items():
        if subject in linked:
            continue
        match = match_contact(one, contact_number(member_id, one.kind, one.id), candidates)
        names = [contact.name for contact in match.contacts]
        if match.kind == "single_name":
            told[subject] = {"code": "note.contact_linked", "params": {"contact": names[0]}}
        elif match.kind == "none" and settings.create_contacts:
            told[subject] = {"code": "note.contact_new", "params": {"contact": one.name}}
        elif match.kind == "none":
            told[subject] = Problem("send.contact_missing", customer=one.name)
        elif match.kind != "linked_number":
            told[subject] = Problem(f"send.contact_{match.kind}", customer=one.name, contacts=names, contact=names[0] if names else "")
    return told


def _linked_subjects(session: Session, context: Ready, customers: Sequence[Customer]) -> set[str]:
    found: set[str] = set()
    for kind in ("company", "contact"):
        ids = sorted({one.id for one in customers if one.kind == kind})
        for start in range(0, len(ids), 500):
            query = select(Link.crm_id).where(
                Link.portal_id == context.portal.id,
                Link.organisation_id == context.organisation.id,
                Link.crm_kind == kind,
                Link.crm_id.in_(ids[start : start + 500]),
                Link.ended_at.is_(None),
            )
            found |= {f"{kind}:{crm_id}" for crm_id in session.scalars(query)}
    return found
