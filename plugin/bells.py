"""Bells: after a commit the id of what has work is rung through RQ, at once and then at most twenty times a second per id.

A bell carries an id and nothing else; the rows are the truth. A thread rings, so a hung Redis never stalls a request; what
is not rung within its time-out is lost on purpose, for the sweep rings again.
"""

from __future__ import annotations

import logging
import threading
import time

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.serializers import JSONSerializer

log = logging.getLogger("plugin.bells")

QUEUE = "bells"
ANSWER = "plugin.worker.answer"
GAP_SECONDS = 0.05


class Bells:
    """Rings from its own thread; `ring` returns at once and never fails."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: dict[str, None] = {}
        self._last: dict[str, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def ring(self, bell: str) -> None:
        """Wake a worker for this id."""
        with self._changed:
            self._waiting[bell] = None
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="bells", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _loop(self) -> None:
        queue = Queue(QUEUE, connection=self._redis, serializer=JSONSerializer)
        while True:
            with self._changed:
                while not self._waiting:
                    if not self._changed.wait(timeout=30):
                        self._thread = None
                        return
                now = time.monotonic()
                due = [bell for bell in self._waiting if now - self._last.get(bell, 0.0) >= GAP_SECONDS]
                for bell in due:
                    del self._waiting[bell]
                    self._last[bell] = now
                if len(self._last) > 10_000:
                    self._last.clear()
            if not due:
                time.sleep(GAP_SECONDS / 2)
            for bell in due:
                self._send(queue, bell)

    def _send(self, queue: Queue, bell: str) -> None:
        try:
            queue.enqueue(ANSWER, bell, result_ttl=0, failure_ttl=3600, ttl=60, job_timeout=-1)
        except RedisError as error:
            log.warning("bell %s was not heard: %s", bell, type(error).__name__)
