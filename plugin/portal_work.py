"""A portal's own work, at Bitrix24's pace: write results back, prepare large batches, the first synchronisation, notifications."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Boolean, and_, bindparam, case, or_, select, update

from plugin import durations, jobs, latency, leases, sentences
from plugin.bitrix24 import documents, people
from plugin.domain.problems import LATER, Problem
from plugin.domain.settings import Settings
from plugin.domain.statuses import next_stage
from plugin.kinds import BILL, INVOICE, Kind, crm_id_of, kind_of, of_portal
from plugin.limits import process_name
from plugin.models import Batch, Bitrix24Login, Job, Link, Organisation, Portal
from plugin.portals import current_settings
from plugin.receiving import bringing
from plugin.sending.record import shown_fingerprint
from plugin.sending.send import ECHO
from plugin.services import Services
from plugin.talking import PortalRest, service_rest
from plugin.usecases import automation, batches, first_sync, self_test, send_to_xero, troubles, watch
from plugin.wire import NoAnswer
from plugin.xero.documents import deep_link

log = logging.getLogger("plugin.portal_work")

ALONE = (
    *(jobs.PREPARE, jobs.FIRST_RUN, jobs.NOTIFY, jobs.ANSWER, jobs.BRING, jobs.TROUBLE, jobs.SELF_TEST),
    *(jobs.CRM_SWEEP, jobs.CRM_CHECK, jobs.BIND),
)
KINDS = (*ALONE, jobs.WRITE_BACK)
TOGETHER = 45
#: The portal's clock and ours agree to this much.
CLOCKS_APART = timedelta(minutes=1)

#: In these states a document has just come into Xero; the stage for that is set. Any later one has a stage of its own.
BEFORE_PAYMENT = ("draft", "submitted", "authorised", "sent", "overdue")

_Plan = tuple[Job, documents.WriteBack, Link | None]


def work(services: Services, portal_id: int, should_stop: Callable[[], bool]) -> None:
    """Answer a portal's bell: ten seconds with its lease, then look once more and ring if anything waits."""
    bell, pace = jobs.portal_bell(portal_id), services.config.pace
    with services.db.reading() as session:
        running = session.scalar(select(Job.id).where(Job.bell == bell, Job.state == "running").limit(1))
        if running is None and not jobs.anything_due(session, bell, KINDS, services.now()):
            return
    fence = leases.take(services.db, bell, process_name(), services.now(), durations.LEASE / pace)
    if fence is None:
        return
    try:
        with leases.renewed(services.db, bell, fence, services.now, pace):
            with services.db.transaction() as tx:
                leases.check(tx, bell, fence)
                jobs.put_back_orphans(tx, bell, fence, services.now())
            until = time.monotonic() + durations.TURN / pace
            while time.monotonic() < until and not should_stop() and _round(services, portal_id, bell, fence):
                pass
    except leases.LeaseLost:
        return
    finally:
        leases.give_back(services.db, bell, fence)
    with services.db.reading() as session:
        more = jobs.anything_due(session, bell, KINDS, services.now())
    if more:
        services.bells.ring(bell)


def _round(services: Services, portal_id: int, bell: str, fence: int) -> bool:
    """One claim: a single piece of other work, or write-backs that fit one request."""
    with services.db.transaction() as tx:
        leases.check(tx, bell, fence)
        claimed = jobs.claim(tx, bell, ALONE, services.now(), fence, 1)
        if not claimed:
            claimed = jobs.claim(tx, bell, (jobs.WRITE_BACK,), services.now(), fence, TOGETHER)
    if not claimed:
        return False
    problems: dict[int, Problem | None] = {}
    try:
        problems = _DO[claimed[0].kind](services, portal_id, claimed)
    except Problem as problem:
        problems = {job.id: problem for job in claimed}
    except NoAnswer:
        problems = {job.id: Problem("bitrix24.no_answer", LATER) for job in claimed}
    except Exception as error:
        log.exception("%s of portal %d broke off", claimed[0].kind, portal_id)
        problems = {job.id: Problem("internal.error", LATER, cause=f"{type(error).__name__}: {error}"[:300]) for job in claimed}
    _record(services, bell, fence, claimed, problems)
    return True


def _record(services: Services, bell: str, fence: int, claimed: Sequence[Job], problems: dict[int, Problem | None]) -> None:
    now = services.now()
    with services.db.transaction() as tx:
        leases.check(tx, bell, fence)
        told = [job for job in claimed if problems.get(job.id) is None and (job.payload or {}).get("news")]
        latency.record(tx, [one for job in told for one in latency.of_job(job, latency.IN, now)], now)
        jobs.finish(tx, [job.id for job in claimed if problems.get(job.id) is None], now)
        for job in claimed:
            problem = problems.get(job.id)
            if problem is None:
                continue
            again = jobs.next_try(problem, job.attempts, now, services.config.pace)
            if again is not None:
                jobs.wait_again(tx, [job.id], again, problem)
                continue
            jobs.finish(tx, [job.id], now, problem)
            if job.kind == jobs.PREPARE:
                send_to_xero.fail_preparation(tx, int(job.subject.partition(":")[2]), problem, now)


def _prepare(services: Services, _portal_id: int, claimed: Sequence[Job]) -> dict[int, Problem | None]:
    send_to_xero.prepare_large(services, int(claimed[0].subject.partition(":")[2]))
    return {claimed[0].id: None}


def _first_run(services: Services, portal_id: int, claimed: Sequence[Job]) -> dict[int, Problem | None]:
    first_sync.run(services, portal_id)
    return {claimed[0].id: None}


def _notify(services: Services, portal_id: int, claimed: Sequence[Job]) -> dict[int, Problem | None]:
    """ "3 of 3 invoices exported", in Bitrix24's own notifications, to whoever sent the batch."""
    batch_id = int(claimed[0].subject.partition(":")[2])
    with services.db.reading() as session:
        batch = session.get_one(Batch, batch_id)
    shown = batches.totals(services, batch_id)
    code = "notify.exported" if batch.kind == "send" else "notify.fetched"
    message = sentences.sentence(code, shown, batch.lang)
    try:
        people.notify(service_rest(services, portal_id), batch.created_by, message, f"tallybridge-batch-{batch_id}")
    except Problem as problem:
        if problem.retry.kind != "never":
            raise
        # The portal does not let us notify (scope, plan): the batch page says the same.
        return {claimed[0].id: problem}
    return {claimed[0].id: None}


def _sweep(services: Services, portal_id: int, claimed: Sequence[Job]) -> dict[int, Problem | None]:
    watch.sweep(services, portal_id)
    return {claimed[0].id: None}


def _check(services: Services, portal_id: int, claimed: Sequence[Job]) -> dict[int, Problem | None]:
    watch.check(services, portal_id)
    return {claimed[0].id: None}


def _bind(services: Services, portal_id: int, claimed: Sequence[Job]) -> dict[int, Problem | None]:
    watch.bind(services, portal_id)
    return {claimed[0].id: None}


def _answer(services: Services, portal_id: int, claimed: Sequence[Job]) -> dict[int, Problem | None]:
    """How a document went, to the automation rule that waits for it."""
    automation.answer(services, portal_id, int(claimed[0].subject.partition(":")[2]))
    return {claimed[0].id: None}


def _trouble(services: Services, portal_id: int, claimed: Sequence[Job]) -> dict[int, Problem | None]:
    troubles.tell(services, portal_id, claimed[0].subject.partition(":")[2])
    return {claimed[0].id: None}


def _bring(services: Services, portal_id: int, claimed: Sequence[Job]) -> dict[int, Problem | None]:
    bringing.bring(services, portal_id)
    return {claimed[0].id: None}


def _write_back(services: Services, portal_id: int, claimed: Sequence[Job]) -> dict[int, Problem | None]:
    """Number, link, status and amounts into the CRM's own fields, and the stage that the map says; one update per document."""
    rest = service_rest(services, portal_id)
    context = _Context(services, portal_id)
    together: dict[tuple[Kind, int | None], list[Job]] = {}
    for job in claimed:
        together.setdefault((kind_of(job.subject), job.organisation_id), []).append(job)
    done: dict[int, Problem | None] = {}
    for (kind, organisation_id), some in together.items():
        if kind is not BILL:
            done |= _write_back_kind(context, rest, kind, some)
            continue
        try:
            done |= _write_back_kind(context, rest, context.bills(organisation_id), some)
        except Problem as problem:
            if problem.retry.kind != "never":
                raise
            done |= {job.id: problem for job in some}  # their smart process has gone; that stops no invoice
    return done


def _write_back_kind(context: _Context, rest: PortalRest, kind: Kind, claimed: Sequence[Job]) -> dict[int, Problem | None]:
    services, portal_id = context.services, context.portal_id
    plans: list[_Plan] = []
    done: dict[int, Problem | None] = {}
    links = _links(services, portal_id, claimed)
    wanted = [link.crm_id for job in claimed if (link := links.get(job.id)) is not None]
    current = documents.current_states(rest, kind.crm, wanted) if wanted else {}
    for job in claimed:
        link = links.get(job.id)
        plan = _of_problem(context, job) if link is None else _of_link(context, job, link, current)
        if plan is None:
            done[job.id] = None
        else:
            plans.append((job, plan, link))
    plans = _without_repeated_lines(rest, kind, plans)
    _announce_stages(services, plans)
    written = documents.write_back(rest, kind.crm, [plan for _, plan, _ in plans])
    seen: list[tuple[Link, documents.State | None]] = []
    for job, plan, link in plans:
        problem = written.problems.get(plan.crm_id)
        if problem is not None and problem.code == "bitrix24.not_found":
            problem = None
        shown = problem is None or problem.code in ("bitrix24.stage_refused", "bitrix24.field_missing")  # whatever else it said was written
        if link is not None and plan.stage_id and problem is not None:
            _stage_not_written(services, link, plan, current.get(link.crm_id))
        if link is not None and shown:
            seen.append((link, current.get(link.crm_id)))
        elif link is None:
            _forget_shown(services, portal_id, kind, plan.crm_id)
        done[job.id] = problem
    _remember(services, seen)
    _told_paid(services, [link.id for link in links.values() if link.crm_id in written.heard])
    return done


def _announce_stages(services: Services, plans: list[_Plan]) -> None:
    """A stage that we are about to write is known as ours before the CRM can report it: it orders nothing (RULES 20)."""
    moving = {link.id: plan.stage_id for _, plan, link in plans if link is not None and plan.stage_id}
    if moving:
        with services.db.transaction() as tx:
            for link in tx.scalars(select(Link).where(Link.id.in_(moving))):
                link.crm_stage = link.stage_written = moving[link.id] or ""


def _stage_not_written(services: Services, link: Link, plan: documents.WriteBack, before: documents.State | None) -> None:
    """The portal refused the stage, or nobody knows: it is where it was, as far as we know."""
    with services.db.transaction() as tx:
        held = tx.get_one(Link, link.id)
        if held.stage_written == plan.stage_id and before is not None:
            held.crm_stage, held.stage_written = before.stage_id, ""


def _told_paid(services: Services, link_ids: Sequence[int]) -> None:
    """Automation heard "Invoice paid in Xero" of these, once in a document's life."""
    if link_ids:
        with services.db.transaction() as tx:
            tx.execute(update(Link).where(Link.id.in_(link_ids)).values(paid_trigger="done").execution_options(synchronize_session=False))


def _without_repeated_lines(rest: PortalRest, kind: Kind, plans: list[_Plan]) -> list[_Plan]:
    """A request whose answer was lost may have written its lines: those that are there since the order are not written again."""
    repeated = {plan.crm_id: job.created_at - CLOCKS_APART for job, plan, _ in plans if plan.log and job.attempts > 1}
    there = people.lines_since(rest, kind.crm.type_id, repeated) if repeated else {}
    return [(job, replace(plan, log=None) if plan.log in there.get(plan.crm_id, ()) else plan, link) for job, plan, link in plans]


def _links(services: Services, portal_id: int, claimed: Sequence[Job]) -> dict[int, Link]:
    ids = {job.id: int((job.payload or {})["link"]) for job in claimed if (job.payload or {}).get("link")}
    # A bill whose place was left: its number names something else in the new one. The place was read before this.
    followed = or_(Link.crm_kind != BILL.name, Link.ended_at.is_(None))
    with services.db.reading() as session:
        found = {link.id: link for link in session.scalars(select(Link).where(Link.id.in_(set(ids.values())), Link.portal_id == portal_id, followed))}
    return {job_id: found[link_id] for job_id, link_id in ids.items() if link_id in found}


def _of_problem(context: _Context, job: Job) -> documents.WriteBack | None:
    told = (job.payload or {}).get("problem")
    if not told:
        return None
    text = sentences.sentence(told["code"], {**told["params"], "document": kind_of(job.subject).name}, context.lang)
    return documents.WriteBack(crm_id_of(job.subject), {"xero_error": text[:500], "xero_sending": "", "xero_synced": context.services.now()})


class _Context:
    """What the write-backs of one claim share: the portal's language, settings and organisation, names of people; each read once."""

    def __init__(self, services: Services, portal_id: int) -> None:
        self.services, self.portal_id = services, portal_id
        with services.db.reading() as session:
            self.lang = session.get_one(Portal, portal_id).lang
        self._known: dict[int, tuple[tuple[int, Settings] | None, Organisation]] = {}
        self._names: dict[int, str] = {}

    def of(self, organisation_id: int) -> tuple[tuple[int, Settings] | None, Organisation]:
        if organisation_id not in self._known:
            with self.services.db.reading() as session:
                settings = current_settings(session, self.portal_id, organisation_id)
                self._known[organisation_id] = (settings, session.get_one(Organisation, organisation_id))
        return self._known[organisation_id]

    def bills(self, organisation_id: int | None) -> Kind:
        """Bills as this portal keeps them now."""
        held = self.of(organisation_id)[0] if organisation_id is not None else None
        return of_portal(BILL, held[1]) if held is not None else BILL

    def name(self, user_id: int | None) -> str:
        if user_id is not None and user_id not in self._names:
            with self.services.db.reading() as session:
                query = select(Bitrix24Login.name).where(Bitrix24Login.portal_id == self.portal_id, Bitrix24Login.user_id == user_id)
                self._names[user_id] = session.scalar(query) or ""
        return "" if user_id is None else self._names[user_id]


def _of_link(context: _Context, job: Job, link: Link, states: dict[int, documents.State]) -> documents.WriteBack | None:
    payload: dict[str, Any] = job.payload or {}
    settings, organisation = context.of(link.organisation_id)
    current = states.get(link.crm_id)
    stage = None
    if current is not None and settings is not None and payload.get("stage") is not False:
        stage = next_stage(link.xero_word, current.stage_id, settings[1], was=payload.get("was") or "", kind=link.crm_kind)
        exported = payload.get("exported") and kind_of(job.subject) is INVOICE and link.xero_word in BEFORE_PAYMENT
        if exported and settings[1].stage_after_export not in ("", current.stage_id):
            stage = settings[1].stage_after_export
    log_line = payload.get("log")
    paid = link.paid_trigger == "due"
    if stage is None and log_line is None and link.written == shown_fingerprint(link) and not payload.get("anew") and not paid:
        return None
    currency = link.currency
    fields: dict[str, Any] = {
        "xero_id": link.xero_id,
        "xero_number": link.number,
        "xero_status": sentences.sentence(f"status.{link.xero_word}", {}, context.lang),
        "xero_url": deep_link(organisation.short_code, link.xero_kind, link.xero_id),
        "xero_paid": (link.amount_paid, currency) if link.amount_paid is not None and currency else None,
        "xero_due": (link.amount_due, currency) if link.amount_due is not None and currency else None,
        "xero_paid_on": link.paid_on,
        "xero_synced": context.services.now(),
        "xero_error": "",
        "xero_sending": "",
    }
    line = None
    if log_line:
        who = context.name(job.acting_user)
        said = sentences.sentence(log_line["code"], {**log_line["params"], "who": who}, context.lang)
        line = (sentences.sentence("log.title", {}, context.lang), said)
    return documents.WriteBack(link.crm_id, fields, stage, line, paid)


def _remember(services: Services, written: Sequence[tuple[Link, documents.State | None]]) -> None:
    """What we wrote is what we last saw: the CRM's report of it is no change. What a person changed since the reading still is one."""
    if not written:
        return
    now = services.now()
    rows = [
        {
            "link": link.id,
            "shown": shown_fingerprint(link),
            "ours": before is None or link.crm_updated_at is None or before.updated_at <= link.crm_updated_at + ECHO,
        }
        for link, before in written
    ]
    table: Any = Link.__table__
    later = or_(table.c.crm_updated_at.is_(None), table.c.crm_updated_at < now)
    statement = (
        update(table)
        .where(table.c.id == bindparam("link"))
        .values(
            written=bindparam("shown"),
            crm_updated_at=case((and_(bindparam("ours", type_=Boolean), later), now), else_=table.c.crm_updated_at),
        )
    )
    with services.db.transaction() as tx:
        tx.execute(statement, rows)


def _forget_shown(services: Services, portal_id: int, kind: Kind, crm_id: int) -> None:
    """The document shows a problem now; the next result is written even if it is the same as the last one."""
    mine = (Link.portal_id == portal_id, Link.crm_kind == kind.name, Link.crm_id == crm_id, Link.ended_at.is_(None))
    with services.db.transaction() as tx:
        tx.execute(update(Link).where(*mine).values(written="").execution_options(synchronize_session=False))


def _self_test(services: Services, portal_id: int, claimed: Sequence[Job]) -> dict[int, Problem | None]:
    self_test.run(services, portal_id, claimed[0].acting_user)
    return {claimed[0].id: None}


_DO: dict[str, Callable[[Services, int, Sequence[Job]], dict[int, Problem | None]]] = {
    jobs.PREPARE: _prepare,
    jobs.FIRST_RUN: _first_run,
    jobs.NOTIFY: _notify,
    jobs.BRING: _bring,
    jobs.TROUBLE: _trouble,
    jobs.ANSWER: _answer,
    jobs.SELF_TEST: _self_test,
    jobs.CRM_SWEEP: _sweep,
    jobs.CRM_CHECK: _check,
    jobs.BIND: _bind,
    jobs.WRITE_BACK: _write_back,
}
