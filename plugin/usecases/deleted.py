"""What was deleted in Bitrix24 and is still in Xero: an administrator decides what becomes of it there (RULES 21).

Problem: deleted.decided (another administrator was faster). Activity: activity.kept_in_xero (number).
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from plugin import activity, durations, jobs
from plugin.domain.crm import Visitor
from plugin.domain.problems import Problem
from plugin.kinds import KINDS, QUOTE
from plugin.models import Job, Link, Organisation
from plugin.portals import current_settings, live_connection
from plugin.services import Services
from plugin.usecases import NotAllowed, NotHere, watch
from plugin.usecases.shown import DeletedDocument, Told
from plugin.xero.documents import deep_link

_NEVER_APPROVED = ("DRAFT", "SUBMITTED")
_VOIDABLE = ("authorised", "sent", "overdue")


def listed(services: Services, visitor: Visitor) -> tuple[DeletedDocument, ...]:
    """All that wait for a decision, the oldest first."""
    _must_be_admin(visitor)
    with services.db.reading() as session:
        live = live_connection(session, visitor.portal_id)
        if live is None:
            return ()
        organisation = session.get_one(Organisation, live.organisation_id)
        settings = current_settings(session, visitor.portal_id, live.organisation_id)
        links = list(session.scalars(_open(visitor.portal_id, live.organisation_id).order_by(Link.crm_gone_at)))
        found = _jobs(session, visitor.portal_id, links)
    by_itself = settings is not None and settings[1].when_deleted == "delete"
    return tuple(_shown(link, organisation, found.get(KINDS[link.crm_kind].subject(link.crm_id)), by_itself) for link in links)


def count(session: Session, portal_id: int, organisation_id: int) -> int:
    """How many wait for a decision."""
    return session.scalar(select(func.count()).select_from(_open(portal_id, organisation_id).subquery())) or 0


def decide(services: Services, visitor: Visitor, link_id: int, keep: bool) -> None:
    """Keep it in Xero, or have it deleted (voided) there as well; both sides are asked again before that."""
    _must_be_admin(visitor)
    now = services.now()
    with services.db.transaction() as tx:
        link = tx.scalar(select(Link).where(Link.id == link_id, Link.portal_id == visitor.portal_id).with_for_update())
        if link is None:
            raise NotHere
        if link.ended_at is not None or link.crm_gone_at is None:
            raise Problem("deleted.decided", number=link.number)
        if not keep:
            watch.order_removal(services, tx, link, visitor.user_id)
            return
        link.ended_at, link.ended_reason = now, "kept_in_xero"
        subject = KINDS[link.crm_kind].subject(link.crm_id)
        activity.record(
            tx,
            visitor.portal_id,
            "activity.kept_in_xero",
            now,
            organisation_id=link.organisation_id,
            subject=subject,
            user_id=visitor.user_id,
            user_name=visitor.name,
            xero_id=link.xero_id,
            number=link.number,
        )


def _must_be_admin(visitor: Visitor) -> None:
    if not visitor.admin:
        raise NotAllowed


def _open(portal_id: int, organisation_id: int) -> Select[Link]:
    mine = (Link.portal_id == portal_id, Link.organisation_id == organisation_id, Link.crm_kind.in_(KINDS), Link.ended_at.is_(None))
    return select(Link).where(*mine, Link.crm_gone_at.is_not(None))


def _jobs(session: Session, portal_id: int, links: list[Link]) -> dict[str, Job]:
    """The newest removal of each, for its progress or its problem."""
    subjects = [KINDS[link.crm_kind].subject(link.crm_id) for link in links]
    found = session.scalars(select(Job).where(Job.portal_id == portal_id, Job.kind == jobs.REMOVE, Job.subject.in_(subjects)).order_by(Job.id))
    return {job.subject: job for job in found}


def _shown(link: Link, organisation: Organisation, job: Job | None, by_itself: bool) -> DeletedDocument:
    assert link.crm_gone_at is not None
    never_approved = link.xero_status in _NEVER_APPROVED
    way = "delete" if never_approved or link.crm_kind == QUOTE.name else "void" if link.xero_word in _VOIDABLE else ""
    later = link.crm_gone_at + timedelta(seconds=durations.REMOVE_AFTER) if by_itself and never_approved else None
    problem = Told(job.problem_code, job.problem_params or {}) if job is not None and job.problem_code else None
    return DeletedDocument(
        link.id,
        link.number,
        link.total,
        link.currency,
        link.xero_word,
        link.crm_gone_at,
        later,
        way,
        deep_link(organisation.short_code, link.xero_kind, link.xero_id),
        job is not None and job.state != "done",
        problem,
    )
