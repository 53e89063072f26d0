"""With the durations of production: what a killed worker had in hand is running again within thirty seconds."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import select

from plugin.models import BatchDocument
from tests.chaos.drawing import draw
from tests.chaos.runner import started
from tests.chaos.trial import Trial
from tests.running import until


def test_the_work_of_a_killed_worker_runs_again_within_thirty_seconds(tmp_path: Path) -> None:
    with started("sqlite", tmp_path, pace=1.0) as system:
        ids = system.ask("new", count=3, seed=7)
        batch = system.alice.order(ids)
        assert batch is not None
        hold = {"kind": "hold", "method": "PUT", "path": "/Invoices$", "seconds": 20.0}
        number = system.ask("arm", partner="xero", fault=hold)
        system.alice.confirm(batch)
        until(lambda: system.ask("reached", number=number), 60)
        again = system.ask("arm", partner="xero", fault=hold)

        system.kept.kill(Trial(system, draw(0)).conductor())
        killed = time.monotonic()
        until(lambda: system.ask("reached", number=again), 60)
        took = time.monotonic() - killed
        system.ask("release")

        def ended() -> bool:
            with system.rows() as session:
                return set(session.scalars(select(BatchDocument.outcome).where(BatchDocument.batch_id == batch))) == {"created"}

        until(ended, 60)
        assert [len(one["documents"]) for one in system.ask("account", ids=ids)["invoices"].values()] == [1, 1, 1]
        print(f"running again {took:.1f} s after the kill")
        assert took < 30
