"""References resolved from the directory: the customer's contact and the rows' items; what is missing is united over the whole run.

A contact is found by our link, then our ContactNumber, then exactly one active contact of equal name without a different tax
number; else it is created by PUT. Never a POST by name, never a change of a contact that we did not create (RULES 14).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from plugin import activity, directory, durations, leases
from plugin.db import Transaction
from plugin.domain.crm import Customer, Product
from plugin.domain.ledger import Contact, Item
from plugin.domain.matching import Candidates, ContactMatch, clean_name, follow_merge, match_contact, normalise_name, person_name
from plugin.domain.numbers import contact_number, item_code
from plugin.domain.problems import LATER, Problem, after
from plugin.domain.translate import ItemChoice
from plugin.limits import Lane
from plugin.models import Call, Link, Organisation
from plugin.sending.flight import Flight, Plan
from plugin.sending.work import Ended, Work
from plugin.wire import Answer
from plugin.xero import contacts, items
from plugin.xero.contacts import NewContact
from plugin.xero.errors import problem_of_errors

#: Errors after which the directory was wrong about names or numbers: read it again, then try again.
_STALE = ("xero.contact_name_taken", "xero.contact_number_taken", "xero.item_exists", "xero.name_taken")
#: In an organisation's facts: under which permissions Xero refused to create items. The whole run goes on without their codes.
ITEMS_FORBIDDEN = "items_forbidden"


class Resolver:
    """Resolves a run of works for one organisation. `choices` is filled per portal: product id → item."""

    def __init__(self, flight: Flight, lane: Lane) -> None:
        self.flight, self.lane = flight, lane
        self.services, self.books = flight.services, flight.books
        self.choices: dict[int, dict[int, ItemChoice | None]] = {}
        self.problems: dict[str, Problem] = {}

    def resolve(self, works: Sequence[Work]) -> list[Ended]:
        """Give every work its ContactID and find the items of its rows; what is missing is created, contacts and items side by side.

        Returns the works that end here. An item that Xero refuses is left out of its line, with a note.
        """
        ended, unknown = self._find_contacts(works)
        gone = {id(one.work) for one in ended}
        going = [one for one in works if id(one) not in gone]
        codes = item_codes(going)
        known, missing = self._find_items(going, codes)
        self.flight.fly([*self._new_contacts(unknown), *self._new_items(missing, codes)], self.lane)
        unmade = [one for one in unknown if not one.contact_id]
        ended += [Ended(one, self.problems.get(_subject(one), Problem("xero.unanswered", LATER))) for one in unmade]
        gone = {id(one.work) for one in ended}
        return ended + self._choose_items([one for one in going if id(one) not in gone], codes, known, missing)

    def _find_contacts(self, works: Sequence[Work]) -> tuple[list[Ended], list[Work]]:
        """Give every work its ContactID as far as the directory knows it. Returns what ends here, and the works whose customer is to be created."""
        ended: list[Ended] = []
        wanted = [one for one in works if one.customer is not None]
        # A list that Xero's refusal has proven wrong is read again first: contacts are merged and archived there.
        directory.ensure(self.services, self.books, (directory.CONTACT,), fresh_for=durations.DIRECTORY_KNOWN)
        unknown = self._match(wanted, ended)
        if unknown:
            # The directory may be older than a contact that somebody has just made: one modified-since read settles it.
            directory.ensure(self.services, self.books, (directory.CONTACT,), fresh_for=durations.DIRECTORY_FRESH)
            ended.clear()
            unknown = self._match(wanted, ended)
        return ended, unknown

    def _match(self, works: Sequence[Work], ended: list[Ended]) -> list[Work]:
        """Fill in what the directory knows; returns the works whose customer is in it nowhere."""
        unknown: list[Work] = []
        with self.services.db.reading() as session:
            links = contact_links(session, works)
            names = {normalise_name(clean_name(name)) for name in {self._name(one) for one in works}}
            numbers = {self._number(one) for one in works}
            candidates = directory.contacts_with(session, self.books.organisation_id, numbers=numbers, name_keys=names, ids=links.values())
            merged = {one.merged_to for one in candidates if one.merged_to} - {one.id for one in candidates}
            candidates += directory.contacts_with(session, self.books.organisation_id, ids=merged)
        every = Candidates(candidates)
        by_id = every.by_id
        found: list[tuple[Work, Contact]] = []
        matches: dict[tuple[int, str], ContactMatch] = {}
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
            if _portal_subject(one) not in matches:
                matches[_portal_subject(one)] = match_contact(replace(self._customer(one), name=self._name(one)), self._number(one), every)
            self._by_rules(one, matches[_portal_subject(one)], found, ended, unknown)
        if found:
            self._keep_links(found)
        return unknown

    def _by_rules(self, one: Work, match: ContactMatch, found: list[tuple[Work, Contact]], ended: list[Ended], unknown: list[Work]) -> None:
        names = [contact.name for contact in match.contacts]
        if match.kind in ("linked_number", "single_name"):
            one.contact_id = match.contacts[0].id
            found.append((one, match.contacts[0]))
            if match.kind == "single_name":
                one.note("note.contact_linked", contact=match.contacts[0].name)
        elif match.kind == "none":
            if not clean_name(self._name(one)):
                ended.append(Ended(one, Problem("send.customer_unnamed")))
            elif one.ready.settings.create_contacts:
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
            keep_contact_links(tx, list({(_portal_subject(work)): (work, contact) for work, contact in found}.values()), "matched", now)

    def _new_contacts(self, works: Sequence[Work]) -> list[Plan]:
        """One PUT per fifty customers, each customer once however many documents wait for it."""
        first: dict[str, Work] = {}
        for one in works:
            first.setdefault(self._number(one), one)
        news = list(first.items())
        plans = []
        for start in range(0, len(news), contacts.CREATE_MOST):
            part = news[start : start + contacts.CREATE_MOST]
            sent = [NewContact(number, self._customer(one), clean_name(self._name(one))) for number, one in part]
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
        return plans

    def _plan(self, operation: str, method: str, path: str, params: Any, body: bytes, sent: list[NewContact], part: list[Work], works: Sequence[Work]) -> Plan:
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
            refuse=lambda call, problem: self._refuse(call, [_subject(one) for one in part], directory.CONTACT, problem),
        )

    def _take_contacts(self, call: Call, answer: Answer, sent: list[NewContact], part: list[Work], works: Sequence[Work]) -> None:
        now = self.services.now()
        outcomes = contacts.outcomes(answer, sent)
        stale = False
        with self.services.db.transaction() as tx:
            leases.check(tx, self.flight.lease, self.flight.fence)
            close_call(tx, call, answer, now)
            made = [(one, outcome.contact) for one, outcome in zip(part, outcomes, strict=True) if outcome.ok and outcome.contact is not None]
            directory.keep(tx, self.books.organisation_id, [directory.contact_row(contact) for _, contact in made], now)
            keep_contact_links(tx, made, "created", now)
            for one, outcome in zip(part, outcomes, strict=True):
                if outcome.ok and outcome.contact is not None:
                    continue
                problem = problem_of_errors(outcome.errors)
                stale = stale or problem.code in (*_STALE, "xero.unanswered")
                self.problems[_subject(one)] = Problem(problem.code, after(2), **problem.params) if problem.code in (*_STALE, "xero.unanswered") else problem
            if stale:
                directory.forget_freshness(tx, self.books.organisation_id, (directory.CONTACT,))
        ids = {_portal_subject(one): contact.id for one, contact in made}
        for one in works:
            one.contact_id = ids.get(_portal_subject(one), one.contact_id)

    def _refuse(self, call: Call | None, subjects: list[str], resource: str, problem: Problem) -> None:
        """The call failed as a whole. If its outcome is unknown the directory is read again before the next attempt: that is its look."""
        for subject in subjects:
            self.problems[subject] = problem
        with self.services.db.transaction() as tx:
            leases.check(tx, self.flight.lease, self.flight.fence)
            if call is not None:
                close_unanswered(tx, [call.id], self.services.now())
            directory.forget_freshness(tx, self.books.organisation_id, (resource,))

    def _find_items(self, works: Sequence[Work], codes: Mapping[tuple[int, int], str]) -> tuple[dict[str, Item], list[tuple[Work, Product]]]:
        """The items that the directory knows by these codes, and the products whose items are to be created where the portal allows it (RULES 15)."""
        if not codes:
            return {}, []
        known = self._known_items(codes)
        if any(code.casefold() not in known for code in codes.values()):
            directory.ensure(self.services, self.books, (directory.ITEM,), fresh_for=durations.DIRECTORY_FRESH)
            known = self._known_items(codes)
        return known, _missing_items(works, codes, known)

    def _choose_items(
        self, works: Sequence[Work], codes: Mapping[tuple[int, int], str], known: dict[str, Item], missing: Sequence[tuple[Work, Product]]
    ) -> list[Ended]:
        """Which item each product is. Returns the works that wait because an item could not be created just now."""
        if missing:
            # Where Xero knew a code after all, or the answer was lost, the list was forgotten and is read again here.
            directory.ensure(self.services, self.books, (directory.ITEM,), fresh_for=durations.DIRECTORY_FRESH)
            known = self._known_items(codes)
        for (portal_id, product_id), choice in item_choices(codes, known).items():
            self.choices.setdefault(portal_id, {})[product_id] = choice
        return self._without_items(works, codes, known) if missing else []

    def _items_forbidden(self, one: Work) -> bool:
        """Did Xero refuse to create items for lack of a permission, and was none granted since (RULES 7)?"""
        facts: dict[str, Any] = one.ready.organisation.facts or {}
        return facts.get(ITEMS_FORBIDDEN) == one.ready.connection.scopes

    def _without_items(self, works: Sequence[Work], codes: Mapping[tuple[int, int], str], known: Mapping[str, Item]) -> list[Ended]:
        ended: list[Ended] = []
        for one in works:
            lacking = [code for product in _products_of(one) if (code := codes[one.job.portal_id, product.id]).casefold() not in known]
            problems = [self.problems[code] for code in lacking if one.ready.settings.create_items and code in self.problems]
            passing = next((problem for problem in problems if problem.retry.kind != "never"), None)
            if passing is not None:
                ended.append(Ended(one, passing))
            elif problems:
                one.note("note.items_left_out", items=", ".join(lacking))
        return ended

    def _known_items(self, codes: Mapping[tuple[int, int], str]) -> dict[str, Item]:
        with self.services.db.reading() as session:
            return directory.items_by_code(session, self.books.organisation_id, codes.values())

    def _new_items(self, missing: list[tuple[Work, Product]], codes: Mapping[tuple[int, int], str]) -> list[Plan]:
        """One PUT per hundred items; none where Xero has refused them for lack of a permission."""
        plans: list[Plan] = []
        if missing and self._items_forbidden(missing[0][0]):
            self.problems |= {codes[one.job.portal_id, product.id]: Problem("xero.scope_missing") for one, product in missing}
            return plans
        for start in range(0, len(missing), items.CREATE_MOST):
            part = missing[start : start + items.CREATE_MOST]
            sent = [_new_item(codes[one.job.portal_id, product.id], product) for one, product in part]
            plans.append(
                Plan(
                    "items",
                    items.CREATE_METHOD,
                    items.CREATE_PATH,
                    dict(items.CREATE_PARAMS),
                    items.create_body(sent),
                    [
                        {"subject": f"product:{product.id}", "portal": one.job.portal_id, "mark": new.code}
                        for (one, product), new in zip(part, sent, strict=True)
                    ],
                    [],
                    take=lambda call, answer, sent=sent: self._take_items(call, answer, sent),  # type: ignore[misc]
                    refuse=lambda call, problem, sent=sent, one=part[0][0]: self._refuse_items(call, one, sent, problem),  # type: ignore[misc]
                )
            )
        return plans

    def _refuse_items(self, call: Call | None, one: Work, sent: list[Item], problem: Problem) -> None:
        self._refuse(call, [new.code for new in sent], directory.ITEM, problem)
        if problem.code == "xero.scope_missing":
            with self.services.db.transaction() as tx:
                row = tx.get_one(Organisation, self.books.organisation_id)
                row.facts = {**(row.facts or {}), ITEMS_FORBIDDEN: one.ready.connection.scopes}

    def _take_items(self, call: Call, answer: Answer, sent: list[Item]) -> None:
        now = self.services.now()
        outcomes = items.outcomes(answer, sent)
        made = [outcome.item for outcome in outcomes if outcome.ok and outcome.item is not None]
        for new, outcome in zip(sent, outcomes, strict=True):
            if not outcome.ok:
                self.problems[new.code] = problem_of_errors(outcome.errors)
        with self.services.db.transaction() as tx:
            leases.check(tx, self.flight.lease, self.flight.fence)
            close_call(tx, call, answer, now)
            directory.keep(tx, self.books.organisation_id, [directory.item_row(one) for one in made], now)
            if len(made) < len(sent):
                directory.forget_freshness(tx, self.books.organisation_id, (directory.ITEM,))


def _products_of(one: Work) -> list[Product]:
    """The catalogue's products on the rows of an invoice, as far as they could be read."""
    return [product for row in one.settled.rows if (product := one.products.get(row.product_id)) is not None]


def item_codes(works: Sequence[Work]) -> dict[tuple[int, int], str]:
    """The item code of every product on these invoices, by portal and product (RULES 15)."""
    return {
        (one.job.portal_id, product.id): item_code(product, one.ready.settings.item_code_source, one.products.get(product.parent_id or 0))
        for one in works
        for product in _products_of(one)
    }


def item_choices(codes: Mapping[tuple[int, int], str], known: Mapping[str, Item]) -> dict[tuple[int, int], ItemChoice | None]:
    """Which item a line names: one that Xero sells under that code, or none."""
    found = {key: known.get(code.casefold()) for key, code in codes.items()}
    return {key: ItemChoice(item.code, item.id) if item is not None and item.is_sold else None for key, item in found.items()}


def _missing_items(works: Sequence[Work], codes: Mapping[tuple[int, int], str], known: Mapping[str, Item]) -> list[tuple[Work, Product]]:
    """Products whose items are to be created: each code once."""
    wanted: dict[str, tuple[Work, Product]] = {}
    for one in works:
        if one.ready.settings.create_items:
            for product in _products_of(one):
                wanted.setdefault(codes[one.job.portal_id, product.id].casefold(), (one, product))
    return [pair for code, pair in wanted.items() if code not in known]


def _new_item(code: str, product: Product) -> Item:
    return Item(id="", code=code, name=items.item_name(product.name), description=product.description or product.name, unit_price=product.price)


def _subject(one: Work) -> str:
    return one.customer.subject if one.customer is not None else ""


def _portal_subject(one: Work) -> tuple[int, str]:
    return one.job.portal_id, _subject(one)


def contact_links(session: Session, works: Sequence[Work]) -> dict[tuple[int, str], str]:
    """ContactIDs that these customers are linked to: (portal, "company:5") → id."""
    found: dict[tuple[int, str], str] = {}
    for (portal_id, organisation_id, kind), ids in _customers_of(works).items():
        every = sorted(ids)
        for start in range(0, len(every), 500):
            query = select(Link.crm_id, Link.xero_id).where(*_contact_links_among(portal_id, organisation_id, kind, every[start : start + 500]))
            found |= {(portal_id, f"{kind}:{crm_id}"): xero_id for crm_id, xero_id in session.execute(query)}
    return found


def keep_contact_links(tx: Transaction, made: Sequence[tuple[Work, Contact]], how: str, now: Any) -> None:
    """Remember which contact each customer is; an older link to another contact ends."""
    held = _held_contact_links(tx, [one for one, _ in made])
    links: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    for one, contact in made:
        assert one.customer is not None
        old = held.get(_portal_subject(one))
        if old is not None and old.xero_id == contact.id:
            continue
        if old is not None:
            old.ended_at, old.ended_reason = now, "merged"
        links.append(
            {
                "portal_id": one.job.portal_id,
                "organisation_id": one.ready.organisation.id,
                "crm_kind": one.customer.kind,
                "crm_id": one.customer.id,
                "xero_kind": "contact",
                "xero_id": contact.id,
                "number": contact.number,
                "sent": _sent_of(one, contact) if how == "created" else None,
                "how": how,
                "created_at": now,
            }
        )
        said.append(
            activity.row(
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
        )
    tx.flush()  # old links end before their successors come: an insert would be written first
    if links:
        table: Any = Link.__table__
        tx.execute(insert(table), links)
    activity.record_many(tx, said)


def _sent_of(one: Work, contact: Contact) -> dict[str, Any]:
    """What Xero was told of a customer whose contact we made: the base for what follows when it changes."""
    assert one.customer is not None
    name = clean_name(person_name(one.customer, one.ready.settings.name_person))
    return contacts.element(NewContact(contact.number, one.customer, name))


def _held_contact_links(session: Session, works: Sequence[Work]) -> dict[tuple[int, str], Link]:
    """The links of these customers that hold now: (portal, "company:5") → link."""
    found: dict[tuple[int, str], Link] = {}
    for (portal_id, organisation_id, kind), ids in _customers_of(works).items():
        every = sorted(ids)
        for start in range(0, len(every), 500):
            query = select(Link).where(*_contact_links_among(portal_id, organisation_id, kind, every[start : start + 500]))
            found |= {(portal_id, f"{kind}:{link.crm_id}"): link for link in session.scalars(query)}
    return found


def _customers_of(works: Sequence[Work]) -> dict[tuple[int, int, str], set[int]]:
    """Ids of customers by portal, organisation and kind."""
    wanted: dict[tuple[int, int, str], set[int]] = {}
    for one in works:
        if one.customer is not None:
            wanted.setdefault((one.job.portal_id, one.ready.organisation.id, one.customer.kind), set()).add(one.customer.id)
    return wanted


def _contact_links_among(portal_id: int, organisation_id: int, kind: str, ids: Sequence[int]) -> tuple[Any, ...]:
    return (Link.portal_id == portal_id, Link.organisation_id == organisation_id, Link.crm_kind == kind, Link.crm_id.in_(ids), Link.ended_at.is_(None))


def close_call(tx: Transaction, call: Call, answer: Answer, now: Any) -> None:
    """The answer of a recorded call is in."""
    values = {"answered_at": now, "status": answer.status, "outcome": "answered", "seconds": answer.seconds, "request_id": answer.request_id}
    tx.execute(update(Call).where(Call.id == call.id).values(**values).execution_options(synchronize_session=False))


def close_unanswered(tx: Transaction, call_ids: Sequence[int], now: Any) -> None:
    """Nobody will hear the answer of these calls: what they made is found in the directory."""
    still_open = (Call.id.in_(call_ids), Call.answered_at.is_(None))
    tx.execute(update(Call).where(*still_open).values(answered_at=now, outcome="looked").execution_options(synchronize_session=False))


def close_left(tx: Transaction, organisation_id: int, now: Any) -> None:
    """A conductor was killed while it created contacts or items, or moved or removed documents: no job holds such a call.

    Lists are read again before anything is created, and documents before anything is done to them.
    """
    resources = {"contacts": directory.CONTACT, "items": directory.ITEM, "invoiced": "", "remove": "", "contact": ""}
    query = select(Call.id, Call.operation).where(Call.organisation_id == organisation_id, Call.answered_at.is_(None), Call.operation.in_(resources))
    left = tx.execute(query).all()
    if left:
        close_unanswered(tx, [number for number, _ in left], now)
        directory.forget_freshness(tx, organisation_id, sorted({resources[operation] for _, operation in left} - {""}))
