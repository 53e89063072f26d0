"""`flask worker`: answers bells in one process that imported everything first; works again when Redis was away.

A lane for each kind of bell, each on a thread of its own: while results trail back at Bitrix24's pace, the next call to Xero leaves.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty

from plugin import bells, durations, heartbeat, portal_work, process
from plugin.domain.problems import Problem
from plugin.limits import process_name
from plugin.sending import conductor
from plugin.services import Services
from plugin.usecases import take_events, take_webhooks

log = logging.getLogger("plugin.worker")

_services: Services | None = None
#: Set by a signal: what is running ends its turn early, so that nothing has to be killed.
stopping = threading.Event()


def answer(bell: str) -> None:
    """Do what waits behind this bell. The bell is only a hint: the rows say what there is."""
    if _services is None:
        raise RuntimeError("no services: bells are answered by `flask worker`")
    kind, _, number = bell.rpartition(":")
    try:
        if kind == "organisation":
            conductor.conduct(_services, int(number), stopping.is_set)
        elif kind == "portal":
            portal_work.work(_services, int(number), stopping.is_set)
        elif kind == "inbox:portal":
            take_events.drain(_services, int(number), stopping.is_set)
        elif kind == "inbox:organisation":
            take_webhooks.drain(_services, int(number), stopping.is_set)
        else:
            log.warning("no one answers the bell %r", bell)
    except Problem as problem:
        log.warning("bell %s: %s %s", bell, problem.code, problem.params)


class _NoPenalty(BaseDeathPenalty):
    """Work has deadlines of its own; RQ's would need signals, which only the main thread gets."""

    def setup_death_penalty(self) -> None: ...

    def cancel_death_penalty(self) -> None: ...


class _Worker(SimpleWorker):
    """Waits at most five seconds for a Redis that is away, and passes a stop request on to the work in hand."""

    max_connection_wait_time = 5.0
    death_penalty_class = _NoPenalty

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.idle = threading.Event()
        self.idle.set()

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Answer a bell. Nobody reads what RQ writes down about a job's life, and it takes longer than a small answer: the bell is gone when it was heard.

        One that was heard by a worker that died is rung again by the sweep, like one that was lost.
        """
        bell = str(job.args[0])
        self.idle.clear()
        try:
            with self.connection.pipeline(transaction=False) as together:
                together.lrem(queue.intermediate_queue_key, 1, job.id)
                together.delete(job.key)
                together.execute()
            try:
                answer(bell)
            except Exception:
                log.exception("bell %s could not be answered", bell)
        finally:
            self.idle.set()

    def request_stop(self, signum: int, frame: FrameType | None) -> Any:
        stopping.set()
        return super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


class _SideWorker(_Worker):
    """On a thread beside the main one, which alone hears signals."""

    def _install_signal_handlers(self) -> None: ...

    def execute_job(self, job: Job, queue: Queue) -> None:
        try:
            super().execute_job(job, queue)
        finally:
            self._stop_requested = stopping.is_set()


_Kind = TypeVar("_Kind", bound=_Worker)


def _lane(services: Services, queue: str, kind: type[_Kind], started: Callable[[_Kind], None]) -> None:
    """Answer the bells of one queue until a signal says stop."""
    while not stopping.is_set():
        connection = Redis.from_url(services.config.redis_url)
        try:
            worker = kind([queue], connection=connection, serializer=JSONSerializer, log_job_description=False)
            worker.log.setLevel(logging.WARNING)
            started(worker)
            worker.work(logging_level="WARNING")
        except RedisError as error:
            log.warning("Redis is away (%s); trying again", type(error).__name__)
        finally:
            connection.close()
        if not stopping.is_set():
            time.sleep(1)


def run(services: Services) -> None:
    """Answer bells until a signal says stop."""
    global _services
    _services = services
    lanes: dict[str, _Worker] = {}
    main, *others = bells.LANES.values()
    process.settle(quiet=lambda: all(worker.idle.is_set() for worker in list(lanes.values())))
    with heartbeat.beating(services, process_name(), heartbeat.WORKER):
        for queue in others:
            threading.Thread(target=_lane, args=(services, queue, _SideWorker, partial(lanes.__setitem__, queue)), name=queue, daemon=True).start()
        log.info("worker ready")
        _lane(services, main, _Worker, partial(lanes.__setitem__, main))
        for worker in lanes.values():
            worker.idle.wait(durations.TURN)  # what is in hand ends its turn early; who waits for a bell is simply gone
    services.call_log.close()
