"""Batches: confirm, watch, cancel, send the failed ones again. Administrators see all, others their own (RULES 25)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select, true, update
from sqlalchemy.orm import Session

from plugin import activity, jobs
from plugin.db import Transaction
from plugin.domain.causes import cause
from plugin.domain.crm import Visitor
from plugin.kinds import INVOICE, KINDS, Kind, crm_id_of
from plugin.models import Batch, BatchDocument, Job, Link, Organisation
from plugin.services import Services
from plugin.usecases import NotHere, automation
from plugin.usecases.shown import BatchDocument as ShownDocument
from plugin.usecases.shown import BatchShown, ProblemGroup, Told
from plugin.xero.documents import deep_link

#: A batch up to this size is a person's click and goes before bulk (RULES 28); its documents get a line in their history (RULES 30).
PEOPLE_MOST = 50
LISTED_MOST = 200
PAGE = 50
PAGES = 25

_OPEN = ("waiting", "running")
DONE = ("created", "updated", "unchanged")


def confirm(services: Services, visitor: Visitor, batch_id: int) -> None:
    """Now it goes: an order for every document that can go. Confirming twice orders nothing new."""
    with services.db.transaction() as tx:
        start(services, tx, visitor, own(tx, visitor, batch_id))


def start(services: Services, tx: Transaction, visitor: Visitor, batch: Batch) -> None:
    """The orders of a batch that waits for its confirmation; nothing for any other."""
    now = services.now()
    taken = tx.execute(
        update(Batch)
        .where(Batch.id == batch.id, Batch.state == "to_confirm")
        .values(state="running", confirmed_at=now)
        .execution_options(synchronize_session=False)
    )
    if taken.rowcount != 1:  # type: ignore[attr-defined]
        return
    going = list(tx.scalars(select(BatchDocument.crm_id).where(BatchDocument.batch_id == batch.id, BatchDocument.verdict.in_(("new", "update")))))
    priority = jobs.PEOPLE if len(going) <= PEOPLE_MOST else jobs.BULK
    document, kind = KINDS[batch.crm_kind], jobs.SEND if batch.kind == "send" else jobs.PULL
    bell = jobs.organisation_bell(batch.organisation_id)
    payload = {name: True for name in ("as_new", "push", "keep") if batch.selection.get(name)} or {}
    about = (bell, batch.organisation_id, priority, visitor.user_id, payload if kind == jobs.SEND else None, jobs.PERSON)
    for part in jobs.parts(going):
        orders = [jobs.Order(batch.portal_id, kind, document.subject(crm_id), *about) for crm_id in part]
        _wait_for(tx, batch.id, jobs.order_many(tx, orders, now))
    code = "activity.batch_sent" if batch.kind == "send" else "activity.batch_fetched"
    activity.record(
        tx,
        batch.portal_id,
        code,
        now,
        organisation_id=batch.organisation_id,
        user_id=visitor.user_id,
        user_name=visitor.name,
        batch_id=batch.id,
        count=len(going),
        document=batch.crm_kind,
    )
    jobs.end_batches(tx, [batch.id], now)
    tx.after_commit(lambda: services.bells.ring(bell))


def _wait_for(tx: Session, batch_id: int, numbers: dict[str, int]) -> None:
    """Each document waits for its job; by one statement."""
    held = {crm_id_of(subject): job_id for subject, job_id in numbers.items()}
    table = BatchDocument.__table__
    tx.execute(
        table.update()  # type: ignore[attr-defined]
        .where(table.c.batch_id == batch_id, table.c.crm_id.in_(list(held)))
        .values(job_id=case(held, value=table.c.crm_id), outcome="waiting")
    )


def cancel(services: Services, visitor: Visitor, batch_id: int) -> None:
    """Stop what has not been sent yet. Work that another batch also waits for goes on for that one."""
    now = services.now()
    with services.db.transaction() as tx:
        batch = own(tx, visitor, batch_id)
        if batch.state in ("preparing", "to_confirm"):
            batch.state, batch.finished_at = "cancelled", now
            return
        open_jobs = _not_sent(tx, batch)
        if not open_jobs:
            return  # ended already, or all of it is on its way
        for part in jobs.parts(open_jobs):
            tx.execute(
                update(BatchDocument)
                .where(BatchDocument.batch_id == batch_id, BatchDocument.job_id.in_(part), BatchDocument.outcome.in_(_OPEN))
                .values(outcome="cancelled", finished_at=now)
                .execution_options(synchronize_session=False)
            )
            wanted = set(tx.scalars(select(BatchDocument.job_id).where(BatchDocument.job_id.in_(part), BatchDocument.outcome.in_(_OPEN))))
            wanted |= automation.waiting_jobs(tx, part)
            jobs.finish(tx, [number for number in part if number not in wanted and open_jobs[number] == "waiting"], now)
            running = [number for number in part if number not in wanted and open_jobs[number] == "running"]
            tx.execute(update(Job).where(Job.id.in_(running)).values(stopped=True).execution_options(synchronize_session=False))
        activity.record(
            tx,
            batch.portal_id,
            "activity.batch_cancelled",
            now,
            user_id=visitor.user_id,
            user_name=visitor.name,
            batch_id=batch_id,
            count=len(open_jobs),
            document=batch.crm_kind,
        )
        jobs.end_batches(tx, [batch_id], now)


def _not_sent(tx: Transaction, batch: Batch) -> dict[int, str]:
    """Jobs of a batch that no call carries yet, with their state; none of them changes before this transaction is over.

    A worker has up to a thousand in hand before they leave (RULES 27). A quote in hand may have taken a step already, and goes on.
    """
    in_hand = and_(Job.state == "running", Job.kind == jobs.SEND, Job.subject.startswith(f"{INVOICE.name}:"))
    held = tx.execute(
        select(Job.id, Job.state)
        .join(BatchDocument, BatchDocument.job_id == Job.id)
        .where(BatchDocument.batch_id == batch.id, BatchDocument.outcome.in_(_OPEN), Job.call_id.is_(None), or_(Job.state == "waiting", in_hand))
        .order_by(Job.id)
        .with_for_update(of=Job)
    )
    return {row.id: row.state for row in held}


def own(session: Session, visitor: Visitor, batch_id: int) -> Batch:
    """The portal's batch, if this visitor may see it; anybody else's is not here."""
    batch = session.scalar(select(Batch).where(Batch.id == batch_id, Batch.portal_id == visitor.portal_id))
    if batch is None or not (visitor.admin or batch.created_by == visitor.user_id):
        raise NotHere
    return batch


def listed(services: Services, visitor: Visitor, page: int) -> tuple[tuple[BatchShown, ...], int]:
    """Batches that this visitor may see, newest first, and how many pages there are."""
    mine = and_(Batch.portal_id == visitor.portal_id, true() if visitor.admin else Batch.created_by == visitor.user_id)
    with services.db.reading() as session:
        count = session.scalar(select(func.count()).select_from(Batch).where(mine)) or 0
        found = list(session.scalars(select(Batch).where(mine).order_by(Batch.id.desc()).limit(PAGES).offset((max(1, page) - 1) * PAGES)))
        counts = _counts(session, [one.id for one in found])
    now = services.now()
    return tuple(_shown(one, counts.get(one.id, {}), now) for one in found), max(1, -(-count // PAGES))


def shown(services: Services, visitor: Visitor, batch_id: int, page: int = 1, show: str = "") -> BatchShown:
    """One batch with its documents: all of them up to two hundred, else a page of the part that is looked at."""
    now = services.now()
    with services.db.reading() as session:
        batch = own(session, visitor, batch_id)
        counts = _counts(session, [batch_id]).get(batch_id, {})
        organisation = session.get_one(Organisation, batch.organisation_id)
        listed = batch.total <= LISTED_MOST
        part = _part(batch_id, show)
        count = session.scalar(select(func.count()).select_from(BatchDocument).where(part)) or 0
        query = select(BatchDocument).where(part).order_by(BatchDocument.id)
        if not listed:
            query = query.limit(PAGE).offset((max(1, page) - 1) * PAGE)
        documents = list(session.scalars(query)) if listed or show else []
        links = _xero_of(session, batch, [one.crm_id for one in documents])
        groups = _groups(session, batch)
    paused = None
    if organisation.paused_until is not None and organisation.paused_until > now and batch.state == "running":
        paused = Told("organisation.paused", {"cause": organisation.pause_code or "", "until": organisation.paused_until.isoformat()})
    return _shown(
        batch,
        counts,
        now,
        listed=listed,
        documents=tuple(_document(KINDS[batch.crm_kind], one, links.get(one.crm_id), organisation.short_code) for one in documents),
        groups=groups,
        paused=paused,
        page=max(1, page),
        pages=max(1, -(-count // PAGE)) if not listed else 1,
        show=show,
    )


def _part(batch_id: int, show: str) -> ColumnElement[bool]:
    mine = BatchDocument.batch_id == batch_id
    if show in ("new", "update"):
        return and_(mine, BatchDocument.verdict == show)
    if show == "refused":
        return and_(mine, BatchDocument.outcome == "refused")
    if show == "problem":
        return and_(mine, BatchDocument.outcome.in_(("problem", "refused")))
    return and_(mine, BatchDocument.outcome.in_(DONE)) if show == "done" else mine


def _counts(session: Session, batch_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Per batch: documents by verdict ("v:new") and by outcome ("o:created")."""
    found: dict[int, dict[str, int]] = {}
    query = (
        select(BatchDocument.batch_id, BatchDocument.verdict, BatchDocument.outcome, func.count())
        .where(BatchDocument.batch_id.in_(list(batch_ids)))
        .group_by(BatchDocument.batch_id, BatchDocument.verdict, BatchDocument.outcome)
    )
    for batch_id, verdict, outcome, count in session.execute(query):
        counts = found.setdefault(batch_id, {})
        for key in (f"v:{verdict}", f"o:{outcome}"):
            counts[key] = counts.get(key, 0) + count
    return found


def _shown(batch: Batch, counts: dict[str, int], now: datetime, **rest: Any) -> BatchShown:
    succeeded = sum(counts.get(f"o:{one}", 0) for one in DONE)
    failed, waiting = counts.get("o:problem", 0), counts.get("o:waiting", 0) + counts.get("o:running", 0)
    per_minute, seconds_left = _speed(batch, succeeded + failed, waiting, now)
    return BatchShown(
        id=batch.id,
        number=batch.number,
        kind=batch.kind,
        document=batch.crm_kind,
        state=batch.state,
        created_by=batch.created_by_name,
        created_at=batch.created_at,
        finished_at=batch.finished_at,
        total=batch.total,
        prepared=batch.prepared,
        new=counts.get("v:new", 0),
        update=counts.get("v:update", 0),
        refused=counts.get("v:refused", 0),
        succeeded=succeeded,
        failed=failed,
        cancelled=counts.get("o:cancelled", 0),
        waiting=waiting,
        per_minute=per_minute,
        seconds_left=seconds_left,
        seconds=((batch.finished_at or now) - batch.confirmed_at).total_seconds() if batch.confirmed_at is not None else None,
        filter_words=Told(batch.problem_code, batch.problem_params or {}) if batch.problem_code else None,
        **rest,
    )


def _speed(batch: Batch, ended: int, waiting: int, now: datetime) -> tuple[float | None, int | None]:
    """Documents a minute since the confirmation, and the seconds that the rest will take at that speed."""
    if batch.confirmed_at is None or ended == 0:
        return None, None
    seconds = max(1.0, ((batch.finished_at or now) - batch.confirmed_at).total_seconds())
    rate = ended / seconds
    return round(rate * 60, 1), round(waiting / rate) if waiting else None


def _groups(session: Session, batch: Batch) -> tuple[ProblemGroup, ...]:
    """Documents by the cause that stops them, most first."""
    query = (
        select(BatchDocument.problem_code, BatchDocument.problem_params)
        .where(BatchDocument.batch_id == batch.id, BatchDocument.problem_code.is_not(None))
        .limit(5000)
    )
    found: dict[tuple[str, ...], tuple[Told, int]] = {}
    for code, params in session.execute(query):
        key = cause(code, params)
        told, count = found.get(key, (Told(code, {**(params or {}), "document": batch.crm_kind}), 0))
        found[key] = (told, count + 1)
    return tuple(ProblemGroup(told, count) for told, count in sorted(found.values(), key=lambda one: -one[1])[:50])


def _xero_of(session: Session, batch: Batch, ids: Sequence[int]) -> dict[int, Link]:
    found: dict[int, Link] = {}
    for start in range(0, len(ids), 500):
        query = select(Link).where(
            Link.portal_id == batch.portal_id,
            Link.organisation_id == batch.organisation_id,
            Link.crm_kind == batch.crm_kind,
            Link.crm_id.in_(ids[start : start + 500]),
            Link.ended_at.is_(None),
        )
        found |= {link.crm_id: link for link in session.scalars(query)}
    return found


def _document(kind: Kind, row: BatchDocument, link: Link | None, short_code: str) -> ShownDocument:
    return ShownDocument(
        id=row.id,
        crm_id=row.crm_id,
        number=row.number,
        title=row.title,
        customer=row.customer,
        amount=row.amount,
        currency=row.currency,
        verdict=row.verdict,
        outcome=row.outcome,
        notes=tuple(Told(one["code"], one.get("params", {})) for one in row.notes or ()),
        problem=Told(row.problem_code, {**(row.problem_params or {}), "document": kind.name}) if row.problem_code else None,
        xero_number=link.number if link else "",
        xero_url=deep_link(short_code, link.xero_kind, link.xero_id) if link else "",
        crm_path=kind.crm.card(row.crm_id),
    )


def totals(services: Services, batch_id: int) -> dict[str, Any]:
    """How a batch ended, for its notification."""
    with services.db.reading() as session:
        batch = session.get_one(Batch, batch_id)
        counts = _counts(session, [batch_id]).get(batch_id, {})
    shown_now = _shown(batch, counts, services.now())
    return {
        "succeeded": shown_now.succeeded,
        "total": batch.total,
        "failed": shown_now.failed + shown_now.refused,
        "number": batch.number,
        "document": batch.crm_kind,
    }
