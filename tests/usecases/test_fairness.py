"""Portals that share an organisation take turns, counted by calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, insert

from plugin import db, jobs
from plugin.db import Database
from plugin.models import Organisation, Portal

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PORTALS, EACH = 10, 500
BELL = jobs.organisation_bell(1)


@pytest.fixture
def crowded(database_url: str) -> Iterator[Database]:
    """Ten portals on one organisation, each with five hundred invoices to send, ordered one portal after the other."""
    engine = create_engine(db.full_url(database_url), **db.engine_options(database_url))
    db.prepare(engine)
    database = Database(engine)
    with database.transaction() as tx:
        tx.execute(insert(Organisation), [{"id": 1, "tenant_id": "books"}])
        named = {"domain": "", "client_endpoint": "", "server_endpoint": "", "created_at": NOW}
        tx.execute(insert(Portal), [{"id": number, "member_id": f"m{number}", **named} for number in range(1, PORTALS + 1)])
        for number in range(1, PORTALS + 1):
            orders = [jobs.Order(number, jobs.SEND, f"invoice:{place}", BELL, 1, jobs.BULK) for place in range(EACH)]
            jobs.order_many(tx, orders, NOW)
    yield database
    engine.dispose()


def test_ten_portals_in_bulk_at_once_each_get_their_share_of_the_calls(crowded: Database) -> None:
    """Whether the minute has room for twenty calls or for one: after thirty calls each portal has had three."""
    calls: Counter[int] = Counter()
    last = 0
    for room in (7, 1, 1, 1, 20):
        with crowded.transaction() as tx:
            claimed = jobs.claim(tx, BELL, (jobs.SEND,), NOW, 1, room * 50, together=50, after_portal=last)
        for start in range(0, len(claimed), 50):
            (portal_id,) = {job.portal_id for job in claimed[start : start + 50]}
            calls[portal_id] += 1
            last = portal_id
    assert set(calls.values()) == {3}
    assert len(calls) == PORTALS


def test_a_persons_order_goes_before_all_of_them(crowded: Database) -> None:
    with crowded.transaction() as tx:
        jobs.order(tx, jobs.Order(7, jobs.SEND, "invoice:9000", BELL, 1, jobs.PEOPLE), NOW)
    with crowded.transaction() as tx:
        claimed = jobs.claim(tx, BELL, (jobs.SEND,), NOW, 1, 50, together=50, after_portal=3)
    assert claimed[0].subject == "invoice:9000"
