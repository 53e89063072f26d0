"""Turns that one process at a time may take: one row, UPDATE and count rows, a fencing number, renewed beside the work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from plugin import durations
from plugin.db import Database, Transaction
from plugin.models import Lease

log = logging.getLogger("plugin.leases")


class LeaseLost(Exception):
    """Somebody else has taken over: what this process knows may be old, so it may not record it."""


def take(db: Database, name: str, owner: str, now: datetime, seconds: float) -> int | None:
    """The fencing number of a lease that is ours now, or nothing when another process holds it."""
    taken = (
        update(Lease)
        .where(Lease.name == name, or_(Lease.until.is_(None), Lease.until < now))
        .values(owner=owner, until=now + timedelta(seconds=seconds), fence=Lease.fence + 1)
        .returning(Lease.fence)
        .execution_options(synchronize_session=False)
    )
    with db.transaction() as tx:
        fence = tx.scalar(taken)
        if fence is not None or tx.scalar(select(Lease.name).where(Lease.name == name)) is not None:
            return fence
    try:
        with db.transaction() as tx:
            tx.add(Lease(name=name, fence=0))
    except IntegrityError:
        pass  # another process was faster with the row; who gets the lease is decided below
    with db.transaction() as tx:
        return tx.scalar(taken)


def check(tx: Session, name: str, fence: int) -> None:
    """Raise unless this fencing number still holds; the row stays locked until the transaction ends."""
    if tx.scalar(select(Lease.fence).where(Lease.name == name).with_for_update()) != fence:
        raise LeaseLost(name)


def give_back(db: Database, name: str, fence: int) -> None:
    """End the lease now, so that the next one need not wait for it to run out."""
    with db.transaction() as tx:
        tx.execute(update(Lease).where(Lease.name == name, Lease.fence == fence).values(until=None, owner=None).execution_options(synchronize_session=False))


@contextmanager
def renewed(db: Database, name: str, fence: int, now: Callable[[], datetime], pace: float = 1.0) -> Iterator[None]:
    """Renew the lease beside the work, every five seconds, from a thread of its own."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(durations.LEASE_RENEW / pace):
            try:
                with db.transaction() as tx:
                    _extend(tx, name, fence, now(), durations.LEASE / pace)
            except SQLAlchemyError as error:
                log.warning("lease %s could not be renewed: %s", name, type(error).__name__)

    thread = threading.Thread(target=renew, name=f"lease-{name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=2)


def _extend(tx: Transaction, name: str, fence: int, now: datetime, seconds: float) -> None:
    tx.execute(
        update(Lease)
        .where(Lease.name == name, Lease.fence == fence)
        .values(until=now + timedelta(seconds=seconds))
        .execution_options(synchronize_session=False)
    )
