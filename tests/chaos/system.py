"""The app as it runs in production, with a supervisor: web, three workers, sweep, Redis, a database, and the partners beside it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
from cryptography.fernet import Fernet
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from launch.components import find_redis
from launch.processes import dies_with_us
from launch.tree import child_environment
from plugin import durations
from plugin.db import full_url
from tests import services
from tests.bench.office import fields_of as form_fields
from tests.running import free_port, until

Kind = Literal["sqlite", "postgresql"]
PACE = 20.0
WORKERS = 3
REDIS, WEB, SWEEP = "redis", "web", "sweep"
WORKER_NAMES = tuple(f"worker-{number}" for number in range(WORKERS))
RESTART_SECONDS = 0.2
#: A machine that many share may need so long to start a process again.
PATIENCE = 120.0


class Kept:
    """Processes that a supervisor starts again when they have died."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder, self._environment = folder, environment
        self._commands: dict[str, list[str]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._down: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        #: The processes' parent has to be a thread that outlives them: the system ends them with it.
        self._watch = threading.Thread(target=self._keep, name="supervisor", daemon=True)

    def start(self, commands: dict[str, list[str]]) -> None:
        self._commands = commands
        self._watch.start()
        until(lambda: set(self._running) == set(commands))

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def kill(self, name: str, before_restart: Callable[[], None] = lambda: None) -> None:
        """kill -9, with all that it started; comes back when the supervisor sees it."""
        with self._lock:
            process = self._running[name]
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            before_restart()

    @contextlib.contextmanager
    def held_down(self, names: tuple[str, ...]) -> Iterator[None]:
        """The supervisor leaves these alone for a while; whoever came back already is killed again."""
        self._down |= set(names)
        for name in names:
            self.kill(name)
        try:
            yield
        finally:
            self._down.clear()

    def freeze(self, name: str, seconds: float) -> None:
        """It stands still for a while, connections and all, and then goes on."""
        self.signal(name, signal.SIGSTOP)
        time.sleep(seconds)
        self.signal(name, signal.SIGCONT)

    def signal(self, name: str, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running[name].pid, number)

    def close(self) -> None:
        self._ended.set()
        self._watch.join(timeout=10)
        for name, process in self._running.items():
            self.signal(name, signal.SIGCONT)
            self.signal(name, signal.SIGTERM if name != REDIS else signal.SIGKILL)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.signal(name, signal.SIGKILL)
                process.wait()

    def _keep(self) -> None:
        while not self._ended.is_set():
            with self._lock:
                for name, command in self._commands.items():
                    held = self._running.get(name)
                    if held is None or (held.poll() is not None and name not in self._down):
                        self._running[name] = self._run(name, command)
            self._ended.wait(RESTART_SECONDS)

    def _run(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # nothing between fork and exec touches other threads
            return subprocess.Popen(command, env=self._environment, stdout=file, stderr=file, start_new_session=True, preexec_fn=dies_with_us(signal.SIGKILL))


class Breath:
    """How long this machine has let a process wait for its turn. A starved process is like a frozen one: its leases run out."""

    STEP = 0.05

    def __init__(self) -> None:
        self.longest = 0.0
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="breath", daemon=True).start()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(self.STEP):
            now = time.monotonic()
            self.longest = max(self.longest, now - last - self.STEP)
            last = now

    def fresh(self) -> None:
        self.longest = 0.0

    def was_short(self) -> bool:
        """Longer than leases are renewed: what looks like one holder too many may be two who both had reason."""
        return self.longest > durations.LEASE_RENEW / PACE

    def close(self) -> None:
        self._ended.set()


class Person:
    """Somebody with the app open, who presses again when a page does not come."""

    def __init__(self, system: System, user: int) -> None:
        self.system, self.user = system, user
        self._pass = ""

    def open(self, installing: bool = False) -> None:
        """Open the app; while it is installed there is no pass yet."""
        opening = self.system.ask("open", user=self.user)
        parts = urlsplit(opening["url"])
        answer = self._patiently(lambda: requests.post(f"{self.system.url}{parts.path}?{parts.query}", data=opening["fields"], timeout=PATIENCE))
        found = re.search(r'name="frame-pass" content="([^"]+)"', answer.text) or re.search(r'data-pass="([^"]+)"', answer.text)
        assert found or installing, answer.text[:2000]
        self._pass = found[1] if found else ""

    def request(self, method: str, path: str, **more: Any) -> requests.Response:
        """The page; a person tries again for a while, while the web process is away or asks for patience."""
        headers = {"X-Frame-Pass": self._pass, "HX-Request": "true"}
        answer = self._patiently(lambda: requests.request(method, self.system.url + path, headers=headers, timeout=PATIENCE, **more))
        self._pass = answer.headers.get("X-Frame-Pass", self._pass)
        return answer

    def _patiently(self, send: Callable[[], requests.Response]) -> requests.Response:
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                answer = send()
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)
                continue
            if answer.status_code >= 500:
                self.system.refusals.append(f"{answer.request.method} {urlsplit(answer.url).path} {answer.status_code}: {_words(answer.text)}")
                if time.monotonic() < give_up:
                    time.sleep(0.3)
                    continue
            return answer

    def order(self, ids: list[int], kind: str = "send") -> int | None:
        """Tick these rows and press the button. Returns the batch, or nothing if the page said no."""
        return self._batch(self.request("POST", "/app/batches", data={"kind": kind, "id": [str(one) for one in ids]}))

    def again(self, batch: int) -> int | None:
        """Press "send the failed ones again". Returns the new batch, or nothing if none failed."""
        return self._batch(self.request("POST", f"/app/batches/{batch}/again"))

    def _batch(self, answer: requests.Response) -> int | None:
        found = re.search(r"/app/batches/(\d+)", answer.text)
        if found is None:
            self.system.refusals.append(f"order by {self.user}: {answer.status_code} {_words(answer.text)}")
            return None
        return int(found[1])

    def confirm(self, batch: int) -> None:
        self.request("POST", f"/app/batches/{batch}/confirm")

    def cancel(self, batch: int) -> None:
        self.request("POST", f"/app/batches/{batch}/cancel")


def _words(html: str) -> str:
    return re.sub(r"<[^>]+>|\s+", " ", html).strip()[-200:]


class System:
    """One start that serves many trials."""

    def __init__(self, kind: Kind, folder: Path, databases: services.Databases, postgres: Callable[[], services.Postgres], pace: float = PACE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.kind, self.folder, self._postgres = kind, folder, postgres
        self.database_url = databases.migrated(kind)
        self.refusals: list[str] = []
        self.breath = Breath()
        self._asking = threading.Lock()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._redis_folder = Path(tempfile.mkdtemp(prefix="tb-chaos-", dir="/tmp"))
        self.redis_url = f"unix://{self._redis_folder / 'redis.sock'}"
        self._partners_log = (folder / "partners.log").open("ab")
        self._partners = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.partners", str(pace), f"http://localhost:{port}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._partners_log,
            text=True,
            preexec_fn=dies_with_us(signal.SIGKILL),
        )
        assert self._partners.stdout is not None
        told = json.loads(self._partners.stdout.readline())
        self.tenant: str = told["tenant"]
        keys = {"SECRET_KEY": "a secret of sixteen characters and more", "ENCRYPTION_KEYS": Fernet.generate_key().decode()}
        places = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url, "TALLYBRIDGE_PACE": str(pace)}
        self.kept = Kept(folder, child_environment() | told["environment"] | keys | places)
        self.kept.start(self._commands(port))
        self.engine = create_engine(full_url(self.database_url), poolclass=NullPool)
        until(lambda: requests.get(f"{self.url}/healthz", timeout=15).ok, 180)
        self.alice, self.tom, self.sam = (Person(self, user) for user in (1, 4, 2))

    def _commands(self, port: int) -> dict[str, list[str]]:
        program = find_redis(services.TREE)
        if program is None:
            raise services.Missing("The trials need Redis. This command helps: python3 run.py test")
        flask = [sys.executable, "-m", "flask", "--app", "wsgi"]
        web = [sys.executable, "-m", "gunicorn", "wsgi:app", "--worker-class", "gthread", "--threads", "8", "--bind", f"127.0.0.1:{port}"]
        keeps = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        return {
            REDIS: [str(program), "--port", "0", "--unixsocket", str(self._redis_folder / "redis.sock"), *keeps, "--dir", str(self._redis_folder)],
            WEB: [*web, "--no-control-socket", "--log-level", "warning"],
            SWEEP: [*flask, "sweep"],
            **{name: [*flask, "worker"] for name in WORKER_NAMES},
        }

    def ask(self, what: str, **more: Any) -> Any:
        """One order to the partners, and its answer."""
        assert self._partners.stdin is not None
        assert self._partners.stdout is not None
        with self._asking:
            self._partners.stdin.write(json.dumps({"do": what, **more}) + "\n")
            self._partners.stdin.flush()
            answer = json.loads(self._partners.stdout.readline())
        if "error" in answer:
            raise AssertionError(f"{what}: {answer['error']}")
        return answer["done"]

    def rows(self) -> Session:
        """A look into the database."""
        return Session(self.engine)

    # --- what can befall it

    def kill_redis(self, emptied: bool) -> None:
        self.kept.kill(REDIS, self._empty_redis if emptied else lambda: None)

    def _empty_redis(self) -> None:
        shutil.rmtree(self._redis_folder / "appendonlydir", ignore_errors=True)

    def cut_database(self) -> None:
        """PostgreSQL ends every connection; SQLite's lock is held for a second by somebody else."""
        if self.kind == "postgresql":
            name = self.database_url.rpartition("/")[2].partition("?")[0]
            self._postgres().execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()")
            return
        with contextlib.closing(sqlite3.connect(self.database_url.removeprefix("sqlite:///"), isolation_level=None, timeout=15)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(1)
            connection.execute("ROLLBACK")

    # --- from nothing to work

    def ready(self) -> None:
        """Install, connect, set up as proposed, first synchronisation done."""
        self.ask("install")
        self.alice.open(installing=True)
        self.ask("finish")
        self.alice.open()
        panel = self.alice.request("POST", "/app/setup/connection/ticket").text
        ticket = re.search(r"/xero/connect\?ticket=([\w-]+)", panel)
        assert ticket, panel
        window = requests.Session()
        away = window.get(f"{self.url}/xero/connect?ticket={ticket[1]}", allow_redirects=False, timeout=30)
        yes = {"login": "olivia", "organisation": self.tenant, "decision": "allow"}
        back = requests.post(away.headers["Location"], data=yes, allow_redirects=False, timeout=30)
        parts = urlsplit(back.headers["Location"])
        window.get(f"{self.url}{parts.path}?{parts.query}", timeout=30)
        for step in (1, 2, 3, 4):
            self.alice.request("POST", f"/app/setup/{step}", data=form_fields(self.alice.request("GET", f"/app/setup/{step}").text))
        self.alice.request("POST", "/app/setup/confirm")
        self.alice.request("POST", "/app/setup/brought", data={"documents": "yes", "bills": "yes", "bills_place": "new"})
        until(lambda: "customers linked" in self.alice.request("GET", "/app/first-sync").text, 180)
        self.tom.open()
        self.sam.open()

    def close(self) -> None:
        self.breath.close()
        self.kept.close()
        self._partners.kill()
        self._partners.wait()
        for stream in (self._partners.stdin, self._partners.stdout, self._partners_log):
            if stream is not None:
                stream.close()
        self.engine.dispose()
        shutil.rmtree(self._redis_folder, ignore_errors=True)
