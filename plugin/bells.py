"""Bells: after a commit the id of what has work is rung through RQ, at once and then at most twenty times a second per id.

A bell may be rung for later: all that is asked for until that moment is one bell.

A bell carries an id and nothing else; the rows are the truth. A thread rings, so a hung Redis never stalls a request; what
is not rung within its time-out is lost on purpose, for the sweep rings again.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.serializers import JSONSerializer

log = logging.getLogger("plugin.bells")

#: Each kind of bell has a queue, and a worker a lane for each: a click does not wait behind a long write-back.
LANES = {"organisation": "bells", "portal": "bells-portal", "inbox": "bells-inbox"}
ANSWER = "plugin.worker.answer"
GAP_SECONDS = 0.05
#: A bell waits for its worker behind those of all other portals; one that waited so long had none, and the sweep rings anew.
WAITS_MOST = 3600


class Bells:
    """Rings from its own thread; `ring` returns at once and never fails."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: dict[str, None] = {}
        self._later: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def others_wait(self, bell: str) -> bool:
        """Does anybody but this bell wait for a worker of its lane? Then a turn ends when its time is over."""
        try:
            return bool(self._waiting_in(LANES[bell.partition(":")[0]], 100) - {_name(bell)})
        except RedisError:
            return True

    def ring_again(self, bells: Iterable[str]) -> None:
        """Ring for each of these of which no bell waits for a worker.

        Where a thousand portals have work, workers are behind for longer than until the next sweep: a bell more for each
        of them at every sweep would be most of what workers answer.
        """
        try:
            waiting = set().union(*(self._waiting_in(queue) for queue in LANES.values()))
        except RedisError:
            return  # nothing can be rung either; the next sweep tries again
        for bell in bells:
            if _name(bell) not in waiting:
                self.ring(bell)

    def _waiting_in(self, queue: str, most: int = 0) -> set[str]:
        """The names of the bells in a queue, of the first `most` or of all."""
        ids: Any = self._redis.lrange(f"rq:queue:{queue}", 0, most - 1)
        return {one.decode().rpartition("-")[0] for one in ids}

    def ring(self, bell: str, after: float = 0.0) -> None:
        """Wake a worker for this id, at once or after so many seconds; of several moments the earliest holds.

        Whoever answers looks when the next work is due, and rings for that.
        """
        with self._changed:
            if after <= 0:
                self._waiting[bell] = None
            else:
                due = time.monotonic() + after
                self._later[bell] = min(due, self._later.get(bell, due))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="bells", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _loop(self) -> None:
        queues = {kind: Queue(name, connection=self._redis, serializer=JSONSerializer) for kind, name in LANES.items()}
        while True:
            with self._changed:
                while not self._due_now():
                    first = min(self._later.values(), default=None)
                    if not self._changed.wait(timeout=30 if first is None else max(0.0, first - time.monotonic())) and not self._later:
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
                self._send(queues.get(bell.partition(":")[0], queues["organisation"]), bell)

    def _due_now(self) -> bool:
        """Move what was asked for later and is due to what is to be rung. Is there any?"""
        now = time.monotonic()
        for bell in [bell for bell, due in self._later.items() if due <= now]:
            del self._later[bell]
            self._waiting[bell] = None
        return bool(self._waiting)

    def _send(self, queue: Queue, bell: str) -> None:
        try:
            queue.enqueue(ANSWER, bell, job_id=f"{_name(bell)}-{uuid.uuid4().hex}", result_ttl=0, failure_ttl=3600, ttl=WAITS_MOST, job_timeout=-1)
        except RedisError as error:
            log.warning("bell %s was not heard: %s", bell, type(error).__name__)


def _name(bell: str) -> str:
    """A bell in the letters that RQ allows in the name of its job."""
    return bell.replace(":", "-")
