"""What happens by itself, as one process remembers it; the limits that all processes share are in `limits`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from plugin import durations

#: So many runs of news, none later than so many seconds after the one before, are a busy time; then a reading serves all of the next seconds.
STREAK, STREAK_GAP = 3, 4.0


class NewsMemory:
    """What this process remembers of what happens by itself, by organisation: whether it shares a reading of Xero, and to when it was put off.

    Another process that takes over knows nothing of it, which is safe: it reads for itself, and what was put off is due at that moment.
    """

    def __init__(self, pace: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace, self._clock = pace, clock
        self._runs: dict[str, tuple[int, float]] = {}
        self._read_at: dict[str, float] = {}
        self.put_off: dict[str, datetime] = {}

    def goes_on(self, tenant: str) -> bool:
        """A run of news is about to ask what Xero holds. Has it gone on like this for a while?"""
        now = self._clock()
        length, last = self._runs.get(tenant, (0, now))
        length = length + 1 if (now - last) * self._pace <= STREAK_GAP else 1
        self._runs[tenant] = (length, now)
        return length > STREAK

    def was_read(self, tenant: str) -> None:
        """What changed in Xero is known as of this moment."""
        self._read_at[tenant] = self._clock()

    def is_known(self, tenant: str) -> bool:
        """Was it read for this purpose, a few seconds ago at most?"""
        read_at = self._read_at.get(tenant)
        return read_at is not None and (self._clock() - read_at) * self._pace <= durations.SHARED_READING
