"""How long a change took to reach the other side, counted in steps of a quarter: percentiles of a week out of a few hundred rows.

Work in bulk is left out: it says how long a queue was, not how fast we react.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.dialects import postgresql, sqlite

from plugin.db import Transaction
from plugin.jobs import BULK
from plugin.models import Job, Reaction

OUT, IN = "out", "in"
#: Step 0 ends at this many seconds, each further one at 1.25 times as many; the last one holds everything beyond a day.
FIRST, RATIO, LAST = 0.05, 1.25, 65


@dataclass(frozen=True)
class Reacted:
    """One change that has arrived on the other side."""

    portal_id: int
    direction: str
    seconds: float


def of_job(job: Job, direction: str, now: datetime) -> list[Reacted]:
    """What this job, done now, says about our speed: nothing where it was bulk."""
    if job.priority >= BULK:
        return []
    return [Reacted(job.portal_id, direction, (now - (job.caused_at or job.created_at)).total_seconds())]


def step_of(seconds: float) -> int:
    """The step in which so many seconds are counted."""
    return min(LAST, max(0, math.ceil(math.log(max(seconds, FIRST) / FIRST, RATIO) - 1e-9)))


def record(tx: Transaction, reactions: Iterable[Reacted], now: datetime) -> None:
    """Count these into this hour."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    counted = Counter((one.portal_id, one.direction, step_of(one.seconds)) for one in reactions)
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    for (portal_id, direction, step), count in sorted(counted.items()):
        row = dialect.insert(Reaction).values(portal_id=portal_id, direction=direction, hour=hour, step=step, count=count)
        tx.execute(
            row.on_conflict_do_update(
                index_elements=["portal_id", "direction", "hour", "step"],
                set_={"count": Reaction.count + row.excluded.count},
            )
        )


def percentiles(counts: Mapping[int, int], shares: Sequence[float]) -> list[float | None]:
    """The seconds below which these shares of the counted changes stayed, as exact as a step; nothing where nothing was counted."""
    total = sum(counts.values())
    if not total:
        return [None for _ in shares]
    return [_below(counts, share * total) for share in shares]


def _below(counts: Mapping[int, int], wanted: float) -> float:
    seen = 0
    for step in sorted(counts):
        if seen + counts[step] >= wanted:
            upper = FIRST * RATIO**step
            lower = upper / RATIO if step else 0.0
            return lower + (upper - lower) * max(0.0, (wanted - seen) / counts[step])
        seen += counts[step]
    return FIRST * RATIO ** max(counts)
