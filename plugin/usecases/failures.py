"""What did not arrive, by the cause that stops it: found in the orders, so that clicks and automatic work count alike.

A document counts while its newest order ended with a problem and it was not settled since; what should go by itself counts while that is
remembered (`Followed`), and no person has tried it since. Administrators see all, others what they ordered themselves (RULES 25).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import ColumnElement, String, and_, cast, exists, or_, select, true
from sqlalchemy.orm import Session, aliased

from plugin import jobs
from plugin.domain.causes import cause
from plugin.domain.crm import Visitor
from plugin.kinds import crm_id_of, kind_of
from plugin.models import Followed, Job, Link
from plugin.services import Services
from plugin.usecases import NotHere, send_to_xero
from plugin.usecases.shown import FailedDocument, Failure, Told

PERIOD = timedelta(days=30)
#: So many failed orders are looked at; beyond them the newest count.
LOOKED_AT = 5000
LISTED = 200
_KINDS = (jobs.SEND, jobs.PULL)


def failures(services: Services, session: Session, visitor: Visitor) -> tuple[Failure, ...]:
    """The causes, most documents first."""
    found: dict[tuple[str, ...], Failure] = {}
    for job in _failed(services, session, visitor):
        key, at = cause(job.problem_code or "", job.problem_params), job.finished_at or job.created_at
        held = found.get(key) or Failure(job.id, Told(job.problem_code or "", job.problem_params or {}), 0, at)
        found[key] = replace(held, count=held.count + 1, since=min(held.since, at))
    return tuple(sorted(found.values(), key=lambda one: -one.count))


def documents(services: Services, visitor: Visitor, failure_id: int) -> tuple[Failure, tuple[FailedDocument, ...]]:
    """One cause with the documents that it stops. Named by any of its orders; gone once nothing is stopped by it any more."""
    with services.db.reading() as session:
        same = _same(services, session, visitor, failure_id)
        numbers = _numbers(session, visitor.portal_id, same[:LISTED])
    first = same[0]
    failure = Failure(failure_id, Told(first.problem_code or "", first.problem_params or {}), len(same), min(one.finished_at or one.created_at for one in same))
    rows = []
    for job in same[:LISTED]:
        crm_id = crm_id_of(job.subject)
        told = Told(job.problem_code or "", job.problem_params or {})
        rows.append(FailedDocument(crm_id, numbers.get(job.subject, ""), job.finished_at or job.created_at, told, kind_of(job.subject).crm.card(crm_id)))
    return failure, tuple(rows)


def send_again(services: Services, visitor: Visitor, failure_id: int) -> int:
    """A batch of everything that this cause stopped, prepared as this visitor; nothing goes before it is confirmed."""
    with services.db.reading() as session:
        same = _same(services, session, visitor, failure_id)
    pulls, named = same[0].kind == jobs.PULL, kind_of(same[0].subject)
    ids = [crm_id_of(job.subject) for job in same if (job.kind == jobs.PULL) == pulls and kind_of(job.subject) is named]
    return send_to_xero.prepare(services, visitor, named, kind="pull" if pulls else "send", ids=ids)


def _same(services: Services, session: Session, visitor: Visitor, failure_id: int) -> list[Job]:
    """Every failed order with the cause of this one, if the visitor may see this one."""
    mine = (Job.portal_id == visitor.portal_id, true() if visitor.admin else Job.acting_user == visitor.user_id)
    job = session.scalar(select(Job).where(Job.id == failure_id, *mine, Job.problem_code.is_not(None)))
    if job is None:
        raise NotHere
    key = cause(job.problem_code or "", job.problem_params)
    same = [one for one in _failed(services, session, visitor) if cause(one.problem_code or "", one.problem_params) == key]
    if not same:
        raise NotHere
    return same


def _failed(services: Services, session: Session, visitor: Visitor) -> Sequence[Job]:
    newer, look = aliased(Job), aliased(Job)
    later = exists().where(newer.portal_id == Job.portal_id, newer.subject == Job.subject, newer.id > Job.id, newer.kind.in_(_KINDS))
    looked = (look.portal_id == Job.portal_id, look.subject == Job.subject, look.id > Job.id, look.kind == jobs.FOLLOW)
    settled = _exists_of(Link, Link.ended_at.is_(None), Link.settled_at > Job.finished_at)
    remembered = _exists_of(Followed, Followed.state == "problem")
    query = select(Job).where(
        Job.portal_id == visitor.portal_id,
        Job.state == "done",
        Job.problem_code.is_not(None),
        or_(and_(Job.kind.in_(_KINDS), ~settled), and_(Job.kind == jobs.FOLLOW, remembered, ~exists().where(*looked, look.problem_code.is_not(None)))),
        Job.finished_at >= services.now() - PERIOD,
        ~later,
    )
    if not visitor.admin:
        query = query.where(Job.acting_user == visitor.user_id)
    return session.scalars(query.order_by(Job.id.desc()).limit(LOOKED_AT)).all()


def _exists_of(rows: type[Link | Followed], *where: ColumnElement[bool]) -> ColumnElement[bool]:
    """Is there such a row about the document of the job?"""
    return exists().where(rows.portal_id == Job.portal_id, Job.subject == rows.crm_kind + ":" + cast(rows.crm_id, String), *where)


def _numbers(session: Session, portal_id: int, failed: Sequence[Job]) -> dict[str, str]:
    """The numbers of those that are linked."""
    ids = [crm_id_of(job.subject) for job in failed]
    links = session.scalars(select(Link).where(Link.portal_id == portal_id, Link.crm_id.in_(ids), Link.ended_at.is_(None)))
    return {f"{link.crm_kind}:{link.crm_id}": link.number for link in links}
