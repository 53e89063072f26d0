"""The portal's defences: leaky bucket, operating time per method, sixty seconds a request (B§4.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.bitrix24.errors import RestError

BUCKETS = {"standard": (2.0, 50.0), "enterprise": (5.0, 250.0)}
OPERATING_LIMIT = 480.0
REQUEST_CEILING = 60.0

#: Simulated seconds of a method; the first matching prefix counts.
COSTS: tuple[tuple[str, float], ...] = (
    ("crm.item.update", 0.05),
    ("crm.item.add", 0.05),
    ("crm.item.delete", 0.05),
    ("crm.item.batchimport", 0.4),
    ("crm.item.import", 0.02),
    ("crm.item.productrow.set", 0.05),
    ("", 0.01),
)


@dataclass
class Limits:
    """Bucket levels by source address and operating seconds by method and minute, of one portal."""

    enforced: bool = True
    pace: float = 1.0
    operating_limit: float = OPERATING_LIMIT
    request_ceiling: float = REQUEST_CEILING
    #: Simulated cost of single methods, set by tests; others come from `COSTS`.
    costs: dict[str, float] = field(default_factory=dict)
    _levels: dict[str, tuple[float, float]] = field(default_factory=dict)
    _minutes: dict[str, dict[int, float]] = field(default_factory=dict)

    def _minute(self, now: float) -> int:
        return int(now * self.pace // 60)

    def cost(self, method: str) -> float:
        if method in self.costs:
            return self.costs[method]
        return next(seconds for prefix, seconds in COSTS if method.startswith(prefix))

    def take(self, source: str, plan: str, now: float) -> None:
        """One request into the bucket of this source address, or 503."""
        drain, size = BUCKETS.get(plan, BUCKETS["standard"])
        level, at = self._levels.get(source, (0.0, now))
        level = max(0.0, level - drain * self.pace * max(0.0, now - at))
        if level + 1 > size:
            self._levels[source] = (level, now)
            raise RestError("QUERY_LIMIT_EXCEEDED", "Too many requests", 503)
        self._levels[source] = (level + 1, now)

    def level(self, source: str = "127.0.0.1") -> float:
        return self._levels.get(source, (0.0, 0.0))[0]

    def operating(self, method: str, now: float) -> float:
        """Seconds of this method in the last ten one-minute buckets."""
        minutes = self._minutes.get(method, {})
        current = self._minute(now)
        for old in [one for one in minutes if one <= current - 10]:
            del minutes[old]
        return sum(minutes.values())

    def check_operating(self, method: str, now: float) -> None:
        if self.operating(method, now) > self.operating_limit:
            raise RestError("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", 429)

    def spend(self, method: str, seconds: float, now: float) -> None:
        minutes = self._minutes.setdefault(method, {})
        current = self._minute(now)
        minutes[current] = minutes.get(current, 0.0) + seconds

    def reset_at(self, method: str, now: float) -> int:
        """When the oldest bucket of this method falls out."""
        minutes = self._minutes.get(method) or {self._minute(now): 0.0}
        return int((min(minutes) + 10) * 60 / self.pace)
