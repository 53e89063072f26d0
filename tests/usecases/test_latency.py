"""How fast changes arrive: the scale, the percentiles, and the counting on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, select

from plugin import db, jobs, latency
from plugin.models import Job, Portal, Reaction

NOW = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(("seconds", "share"), [([1.0] * 100, 0.5), ([0.2] * 95 + [30.0] * 5, 0.95), ([0.2] * 90 + [30.0] * 10, 0.95), ([600.0], 0.5)])
def test_a_percentile_is_off_by_a_quarter_at_most(seconds: list[float], share: float) -> None:
    counts: dict[int, int] = {}
    for one in seconds:
        counts[latency.step_of(one)] = counts.get(latency.step_of(one), 0) + 1
    exact = sorted(seconds)[max(0, round(share * len(seconds)) - 1)]
    (found,) = latency.percentiles(counts, [share])
    assert found is not None
    assert exact / 1.25 <= found <= exact * 1.25


def test_nothing_counted_is_nothing_said_and_the_scale_has_ends() -> None:
    assert latency.percentiles({}, [0.5, 0.95]) == [None, None]
    assert latency.step_of(-3.0) == latency.step_of(0.0) == 0
    assert latency.step_of(10**9) == latency.LAST


def test_bulk_says_nothing_about_speed() -> None:
    def job(priority: int) -> Job:
        return Job(portal_id=1, priority=priority, created_at=NOW - timedelta(seconds=9), caused_at=NOW - timedelta(seconds=10))

    assert [one.seconds for one in latency.of_job(job(jobs.EVENTS), latency.OUT, NOW)] == [10.0]
    assert latency.of_job(job(jobs.BULK), latency.OUT, NOW) == []


def test_an_hour_is_counted_together_and_an_order_keeps_its_oldest_cause(database_url: str) -> None:
    engine = create_engine(db.full_url(database_url))
    db.prepare(engine)
    database = db.Database(engine)
    with database.transaction() as tx:
        portal = Portal(member_id="m", domain="d", client_endpoint="", server_endpoint="", created_at=NOW)
        tx.add(portal)
        tx.flush()
        for minutes in (1, 2, 70):
            reacted = [latency.Reacted(portal.id, latency.OUT, 1.0), latency.Reacted(portal.id, latency.OUT, 1.01)]
            latency.record(tx, reacted, NOW + timedelta(minutes=minutes))
        for seconds, cause, priority in ((5, jobs.AUTOMATIC, jobs.EVENTS), (9, jobs.SWEEP, jobs.BULK), (2, jobs.PERSON, jobs.PEOPLE)):
            at = NOW - timedelta(seconds=seconds)
            jobs.order(tx, jobs.Order(portal.id, jobs.SEND, "invoice:1", "portal:1", None, priority, cause=cause, caused_at=at), NOW)
    with database.reading() as session:
        assert sorted(session.scalars(select(Reaction.count))) == [2, 4]
        job = session.scalars(select(Job)).one()
        assert (job.cause, job.caused_at) == (jobs.PERSON, NOW - timedelta(seconds=9))
    engine.dispose()
