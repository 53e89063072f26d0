"""`flask sweep`: finds what no bell announced, looks after connections, erases what has had its time. Safe to run twice."""

from __future__ import annotations

import logging
import signal
import threading
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from plugin import durations, leases
from plugin.domain.problems import Problem
from plugin.limits import process_name
from plugin.models import Activity, Call, Callback, Connection, Consent, Job, Portal
from plugin.services import Services
from plugin.usecases import connect_xero, portal_events
from plugin.wire import NoAnswer

log = logging.getLogger("plugin.sweep")

LEASE = "sweep"
DAILY = timedelta(days=1)
CHECK_CONNECTIONS = timedelta(hours=24)


def run(services: Services, once: bool) -> None:
    """Sweep every five seconds until a signal says stop; only the holder of the lease does anything."""
    done = threading.Event()
    if not once and threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: done.set())
    owner, last_daily = process_name(), None
    while not done.is_set():
        try:
            last_daily = _turn(services, owner, last_daily, once)
        except Exception:
            log.exception("a sweep broke off; the next one comes in a moment")
        if once:
            return
        done.wait(durations.SWEEP_EVERY / services.config.pace)


def _turn(services: Services, owner: str, last_daily: datetime | None, once: bool) -> datetime | None:
    fence = leases.take(services.db, LEASE, owner, services.now(), durations.LEASE / services.config.pace)
    if fence is None:
        return last_daily
    try:
        ring_again(services)
        now = services.now()
        if once or last_daily is None or now - last_daily > DAILY:
            daily(services)
            last_daily = now
        return last_daily
    finally:
        leases.give_back(services.db, LEASE, fence)


def ring_again(services: Services) -> None:
    """Ring for every organisation and portal whose work is due, or was left running by somebody who died."""
    late = services.now() - timedelta(seconds=durations.RING_AGAIN / services.config.pace)
    with services.db.reading() as session:
        due = session.scalars(select(Job.bell).where(Job.state == "waiting", Job.run_at <= late).distinct()).all()
        running = session.scalars(select(Job.bell).where(Job.state == "running").distinct()).all()
    for bell in {*due, *running}:
        services.bells.ring(bell)


def daily(services: Services) -> None:
    """Connections that were ended inside Xero, portals whose time is over, rows that have had theirs (RULES 2, 36)."""
    now = services.now()
    with services.db.reading() as session:
        portals = session.scalars(select(Connection.portal_id).where(Connection.ended_at.is_(None), Connection.problem.is_(None))).all()
        over = session.scalars(select(Portal.id).where(Portal.erase_at.is_not(None), Portal.erase_at <= now)).all()
    for portal_id in portals:
        try:
            connect_xero.check_connections(services, portal_id)
        except (Problem, NoAnswer) as error:
            log.info("connection of portal %d could not be checked: %s", portal_id, error)
    for portal_id in over:
        portal_events.erase(services, portal_id)
    with services.db.transaction() as tx:
        tx.execute(delete(Callback).where(Callback.received_at < now - timedelta(seconds=durations.KEEP_CALLBACKS)))
        tx.execute(delete(Call).where(Call.answered_at.is_not(None), Call.sent_at < now - timedelta(seconds=durations.KEEP_CALLS)))
        tx.execute(delete(Activity).where(Activity.at < now - timedelta(seconds=durations.KEEP_ACTIVITY)))
        tx.execute(delete(Job).where(Job.state == "done", Job.finished_at < now - timedelta(seconds=durations.KEEP_JOBS)))
        tx.execute(delete(Consent).where(Consent.created_at < now - DAILY))
