"""Look at documents that an event or a sweep has named; what must go by itself goes on as a send (RULES 23).

The event is not believed: only what the CRM says now counts. What we wrote ourselves, and what does not concern Xero, ends here with one
request for fifty documents and no call to Xero.

| Code | When |
|---|---|
| follow.first_run | the first synchronisation still looks for what is on both sides |
| follow.doubtful | it looks like a document that Xero has already; a person decides which pairs belong together |
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import delete, select

from plugin import durations, jobs, leases
from plugin.bitrix24 import documents
from plugin.db import Transaction
from plugin.domain.automatic import Known, has_reached, judge
from plugin.domain.crm import Invoice
from plugin.domain.drafts import invoice_fingerprint
from plugin.domain.preview import GONE
from plugin.domain.problems import LATER, Problem, after
from plugin.kinds import INVOICE, Kind
from plugin.limits import Lane
from plugin.models import Doubt, FirstRun, Followed, Job, Link
from plugin.sending import read, send
from plugin.sending.flight import Flight
from plugin.sending.record import Recorder, end_jobs, order_problem_note, see_crm
from plugin.sending.work import Work, by_kind, by_portal
from plugin.talking import PortalRest, service_rest
from plugin.wire import NoAnswer


@dataclass(frozen=True)
class _Ended:
    """What became of one look: to be tried again, held back for a reason, gone from the CRM, or nothing to do (`over`: any more)."""

    work: Work
    again: Problem | None = None
    held: Problem | None = None
    gone: bool = False
    over: bool = False


@dataclass(frozen=True)
class _Memory:
    """What our own rows say of the documents that are looked at."""

    held: dict[int, Followed]
    doubtful: set[int]
    ended: set[int]  # was in Xero once, and somebody ended that


def follow(flight: Flight, works: Sequence[Work], lane: Lane) -> None:
    """Look at these, and send what must go. Every job ends recorded."""
    going: list[Work] = []
    for portal_id, of_portal in by_portal(works).items():
        for kind, of_kind in by_kind(of_portal).items():
            try:
                going += _look(flight, service_rest(flight.services, portal_id, lane), kind, of_kind)
            except NoAnswer:
                _record(flight, [_Ended(one, again=Problem("bitrix24.no_answer", LATER)) for one in _left(flight, of_kind)])
            except Problem as problem:
                _record(flight, [_Ended(one, again=problem) for one in _left(flight, of_kind)])
    if going:
        send.send(flight, going, lane, [])
        _hold_refused(flight, going)


def _look(flight: Flight, rest: PortalRest, kind: Kind, works: list[Work]) -> list[Work]:
    """Those of this portal and kind that must go, read completely. The others are recorded."""
    services, settings = flight.services, works[0].ready.settings
    with services.db.reading() as session:
        here = (FirstRun.portal_id == rest.portal_id, FirstRun.organisation_id == flight.books.organisation_id)
        if session.scalar(select(FirstRun.state).where(*here)) == "running":
            raise Problem("follow.first_run", after(durations.FIRST_RUN_LOOK))
    read.links(services, kind, works)
    strangers = [one.crm_id for one in works if one.link is None] if settings.automatic == "stage" and kind is INVOICE else []
    found, passed = documents.look(rest, kind.crm, [one.crm_id for one in works], strangers)
    memory = _memory(flight, kind, works)
    verdicts = {one.job.id: _verdict(one, found, passed.get(one.crm_id, []), memory) for one in works}
    _record(flight, [verdict for verdict in verdicts.values() if verdict is not None])
    going = [one for one in works if verdicts[one.job.id] is None]
    if not going:
        return []
    wanted = {one.crm_id for one in going}
    seen = replace(found, documents={crm_id: one for crm_id, one in found.documents.items() if crm_id in wanted}, missing=set(), denied={})
    refused = read.take(going, documents.complete(rest, seen, read.code_field(going)))
    _record(flight, [_Ended(one.work, again=one.problem) for one in refused])
    ended = {id(one.work) for one in refused}
    return [one for one in going if id(one) not in ended]


def _verdict(one: Work, found: documents.Read, passed: list[documents.Passed], memory: _Memory) -> _Ended | None:
    """How this look ends; nothing where the document must go."""
    held = memory.held.get(one.crm_id)
    if one.crm_id in found.missing:
        return _Ended(one, gone=True, over=held is not None)
    invoice = found.documents.get(one.crm_id)
    if invoice is None:
        return _Ended(one, again=found.denied.get(one.crm_id))
    one.invoice = invoice
    settings, link = one.ready.settings, one.link
    if link is not None and link.xero_status in GONE:
        return _Ended(one)  # "send as new" is a person's word (RULES 13)
    if link is None and one.crm_id in memory.ended:
        return _Ended(one)
    if one.made_there:
        return _Ended(one)
    if held is not None and (held.seen, held.settings_number) == (looks(invoice), one.ready.settings_number):
        return _Ended(one)
    known = None if link is None else Known(link.crm_seen, link.crm_stage, link.crm_updated_at is None or invoice.updated_at > link.crm_updated_at + send.ECHO)
    verdict = judge(invoice, settings, known, reached=has_reached(settings, invoice, [(each.stage_id, each.at) for each in passed]))
    if isinstance(verdict, Problem):
        return _Ended(one, held=verdict)
    if verdict == "go" and link is None and one.crm_id in memory.doubtful:
        return _Ended(one, held=Problem("follow.doubtful"))
    return None if verdict == "go" else _Ended(one, over=held is not None)


def looks(invoice: Invoice) -> str:
    """A hash of everything that could make a document go: its content, and its stage."""
    return hashlib.sha256(f"{invoice_fingerprint(invoice)} {invoice.stage_id}".encode()).hexdigest()


def _memory(flight: Flight, kind: Kind, works: Sequence[Work]) -> _Memory:
    portal_id, organisation_id = works[0].job.portal_id, flight.books.organisation_id
    ids = [one.crm_id for one in works]
    held: dict[int, Followed] = {}
    doubtful: set[int] = set()
    ended: set[int] = set()
    with flight.services.db.reading() as session:
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            mine = (Followed.portal_id == portal_id, Followed.organisation_id == organisation_id, Followed.crm_kind == kind.name)
            held |= {row.crm_id: row for row in session.scalars(select(Followed).where(*mine, Followed.crm_id.in_(part)))}
            subjects = {kind.subject(crm_id): crm_id for crm_id in part}
            open_pairs = (Doubt.portal_id == portal_id, Doubt.organisation_id == organisation_id, Doubt.decided.is_(None))
            doubtful |= {subjects[one] for one in session.scalars(select(Doubt.crm_subject).where(*open_pairs, Doubt.crm_subject.in_(subjects)))}
            past = (Link.portal_id == portal_id, Link.organisation_id == organisation_id, Link.crm_kind == kind.name, Link.ended_at.is_not(None))
            ended |= set(session.scalars(select(Link.crm_id).where(*past, Link.crm_id.in_(part))))
    return _Memory(held, doubtful, ended)


def _left(flight: Flight, works: Sequence[Work]) -> list[Work]:
    """Those that were not recorded before something went wrong."""
    with flight.services.db.reading() as session:
        running = set(session.scalars(select(Job.id).where(Job.id.in_([one.job.id for one in works]), Job.state == "running")))
    return [one for one in works if one.job.id in running]


def _record(flight: Flight, ended: Iterable[_Ended]) -> None:
    every = list(ended)
    if not every:
        return
    services, now = flight.services, flight.services.now()
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        recorder = Recorder(services, tx, now)
        end_jobs(recorder, [(one.work.job, one.again) for one in every if one.again is not None], services.config.pace)
        jobs.finish(tx, [one.work.job.id for one in every if one.again is None], now)
        for one in every:
            if one.held is not None:
                _hold(tx, one.work, "waiting", one.held, now)
            elif one.over:
                _release(tx, one.work)
            if one.work.link is not None and one.again is None:
                _seen(recorder, one, tx.get_one(Link, one.work.link.id))
        recorder.finish()


def _seen(recorder: Recorder, ended: _Ended, link: Link) -> None:
    """A linked document was looked at and stays as it is in Xero: what is known of its other side is written down."""
    if ended.gone:
        if link.crm_gone_at is None and link.xero_status not in GONE:
            link.crm_gone_at = recorder.now
            recorder.say(ended.work.job, "activity.deleted_in_crm", xero_id=link.xero_id, number=link.number)
        return
    link.crm_gone_at = None
    invoice = ended.work.invoice
    if invoice is not None and ended.held is None and link.crm_seen in ("", invoice_fingerprint(invoice)) and link.crm_stage in ("", invoice.stage_id):
        see_crm(link, invoice, ended.work.link)


def _hold(tx: Transaction, one: Work, state: str, problem: Problem, now: object) -> None:
    """Remember why it does not go, so that it is tried again only when it or the settings change."""
    invoice = one.settled
    _release(tx, one)
    tx.add(
        Followed(
            portal_id=one.job.portal_id,
            organisation_id=one.ready.organisation.id,
            crm_kind=one.kind.name,
            crm_id=one.crm_id,
            number=invoice.number[:255],
            seen=looks(invoice),
            settings_number=one.ready.settings_number,
            state=state,
            problem_code=problem.code,
            problem_params=problem.params,
            at=now,
        )
    )


def _release(tx: Transaction, one: Work) -> None:
    mine = (Followed.portal_id == one.job.portal_id, Followed.organisation_id == one.ready.organisation.id)
    tx.execute(delete(Followed).where(*mine, Followed.crm_kind == one.kind.name, Followed.crm_id == one.crm_id).execution_options(synchronize_session=False))


def _hold_refused(flight: Flight, works: Sequence[Work]) -> None:
    """What was refused for good is not tried again before it changes; the invoice itself says why, for nobody presses a button here."""
    services, now = flight.services, flight.services.now()
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        recorder = Recorder(services, tx, now)
        ids = [one.job.id for one in works]
        ended = {job.id: job for job in tx.scalars(select(Job).where(Job.id.in_(ids), Job.state == "done", Job.problem_code.is_not(None)))}
        for one in works:
            job = ended.get(one.job.id)
            if job is not None and job.problem_code and one.invoice is not None:
                problem = Problem(job.problem_code, **(job.problem_params or {}))
                _hold(tx, one, "problem", problem, now)
                order_problem_note(recorder, one.job, one.kind, one.crm_id, problem)
        recorder.finish()
