"""`flask sweep`: finds what no bell announced, looks after connections, erases what has had its time. Safe to run twice."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from sqlalchemy import delete, select

from plugin import call_log, durations, heartbeat, inbox, jobs, leases, logins
from plugin.domain.problems import Problem
from plugin.limits import process_name
from plugin.models import Activity, Bitrix24Login, Call, Callback, Connection, Consent, Job, Portal, Reaction, RobotCall
from plugin.receiving import overdue, rhythm
from plugin.services import Services
from plugin.usecases import connect_xero, portal_events, self_test, troubles, watch
from plugin.wire import NoAnswer

log = logging.getLogger("plugin.sweep")

LEASE, LOOK, HOUR, DAY = "sweep", "sweep:look", "sweep:hour", "sweep:day"
HOURLY, DAILY = timedelta(hours=1), timedelta(days=1)


def run(services: Services, once: bool) -> None:
    """Sweep every five seconds until a signal says stop; only the holder of the lease does anything."""
    done = threading.Event()
    if not once and threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: done.set())
    owner = process_name()
    if once:
        heartbeat.beat(services, "sweep --once", heartbeat.SWEEP)
        _try_turn(services, owner)
        return
    with heartbeat.beating(services, owner, heartbeat.SWEEP):
        while not done.is_set():
            _try_turn(services, owner)
            done.wait(durations.SWEEP_EVERY / services.config.pace)


def _try_turn(services: Services, owner: str) -> None:
    try:
        _turn(services, owner)
    except Exception:
        log.exception("a sweep broke off; the next one comes in a moment")


def _turn(services: Services, owner: str) -> None:
    fence = leases.take(services.db, LEASE, owner, services.now(), durations.LEASE / services.config.pace)
    if fence is None:
        return
    try:
        ring_again(services)
        if leases.take(services.db, LOOK, owner, services.now(), durations.LOOK_EVERY / services.config.pace) is not None:
            look(services)
        if leases.take(services.db, HOUR, owner, services.now(), HOURLY.total_seconds()) is not None:
            hourly(services)
        watch.order_due(services)
        # The day's turn is a lease too, so that neither a restart nor a cron of every minute makes it more than one a day.
        day = leases.take(services.db, DAY, owner, services.now(), DAILY.total_seconds())
        if day is None:
            return
        try:
            daily(services)
        except Exception:
            leases.give_back(services.db, DAY, day)
            raise
    finally:
        leases.give_back(services.db, LEASE, fence)


def ring_again(services: Services) -> None:
    """Ring for every organisation and portal whose work is due or was left running by somebody who died, and for messages nobody took."""
    late = services.now() - timedelta(seconds=durations.RING_AGAIN / services.config.pace)
    with services.db.reading() as session:
        due = session.scalars(select(Job.bell).where(Job.state == "waiting", Job.run_at <= late).distinct()).all()
        running = session.scalars(select(Job.bell).where(Job.state == "running").distinct()).all()
        told = inbox.bells_of_open(session, late)
    services.bells.ring_again({*due, *running, *told})


def look(services: Services) -> None:
    """What time alone brings: lists of an organisation that are due, days that turn, troubles that begin or may be over (RULES 20, 32)."""
    with services.db.reading() as session:
        due = [one for one in rhythm.organisations(session) if rhythm.due_now(services, session, one)]
    for organisation_id in due:
        services.bells.ring(jobs.organisation_bell(organisation_id))
    overdue.look(services)
    troubles.look(services)


def hourly(services: Services) -> None:
    """Keep the call log within its bounds, and forget processes that died."""
    with services.db.transaction() as tx:
        call_log.trim(tx, services.now())
        heartbeat.trim(tx, services.now())


def daily(services: Services) -> None:
    """Connections that were ended inside Xero, grants that would lapse, portals whose time is over, rows that have had theirs (RULES 2, 36)."""
    now = services.now()
    with services.db.reading() as session:
        portals = session.scalars(select(Connection.portal_id).where(Connection.ended_at.is_(None), Connection.problem.is_(None))).all()
        over = session.scalars(select(Portal.id).where(Portal.erase_at.is_not(None), Portal.erase_at <= now)).all()
    for portal_id in portals:
        _try(f"the connection of portal {portal_id} could not be checked", partial(connect_xero.check_connections, services, portal_id))
    for login_id in _dormant(services):
        _try(f"the access of login {login_id} could not be renewed", partial(logins.bitrix24_token, services, login_id))
    connect_xero.leave_again(services)
    self_test.order_nightly(services)
    for portal_id in over:
        portal_events.erase(services, portal_id)
    with services.db.transaction() as tx:
        tx.execute(delete(Callback).where(Callback.received_at < now - timedelta(seconds=durations.KEEP_CALLBACKS)))
        tx.execute(delete(Call).where(Call.answered_at.is_not(None), Call.sent_at < now - timedelta(seconds=durations.KEEP_CALLS)))
        tx.execute(delete(Activity).where(Activity.at < now - timedelta(seconds=durations.KEEP_ACTIVITY)))
        tx.execute(delete(Job).where(Job.state == "done", Job.finished_at < now - timedelta(seconds=durations.KEEP_JOBS)))
        tx.execute(delete(Reaction).where(Reaction.hour < now - timedelta(seconds=durations.KEEP_REACTIONS)))
        tx.execute(delete(RobotCall).where(RobotCall.state == "answered", RobotCall.answered_at < now - timedelta(seconds=durations.KEEP_ROBOT_CALLS)))
        tx.execute(delete(Consent).where(Consent.created_at < now - DAILY))
    connect_xero.forget_unused(services)


def _try(sentence: str, act: Callable[[], object]) -> None:
    try:
        act()
    except (Problem, NoAnswer) as error:
        log.info("%s: %s", sentence, error)


def _dormant(services: Services) -> list[int]:
    """Service administrators whose grant Bitrix24 would end for not being renewed; never asked sooner, for it warns about timers (B§2.4)."""
    late = services.now() - timedelta(seconds=durations.BITRIX24_DORMANT)
    with services.db.reading() as session:
        serving = (Portal.id == Bitrix24Login.portal_id) & (Portal.service_user_id == Bitrix24Login.user_id) & Portal.uninstalled_at.is_(None)
        idle = select(Bitrix24Login.id).join(Portal, serving).where(Bitrix24Login.problem.is_(None), Bitrix24Login.expires_at < late)
        return list(session.scalars(idle))
