"""After a lost answer: the same row again while Xero remembers its key, else a look, and only then a new attempt (RULES 11, 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update

from plugin import durations, leases
from plugin.domain.drafts import draft_from_json
from plugin.domain.ledger import Document, Outcome
from plugin.domain.problems import LATER, Problem
from plugin.limits import Lane
from plugin.models import Call, Job, Link
from plugin.sending import send
from plugin.sending.flight import Flight, Plan
from plugin.sending.work import Work, elements_of


def settle(flight: Flight, works: Sequence[Work], lane: Lane) -> set[int]:
    """Clear up the open calls of these jobs. Returns the ids of jobs that are free again and may be worked on afresh now.

    A call that was answered while a job still holds it told nothing about that job: it is looked for as well.
    """
    if not works:
        return set()
    ids = {one.job.call_id for one in works if one.job.call_id is not None}
    with flight.services.db.reading() as session:
        calls = {call.id: call for call in session.scalars(select(Call).where(Call.id.in_(ids)))}
    groups: dict[int, list[Work]] = {}
    for one in works:
        groups.setdefault(one.job.call_id or 0, []).append(one)
    trusted = flight.services.now() - timedelta(seconds=durations.KEY_TRUSTED / flight.services.config.pace)
    free = {one.job.id for number, group in groups.items() for one in group if number not in calls}
    _clear(flight, free)
    known = [(calls[number], group) for number, group in groups.items() if number in calls]
    again = [(call, group) for call, group in known if call.answered_at is None and call.sent_at > trusted]
    flight.fly([_repeat(flight, call, group) for call, group in again], lane)
    for call, group in known:
        if call.answered_at is not None or call.sent_at <= trusted:
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

    def refuse(_call: Call | None, problem: Problem) -> None:
        if problem.code == "xero.key_reused":
            problem = Problem("xero.no_answer", LATER)
        send.wait_for_look(flight, group, problem)

    return Plan(
        call.operation,
        call.method,
        call.path,
        dict(group[0].kind.xero.write_params),
        call.body,
        call.elements,
        [one.job.id for one in group],
        take=lambda held, answer: send.take_repeated(flight, held, answer, group),
        refuse=refuse,
        call=call,
        repeated=True,
    )


def _look(flight: Flight, call: Call, group: list[Work]) -> set[int]:
    """What our app made since shortly before the call was sent: the documents that carry our marks were made by it."""
    if call.operation != "create":
        # An update is compared with what Xero holds before it is made, so it may simply be worked on again.
        _close_unanswered(flight, call, group)
        for one, element in elements_of(call, group):
            one.perhaps_sent = draft_from_json(element["draft"])
        return {one.job.id for one in group} - send.end_hopeless(flight, group)
    since = call.sent_at - timedelta(seconds=durations.LOOK_BACK)
    found = group[0].kind.xero.made_since(replace(flight.books, lane="people"), since)
    taken = _already_linked(flight, [one.id for one in found])
    alive = [one for one in found if one.id not in taken and one.status not in ("VOIDED", "DELETED")]
    made: dict[int, Outcome] = {}
    for one, element in elements_of(call, group):
        document = _of_mark(element, alive)
        if document is not None:
            one.said = one.draft = draft_from_json(element["draft"])
            one.contact_id, one.more = one.draft.contact_id, bool(element.get("more"))
            made[one.job.id] = Outcome(True, document.id, document=document)
    send.record_created(flight, call, None, [one for one in group if one.job.id in made], made)
    left = [one for one in group if one.job.id not in made]
    _close_unanswered(flight, call, left)
    return {one.job.id for one in left} - send.end_hopeless(flight, left)


def _of_mark(element: dict[str, Any], found: Sequence[Document]) -> Document | None:
    """By our number, else by our Url, else by our mark in the reference (RULES 11)."""
    number, url, mark = element.get("number"), element.get("url"), element.get("mark")
    by_number = [one for one in found if number and one.number == number]
    same = [one for one in found if one.contact_id == element.get("contact") and one.total == Decimal(str(element.get("total") or 0))]
    by_url = [one for one in same if url and one.url == url]
    by_mark = [one for one in same if mark and mark in one.reference.split(" / ")]
    return next(iter([*by_number, *by_url, *by_mark]), None)


def _already_linked(flight: Flight, ids: Sequence[str]) -> set[str]:
    """Documents that some link holds, or held before the person said "send as new"."""
    with flight.services.db.reading() as session:
        found: set[str] = set()
        for start in range(0, len(ids), 500):
            found |= set(
                session.scalars(select(Link.xero_id).where(Link.organisation_id == flight.books.organisation_id, Link.xero_id.in_(ids[start : start + 500])))
            )
    return found


def _close_unanswered(flight: Flight, call: Call, works: Sequence[Work]) -> None:
    """These jobs are free of the call; others that still hold it have their own look."""
    with flight.services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        tx.execute(update(Call).where(Call.id == call.id).values(answered_at=flight.services.now(), outcome="looked"))
        ids = [one.job.id for one in works]
        tx.execute(update(Job).where(Job.call_id == call.id, Job.id.in_(ids)).values(call_id=None).execution_options(synchronize_session=False))
