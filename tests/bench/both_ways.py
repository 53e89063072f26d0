"""Rows about what runs by itself: changes on either side until the other has them, storms, lost messages, a day on which nothing happens."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from plugin import durations, sweep
from plugin.limits import XeroLimits, process_name
from plugin.sending import conductor
from plugin.worker import portal_work
from sandbox.serve import Sandbox
from sandbox.settings import SandboxSettings
from tests import services
from tests.bench.figures import Figure, Size, p95
from tests.bench.office import Office, office
from tests.bench.partners import READ_SECONDS, WRITE_SECONDS, Options
from tests.running import until
from tests.stories import office as stories

#: The sandbox's webhooks leave so long after the change.
WEBHOOK_SECONDS = 0.3
#: Steps of the idle day.
MINUTES = 2


def _by_itself(at: Office) -> None:
    at.request("POST", "/app/setup/automatic", data={"automatic": "new", "automatic_stage": "", "stage_after_export": "", "when_deleted": "ask"})


def out(size: Size) -> list[Figure]:
    """Changes in Bitrix24, spread over a minute: until Xero has each, beyond one write and one read of Xero."""
    count = size.of(100, 20)
    with office(Options(count, events=True)) as at:
        at.ready()
        at.batch(at.ids)
        at.quiet()
        _by_itself(at)
        at.ask(do="clear")
        changed = {}
        for crm_id in at.ids:
            changed[crm_id] = at.ask(do="change", ids=[crm_id], quantity=4)
            time.sleep(60 / 100)
        until(lambda: len(at.ask(do="written_with", ids=at.ids)) == count, 120)
        written = at.ask(do="written_with", ids=at.ids)
    beyond = [written[str(crm_id)] - moment - WRITE_SECONDS - READ_SECONDS for crm_id, moment in changed.items()]
    return [Figure(f"change in Bitrix24 until Xero has it, beyond the partners' own latency, {count} in a minute, p95", p95(beyond), "0", 2, "s")]


def back(size: Size) -> list[Figure]:
    """Payments in Xero, spread over a minute: until each invoice stands in its stage, beyond the webhook's delay and one read."""
    count = size.of(100, 20)
    with office(Options(count, webhooks=True)) as at:
        at.ready()
        at.batch(at.ids)
        at.ask(do="approve", ids=at.ids)
        time.sleep(3)
        at.quiet()
        at.ask(do="watch_stage", ids=at.ids, stage="Paid")
        paid = {}
        for crm_id in at.ids:
            paid[crm_id] = at.ask(do="pay", ids=[crm_id])
            time.sleep(60 / 100)
        until(lambda: len(at.ask(do="stages_seen")) == count, 120)
        seen = at.ask(do="stages_seen")
    beyond = [seen[str(crm_id)] - moment - WEBHOOK_SECONDS - READ_SECONDS for crm_id, moment in paid.items()]
    return [Figure(f"change in Xero until the invoice has its stage, beyond the partners' own latency, {count} in a minute, p95", p95(beyond), "0", 2, "s")]


def storm(size: Size) -> list[Figure]:
    """Two thousand changes to two hundred invoices within thirty seconds."""
    count, times = size.of(200, 40), size.of(10, 5)
    with office(Options(count, events=True)) as at:
        at.ready()
        at.batch(at.ids)
        at.quiet()
        _by_itself(at)
        at.ask(do="clear")
        started = time.monotonic()
        for turn in range(times):
            for place in range(0, count, 10):
                at.ask(do="change", ids=at.ids[place : place + 10], quantity=3 + turn)
                time.sleep(max(0.0, started + 30 * (turn * count + place) / (times * count) - time.monotonic()))
        until(lambda: at.ask(do="check", ids=at.ids)["right"] == count, 180)
        at.quiet()
        transfers = at.ask(do="transfers")
    return [Figure(f"an event storm, {count * times:,} changes to {count} invoices in 30 s: transfers per invoice", transfers / count, "1.0", 1.2)]


def lost(size: Size) -> list[Figure]:
    """Every second event and every third webhook lost, the rest in disorder: both sides agree after one sweep interval."""
    count = size.of(60, 20)
    with office(Options(count, events=True, webhooks=True)) as at:
        at.ready()
        _by_itself(at)
        at.batch(at.ids[: count // 2])
        at.ask(do="approve", ids=at.ids[: count // 4])
        time.sleep(3)
        at.quiet()
        at.ask(do="unreliable")
        at.ask(do="change", ids=at.ids[count // 4 : count // 2], quantity=9)
        at.ask(do="pay", ids=at.ids[: count // 4])
        time.sleep(10)
        before = _agreeing(at, count)
        # Three hours pass for the lists of Xero; Bitrix24 is swept every minute in any case.
        earlier = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=durations.SWEEP_DOCUMENTS)
        with at.engine.begin() as connection:
            connection.execute(text("UPDATE watermark SET read_at = :earlier"), {"earlier": earlier})
        with suppress(AssertionError):
            until(lambda: _agreeing(at, count) == 1.0, 120)
        agreed = _agreeing(at, count)
    return [
        Figure("every second event and third webhook dropped, order shuffled: agreement after one sweep interval", agreed * 100, "100", 100, "%", least=True),
        Figure("the same: agreement before the sweep", before * 100, "-", None, "%"),
    ]


def _agreeing(at: Office, count: int) -> float:
    sent = at.ids[: count // 2]
    right = at.ask(do="check", ids=sent)["right"]
    paid = at.ask(do="in_stage", ids=at.ids[: count // 4], stage="Paid")
    return float(right + paid) / (len(sent) + count // 4)


def idle(_size: Size) -> list[Figure]:
    """A day without anything to do, on the smallest tier, minute by minute on a clock of its own."""
    with tempfile.TemporaryDirectory(prefix="tb-bench-", dir="/tmp") as folder, services.redis_server() as redis_url:
        database_url = f"sqlite:///{Path(folder) / 'bench.db'}"
        services.migrate(database_url)
        sandbox = Sandbox(SandboxSettings()).start()
        sandbox.xero.controls.switches.set("limits", "starter")
        at = stories.Office(sandbox, database_url, redis_url)
        at.ready()
        sandbox.xero.controls.calls.clear()
        _live_a_day(at)
        seen = [one for one in sandbox.xero.controls.calls if one.path.startswith(("/api.xro", "/connections"))]
        at.close()
        sandbox.stop()
    return [Figure("idle organisation on the smallest tier, one day: Xero calls", len(seen), "-", 100)]


def _live_a_day(at: stories.Office) -> None:
    clock = [datetime.now(UTC)]
    rung: set[str] = set()

    class Bells:
        def ring(self, bell: str, after: float = 0.0) -> None:
            rung.add(bell)

        def ring_again(self, bells: Iterable[str]) -> None:
            rung.update(bells)

        def others_wait(self, bell: str) -> bool:
            return True

    changes: dict[str, Any] = {"now": lambda: clock[0], "bells": Bells(), "xero_limits": XeroLimits(at.services.redis, 1_000.0)}
    living = type(at.services)(**{**at.services.__dict__, **changes})
    owner = process_name()
    for _ in range(24 * 60 // MINUTES):
        clock[0] += timedelta(minutes=MINUTES)
        at.sandbox.xero.controls.clock.advance(60 * MINUTES)
        at.sandbox.bitrix24.controls.clock.advance(60 * MINUTES)
        sweep._turn(living, owner)
        for bell in sorted(rung):
            rung.discard(bell)
            kind, _, number = bell.partition(":")
            if kind == "organisation":
                conductor.conduct(living, int(number), lambda: False)
            elif kind == "portal":
                portal_work.work(living, int(number), lambda: False)
