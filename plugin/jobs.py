"""The outbox: orders are rows. A worker claims them by UPDATE; Redis only carries bells.

At most one waiting job per portal, kind and subject, and at most one running job per subject, held by partial unique indexes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Integer, and_, bindparam, case, exists, false, func, literal_column, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from plugin import durations
from plugin.db import Transaction
from plugin.domain.problems import Problem
from plugin.models import Batch, BatchDocument, Job, RobotCall

PEOPLE, EVENTS, BULK = 0, 1, 2
CHUNK = 500
_Id = TypeVar("_Id", int, str)

SEND, PULL, INVOICED, WRITE_BACK, PREPARE, FIRST_RUN, NOTIFY = "send", "pull", "invoiced", "write_back", "prepare", "first_run", "notify"
BRING, TROUBLE, ANSWER = "bring", "trouble", "answer"
#: Look at a document that an event named, and send it if it must go by itself.
FOLLOW = "follow"
#: A customer changed: the contact that we made of it follows.
CUSTOMER = "customer"
#: Delete in Xero what was deleted in the CRM; look for what no event announced; the night's check; bind handlers that vanished.
REMOVE, CRM_SWEEP, CRM_CHECK, BIND = "remove", "crm_sweep", "crm_check", "bind"


SELF_TEST = "self_test"
#: Who or what caused an order: a person's click, an event of Bitrix24, an automation rule, a message from Xero, or a sweep that found what none announced.
PERSON, AUTOMATIC, RULE, XERO, SWEEP = "person", "automatic", "rule", "xero", "sweep"


def organisation_bell(organisation_id: int) -> str:
    return f"organisation:{organisation_id}"


def portal_bell(portal_id: int) -> str:
    return f"portal:{portal_id}"


@dataclass(frozen=True)
class Order:
    """One piece of work to be done for a subject such as "invoice:12"."""

    portal_id: int
    kind: str
    subject: str
    bell: str
    organisation_id: int | None = None
    priority: int = PEOPLE
    acting_user: int | None = None
    payload: dict[str, Any] | None = None
    cause: str = ""
    #: When the change happened that this order carries; the time of the order where it is not known.
    caused_at: datetime | None = None


def order(tx: Transaction, one: Order, now: datetime) -> int:
    """Order one piece of work; a waiting order of the same kind and subject is brought forward instead. Returns its id."""
    return order_many(tx, [one], now)[one.subject]


def order_many(tx: Transaction, orders: Sequence[Order], now: datetime, run_at: datetime | None = None) -> dict[str, int]:
    """Order many, of one portal and kind, in statements of five hundred, to be done at `run_at` (or now). Returns subject → job id."""
    ids: dict[str, int] = {}
    for start in range(0, len(orders), CHUNK):
        rows = [
            {
                "portal_id": one.portal_id,
                "organisation_id": one.organisation_id,
                "bell": one.bell,
                "kind": one.kind,
                "subject": one.subject,
                "priority": one.priority,
                "state": "waiting",
                "acting_user": one.acting_user,
                "payload": one.payload,
                "run_at": run_at or now,
                "attempts": 0,
                "created_at": now,
                "cause": one.cause,
                "caused_at": one.caused_at or now,
            }
            for one in orders[start : start + CHUNK]
        ]
        ids.update({subject: number for number, subject in tx.execute(_upsert(tx.get_bind().dialect.name), rows)})
    return ids


@cache
def _upsert(dialect_name: str) -> Any:
    dialect = sqlite if dialect_name == "sqlite" else postgresql
    # On the table, not on the entity, and with the rows as parameters: one compiled statement serves every number of rows.
    insert = dialect.insert(Job.__table__)
    new = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=["portal_id", "kind", "subject"],
        # Written out, not bound: a prepared statement that PostgreSQL plans once for all values would not know its index.
        index_where=text("state = 'waiting'"),
        set_={
            "run_at": case((Job.run_at < new.run_at, Job.run_at), else_=new.run_at),
            "priority": case((Job.priority < new.priority, Job.priority), else_=new.priority),
            "acting_user": new.acting_user,
            "payload": func.coalesce(new.payload, Job.payload),
            "attempts": literal_column("0"),
            "stopped": false(),
            "cause": case((new.priority <= Job.priority, new.cause), else_=Job.cause),
            "caused_at": case((Job.caused_at < new.caused_at, Job.caused_at), else_=new.caused_at),
        },
    ).returning(Job.id, Job.subject)


def claim(
    tx: Transaction, bell: str, kinds: Sequence[str], now: datetime, fence: int, most: int, priority: int = BULK, *, together: int = 1, after_portal: int = 0
) -> list[Job]:
    """Take up to `most` due jobs of this bell, people's first, one per subject, none whose subject is being worked on.

    Portals take turns, `together` jobs each, beginning with the one after `after_portal`.
    """
    wanted = {"bell": bell, "kinds": kinds, "now": now, "priority": priority, "together": together, "after_portal": after_portal, "most": most}
    ids = list(tx.scalars(_claimable(), wanted))
    claimed: dict[int, Job] = {}
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        taken = tx.scalars(
            update(Job)
            .where(Job.id.in_(part), Job.state == "waiting")
            .values(state="running", fence=fence, attempts=Job.attempts + 1)
            .returning(Job)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
        claimed |= {job.id: job for job in taken}
    return [claimed[number] for number in ids if number in claimed]


@cache
def _claimable() -> Any:
    """Ids in the order in which they are taken. Built once: to build it takes longer than to run it."""
    running = aliased(Job)
    busy = exists().where(and_(running.portal_id == Job.portal_id, running.subject == Job.subject, running.state == "running"))
    place = func.row_number().over(partition_by=(Job.portal_id, Job.subject), order_by=(Job.priority, Job.id)).label("place")
    due = select(Job.id, Job.priority, Job.portal_id, place).where(*_due(), Job.priority <= bindparam("priority"), ~busy).subquery()
    turn = func.row_number().over(partition_by=(due.c.portal_id, due.c.priority), order_by=due.c.id).label("turn")
    ranked = select(due, turn).where(due.c.place == 1).subquery()
    # Whole turns by division of whole numbers, which both databases cut off. Without a precedence it would come before the subtraction.
    whole = (ranked.c.turn - 1).op("/", precedence=8)(bindparam("together", type_=Integer))
    order = (ranked.c.priority, whole, ranked.c.portal_id <= bindparam("after_portal", type_=Integer), ranked.c.portal_id, ranked.c.id)
    return select(ranked.c.id).order_by(*order).limit(bindparam("most", type_=Integer))


def _due() -> tuple[Any, ...]:
    return Job.bell == bindparam("bell"), Job.state == "waiting", Job.kind.in_(bindparam("kinds", expanding=True)), Job.run_at <= bindparam("now")


@cache
def _due_kinds() -> Any:
    return select(Job.kind, func.min(Job.priority)).where(*_due()).group_by(Job.kind)


@cache
def _any_due() -> Any:
    return select(exists().where(*_due(), Job.priority <= bindparam("priority")))


def due_kinds(session: Session, bell: str, kinds: Sequence[str], now: datetime) -> dict[str, int]:
    """The kinds of work that wait for this bell and may start now, each with its most urgent priority."""
    return dict(session.execute(_due_kinds(), {"bell": bell, "kinds": kinds, "now": now}).all())


def anything_due(session: Session, bell: str, kinds: Sequence[str], now: datetime, priority: int = BULK) -> bool:
    """Does work wait for this bell that may start now?"""
    return bool(session.scalar(_any_due(), {"bell": bell, "kinds": kinds, "now": now, "priority": priority}))


def next_due(session: Session, bell: str, kinds: Sequence[str]) -> datetime | None:
    """When the next work behind this bell may start."""
    return session.scalar(select(func.min(Job.run_at)).where(Job.bell == bell, Job.state == "waiting", Job.kind.in_(kinds)))


def hurry(tx: Transaction, portal_id: int, now: datetime, organisation_id: int | None = None) -> None:
    """What hindered a portal's work, or its work for one organisation, is gone: nothing waits for its next try."""
    mine = (Job.portal_id == portal_id, Job.state == "waiting", Job.run_at > now)
    where = mine if organisation_id is None else (*mine, Job.organisation_id == organisation_id)
    tx.execute(update(Job).where(*where).values(run_at=now).execution_options(synchronize_session=False))


def finish(tx: Transaction, job_ids: Iterable[int], now: datetime, problem: Problem | None = None) -> None:
    """These jobs have ended; with a problem, or well."""
    values: dict[str, Any] = {"state": "done", "finished_at": now, "call_id": None}
    values |= {"problem_code": problem.code if problem else None, "problem_params": problem.params if problem else None}
    for part in parts(job_ids):
        tx.execute(update(Job).where(Job.id.in_(part)).values(**values).execution_options(synchronize_session=False))
        ended = (RobotCall.job_id.in_(part), RobotCall.state == "waiting")
        for call_id, portal_id in tx.execute(update(RobotCall).where(*ended).values(state="ended").returning(RobotCall.id, RobotCall.portal_id)).all():
            order_answer(tx, portal_id, call_id, now)


def order_answer(tx: Transaction, portal_id: int, call_id: int, now: datetime) -> None:
    """The automation rule behind this call waits for its answer no longer than the portal's bell takes."""
    order(tx, Order(portal_id, ANSWER, f"robot:{call_id}", portal_bell(portal_id), priority=EVENTS), now)
    tx.ring(portal_bell(portal_id))


def fail_documents(tx: Transaction, job_ids: Iterable[int], now: datetime, problem: Problem) -> None:
    """The documents of these jobs end with this problem, in every batch that waits for them; ended batches are closed."""
    touched: set[int] = set()
    for part in parts(job_ids):
        touched |= set(
            tx.scalars(
                update(BatchDocument)
                .where(BatchDocument.job_id.in_(part), BatchDocument.outcome.in_(("waiting", "running")))
                .values(outcome="problem", problem_code=problem.code, problem_params=problem.params, finished_at=now)
                .returning(BatchDocument.batch_id)
                .execution_options(synchronize_session=False)
            )
        )
    end_batches(tx, touched, now)


def wait_again(tx: Transaction, job_ids: Iterable[int], run_at: datetime, problem: Problem | None = None) -> None:
    """Put running jobs back. Where the same work was ordered again meanwhile, that order takes over what is known of the old one."""
    ids = list(job_ids)
    twin = aliased(Job)
    pairs: list[Any] = []
    for part in parts(ids):
        pairs += tx.execute(
            select(Job.id, twin.id)
            .join(twin, and_(twin.portal_id == Job.portal_id, twin.kind == Job.kind, twin.subject == Job.subject, twin.state == "waiting"))
            .where(Job.id.in_(part))
        ).all()
    for old, new in pairs:
        call, caused_at = tx.execute(select(Job.call_id, Job.caused_at).where(Job.id == old)).one()
        older = case((Job.caused_at < caused_at, Job.caused_at), else_=caused_at)
        tx.execute(update(Job).where(Job.id == new).values(call_id=call, caused_at=older))
        tx.execute(update(BatchDocument).where(BatchDocument.job_id == old).values(job_id=new))
        tx.execute(update(RobotCall).where(RobotCall.job_id == old, RobotCall.state == "waiting").values(job_id=new))
        tx.execute(update(Job).where(Job.id == old).values(state="done", call_id=None))
    merged = {old for old, _ in pairs}
    values: dict[str, Any] = {"state": "waiting", "run_at": run_at, "fence": None}
    if problem is not None:
        values |= {"problem_code": problem.code, "problem_params": problem.params}
        if problem.retry.kind in ("after", "reconnect"):
            # A wait that the partner ordered is no failed attempt: it never brings the end nearer.
            values["attempts"] = case((Job.attempts > 0, Job.attempts - 1), else_=0)
    for part in parts(number for number in ids if number not in merged):
        tx.execute(update(Job).where(Job.id.in_(part)).values(**values).execution_options(synchronize_session=False))


def put_back_orphans(tx: Transaction, bell: str, fence: int, now: datetime) -> int:
    """Jobs left running by a holder whose lease ran out wait again. Returns how many."""
    orphans = list(tx.scalars(select(Job.id).where(Job.bell == bell, Job.state == "running", Job.fence != fence)))
    if orphans:
        wait_again(tx, orphans, now)
    return len(orphans)


def next_try(problem: Problem, attempts: int, now: datetime, pace: float) -> datetime | None:
    """When this job may be tried again, or nothing when it has ended. The one retry rule of the product."""
    if problem.retry.kind == "never":
        return None
    if problem.retry.kind == "after":
        return now + timedelta(seconds=max(0.5, problem.retry.seconds / pace))
    if problem.retry.kind == "reconnect":
        return now + timedelta(seconds=60 / pace)
    if attempts > len(durations.BACK_OFF):
        return None
    return now + timedelta(seconds=durations.BACK_OFF[attempts - 1] / pace)


def end_batches(tx: Transaction, batch_ids: Iterable[int], now: datetime) -> list[int]:
    """Batches whose last document has ended are done. Returns the ones that ended now, for their notification."""
    ended = []
    for batch_id in sorted(set(batch_ids)):
        open_documents = exists().where(BatchDocument.batch_id == batch_id, BatchDocument.outcome.in_(("waiting", "running")))
        done = tx.execute(
            update(Batch)
            .where(Batch.id == batch_id, Batch.state == "running", ~open_documents)
            .values(state="done", finished_at=now)
            .execution_options(synchronize_session=False)
        )
        if done.rowcount == 1:  # type: ignore[attr-defined]
            ended.append(batch_id)
    return ended


def parts(numbers: Iterable[_Id]) -> Iterable[list[_Id]]:
    """As many as one statement takes well."""
    every = list(numbers)
    return (every[start : start + CHUNK] for start in range(0, len(every), CHUNK))
