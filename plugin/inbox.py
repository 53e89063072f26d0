"""The inbox: what a partner tells us is stored and answered at once; a worker takes it a moment later, many messages in one go.

A message is a bell, not a letter: it says what to read again, never what is true. Taking only orders work, in the same transaction
that marks the messages as done; so a message is never lost, and one that was taken is never taken again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, insert, select, update
from sqlalchemy.orm import Session

from plugin import durations
from plugin.db import Transaction
from plugin.models import Callback
from plugin.services import Services

#: Messages taken in one transaction: enough for a storm, few enough that no other writer waits for long.
TOGETHER = 500

_PORTAL, _ORGANISATION = "inbox:portal", "inbox:organisation"


@dataclass(frozen=True)
class Message:
    """Something a partner told us about one portal or one organisation. Holds no secret: it is stored as it is (RULES 36)."""

    kind: str
    subject: str
    body: dict[str, Any]
    portal_id: int | None = None
    organisation_id: int | None = None

    @property
    def bell(self) -> str:
        """Wakes whoever takes messages of this portal or organisation."""
        return portal_bell(self.portal_id) if self.portal_id is not None else organisation_bell(self.organisation_id or 0)


def portal_bell(portal_id: int) -> str:
    return f"{_PORTAL}:{portal_id}"


def organisation_bell(organisation_id: int) -> str:
    return f"{_ORGANISATION}:{organisation_id}"


def store(services: Services, messages: Sequence[Message]) -> None:
    """Keep these safely, in one statement; the bell rings a moment later, once for all that arrive until then."""
    if not messages:
        return
    now = services.now()
    rows = [
        {
            "portal_id": one.portal_id,
            "organisation_id": one.organisation_id,
            "kind": one.kind[:48],
            "subject": one.subject[:64],
            "body": one.body,
            "received_at": now,
        }
        for one in messages
    ]
    with services.db.transaction() as tx:
        tx.execute(insert(Callback), rows)
        for bell in {one.bell for one in messages}:
            tx.after_commit(lambda bell=bell: services.bells.ring(bell, durations.GATHER / services.config.pace))  # type: ignore[misc]


Take = Callable[[Transaction, Sequence[Callback]], None]


def drain(services: Services, bell: str, take: Take, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Hand everything open behind this bell to `take`, in order of arrival, five hundred at a time. Returns how many there were.

    `take` works on the database only and inside the transaction that ends the messages: both happen, or neither.
    """
    taken = 0
    while not should_stop() and waiting(services, bell):
        with services.db.transaction() as tx:
            mine = select(Callback.id).where(*_open(bell)).order_by(Callback.id).limit(TOGETHER).with_for_update(skip_locked=True)
            ids = list(tx.scalars(mine))
            claimed = list(
                tx.scalars(
                    update(Callback)
                    .where(Callback.id.in_(ids), Callback.done_at.is_(None))
                    .values(done_at=services.now())
                    .returning(Callback)
                    .execution_options(synchronize_session=False, populate_existing=True)
                )
            )
            if not claimed:
                return taken  # another worker has them in hand
            take(tx, sorted(claimed, key=lambda one: one.id))
        taken += len(claimed)
    return taken


def waiting(services: Services, bell: str) -> bool:
    """Does anything open wait behind this bell? Makes no writer wait."""
    with services.db.reading() as session:
        return bool(session.scalar(select(exists().where(*_open(bell)))))


def bells_of_open(session: Session, before: Any) -> list[str]:
    """The bells of messages that arrived before this moment and are still open: nobody heard theirs."""
    late = (Callback.done_at.is_(None), Callback.received_at <= before)
    found = session.execute(select(Callback.portal_id, Callback.organisation_id).where(*late).distinct())
    return sorted({portal_bell(portal) if portal is not None else organisation_bell(organisation or 0) for portal, organisation in found})


def _open(bell: str) -> tuple[Any, ...]:
    whose, _, number = bell.rpartition(":")
    column = {_PORTAL: Callback.portal_id, _ORGANISATION: Callback.organisation_id}[whose]
    return (Callback.done_at.is_(None), column == int(number))
