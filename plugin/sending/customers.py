"""A customer changed in the CRM: the contact that we made of it in Xero follows (FEATURES 30). A contact of anybody else is never touched (RULES 14).

Three versions decide, field by field: what we last sent, what the CRM says now, what Xero has now. What a bookkeeper changed stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from plugin import activity, directory, jobs, leases
from plugin.bitrix24 import customers as crm
from plugin.domain.crm import Customer
from plugin.domain.matching import clean_name, person_name
from plugin.domain.problems import LATER, Problem
from plugin.limits import Lane
from plugin.models import Call, Job, Link
from plugin.portals import Ready
from plugin.sending.flight import Flight, Plan
from plugin.sending.record import Recorder, end_jobs
from plugin.sending.resolve import close_call, close_unanswered
from plugin.talking import service_rest
from plugin.wire import Answer, NoAnswer
from plugin.xero import contacts
from plugin.xero.errors import problem_of_errors

OPERATION = "contact"


def follow_customers(flight: Flight, context: Ready, claimed: Sequence[Job], lane: Lane) -> None:
    """Look at these customers of one portal again, and bring what changed to Xero. Every job ends recorded."""
    try:
        _follow(flight, context, claimed, lane)
    except NoAnswer:
        _end(flight, claimed, Problem("bitrix24.no_answer", LATER))
    except Problem as problem:
        _end(flight, claimed, problem)


def _follow(flight: Flight, context: Ready, claimed: Sequence[Job], lane: Lane) -> None:
    rest = service_rest(flight.services, context.portal.id, lane)
    papers = [_number(job) for job in claimed if job.subject.startswith("requisite:")]
    owners = crm.owners_of(rest, papers) if papers else {}
    named = {job.id: owners.get(_number(job), "") if job.subject.startswith("requisite:") else job.subject for job in claimed}
    links = _links(flight, context, set(named.values()))
    customers = {one.subject: one for one in crm.read(rest, [(link.crm_kind, link.crm_id) for link in links.values()])} if links else {}  # type: ignore[misc]
    wanted = {subject: (link, _element(customers[subject], link, context)) for subject, link in links.items() if subject in customers}
    changed = {subject: pair for subject, pair in wanted.items() if pair[0].sent is not None and pair[0].sent != pair[1]}
    _baseline(flight, [pair for pair in wanted.values() if pair[0].sent is None])
    cards = {}
    if changed:
        books = replace(flight.books, lane=lane)
        cards = {one.contact.id: _of_card(one) for one in contacts.cards_by_ids(books, [link.xero_id for link, _ in changed.values()])}
    going: list[tuple[str, Link, dict[str, Any], dict[str, Any]]] = []
    for subject, (link, now) in changed.items():
        fields = _fields(link.sent or {}, now, cards.get(link.xero_id))
        if fields:
            going.append((subject, link, now, fields))
        else:
            _baseline(flight, [(link, now)])
    moving = {subject for subject, *_ in going}
    _end(flight, [job for job in claimed if named[job.id] not in moving], None)
    for start in range(0, len(going), contacts.CREATE_MOST):
        part = going[start : start + contacts.CREATE_MOST]
        subjects = {subject for subject, *_ in part}
        flight.fly([_plan(flight, part, [job for job in claimed if named[job.id] in subjects], customers)], lane)


def _number(job: Job) -> int:
    return int(job.subject.partition(":")[2])


def _links(flight: Flight, context: Ready, subjects: set[str]) -> dict[str, Link]:
    """The contacts that we made of these customers."""
    found: dict[str, Link] = {}
    with flight.services.db.reading() as session:
        for kind in ("company", "contact"):
            ids = [int(subject.partition(":")[2]) for subject in subjects if subject.startswith(f"{kind}:")]
            mine = (Link.portal_id == context.portal.id, Link.organisation_id == context.organisation.id, Link.crm_kind == kind)
            query = select(Link).where(*mine, Link.crm_id.in_(ids), Link.how == "created", Link.ended_at.is_(None))
            found |= {f"{kind}:{link.crm_id}": link for link in session.scalars(query)}
    return found


def _element(customer: Customer, link: Link, context: Ready) -> dict[str, Any]:
    """What Xero would be told of this customer if its contact were made now."""
    return contacts.element(contacts.NewContact(link.number, customer, clean_name(person_name(customer, context.settings.name_person))))


def _of_card(card: contacts.Card) -> dict[str, Any]:
    """The contact in Xero, in the words in which we send."""
    one = card.contact
    names = {"first_name": one.first_name, "last_name": one.last_name, "email": one.email, "tax_number": one.tax_number}
    customer = Customer("company", 0, one.name, phones=card.phones, addresses=card.addresses, **names)
    return contacts.element(contacts.NewContact(one.number, replace(customer, company_number=card.company_number), one.name))


def _fields(sent: Mapping[str, Any], now: Mapping[str, Any], held: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the CRM changed and nobody changed in Xero. A list that became empty is left: Xero has no way to say that (X§5.3)."""
    if held is None:
        return {}
    names = [name for name in {*sent, *now} if now.get(name) != sent.get(name) and held.get(name) in (sent.get(name), None)]
    return {name: now.get(name, "") for name in sorted(names) if name in now or not isinstance(sent.get(name), list)}


def _plan(flight: Flight, part: list[tuple[str, Link, dict[str, Any], dict[str, Any]]], mine: list[Job], customers: Mapping[str, Customer]) -> Plan:
    def take(call: Call, answer: Answer) -> None:
        outcomes = contacts.outcomes_of_changes(answer, [link.xero_id for _, link, _, _ in part])
        now = flight.services.now()
        with flight.services.db.transaction() as tx:
            leases.check(tx, flight.lease, flight.fence)
            close_call(tx, call, answer, now)
            for (subject, link, element, fields), outcome in zip(part, outcomes, strict=True):
                if outcome.ok:
                    tx.get_one(Link, link.id).sent = element
                    if outcome.contact is not None:
                        directory.keep(tx, flight.books.organisation_id, [directory.contact_row(outcome.contact)], now)
                    about = {"organisation_id": link.organisation_id, "subject": subject, "xero_id": link.xero_id}
                    said = {"customer": customers[subject].name, "fields": ", ".join(sorted(fields)), "cause": jobs.AUTOMATIC}
                    activity.record_many(tx, [activity.row(link.portal_id, "activity.contact_updated", now, **about, **said)])
        failed = {subject: problem_of_errors(outcome.errors) for (subject, *_), outcome in zip(part, outcomes, strict=True) if not outcome.ok}
        _end(flight, mine, next(iter(failed.values()), None))

    def refuse(call: Call | None, problem: Problem) -> None:
        if call is not None:
            with flight.services.db.transaction() as tx:
                leases.check(tx, flight.lease, flight.fence)
                close_unanswered(tx, [call.id], flight.services.now())
        _end(flight, mine, problem)

    # No job holds this call: whoever tries again compares with what Xero has then.
    elements = [{"subject": subject, "portal": link.portal_id, "id": link.xero_id} for subject, link, _, _ in part]
    body = contacts.update_body([(link.xero_id, fields) for _, link, _, fields in part])
    return Plan(OPERATION, contacts.UPDATE_METHOD, contacts.CREATE_PATH, dict(contacts.CREATE_PARAMS), body, elements, [], take=take, refuse=refuse)


def _baseline(flight: Flight, pairs: Sequence[tuple[Link, dict[str, Any]]]) -> None:
    """What the CRM says now counts as sent: made before we kept that, or nothing of it can go."""
    if pairs:
        with flight.services.db.transaction() as tx:
            leases.check(tx, flight.lease, flight.fence)
            for link, element in pairs:
                tx.get_one(Link, link.id).sent = element


def _end(flight: Flight, ended: Sequence[Job], problem: Problem | None) -> None:
    if ended:
        with flight.services.db.transaction() as tx:
            leases.check(tx, flight.lease, flight.fence)
            recorder = Recorder(flight.services, tx, flight.services.now())
            end_jobs(recorder, [(job, problem) for job in ended], flight.services.config.pace)
            recorder.finish()
