"""How many webhooks and events a second the app takes, with Redis standing still for a part of the time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import multiprocessing
import os
import signal
import time
import uuid
from multiprocessing.queues import Queue
from typing import Any

import redis as redis_client
import requests

from tests.bench.figures import Figure, Size, p99
from tests.bench.office import office
from tests.bench.partners import Options

SENDERS = 4


def intake(size: Size) -> list[Figure]:
    """Sixty seconds on each database; Redis stands still for ten of them."""
    return [*_on("sqlite", 200, size), *_on("postgresql", 400, size)]


def _on(database: str, rate: int, size: Size) -> list[Figure]:
    seconds, still = size.of(60, 10), size.of(10, 3)
    os.environ["WEB_CONCURRENCY"] = "2"
    try:
        with office(Options(1), workers=1, database=database) as at:
            at.ready()
            assert at.running is not None
            token = at.ask(do="application_token")
            before = at.value("SELECT count(*) FROM callback")
            for worker in at.running.workers:  # what is taken in is counted, not acted upon: the sandbox knows nothing of these documents
                worker.send_signal(signal.SIGSTOP)
            found = _fire(at.url, at.tenant, at.webhook_key, token, rate, seconds, at.running.environment["REDIS_URL"], still)
            stored = at.value("SELECT count(*) FROM callback") - before
            for worker in at.running.workers:
                worker.send_signal(signal.SIGCONT)
    finally:
        del os.environ["WEB_CONCURRENCY"]
    answered = [one for one in found if one[0] == 200]
    reached = len(answered) / seconds
    return [
        Figure(f"intake on {database}: webhooks and events taken a second, Redis still for {still} of {seconds} s", reached, "-", rate * 0.995, least=True),
        Figure("the same: answered within, p99", p99([seconds_ * 1000 for _, seconds_ in found]), "-", 100, "ms"),
        Figure("the same: lost", len(answered) - stored, "0", 0),
    ]


def _fire(url: str, tenant: str, key: str, token: dict[str, str], rate: int, seconds: int, redis_url: str, still: int) -> list[tuple[int, float]]:
    spawn = multiprocessing.get_context("spawn")
    answers: Queue[list[tuple[int, float]]] = spawn.Queue()
    start = time.time() + 3
    senders = [
        spawn.Process(target=_send, args=(url, tenant, key, token, rate / SENDERS, start + number / rate, seconds, answers), daemon=True)
        for number in range(SENDERS)
    ]
    for sender in senders:
        sender.start()
    with redis_client.Redis.from_url(redis_url) as client:
        pid = int(client.info("server")["process_id"])  # type: ignore[index]
    time.sleep(max(0.0, start + seconds / 3 - time.time()))
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(still)
    finally:
        os.kill(pid, signal.SIGCONT)
    found = [one for _ in senders for one in answers.get(timeout=seconds + 60)]
    for sender in senders:
        sender.join()
    return found


def _send(url: str, tenant: str, key: str, token: dict[str, str], rate: float, start: float, seconds: int, answers: Any) -> None:
    """One after the other at this rate, webhooks and events in turn; late ones count from the moment at which they were due."""
    session = requests.Session()
    found = []
    for number in range(int(rate * seconds)):
        due = start + number / rate
        time.sleep(max(0.0, due - time.time()))
        answer = _webhook(session, url, tenant, key) if number % 2 else _event(session, url, token, number)
        found.append((answer.status_code, time.time() - due))
    answers.put(found)


def _webhook(session: requests.Session, url: str, tenant: str, key: str) -> requests.Response:
    event = {"resourceId": str(uuid.uuid4()), "tenantId": tenant, "tenantType": "ORGANISATION", "eventCategory": "INVOICE", "eventType": "Update"}
    event |= {"eventDateUtc": "2026-01-01T00:00:00.000", "resourceUrl": "https://api.xero.com/"}
    body = json.dumps({"events": [event], "firstEventSequence": 1, "lastEventSequence": 1, "entropy": "ABCDEFGHIJKLMNOPQRST"}).encode()
    signature = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest()).decode()
    return session.post(f"{url}/xero/webhooks", data=body, headers={"Content-Type": "application/json", "x-xero-signature": signature}, timeout=30)


def _event(session: requests.Session, url: str, token: dict[str, str], number: int) -> requests.Response:
    body = {"event": "ONCRMDYNAMICITEMUPDATE", "data[FIELDS][ID]": str(900_000 + number), "data[FIELDS][ENTITY_TYPE_ID]": "31", "ts": "1767225600"}
    body |= {f"auth[{name}]": value for name, value in token.items()}
    return session.post(f"{url}/bitrix24/events", data=body, timeout=30)
