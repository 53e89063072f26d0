"""A quote of which an invoice was made becomes INVOICED in Xero, along its legal way (X§6.11, decision 0022).

Whether Xero then makes an invoice of its own is an open fact. The first quote of an organisation goes alone, and is looked after: where such
an invoice appears, it is taken back while it is a draft, and quotes of that organisation stay accepted from then on.

Activities: activity.quote_invoiced (number), activity.quote_stays_accepted (number), activity.quote_made_invoice (number, invoice).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from plugin import durations, jobs, leases
from plugin.domain.ledger import Document
from plugin.domain.problems import Problem
from plugin.domain.quotes import way
from plugin.kinds import INVOICE, QUOTE
from plugin.limits import Lane
from plugin.models import Call, Link, Organisation
from plugin.sending.flight import Flight, Plan
from plugin.sending.pull import links_of
from plugin.sending.record import Recorder, end_jobs, order_write_back, see, today_of
from plugin.sending.resolve import close_call, close_unanswered
from plugin.sending.work import Work
from plugin.wire import Answer
from plugin.xero.errors import problem_of_errors
from plugin.xero.resource import UPDATE_METHOD, WRITE_MOST, Change

STATUS = "INVOICED"
OPERATION = "invoiced"
#: In an organisation's facts: what INVOICED does there.
FACT = "quote_invoiced"
NOTHING, CREATES = "nothing", "creates_invoice"

_Going = list[tuple[Work, Document]]


def order(recorder: Recorder, one: Work, quote: Link) -> None:
    """The quote of this link shall become INVOICED; a consequence of what the person did, so nobody's right is asked again."""
    job = one.job
    bell = jobs.organisation_bell(one.ready.organisation.id)
    wanted = jobs.Order(job.portal_id, jobs.INVOICED, QUOTE.subject(quote.crm_id), bell, one.ready.organisation.id, job.priority, job.acting_user)
    wanted = replace(wanted, cause=job.cause, caused_at=job.caused_at)
    recorder.order(job.portal_id, jobs.INVOICED, wanted.subject, lambda: wanted)
    recorder.bells.add(bell)


def carry(flight: Flight, works: Sequence[Work], lane: Lane) -> None:
    """Move the quotes of these orders on. Every job ends recorded, or waits again."""
    links = links_of(flight, QUOTE, works)
    known = [one for one in works if (one.job.portal_id, one.crm_id) in links]
    for one in known:
        one.link = links[one.job.portal_id, one.crm_id]
    books = replace(flight.books, lane=lane)
    try:
        held = {one.id: one for one in QUOTE.xero.by_ids(books, [one.link.xero_id for one in known if one.link])}
    except Problem as problem:
        _end(flight, [(one, problem) for one in works])
        return
    going = [(one, held[one.link.xero_id]) for one in known if one.link is not None and way(_status(held, one), STATUS)]
    left = {id(one) for one, _ in going}
    _end(flight, [(one, None) for one in works if id(one) not in left])
    begun = flight.services.now()
    for part in _first_alone(flight, going):
        if _fact(flight) == CREATES:
            _stay(flight, part)
        else:
            _step(flight, part, lane)
            if _fact(flight) is None:
                _learn(flight, part, begun, lane)


def _status(held: dict[str, Document], one: Work) -> str:
    document = held.get(one.link.xero_id) if one.link is not None else None
    return document.status if document is not None else "DELETED"


def _first_alone(flight: Flight, going: _Going) -> list[_Going]:
    if not going:
        return []
    rest = going if _fact(flight) is not None else going[1:]
    parts = [rest[start : start + WRITE_MOST] for start in range(0, len(rest), WRITE_MOST)]
    return parts if rest is going else [going[:1], *parts]


def _fact(flight: Flight) -> str | None:
    with flight.services.db.reading() as session:
        facts: dict[str, Any] = session.get_one(Organisation, flight.books.organisation_id).facts or {}
    return facts.get(FACT)


def stays_accepted(organisation: Organisation) -> bool:
    """Did the first invoiced quote of this organisation make an invoice there?"""
    facts: dict[str, Any] = organisation.facts or {}
    return facts.get(FACT) == CREATES


def _end(flight: Flight, ended: Sequence[tuple[Work, Problem | None]]) -> None:
    if not ended:
        return
    with flight.services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        recorder = Recorder(flight.services, tx, flight.services.now())
        end_jobs(recorder, [(one.job, problem) for one, problem in ended], flight.services.config.pace)
        recorder.finish()


def _stay(flight: Flight, part: _Going) -> None:
    with flight.services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        recorder = Recorder(flight.services, tx, flight.services.now())
        for one, document in part:
            recorder.end(one.job, "unchanged")
            recorder.say(one.job, "activity.quote_stays_accepted", xero_id=document.id, number=document.number)
        recorder.finish()


def _step(flight: Flight, going: _Going, lane: Lane) -> None:
    """One step for each, then the next, until all are there."""
    while going:
        onward: _Going = []
        changes = [Change(document.id, {"status": (way(document.status, STATUS) or (STATUS,))[0]}, None, document) for _, document in going]
        flight.fly([_plan(flight, going, changes, onward)], lane)
        going = onward


def _plan(flight: Flight, going: _Going, changes: list[Change], onward: _Going) -> Plan:
    parcel = QUOTE.xero.parcel(changes)

    def take(call: Call, answer: Answer) -> None:
        outcomes = QUOTE.xero.outcomes(answer, parcel.elements)
        with flight.services.db.transaction() as tx:
            leases.check(tx, flight.lease, flight.fence)
            close_call(tx, call, answer, flight.services.now())
            recorder = Recorder(flight.services, tx, flight.services.now())
            for (one, before), outcome in zip(going, outcomes, strict=True):
                if not outcome.ok or outcome.document is None:
                    end_jobs(recorder, [(one.job, problem_of_errors(outcome.errors))], flight.services.config.pace)
                    continue
                _seen(recorder, one, outcome.document)
                if outcome.document.status == STATUS:
                    recorder.end(one.job, "updated")
                    recorder.say(one.job, "activity.quote_invoiced", xero_id=outcome.document.id, number=outcome.document.number)
                elif outcome.document.status != before.status:
                    onward.append((one, outcome.document))
                else:
                    end_jobs(recorder, [(one.job, Problem("xero.wrong_status"))], flight.services.config.pace)
            recorder.finish()

    def refuse(call: Call | None, problem: Problem) -> None:
        if call is not None:
            with flight.services.db.transaction() as tx:
                leases.check(tx, flight.lease, flight.fence)
                close_unanswered(tx, [call.id], flight.services.now())
        _end(flight, [(one, problem) for one, _ in going])

    elements = [{"portal": one.job.portal_id, "subject": one.job.subject, "id": change.id} for (one, _), change in zip(going, changes, strict=True)]
    # No job holds the call: what became of it is seen when the quote is read again.
    return Plan(OPERATION, UPDATE_METHOD, QUOTE.xero.path, dict(QUOTE.xero.write_params), parcel.body, elements, [], take, refuse)


def _seen(recorder: Recorder, one: Work, document: Document) -> None:
    assert one.link is not None
    link = recorder.tx.get_one(Link, one.link.id)
    was = link.xero_word
    see(link, document, today_of(one.ready.organisation, recorder.now))
    order_write_back(recorder, one.job, link, was=was, stage=document.status == STATUS)


def _learn(flight: Flight, part: _Going, begun: datetime, lane: Lane) -> None:
    """Did the first invoiced quote of this organisation make an invoice of its own? Looked for once; where Xero does not answer, next time."""
    (one, quote) = part[0]
    books = replace(flight.books, lane=lane)
    try:
        if [each.status for each in QUOTE.xero.by_ids(books, [quote.id])] != [STATUS]:
            return
        found, _ = INVOICE.xero.modified(books, begun - timedelta(seconds=durations.LOOK_BACK), 1, summary=False)
    except Problem:
        return
    with flight.services.db.reading() as session:
        linked = set(session.scalars(select(Link.xero_id).where(Link.xero_id.in_([each.id for each in found]))))
    alike = [each for each in found if each.contact_id == quote.contact_id and each.total == quote.total and quote.number in each.reference.split()]
    made = [each for each in alike if each.id not in linked and each.status not in ("DELETED", "VOIDED")]
    with flight.services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        row = tx.get_one(Organisation, flight.books.organisation_id)
        row.facts = {**(row.facts or {}), FACT: CREATES if made else NOTHING}
        recorder = Recorder(flight.services, tx, flight.services.now())
        for each in made:
            recorder.say(one.job, "activity.quote_made_invoice", xero_id=each.id, number=quote.number, invoice=each.number)
        recorder.finish()
    drafts = [Change(each.id, {"status": "DELETED"}) for each in made if each.status == "DRAFT"]
    if drafts:
        flight.fly([_take_back(flight, one, drafts)], lane)


def _take_back(flight: Flight, one: Work, drafts: list[Change]) -> Plan:
    """Delete what our own step has just made; what a bookkeeper has approved meanwhile stays, and the activity names it."""

    def take(call: Call, answer: Answer) -> None:
        with flight.services.db.transaction() as tx:
            leases.check(tx, flight.lease, flight.fence)
            close_call(tx, call, answer, flight.services.now())

    def refuse(call: Call | None, _problem: Problem) -> None:
        if call is not None:
            with flight.services.db.transaction() as tx:
                leases.check(tx, flight.lease, flight.fence)
                close_unanswered(tx, [call.id], flight.services.now())

    elements = [{"portal": one.job.portal_id, "subject": one.job.subject, "id": each.id} for each in drafts]
    return Plan(OPERATION, UPDATE_METHOD, INVOICE.xero.path, dict(INVOICE.xero.write_params), INVOICE.xero.parcel(drafts).body, elements, [], take, refuse)
