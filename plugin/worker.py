"""`flask worker`: answers bells in one process that imported everything first; works again when Redis was away."""

from __future__ import annotations

import logging
import threading
import time
from types import FrameType
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from plugin import bells, heartbeat, portal_work
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


class _Worker(SimpleWorker):
    """Waits at most five seconds for a Redis that is away, and passes a stop request on to the work in hand."""

    max_connection_wait_time = 5.0

    def request_stop(self, signum: int, frame: FrameType | None) -> Any:
        stopping.set()
        return super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


def run(services: Services) -> None:
    """Answer bells until a signal says stop."""
    global _services
    _services = services
    log.info("worker ready")
    with heartbeat.beating(services, process_name(), heartbeat.WORKER):
        while not stopping.is_set():
            _listen(services)
            if not stopping.is_set():
                time.sleep(1)
    services.call_log.close()


def _listen(services: Services) -> None:
    connection = Redis.from_url(services.config.redis_url)
    try:
        worker = _Worker([bells.QUEUE], connection=connection, serializer=JSONSerializer, log_job_description=False)
        worker.log.setLevel(logging.WARNING)
        worker.work(logging_level="WARNING")
    except RedisError as error:
        log.warning("Redis is away (%s); trying again", type(error).__name__)
    finally:
        connection.close()
