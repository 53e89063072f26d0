"""The app under fire, and what every answer must be: never a 500 or a stack, quick, guarded, and nothing of the request in it unescaped."""

from __future__ import annotations

import base64
import hashlib
import hmac
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import psycopg
from itsdangerous import TimestampSigner
from werkzeug.routing import Rule
from werkzeug.test import run_wsgi_app

from plugin.web.frame_pass import Claims, FramePasses
from tests.fuzz.hostile import BREAK_OUTS, Form, Who
from tests.stories.main_story import sendable
from tests.stories.office import Person
from tests.stories.patience import PatientOffice

SECONDS = 2.0
#: Words that only a stack trace or an error of a library holds.
STACKS = (b"Traceback", b'File "', b"sqlalchemy", b"werkzeug", b"psycopg", b"sqlite3.", b"jinja2", b"/plugin/")
#: Whatever is answered, this goes with it.
GUARDS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
TYPES = {"/healthz": ("application/json",), "/metrics": ("text/plain",), "/app/activity/export": ("text/csv", XLSX)}
#: These may set the cookie of the window at Xero.
COOKIES = ("/xero/connect", "/xero/callback")
#: Would end what the rest of a run needs. They are fired at by everybody else.
NOT_BY_ADMINISTRATOR = ("/app/setup/connection/disconnect",)


@dataclass(frozen=True)
class Shot:
    """One request, as a server hands it to the app."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    form: Form
    who: Who
    #: The content length that is claimed, where it is not the real one.
    claimed: str | None = None
    route: str = ""


@dataclass
class Hit:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


def _watch(database_url: str) -> tuple[Callable[[], Any], Callable[[], None]]:
    """A question whose answer changes whenever somebody else has written to the database, and the end of asking."""
    if database_url.startswith("sqlite"):
        file = sqlite3.connect(urlsplit(database_url).path)
        return lambda: file.execute("PRAGMA data_version").fetchone(), file.close
    server = psycopg.connect(database_url.replace("postgresql+psycopg", "postgresql"), autocommit=True)
    return lambda: server.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())").fetchone(), server.close


class Target:
    """An office in use: an administrator, a sales person, and a stranger on another portal, all with invoices and batches."""

    def __init__(self, office: PatientOffice) -> None:
        self.office = office
        administrator = office.ready()
        self.invoices = sendable(office, 3)
        self.batch = administrator.send(*self.invoices)
        office.pass_time(60)
        self.people: dict[str, Person] = {"administrator": administrator, "sales": office.open(user=2), "stranger": office.install("stranger")}
        self.passes = FramePasses(office.config.secret_key)
        self._written, self.close = _watch(office.config.database_url)
        self.count: Counter[tuple[str, int]] = Counter()
        self.slowest: tuple[float, str] = (0.0, "")
        self._ended = self._ended_pass()

    def routes(self) -> list[Rule]:
        """Every address of the app, in a steady order."""
        return sorted(self.office.app.url_map.iter_rules(), key=lambda rule: (rule.rule, sorted(rule.methods or ())))

    def _ended_pass(self) -> str:
        """A pass that was good last year."""

        class LastYear(TimestampSigner):
            def get_timestamp(self) -> int:
                return int(time.time()) - 365 * 86_400

        serializer = self.passes._serializer
        kept, serializer.signer = serializer.signer, LastYear
        try:
            return self.passes.issue(Claims(1, 1, "en"))
        finally:
            serializer.signer = kept

    def opening(self, user: int = 1) -> tuple[str, dict[str, str]]:
        """A real opening: its query and its fields."""
        opening = self.office.sandbox.bitrix24.portals["harbour"].open_app(user)
        return urlsplit(opening.url).query, dict(opening.fields)

    @property
    def application_token(self) -> str:
        installation = self.office.sandbox.bitrix24.portals["harbour"].installation
        assert installation is not None
        return installation.application_token

    def signature(self, body: bytes) -> str:
        key = self.office.sandbox.settings.xero_webhook_key
        return base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest()).decode()

    def fire(self, shot: Shot) -> Hit:
        """One request; the partners' limits are let rest before one that may talk to them."""
        if shot.who in self.people or shot.path.startswith("/bitrix24/"):
            self.office.pass_time(3)
        self.office.services.call_log.flush()  # its thread writes later what an earlier request said to a partner
        before = self._written()
        hit = self._answered(shot)
        if hit.seconds >= SECONDS:
            hit = min(hit, self._answered(shot), key=lambda one: one.seconds)  # a busy machine is not a slow answer
        self.count[shot.route, hit.status] += 1
        for partner in (self.office.sandbox.xero, self.office.sandbox.bitrix24):
            partner.controls.calls.clear()
        self.slowest = max(self.slowest, (hit.seconds, f"{shot.method} {shot.route}"))
        if shot.who in self.people:
            self.people[shot.who].frame_pass = hit.headers.get("X-Frame-Pass", self.people[shot.who].frame_pass)
        self._judge(shot, hit, untouched=self._written() == before)
        return hit

    def _answered(self, shot: Shot) -> Hit:
        environ = self._environ(shot)
        started = time.perf_counter()
        body, status, headers = run_wsgi_app(self.office.app.wsgi_app, environ)
        content = b"".join(body)
        return Hit(int(status.split()[0]), {name.title(): value for name, value in headers}, content, time.perf_counter() - started)

    def _environ(self, shot: Shot) -> dict[str, Any]:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": shot.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(shot.path).decode("latin-1"),
            "QUERY_STRING": shot.query,
            "SERVER_NAME": "app.test",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "app.test",
            "CONTENT_TYPE": shot.form.content_type,
            "CONTENT_LENGTH": str(len(shot.form.body)) if shot.claimed is None else shot.claimed,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(shot.form.body),
            "wsgi.errors": BytesIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        given = {"forged": "WzEsMSwiZW4iXQ.aaaa.bbbb", "ended": self._ended}
        if shot.who in self.people:
            given[shot.who] = self.people[shot.who].frame_pass
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in shot.headers}
        if shot.who in given:
            environ["HTTP_X_FRAME_PASS"] = given[shot.who]
        return environ

    def _judge(self, shot: Shot, hit: Hit, untouched: bool) -> None:
        said = f"{hit.status} after {hit.seconds:.2f} s to {shot}: {hit.body[:600]!r}"
        assert hit.status < 500, f"a failure: {said}"
        assert hit.seconds < SECONDS, f"too slow: {said}"
        assert not any(word in hit.body for word in STACKS), f"a stack: {said}"
        for name, value in GUARDS.items():
            assert hit.headers.get(name) == value, f"no {name}: {said}"
        policy = hit.headers.get("Content-Security-Policy", "")
        assert "default-src 'none'" in policy, f"no policy: {said}"
        assert "unsafe" not in policy, f"a loose policy: {said}"
        assert policy.count("frame-ancestors") == 1, f"a broken policy: {said}"
        assert "," not in policy, f"a broken policy: {said}"
        if not shot.path.startswith("/static/"):
            self._judge_body(shot, hit, said)
        assert "Set-Cookie" not in hit.headers or shot.path in COOKIES, f"a cookie: {said}"
        if shot.who in ("nobody", "forged", "ended"):
            assert untouched, f"somebody without a pass wrote to the database: {said}"
            assert "X-Frame-Pass" not in hit.headers, f"a pass for nobody: {said}"

    def _judge_body(self, shot: Shot, hit: Hit, said: str) -> None:
        if shot.method == "HEAD" or not hit.body:
            assert not hit.body, f"a body for HEAD: {said}"
            return
        expected = TYPES.get(shot.path, ("text/html",)) if hit.status == 200 else ("text/html",)
        assert hit.headers["Content-Type"].startswith(expected), f"another type than {expected}: {said}"
        if expected == ("text/html",):
            assert not any(word.encode() in hit.body for word in BREAK_OUTS), f"unescaped: {said}"
            assert hit.headers["Cache-Control"] == "no-store", f"may be kept: {said}"
