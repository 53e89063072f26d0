"""Signed deliveries to the app, from a thread of their own (X§8)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import random
import secrets
import string
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sandbox.controls import Controls
from sandbox.settings import SandboxSettings
from sandbox.xero.books import Event
from sandbox.xero.words import iso_thousandth, to_json

_PLURAL = {"INVOICE": "Invoices", "CONTACT": "Contacts", "CREDITNOTE": "CreditNotes"}
#: Pauses before the next attempt, in seconds. Xero waits 15 minutes and more; here a minute must do.
RETRIES = (0.5, 2.0, 5.0, 10.0, 20.0, 30.0)
TIME_OUT = 5.0
MOST_EVENTS = 100


@dataclass
class Delivery:
    """One attempt to bring news, for the levers page and for tests."""

    events: int
    first: int
    last: int
    status: int
    attempt: int
    body: bytes = b""


@dataclass
class _Post:
    body: bytes
    count: int
    first: int
    last: int
    attempt: int = 0


class Webhooks:
    """Collects events, sends them in batches, and tries again. Never blocks a call."""

    def __init__(self, controls: Controls, settings: SandboxSettings) -> None:
        self._controls = controls
        self._settings = settings
        self._wake = threading.Condition()
        self._waiting: deque[dict[str, Any]] = deque()
        self._retries: list[tuple[float, _Post]] = []
        self._generation = 0
        self._sequence = 0
        self._random = random.Random(8)
        self._thread: threading.Thread | None = None
        #: Seconds between a change and its delivery.
        self.delay = 0.3
        self.deliveries: deque[Delivery] = deque(maxlen=10_000)

    def reset(self) -> None:
        """Forget what waits; a post under way is not repeated."""
        with self._wake:
            self._generation += 1
            self._waiting.clear()
            self._retries.clear()
            self._sequence = 0
            self.deliveries.clear()
            self.delay = 0.3

    def announce(self, tenant_id: str, events: list[Event]) -> None:
        """Order the delivery of these events."""
        if self._controls.switches.get("webhooks") == "off":
            return
        at = iso_thousandth(self._controls.clock.now())
        with self._wake:
            self._waiting.extend(self._render(tenant_id, event, at) for event in events)
            self._start()
            self._wake.notify()

    def _render(self, tenant_id: str, event: Event, at: str) -> dict[str, Any]:
        upper = self._controls.switches.get("webhook_type_case") == "UPDATE"
        shown: dict[str, Any] = {
            "resourceUrl": f"https://api.xero.com/api.xro/2.0/{_PLURAL[event.category]}/{event.resource_id}",
            "resourceId": event.resource_id,
            "tenantId": tenant_id,
            "tenantType": "ORGANISATION",
            "eventCategory": event.category,
            "eventType": event.type if upper else event.type.capitalize(),
            "eventDateUtc": at,
        }
        return shown | ({"data": event.data} if event.data else {})

    @property
    def waiting(self) -> int:
        with self._wake:
            return len(self._waiting) + len(self._retries)

    def release(self) -> None:
        """Let go of what was held; the switch goes back to `on`."""
        with self._wake:
            self._controls.switches.set("webhooks", "on")
            self._start()
            self._wake.notify()

    def intent_to_receive(self) -> list[int]:
        """The handshake: empty events, some signed well and some not; the statuses that came back (X§8.1)."""
        answers = []
        for good in (True, False, True, False):
            body = self._body([], 0, 0)
            key = self._settings.xero_webhook_key if good else "not-the-key"
            answers.append(self._send(body, sign(key, body)))
        return answers

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="xero-webhooks")
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._something_due():
                    self._wake.wait(self._pause())
                fresh = bool(self._waiting)
            if fresh:
                time.sleep(self.delay)
            posts, generation = self._take()
            for post in posts:
                self._deliver(post, generation)

    def _held(self) -> bool:
        return self._controls.switches.get("webhooks") != "on"

    def _something_due(self) -> bool:
        if self._held():
            return False
        return bool(self._waiting) or any(at <= time.monotonic() for at, _ in self._retries)

    def _pause(self) -> float:
        if not self._retries or self._held():
            return 0.5
        return max(0.01, min(at for at, _ in self._retries) - time.monotonic())

    def _take(self) -> tuple[list[_Post], int]:
        """Posts that are due now, new events in batches and old ones again; and the run they belong to."""
        with self._wake:
            if self._held():
                return [], self._generation
            events = list(self._waiting)
            self._waiting.clear()
            now = time.monotonic()
            posts = [post for at, post in self._retries if at <= now]
            self._retries = [(at, post) for at, post in self._retries if at > now]
            if self._controls.switches.get("webhook_order") == "shuffled":
                self._random.shuffle(events)
            for start in range(0, len(events), MOST_EVENTS):
                posts += self._pack(events[start : start + MOST_EVENTS])
            return posts, self._generation

    def _pack(self, events: list[dict[str, Any]]) -> list[_Post]:
        first, last = self._sequence + 1, self._sequence + len(events)
        self._sequence = last
        if self._controls.switches.get("webhook_loss") == "all":
            return []
        post = _Post(self._body(events, first, last), len(events), first, last)
        copies = 2 if self._controls.switches.get("webhook_copies") == "two" else 1
        return [_Post(post.body, post.count, first, last) for _ in range(copies)]

    @staticmethod
    def _body(events: list[dict[str, Any]], first: int, last: int) -> bytes:
        entropy = "".join(secrets.choice(string.ascii_uppercase) for _ in range(20))
        return to_json({"events": events, "firstEventSequence": first, "lastEventSequence": last, "entropy": entropy})

    def _deliver(self, post: _Post, generation: int) -> None:
        status = self._send(post.body, sign(self._settings.xero_webhook_key, post.body))
        with self._wake:
            if generation != self._generation:
                return
            self.deliveries.append(Delivery(post.count, post.first, post.last, status, post.attempt, post.body))
            if not 200 <= status < 300 and post.attempt < len(RETRIES):
                self._retries.append((time.monotonic() + RETRIES[post.attempt], post))
                post.attempt += 1

    def _send(self, body: bytes, signature: str) -> int:
        """The status of the answer; 0 when there was none."""
        parts = urlsplit(self._settings.app_url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "localhost", parts.port, timeout=TIME_OUT)
        try:
            headers = {"Content-Type": "application/json", "x-xero-signature": signature, "User-Agent": "Xero-Webhooks"}
            connection.request("POST", f"{parts.path.rstrip('/')}/xero/webhooks", body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()


def sign(key: str, body: bytes) -> str:
    """base64(HMAC-SHA256(key, raw body)) (X§8.2)."""
    return base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest()).decode()
