"""Rate limits: five at once, sixty a minute, the day, and the app's own minute (X§3.1, X§3.2)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import ceil

from flask import Response

from sandbox.controls import Controls

CONCURRENT = 5
MINUTE = 60
DAY = {"on": 5000, "starter": 1000, "off": 5000}
APP_MINUTE = 10_000
DAY_SECONDS = 86_400
RAPID_SECONDS = 1_800


class Meter:
    """Calls in a window of so many seconds, counted in both ways the sources tell of."""

    def __init__(self, seconds: float, offset: float) -> None:
        self._seconds = seconds
        self._offset = offset % seconds
        self._window = -1
        self._count = 0
        self._moments: deque[float] = deque()

    def _turn(self, now: float) -> None:
        window = int((now - self._offset) // self._seconds)
        if window != self._window:
            self._window, self._count = window, 0
        while self._moments and self._moments[0] <= now - self._seconds:
            self._moments.popleft()

    def used(self, now: float, rolling: bool) -> int:
        self._turn(now)
        return len(self._moments) if rolling else self._count

    def add(self, now: float, times: int = 1) -> None:
        self._turn(now)
        self._count += times
        self._moments.extend([now] * times)

    def take_back(self) -> None:
        self._count = max(0, self._count - 1)
        if self._moments:
            self._moments.pop()

    def wait(self, now: float, rolling: bool) -> int:
        """Whole seconds until the next call has room."""
        if rolling and self._moments:
            return max(1, ceil(self._moments[0] + self._seconds - now))
        return max(1, ceil((self._window + 1) * self._seconds + self._offset - now))


@dataclass
class Allowance:
    """What one organisation has used, and what it may use."""

    minute: Meter
    day: Meter
    in_flight: int = 0
    day_limit: int | None = None
    minute_limit: int | None = None
    switched_off: bool = False


@dataclass
class Limits:
    """All organisations' allowances of this app."""

    controls: Controls
    started: float
    pace: float = 1.0
    allowances: dict[str, Allowance] = field(default_factory=dict)
    app: Meter = field(init=False)

    def __post_init__(self) -> None:
        self.app = Meter(60 / self.pace, self.started)

    def of(self, tenant_id: str) -> Allowance:
        """Each organisation's windows turn at a moment of their own (X§3.1)."""
        if tenant_id not in self.allowances:
            turn = sum(tenant_id.encode()) % 7
            self.allowances[tenant_id] = Allowance(Meter(60 / self.pace, self.started - turn), Meter(DAY_SECONDS, self.started - turn * 3600))
        return self.allowances[tenant_id]

    def _rolling(self, name: str) -> bool:
        return self.controls.switches.get(name) == "rolling"

    def _now(self) -> float:
        return self.controls.clock.now().timestamp()

    def _caps(self, one: Allowance) -> tuple[int, int]:
        day = one.day_limit if one.day_limit is not None else DAY[self.controls.switches.get("limits")]
        return (one.minute_limit if one.minute_limit is not None else MINUTE), day

    def remaining(self, tenant_id: str) -> tuple[int, int, int]:
        """Left of the minute, the day and the app's minute."""
        one, now = self.of(tenant_id), self._now()
        minute, day = self._caps(one)
        return (
            max(0, minute - one.minute.used(now, self._rolling("minute_window"))),
            max(0, day - one.day.used(now, self._rolling("day_window"))),
            max(0, APP_MINUTE - self.app.used(now, self._rolling("minute_window"))),
        )

    def begin_day(self) -> None:
        """Every organisation's day begins again, with nothing used."""
        for one in self.allowances.values():
            one.day = Meter(DAY_SECONDS, self._now())

    def leave(self, tenant_id: str, minute: int | None = None, day: int | None = None) -> None:
        """A lever: so many calls are left in this window."""
        one, now = self.of(tenant_id), self._now()
        left_minute, left_day, _ = self.remaining(tenant_id)
        if minute is not None:
            one.minute.add(now, max(0, left_minute - minute))
        if day is not None:
            one.day.add(now, max(0, left_day - day))

    def headers(self, tenant_id: str) -> dict[str, str]:
        if self.controls.switches.get("limit_headers") == "absent":
            return {}
        minute, day, app = self.remaining(tenant_id)
        return {"X-DayLimit-Remaining": str(day), "X-MinLimit-Remaining": str(minute), "X-AppMinLimit-Remaining": str(app)}

    def enter(self, tenant_id: str, connected_for: float) -> Response | None:
        """Count one call; the 429 that it meets, or None. `leave_call` must follow an entry that was let in."""
        one, now = self.of(tenant_id), self._now()
        if self.controls.switches.get("limits") == "off" or one.switched_off:
            one.in_flight += 1
            return None
        lifted = self.controls.switches.get("rapid_sync") == "on" and connected_for < RAPID_SECONDS
        refusal = None if one.in_flight < CONCURRENT else self._refusal(tenant_id, "concurrent", None)
        if refusal is None and not lifted:
            refusal = self._window_refusal(tenant_id, one, now)
        if refusal is None or self.controls.switches.get("refused_calls_count") == "yes":
            self._count(one, now)
        if refusal is None:
            one.in_flight += 1
        else:
            refusal.headers.update(self.headers(tenant_id))
        return refusal

    def _window_refusal(self, tenant_id: str, one: Allowance, now: float) -> Response | None:
        minute, day, app = self.remaining(tenant_id)
        rolling = self._rolling("minute_window")
        if day == 0:
            return self._refusal(tenant_id, "day", one.day.wait(now, self._rolling("day_window")))
        if minute == 0:
            return self._refusal(tenant_id, "minute", one.minute.wait(now, rolling))
        if app == 0:
            return self._refusal(tenant_id, self.controls.switches.get("app_minute_problem"), self.app.wait(now, rolling))
        return None

    def _count(self, one: Allowance, now: float) -> None:
        one.minute.add(now)
        one.day.add(now)
        self.app.add(now)

    @staticmethod
    def _refusal(tenant_id: str, problem: str, wait: int | None) -> Response:
        """An empty body without content type; no Retry-After when too many run at once (X§3.2)."""
        response = Response(b"", 429)
        del response.headers["Content-Type"]
        response.headers["X-Rate-Limit-Problem"] = problem
        if wait is not None:
            response.headers["Retry-After"] = str(wait)
        return response

    def leave_call(self, tenant_id: str, status: int) -> None:
        """A call that was let in has ended."""
        one = self.of(tenant_id)
        one.in_flight = max(0, one.in_flight - 1)
        if 400 <= status < 500 and self.controls.switches.get("refused_calls_count") == "no":
            for meter in (one.minute, one.day, self.app):
                meter.take_back()

    def count_app_call(self) -> Response | None:
        """`/connections`, where the switch counts it against the app's minute."""
        now = self._now()
        if self.controls.switches.get("connections_counted") == "no" or self.controls.switches.get("limits") == "off":
            return None
        rolling = self._rolling("minute_window")
        if self.app.used(now, rolling) >= APP_MINUTE:
            return self._refusal("", self.controls.switches.get("app_minute_problem"), self.app.wait(now, rolling))
        self.app.add(now)
        return None
