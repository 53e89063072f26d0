"""What ended by itself: Xero's consent, the service administrator's access, the portal's plan. Noticed, told once, looked at again (RULES 6).

Work is kept meanwhile, and goes on by itself when the trouble is over. Sentences: trouble.xero (cause), trouble.bitrix24 (cause).
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import Session

from plugin import durations, jobs, sentences
from plugin.bitrix24 import people
from plugin.bitrix24.errors import STOPPING
from plugin.db import Transaction
from plugin.domain.problems import RECONNECT, Problem
from plugin.models import Bitrix24Login, Connection, Job, Portal
from plugin.services import Services
from plugin.talking import books_of, portal_rest
from plugin.wire import NoAnswer
from plugin.xero import ledgers

log = logging.getLogger("plugin.troubles")

XERO, BITRIX24 = "xero", "bitrix24"
#: A disconnection may be taken back inside Xero; every other trouble of a consent needs a new one.
_MAY_HEAL = ("xero.disconnected",)


def look(services: Services) -> None:
    """Order a word to the administrators about each new trouble, and ask those that may be over by now."""
    now = services.now()
    with services.db.transaction() as tx:
        for portal_id in tx.scalars(_new_at_xero()).all():
            _order(tx, services, portal_id, XERO, now)
        for portal_id in tx.scalars(_new_at_bitrix24()).all():
            _order(tx, services, portal_id, BITRIX24, now)
        begun = (Connection.told_problem.is_(None), Connection.problem.is_not(None))
        tx.execute(update(Connection).where(*begun).values(told_problem=Connection.problem).execution_options(synchronize_session=False))
        over = (Connection.told_problem.is_not(None), Connection.problem.is_(None))
        tx.execute(update(Connection).where(*over).values(told_problem=None).execution_options(synchronize_session=False))
        begun = (Portal.told_problem.is_(None), Portal.service_problem.is_not(None))
        tx.execute(update(Portal).where(*begun).values(told_problem=Portal.service_problem).execution_options(synchronize_session=False))
        over = (Portal.told_problem.is_not(None), Portal.service_problem.is_(None))
        tx.execute(update(Portal).where(*over).values(told_problem=None, looked_at=None).execution_options(synchronize_session=False))
    for portal_id in _to_ask(services, now):
        _ask_again(services, portal_id)


def _new_at_xero() -> Select[int]:
    return (
        select(Connection.portal_id)
        .join(Portal, (Portal.id == Connection.portal_id) & Portal.uninstalled_at.is_(None))
        .where(Connection.ended_at.is_(None), Connection.problem.is_not(None), Connection.told_problem.is_(None))
    )


def _new_at_bitrix24() -> Select[int]:
    return select(Portal.id).where(Portal.uninstalled_at.is_(None), Portal.service_problem.is_not(None), Portal.told_problem.is_(None))


def _order(tx: Transaction, services: Services, portal_id: int, which: str, now: datetime) -> None:
    bell = jobs.portal_bell(portal_id)
    jobs.order(tx, jobs.Order(portal_id, jobs.TROUBLE, f"trouble:{which}", bell), now)
    tx.after_commit(lambda: services.bells.ring(bell))


def tell(services: Services, portal_id: int, which: str) -> None:
    """Say it to every administrator we know, in Bitrix24's own notifications; what is over by now is not told."""
    with services.db.reading() as session:
        portal = session.get_one(Portal, portal_id)
        cause = _cause(session, portal, which)
        known = (Bitrix24Login.portal_id == portal_id, Bitrix24Login.admin)
        admins = list(session.scalars(select(Bitrix24Login).where(*known).order_by(Bitrix24Login.user_id)))
    if not cause:
        return
    if portal.service_problem in STOPPING:
        raise Problem(portal.service_problem, RECONNECT)  # it lets nobody speak
    speaker = next((one for one in admins if not one.problem), None)
    if speaker is None:
        raise Problem("portal.no_service_admin", RECONNECT)
    rest = portal_rest(services, portal_id, speaker.user_id, "bulk")
    message = sentences.sentence(f"trouble.{which}", {"cause": cause}, portal.lang)
    for admin in admins:
        people.notify(rest, admin.user_id, message, f"tallybridge-trouble-{which}")


def _cause(session: Session, portal: Portal, which: str) -> str | None:
    if which == BITRIX24:
        return portal.service_problem
    return session.scalar(select(Connection.problem).where(Connection.portal_id == portal.id, Connection.ended_at.is_(None)))


def _to_ask(services: Services, now: datetime) -> list[int]:
    """Portals that stopped us, or whose organisation was disconnected in Xero, and that were not asked for a while."""
    ago = now - timedelta(seconds=durations.STOPPED_AGAIN / services.config.pace)
    may_heal = select(Connection.portal_id).where(Connection.ended_at.is_(None), Connection.problem.in_(_MAY_HEAL))
    with services.db.transaction() as tx:
        found = list(
            tx.scalars(
                select(Portal.id).where(
                    Portal.uninstalled_at.is_(None),
                    or_(Portal.service_problem.in_(STOPPING), Portal.id.in_(may_heal)),
                    or_(Portal.looked_at.is_(None), Portal.looked_at < ago),
                )
            )
        )
        tx.execute(update(Portal).where(Portal.id.in_(found)).values(looked_at=now).execution_options(synchronize_session=False))
    return found


def _ask_again(services: Services, portal_id: int) -> None:
    """One harmless question to whoever refused; its answer ends the trouble."""
    with services.db.reading() as session:
        portal = session.get_one(Portal, portal_id)
        connection = session.scalar(select(Connection).where(Connection.portal_id == portal_id, Connection.ended_at.is_(None)))
    try:
        if portal.service_problem in STOPPING and portal.service_user_id is not None:
            portal_rest(services, portal_id, portal.service_user_id, "people").call("profile")
            _over(services, portal_id, BITRIX24)
        if connection is not None and connection.problem in _MAY_HEAL:
            ledgers.organisation(books_of(services, connection, "people"))
            _over(services, portal_id, XERO)
    except (Problem, NoAnswer) as error:
        log.info("the trouble of portal %d lasts: %s", portal_id, error)


def _over(services: Services, portal_id: int, which: str) -> None:
    """It works again: what waited goes on now."""
    now = services.now()
    with services.db.transaction() as tx:
        if which == BITRIX24:
            tx.execute(update(Portal).where(Portal.id == portal_id).values(service_problem=None))
        else:
            live = (Connection.portal_id == portal_id, Connection.ended_at.is_(None), Connection.problem.in_(_MAY_HEAL))
            tx.execute(update(Connection).where(*live).values(problem=None, problem_at=None).execution_options(synchronize_session=False))
        jobs.hurry(tx, portal_id, now)
        for bell in tx.scalars(select(Job.bell).where(Job.portal_id == portal_id, Job.state == "waiting").distinct()).all():
            tx.after_commit(lambda bell=bell: services.bells.ring(bell))  # type: ignore[misc]
