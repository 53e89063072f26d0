"""After a lost answer: the same row again while Xero remembers its key, else a look, and only then a new attempt (RULES 11, 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import select, update

from plugin import durations, leases
from plugin.domain.ledger import Document, Outcome
from plugin.domain.problems import LATER, Problem
from plugin.limits import Lane
from plugin.models import Call, Job, Link
from plugin.sending.flight import Flight, Plan
from plugin.sending.work import Work
from plugin.wire import Answer
from plugin.xero import documents


def settle(flight: Flight, works: Sequence[Work], lane: Lane) -> set[int]:
    """Clear up the open calls of these jobs. Returns the ids of jobs that are free again and may be worked on afresh now."""
    if not works:
        return set()
    ids = {one.job.call_id for one in works if one.job.call_id is not None}
    with flight.services.db.reading() as session:
        calls = {call.id: call for call in session.scalars(select(Call).where(Call.id.in_(ids)))}
    groups: dict[int, list[Work]] = {}
    for one in works:
        groups.setdefault(one.job.call_id or 0, []).append(one)
    trusted = flight.services.now() - timedelta(seconds=durations.KEY_TRUSTED / flight.services.config.pace)
    again = [
        (calls[number], group) for number, group in groups.items() if number in calls and calls[number].answered_at is None and calls[number].sent_at > trusted
    ]
    old = [
        (calls[number], group) for number, group in groups.items() if number in calls and calls[number].answered_at is None and calls[number].sent_at <= trusted
    ]
    free = {one.job.id for number, group in groups.items() for one in group if number not in calls or calls[number].answered_at is not None}
    _clear(flight, free)
    flight.fly([_repeat(flight, call, group) for call, group in again], lane)
    for call, group in old:
        free |= _look(flight, call, group)
    return free


def _clear(flight: Flight, job_ids: set[int]) -> None:
    if not job_ids:
        return
    with flight.services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        tx.execute(update(Job).where(Job.id.in_(job_ids)).values(call_id=None).execution_options(synchronize_session=False))


def _repeat(flight: Flight, call: Call, group: list[Work]) -> Plan:
    """The same row: the same bytes under the same key. Xero answers as it did, or does the work now."""
    from plugin.sending import send

    def refuse(_call: Call | None, problem: Problem) -> None:
        if problem.code == "xero.key_reused":
            problem = Problem("xero.no_answer", LATER)
        send.wait_for_look(flight, group, problem)

    return Plan(
        call.operation,
        call.method,
        call.path,
        dict(documents.WRITE_PARAMS),
        call.body,
        call.elements,
        [one.job.id for one in group],
        take=lambda held, answer: send.take_repeated(flight, held, answer, group),
        refuse=refuse,
        call=call,
    )


def _look(flight: Flight, call: Call, group: list[Work]) -> set[int]:
    """What our app made since shortly before the call was sent: the documents that carry our marks were made by it."""
    from plugin.sending import send

    if call.operation != "create":
        # An update is compared with what Xero holds before it is made, so it may simply be worked on again.
        _close_unanswered(flight, call)
        return {one.job.id for one in group}
    found: list[Document] = []
    page, pages = 1, 1
    since = call.sent_at - timedelta(seconds=durations.LOOK_BACK)
    while page <= pages:
        part, pages = documents.invoices_modified(replace(flight.books, lane="people"), since, page, summary=False, created_by_my_app=True)
        found += part
        page += 1
    taken = _already_linked(flight, [one.id for one in found])
    alive = [one for one in found if one.id not in taken and one.status not in ("VOIDED", "DELETED")]
    outcomes = {int(element["job"]): _of_mark(element, alive) for element in call.elements}
    made = {job_id: Outcome(True, document.id, document=document) for job_id, document in outcomes.items() if document is not None}
    send.record_created(flight, call, None, [one for one in group if one.job.id in made], made)
    _close_unanswered(flight, call)
    return {one.job.id for one in group if one.job.id not in made}


def _of_mark(element: dict[str, object], found: Sequence[Document]) -> Document | None:
    """By our number, else by our Url (RULES 11)."""
    number, url = element.get("number"), element.get("url")
    by_number = [one for one in found if number and one.number == number]
    by_url = [
        one for one in found if url and one.url == url and one.contact_id == element.get("contact") and one.total == Decimal(str(element.get("total") or 0))
    ]
    return (by_number or by_url or [None])[0]


def _already_linked(flight: Flight, ids: Sequence[str]) -> set[str]:
    """Documents that some link holds, or held before the person said "send as new"."""
    with flight.services.db.reading() as session:
        found: set[str] = set()
        for start in range(0, len(ids), 500):
            found |= set(
                session.scalars(select(Link.xero_id).where(Link.organisation_id == flight.books.organisation_id, Link.xero_id.in_(ids[start : start + 500])))
            )
    return found


def _close_unanswered(flight: Flight, call: Call) -> None:
    with flight.services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        tx.execute(update(Call).where(Call.id == call.id).values(answered_at=flight.services.now(), outcome="looked"))
        tx.execute(update(Job).where(Job.call_id == call.id).values(call_id=None).execution_options(synchronize_session=False))
