"""Idempotency keys: six minutes, per app, errors too (X§10)."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flask import Response

from sandbox.xero.words import to_json

KEPT_FOR = timedelta(minutes=6)
LONGEST = 128


@dataclass
class Entry:
    """One key: the request that came first, and its answer once there is one."""

    fingerprint: bytes
    at: datetime
    done: threading.Event = field(default_factory=threading.Event)
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    @property
    def answered(self) -> bool:
        return self.status > 0

    def replay(self) -> Response:
        return Response(self.body, self.status, self.headers)


@dataclass
class Idempotency:
    """All keys of the app; the organisation is no part of the key, nor of the comparison."""

    entries: dict[str, Entry] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, key: str, fingerprint: bytes, now: datetime) -> tuple[Entry, bool]:
        """The entry of this key, and whether this call is its first."""
        with self.lock:
            for old in [name for name, entry in self.entries.items() if entry.at + KEPT_FOR <= now and entry.answered]:
                del self.entries[old]
            if key in self.entries:
                return self.entries[key], False
            entry = self.entries[key] = Entry(fingerprint, now)
            return entry, True

    def keep(self, entry: Entry, response: Response) -> None:
        """Remember the answer."""
        entry.status, entry.body = response.status_code, response.get_data()
        entry.headers = [(name, value) for name, value in response.headers if name in ("Content-Type", "Xero-Correlation-Id")]
        entry.done.set()

    def drop(self, key: str, entry: Entry) -> None:
        """The first call ended without doing its work."""
        with self.lock:
            if not entry.answered and self.entries.get(key) is entry:
                del self.entries[key]
        entry.done.set()


def fingerprint(method: str, url: str, body: bytes) -> bytes:
    """What makes two requests the same."""
    return hashlib.sha256(b"\n".join((method.encode(), url.encode(), body))).digest()


def conflict(key: str, as_json: bool) -> Response:
    message = f"Idempotency Key: {key} is used with a different request."
    if not as_json:
        return Response(message, 400, mimetype="text/plain")
    return Response(to_json({"Type": None, "Title": "BadRequest", "Status": 400, "Detail": message}), 400, mimetype="application/json")
