"""The automation rule "Create / Edit on Xero": its call is believed, kept and answered at once; its end is told to the rule (B§10).

Problems made here: robot.wrong_document (the rule stands on something that is neither invoice nor quote).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from plugin import jobs, sentences
from plugin.bitrix24 import launch, robots
from plugin.db import Transaction
from plugin.domain.problems import Problem
from plugin.kinds import KINDS
from plugin.models import Job, Link, Organisation, Portal, RobotCall
from plugin.portals import current_settings, ensure_row, live_connection, sender
from plugin.services import Services
from plugin.talking import service_rest
from plugin.xero.documents import deep_link


def receive(services: Services, form: Iterable[tuple[str, str]]) -> bool:
    """Take a call of a rule: one row, one order. False: it is malformed, forged, or from nobody we know; nothing was done, and it was counted.

    Bitrix24 may deliver it twice: the same event token is the same call.
    """
    why = _refusal(services, form)
    services.counts.add(f"robots:{why or 'taken'}")
    return not why


def _refusal(services: Services, form: Iterable[tuple[str, str]]) -> str:
    """Why the call was not taken, in one word for the figures; nothing when it was."""
    try:
        call = robots.parse_robot_call(form)
    except Problem:
        return "malformed"
    with services.db.reading() as session:
        portal = sender(session, call.member_id)
    if isinstance(portal, str):
        return portal
    if not launch.same_secret(call.application_token, portal.application_token or "") or call.code != robots.ROBOT:
        return "forged"
    with services.db.transaction() as tx:
        _keep(tx, services, portal.id, call)
    return ""


def _keep(tx: Transaction, services: Services, portal_id: int, call: robots.RobotCall) -> None:
    now, token_hash = services.now(), sha256(call.event_token.encode()).hexdigest()
    key = {"portal_id": portal_id, "token_hash": token_hash}
    waiting = {"event_token": call.event_token, "state": "waiting"} if call.waits else {"state": "answered", "answered_at": now}
    if not ensure_row(tx, RobotCall, **key, crm_kind=call.kind, crm_id=call.document_id, received_at=now, **waiting):
        return
    row = tx.scalars(select(RobotCall).filter_by(**key)).one()
    try:
        row.job_id = _order(tx, portal_id, call, services)
    except Problem as problem:
        row.problem_code, row.problem_params = problem.code, problem.params
        if call.waits:
            row.state = "ended"
            jobs.order_answer(tx, portal_id, row.id, now)


def _order(tx: Transaction, portal_id: int, call: robots.RobotCall, services: Services) -> int:
    """The service administrator acts, as an administrator's rule says: older documents go as well, as they do when a person presses the button.

    A connection that has to be healed keeps the order, one that is not there refuses it.
    """
    connection = live_connection(tx, portal_id)
    if call.kind not in KINDS:
        raise Problem("robot.wrong_document")
    if connection is None:
        raise Problem("portal.not_connected")
    if current_settings(tx, portal_id, connection.organisation_id) is None:
        raise Problem("portal.not_set_up")
    bell = jobs.organisation_bell(connection.organisation_id)
    order = jobs.Order(
        portal_id, jobs.SEND, KINDS[call.kind].subject(call.document_id), bell, connection.organisation_id, jobs.EVENTS, payload={"rule": True}, cause=jobs.RULE
    )
    tx.ring(bell)
    return jobs.order(tx, order, services.now())


def answer(services: Services, portal_id: int, call_id: int) -> None:
    """Tell the rule number, status and link, or the problem. Safe to repeat: a rule takes one answer, and what is answered is not asked again."""
    with services.db.reading() as session:
        call = session.scalar(select(RobotCall).where(RobotCall.id == call_id, RobotCall.portal_id == portal_id))
        if call is None or call.state != "ended" or call.event_token is None:
            return
        portal = session.get_one(Portal, portal_id)
        values, log = _result(session, call, portal.lang)
    robots.answer(service_rest(services, portal_id, "people"), call.event_token, values, log)
    with services.db.transaction() as tx:
        done = {"state": "answered", "answered_at": services.now(), "event_token": None}
        tx.execute(update(RobotCall).where(RobotCall.id == call_id).values(**done).execution_options(synchronize_session=False))


def _result(session: Session, call: RobotCall, lang: str) -> tuple[dict[str, str], str]:
    """Return values and a line for the rule's log, in the portal's language. What Xero holds is told beside a problem as well."""
    job = session.get(Job, call.job_id) if call.job_id is not None else None
    code, params = (job.problem_code, job.problem_params) if job is not None else (call.problem_code, call.problem_params)
    problem = sentences.sentence(code, params or {}, lang) if code else ""
    values = {"number": "", "status": "", "link": "", "problem": problem}
    link = session.scalar(
        select(Link)
        .where(Link.portal_id == call.portal_id, Link.crm_kind == call.crm_kind, Link.crm_id == call.crm_id, Link.ended_at.is_(None))
        .order_by(Link.id.desc())
        .limit(1)
    )
    if link is not None:
        organisation = session.get_one(Organisation, link.organisation_id)
        values |= {
            "number": link.number,
            "status": sentences.sentence(f"status.{link.xero_word}", {}, lang),
            "link": deep_link(organisation.short_code, link.xero_kind, link.xero_id),
        }
    return values, problem or sentences.sentence("robot.in_xero", {"number": values["number"], "status": values["status"]}, lang)


def waiting_jobs(session: Session, job_ids: Iterable[int]) -> set[int]:
    """Of these jobs those that an automation rule waits for: cancelling a batch does not end them."""
    query = select(RobotCall.job_id).where(RobotCall.job_id.in_(list(job_ids)), RobotCall.state == "waiting")
    return {number for number in session.scalars(query) if number is not None}
