"""Counters for the figures of operators: counted in memory, added up in Redis from a thread, so that no request ever waits for it."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

log = logging.getLogger("plugin.counts")

KEY = "counts"
EVERY_SECONDS = 1.0


class Counts:
    """What many processes count together. `add` returns at once and never fails; while Redis is away the sums are kept here."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._kept: Counter[str] = Counter()
        self._lock = threading.Lock()
        #: Held while sums move to Redis: whoever reads meanwhile would find them neither here nor there.
        self._moving = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, name: str, more: int = 1) -> None:
        """Count `name`, such as "refused:bitrix24:forged"."""
        with self._lock:
            self._kept[name] += more
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="counts", daemon=True)
                self._thread.start()

    def read(self) -> dict[str, int]:
        """All sums so far: what Redis has added up, and what this process still holds."""
        with self._moving:
            try:
                found: Any = self._redis.hgetall(KEY)
                sums = Counter({name.decode(): int(value) for name, value in found.items()})
            except RedisError:
                sums = Counter()
            with self._lock:
                return dict(sums + self._kept)

    def flush(self) -> None:
        """Add up in Redis what this process has counted; kept for the next time where Redis is away."""
        with self._moving:
            with self._lock:
                taken, self._kept = self._kept, Counter()
            if not taken:
                return
            try:
                with self._redis.pipeline(transaction=False) as pipe:
                    for name, more in taken.items():
                        pipe.hincrby(KEY, name, more)
                    pipe.execute()
            except RedisError as error:
                log.warning("%d counts wait for Redis: %s", sum(taken.values()), type(error).__name__)
                with self._lock:
                    self._kept += taken

    def _loop(self) -> None:
        wait = threading.Event()
        while True:
            wait.wait(EVERY_SECONDS)
            with self._lock:
                if not self._kept:
                    self._thread = None
                    return
            self.flush()
