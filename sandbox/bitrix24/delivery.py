"""Events and robot calls on their way to the app: one queue a portal, one attempt, no retry (B§5.2–5.4)."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import requests

from sandbox.bitrix24.php import flatten
from sandbox.controls import Controls


@dataclass
class Parcel:
    """One POST to a handler."""

    portal: str
    handler: str
    name: str
    body: dict[str, Any]


@dataclass
class Delivered:
    """What became of a parcel; status 0 is a failed connection, -1 a drop."""

    parcel: Parcel
    status: int
    at: float
    error: str = ""


@dataclass
class _Line:
    """A portal's own queue and thread."""

    waiting: deque[Parcel] = field(default_factory=deque)
    busy: int = 0
    thread: threading.Thread | None = None


class Delivery:
    """The queue server: levers hold, drop, shuffle and duplicate what passes."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self._lines: dict[str, _Line] = {}
        self._changed = threading.Condition()
        self.log: deque[Delivered] = deque(maxlen=20_000)
        self.timeout = 10.0
        self._clear_levers()

    def _clear_levers(self) -> None:
        self.held = False
        self.delay = 0.0
        self._drops: list[tuple[str, int]] = []
        self._shuffle = False
        self._duplicate = False
        self._sent = 0

    def clear(self) -> None:
        """Forget everything that waits, and every lever."""
        with self._changed:
            for line in self._lines.values():
                line.waiting.clear()
            self._clear_levers()
            self.log.clear()
            self._changed.notify_all()

    def put(self, parcel: Parcel) -> None:
        """Queue one parcel; it leaves from a thread of its portal."""
        with self._changed:
            for number, (pattern, times) in enumerate(self._drops):
                if re.search(pattern, parcel.name, re.I) and times > 0:
                    self._drops[number] = (pattern, times - 1)
                    self.log.append(Delivered(parcel, -1, self._controls.clock.now().timestamp(), "dropped"))
                    return
            self._sent += 1
            line = self._lines.setdefault(parcel.portal, _Line())
            line.waiting.append(parcel)
            if self._duplicate or (self._controls.switches.get("event_duplicates") == "every_third" and self._sent % 3 == 0):
                line.waiting.append(parcel)
            if line.thread is None:
                line.thread = threading.Thread(target=self._run, args=(line,), daemon=True, name=f"bitrix24-events-{parcel.portal}")
                line.thread.start()
            self._changed.notify_all()

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        with self._changed:
            self.held = False
            self._changed.notify_all()

    def drop(self, times: int = 1, name: str = ".*") -> None:
        """The next parcels of this name are lost, as real ones are when the handler is down."""
        self._drops.append((name, times))

    def shuffle(self, on: bool = True) -> None:
        self._shuffle = on

    def duplicate(self, on: bool = True) -> None:
        self._duplicate = on

    def waiting(self) -> int:
        with self._changed:
            return sum(len(line.waiting) + line.busy for line in self._lines.values())

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything has left; False if time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(line.waiting or line.busy for line in self._lines.values()), timeout)

    def _run(self, line: _Line) -> None:
        session = requests.Session()
        session.trust_env = False
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(line.waiting) and not self.held)
                parcel = self._next(line)
                line.busy += 1
            try:
                if self.delay:
                    time.sleep(self.delay)
                self._post(session, parcel)
            finally:
                with self._changed:
                    line.busy -= 1
                    self._changed.notify_all()

    def _next(self, line: _Line) -> Parcel:
        if self._shuffle or self._controls.switches.get("event_order") == "shuffled":
            line.waiting.rotate(random.randrange(len(line.waiting)))
        return line.waiting.popleft()

    def _post(self, session: requests.Session, parcel: Parcel) -> None:
        status, error = 0, ""
        try:
            answer = session.post(
                parcel.handler, data=flatten(parcel.body), timeout=self.timeout, allow_redirects=False, headers={"User-Agent": "Bitrix24 Webhook Engine"}
            )
            status = answer.status_code
        except requests.RequestException as failure:
            error = str(failure)
        self.log.append(Delivered(parcel, status, self._controls.clock.now().timestamp(), error))
