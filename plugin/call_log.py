"""The call log: what was said to the partners and what they answered, for administrators and support (RULES 36).

Recording costs a caller one append to a list. A thread of this process writes what has gathered, in transactions of its own;
where it cannot keep up, or the database is away, lines are lost and counted, and no call ever waits for them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from plugin import durations, redaction
from plugin.db import Database, Transaction
from plugin.models import Exchange
from plugin.wire import Talked

log = logging.getLogger("plugin.call_log")

GATHER_SECONDS = 0.5
IDLE_SECONDS = 20.0
WRITE_MOST = 200
#: What waits to be written: so many lines, and so many bytes of bodies.
LINES_MOST, BYTES_MOST = 2_000, 8 * 1024 * 1024
#: Bodies larger than this say how large they were and nothing else, unless they tell of an error.
BODY_MOST, ERROR_MOST = 32 * 1024, 512 * 1024
NAMED_MOST = 12_000
#: A portal keeps so many lines with bodies; older ones lose them, and after three days their line as well.
KEEP_ROWS = 20_000


@dataclass(frozen=True)
class _Line:
    talked: Talked
    at: datetime
    request: bytes
    answer: bytes

    @property
    def size(self) -> int:
        return len(self.request) + len(self.answer)


class CallLog:
    """Takes note of every exchange that concerns a portal or an organisation; `take` returns at once and never fails."""

    def __init__(self, database: Database, xero: tuple[str, ...]) -> None:
        self._db, self._xero = database, xero
        self._lines: deque[_Line] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.lost = 0

    def take(self, talked: Talked) -> None:
        """Keep this exchange for the writer."""
        if talked.about is None or self._closed:
            return
        most = ERROR_MOST if talked.answer is None or talked.answer.status >= 400 else BODY_MOST
        sent, got = talked.body, talked.answer.body if talked.answer else b""
        line = _Line(talked, datetime.now(UTC) - timedelta(seconds=talked.seconds), sent if len(sent) <= most else b"", got if len(got) <= most else b"")
        with self._changed:
            if len(self._lines) >= LINES_MOST or self._bytes + line.size > BYTES_MOST:
                self.lost += 1
                return
            self._lines.append(line)
            self._bytes += line.size
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="call-log", daemon=True)
                self._thread.start()
                self._changed.notify()

    def flush(self) -> None:
        """Write what has gathered, now, in this thread."""
        with self._writing:
            while lines := self._some():
                self._write(lines)

    def close(self) -> None:
        """Write the rest and take nothing more."""
        self._closed = True
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self.flush()

    def _some(self) -> list[_Line]:
        with self._changed:
            lines = [self._lines.popleft() for _ in range(min(WRITE_MOST, len(self._lines)))]
            self._bytes -= sum(line.size for line in lines)
        return lines

    def _loop(self) -> None:
        idle = threading.Event()
        quiet = 0.0
        while not self._closed:
            idle.wait(GATHER_SECONDS)
            with self._changed:
                waiting = bool(self._lines)
                quiet = 0.0 if waiting else quiet + GATHER_SECONDS
                if quiet > IDLE_SECONDS:
                    self._thread = None
                    return
            if waiting:
                self.flush()

    def _write(self, lines: list[_Line]) -> None:
        try:
            rows = [row for line in lines for row in self._rows(line)]
            with self._db.transaction() as tx:
                tx.execute(insert(Exchange), rows)
        except SQLAlchemyError as error:
            # A portal that was erased meanwhile takes the others' lines of this moment along: they are one by one then.
            self._one_by_one(lines, error)
        except Exception:
            self.lost += len(lines)
            log.exception("%d lines of the call log are lost", len(lines))

    def _one_by_one(self, lines: list[_Line], error: SQLAlchemyError) -> None:
        for line in lines:
            try:
                with self._db.transaction() as tx:
                    tx.execute(insert(Exchange), self._rows(line))
            except Exception:  # whatever it is, the next line may be well, and this thread goes on
                self.lost += 1
        log.info("the call log met %s", type(error).__name__)

    def _rows(self, line: _Line) -> list[dict[str, Any]]:
        """One row for each portal that the exchange concerns, and none of them with another one's documents."""
        talked, about = line.talked, line.talked.about
        assert about is not None
        named = redaction.documents(talked.url, line.request)
        portals: list[int | None] = list(about.documents) or [None]
        alone = len(portals) == 1
        row = {
            "organisation_id": about.organisation_id,
            "partner": "xero" if talked.url.startswith(self._xero) else "bitrix24",
            "at": line.at,
            "verb": talked.verb,
            "path": redaction.address(talked.url)[:500],
            "status": talked.answer.status if talked.answer else None,
            "seconds": talked.seconds,
            "waited": about.waited,
            "sent": len(talked.body),
            "received": len(talked.answer.body) if talked.answer else 0,
            "request_id": talked.request_id,
            "partner_id": _partner_id(talked)[:128],
            "problem": talked.failure[:120],
            "request": redaction.body(line.request) if alone else "",
            "answer": redaction.body(line.answer) if alone else "",
        }
        own = [(portal, about.documents.get(portal, ()) if portal is not None else ()) for portal in portals]
        return [row | {"portal_id": portal, "documents": _words((*mine, *(named if alone else ())))} for portal, mine in own]


def _words(documents: tuple[str, ...]) -> str:
    """Documents between blanks, so that one is found as a word."""
    return f" {' '.join(dict.fromkeys(documents))} "[:NAMED_MOST] if documents else ""


def _partner_id(talked: Talked) -> str:
    """The partner's own number of the request, which its support asks for."""
    headers = talked.answer.headers if talked.answer else {}
    found = {name.lower(): value for name, value in headers.items()}
    return next((found[name] for name in ("xero-correlation-id", "x-correlation-id", "x-request-id", "x-bitrix-request-id") if found.get(name)), "")


def trim(tx: Transaction, now: datetime) -> None:
    """Lines that have had their time, and beyond many also those that are older than three days (RULES 36)."""
    tx.execute(delete(Exchange).where(Exchange.at < now - timedelta(seconds=durations.KEEP_EXCHANGES)))
    least = now - timedelta(seconds=durations.KEEP_EXCHANGES_LEAST)
    for owner in (Exchange.portal_id, Exchange.organisation_id):
        many = select(owner).where(owner.is_not(None)).group_by(owner).having(func.count() > KEEP_ROWS)
        for number in list(tx.scalars(many)):
            newest = select(Exchange.id).where(owner == number).order_by(Exchange.id.desc())
            last = tx.scalar(newest.offset(KEEP_ROWS).limit(1))
            if last is None:
                continue
            tx.execute(delete(Exchange).where(owner == number, Exchange.id <= last, Exchange.at < least))
            old = (owner == number, Exchange.id <= last, Exchange.request != "")
            tx.execute(update(Exchange).where(*old).values(request="", answer="").execution_options(synchronize_session=False))
