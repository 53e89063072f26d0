"""Processes that work for everybody say that they live: one row each, touched every ten seconds from a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from plugin import durations
from plugin.db import Transaction
from plugin.models import Heartbeat
from plugin.services import Services

log = logging.getLogger("plugin.heartbeat")

WORKER, SWEEP = "worker", "sweep"


@dataclass(frozen=True)
class Alive:
    """How many processes of a kind live, and when one of them was last seen."""

    count: int
    seen_at: datetime | None


def beat(services: Services, name: str, kind: str) -> None:
    """This process lives."""
    now = services.now()
    with services.db.transaction() as tx:
        dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
        row = dialect.insert(Heartbeat).values(name=name, kind=kind, started_at=now, seen_at=now)
        tx.execute(row.on_conflict_do_update(index_elements=["name"], set_={"seen_at": now}))


@contextmanager
def beating(services: Services, name: str, kind: str) -> Iterator[None]:
    """Say so while the work goes on, and take the row away at its end."""
    done = threading.Event()

    def repeat() -> None:
        while True:
            try:
                beat(services, name, kind)
            except SQLAlchemyError as error:
                log.warning("a heartbeat could not be written: %s", type(error).__name__)
            if done.wait(durations.HEARTBEAT / services.config.pace):
                return

    thread = threading.Thread(target=repeat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=5)
        try:
            with services.db.transaction() as tx:
                tx.execute(delete(Heartbeat).where(Heartbeat.name == name))
        except SQLAlchemyError as error:
            log.warning("a heartbeat could not be taken away: %s", type(error).__name__)


def alive(session: Session, kind: str, now: datetime, pace: float) -> Alive:
    """Who of this kind was seen lately."""
    late = now - timedelta(seconds=durations.HEARTBEAT_LATE / pace)
    count = session.scalar(select(func.count()).select_from(Heartbeat).where(Heartbeat.kind == kind, Heartbeat.seen_at >= late)) or 0
    return Alive(count, session.scalar(select(func.max(Heartbeat.seen_at)).where(Heartbeat.kind == kind)))


def trim(tx: Transaction, now: datetime) -> None:
    """Forget processes that ended without a word."""
    tx.execute(delete(Heartbeat).where(Heartbeat.seen_at < now - timedelta(days=1)))
