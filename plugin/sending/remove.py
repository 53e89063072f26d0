"""A document whose invoice was deleted in the CRM is deleted in Xero, or voided where an administrator said so (RULES 21).

Both sides are asked again before anything is done. Only drafts and documents that wait for approval go by themselves.

| Code | When |
|---|---|
| remove.back_again | the CRM has the document again |
| remove.status (number, status) | Xero does not allow it in that status, or it has payments |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select

from plugin import jobs, leases
from plugin.bitrix24 import documents
from plugin.domain.ledger import Document
from plugin.domain.preview import GONE
from plugin.domain.problems import LATER, Problem
from plugin.domain.statuses import forward_only, has_money
from plugin.kinds import QUOTE, Kind
from plugin.limits import Lane
from plugin.models import Call, Link
from plugin.sending import read
from plugin.sending.flight import Flight, Plan
from plugin.sending.record import Recorder, end_jobs, see, today_of
from plugin.sending.resolve import close_call, close_unanswered
from plugin.sending.work import Ended, Work, by_kind, by_portal
from plugin.talking import service_rest
from plugin.wire import Answer, NoAnswer
from plugin.xero.errors import problem_of_errors
from plugin.xero.resource import UPDATE_METHOD, WRITE_MOST, Change

OPERATION = "remove"
_NEVER_APPROVED = ("DRAFT", "SUBMITTED")


def remove(flight: Flight, works: Sequence[Work], lane: Lane) -> None:
    """Carry these removals out. Every job ends recorded."""
    for portal_id, of_portal in by_portal(works).items():
        for kind, of_kind in by_kind(of_portal).items():
            for start in range(0, len(of_kind), WRITE_MOST):
                part = of_kind[start : start + WRITE_MOST]
                try:
                    _remove(flight, portal_id, kind, part, lane)
                except NoAnswer:
                    _end(flight, [Ended(one, Problem("bitrix24.no_answer", LATER)) for one in part])
                except Problem as problem:
                    _end(flight, [Ended(one, problem) for one in part])


def _remove(flight: Flight, portal_id: int, kind: Kind, works: list[Work], lane: Lane) -> None:
    read.links(flight.services, kind, works)
    linked = [one for one in works if one.link is not None]
    found, _ = documents.look(service_rest(flight.services, portal_id, lane), kind.crm, [one.crm_id for one in linked])
    still_gone = [one for one in linked if one.crm_id in found.missing]
    back = [one for one in linked if one.crm_id not in found.missing]
    held = {one.id: one for one in kind.xero.by_ids(replace(flight.books, lane=lane), [one.link.xero_id for one in still_gone if one.link])}
    ended = [Ended(one) for one in works if one.link is None] + [Ended(one, Problem("remove.back_again")) for one in back]
    going: list[tuple[Work, Change]] = []
    for one in still_gone:
        assert one.link is not None
        document = held.get(one.link.xero_id)
        if document is None or document.status in GONE:
            _over(flight, one, document)
            continue
        status = _wanted(one, document)
        if status is None:
            ended.append(Ended(one, Problem("remove.status", number=document.number, status=document.status)))
        else:
            going.append((one, Change(document.id, {"status": status}, None, document)))
    _end(flight, ended)
    if going:
        flight.fly([_plan(flight, kind, going)], lane)


def _wanted(one: Work, document: Document) -> str | None:
    """Deleted where it was never approved; later only at a person's word: a quote deleted, an invoice voided, and never with money in it."""
    if document.status in _NEVER_APPROVED or (one.kind is QUOTE and one.job.acting_user is not None):
        return "DELETED"
    return None if one.job.acting_user is None else forward_only(document.status, "VOIDED", paid=has_money(document))


def _plan(flight: Flight, kind: Kind, going: list[tuple[Work, Change]]) -> Plan:
    works, parcel = [one for one, _ in going], kind.xero.parcel([change for _, change in going])

    def take(call: Call, answer: Answer) -> None:
        outcomes = kind.xero.outcomes(answer, parcel.elements)
        with flight.services.db.transaction() as tx:
            leases.check(tx, flight.lease, flight.fence)
            close_call(tx, call, answer, flight.services.now())
        done = [(one, outcome) for one, outcome in zip(works, outcomes, strict=True) if outcome.ok]
        for one, outcome in done:
            _over(flight, one, outcome.document)
        failed = [(one, outcome) for one, outcome in zip(works, outcomes, strict=True) if not outcome.ok]
        _end(flight, [Ended(one, problem_of_errors(outcome.errors)) for one, outcome in failed])

    def refuse(call: Call | None, problem: Problem) -> None:
        if call is not None:
            with flight.services.db.transaction() as tx:
                leases.check(tx, flight.lease, flight.fence)
                close_unanswered(tx, [call.id], flight.services.now())
        _end(flight, [Ended(one, problem) for one in works])

    # No job holds this call: whoever tries again asks Xero first, and finds what was done.
    elements = [{"subject": one.job.subject, "portal": one.job.portal_id, "id": change.id} for one, change in going]
    return Plan(OPERATION, UPDATE_METHOD, kind.xero.path, dict(kind.xero.write_params), parcel.body, elements, [], take=take, refuse=refuse)


def _over(flight: Flight, one: Work, document: Document | None) -> None:
    """It is gone on both sides: the pair has ended."""
    services, now = flight.services, flight.services.now()
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        recorder = Recorder(services, tx, now)
        assert one.link is not None
        link = tx.get_one(Link, one.link.id)
        if document is not None:
            see(link, document, today_of(one.ready.organisation, now))
        link.ended_at, link.ended_reason = now, "deleted_in_crm"
        recorder.say(one.job, "activity.removed_in_xero", xero_id=link.xero_id, number=link.number)
        jobs.finish(tx, [one.job.id], now)
        recorder.finish()


def _end(flight: Flight, ended: Sequence[Ended]) -> None:
    if not ended:
        return
    with flight.services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        recorder = Recorder(flight.services, tx, flight.services.now())
        back = [one.work.link.id for one in ended if one.problem is not None and one.problem.code == "remove.back_again" and one.work.link is not None]
        for link in tx.scalars(select(Link).where(Link.id.in_(back))) if back else ():
            link.crm_gone_at = None
        end_jobs(recorder, [(one.work.job, one.problem) for one in ended], flight.services.config.pace)
        recorder.finish()
