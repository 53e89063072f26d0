"""A whole office for a row of the bench: partners, app and workers as processes of their own, and the verbs through HTTP as a browser sends them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from redis import Redis
from sqlalchemy import create_engine, text

from plugin.db import full_url
from tests import services
from tests.bench.partners import READ_SECONDS, WRITE_SECONDS, Options
from tests.running import Running, free_port, until


class Office:
    """Partners, app, workers."""

    def __init__(self, folder: Path, redis_url: str, database_url: str, options: Options, workers: int) -> None:
        port = free_port()
        options = Options(**{**asdict(options), "app_url": f"http://localhost:{port}"})
        command = [sys.executable, "-m", "tests.bench.partners", json.dumps(asdict(options))]
        self.partners = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.running: Running | None = None
        try:
            assert self.partners.stdout is not None
            told = json.loads(self.partners.stdout.readline())
            self.ids: list[int] = told["ids"]
            self.tenant: str = told["tenant"]
            self.webhook_key: str = told["webhook_key"]
            self.pace = options.pace
            self.engine = create_engine(full_url(database_url))
            self.redis = Redis.from_url(redis_url)
            self.running = Running(told["environment"] | {"TALLYBRIDGE_PACE": str(options.pace)}, database_url, redis_url, port, folder, workers)
        except BaseException:
            self.close()
            raise
        self.http = requests.Session()
        self.frame_pass = ""

    @property
    def url(self) -> str:
        assert self.running is not None
        return self.running.url

    def close(self) -> None:
        if self.running is not None:
            self.running.close()
        self.partners.terminate()
        self.partners.wait(timeout=10)

    def logs(self) -> str:
        return self.running.logs() if self.running is not None else ""

    def ask(self, **order: Any) -> Any:
        """One order to the partners; its answer."""
        assert self.partners.stdin is not None
        assert self.partners.stdout is not None
        self.partners.stdin.write(json.dumps(order) + "\n")
        self.partners.stdin.flush()
        return json.loads(self.partners.stdout.readline())

    def request(self, method: str, path: str, **more: Any) -> requests.Response:
        answer = self.http.request(method, self.url + path, headers={"X-Frame-Pass": self.frame_pass, "HX-Request": "true"}, timeout=120, **more)
        self.frame_pass = answer.headers.get("X-Frame-Pass", self.frame_pass)
        assert answer.status_code < 400, answer.text
        return answer

    def open(self, user: int = 1) -> None:
        opening = self.ask(do="open", user=user)
        parts = urlsplit(opening["url"])
        answer = self.http.post(f"{self.url}{parts.path}?{parts.query}", data=opening["fields"], timeout=60)
        found = re.search(r'name="frame-pass" content="([^"]+)"', answer.text) or re.search(r'data-pass="([^"]+)"', answer.text)
        self.frame_pass = found[1] if found else ""

    def ready(self, **chosen: str) -> None:
        """Install, connect, set up as proposed but for what is chosen, first synchronisation done."""
        self.ask(do="latency", write=0, read=0)
        self.ask(do="install")
        self.open()
        self.ask(do="finish")
        self.open()
        panel = self.request("POST", "/app/setup/connection/ticket").text
        ticket = re.search(r"/xero/connect\?ticket=([\w-]+)", panel)
        assert ticket
        window = requests.Session()
        away = window.get(f"{self.url}/xero/connect?ticket={ticket[1]}", allow_redirects=False, timeout=30)
        yes = {"login": "olivia", "organisation": self.tenant, "decision": "allow"}
        back = requests.post(away.headers["Location"], data=yes, allow_redirects=False, timeout=30)
        parts = urlsplit(back.headers["Location"])
        window.get(f"{self.url}{parts.path}?{parts.query}", timeout=60)
        for step in (1, 2, 3, 4):
            html = self.request("GET", f"/app/setup/{step}").text
            proposed = fields_of(html)
            self.request("POST", f"/app/setup/{step}", data=proposed | {name: value for name, value in chosen.items() if f'name="{name}"' in html})
        self.request("POST", "/app/setup/confirm")
        until(lambda: "customers linked" in self.request("GET", "/app/first-sync").text, 240)
        self.ask(do="latency", write=WRITE_SECONDS, read=READ_SECONDS)
        self.quiet()

    def order(self, ids: list[int] | None, kind: str = "send") -> int:
        """A batch of these, or of everything linked, prepared."""
        data = {"kind": kind, "id": [str(one) for one in ids]} if ids is not None else {"kind": kind, "all_linked": "1"}
        found = re.search(r"/app/batches/(\d+)", self.request("POST", "/app/batches", data=data).text)
        assert found
        until(lambda: self.state(int(found[1])) != "preparing", 900)
        return int(found[1])

    def confirm(self, batch: int, seconds: float = 900) -> float:
        """Confirm and wait for the end. Returns the seconds between."""
        started = time.monotonic()
        self.request("POST", f"/app/batches/{batch}/confirm")
        until(lambda: self.state(batch) == "done", seconds)
        return time.monotonic() - started

    def batch(self, ids: list[int] | None, kind: str = "send") -> float:
        return self.confirm(self.order(ids, kind))

    def state(self, batch: int) -> str:
        return str(self.value("SELECT state FROM batch WHERE id = :id", id=batch))

    def value(self, statement: str, **values: Any) -> Any:
        """One value of the app's database."""
        with self.engine.connect() as connection:
            return connection.execute(text(statement), values).scalar()

    def quiet(self, seconds: float = 900) -> None:
        """Everything ordered so far is done, write-backs included."""
        until(lambda: self.value("SELECT count(*) FROM job WHERE state != 'done'") == 0, seconds)

    def cpu(self) -> float:
        """Seconds of processor time that the workers have used."""
        assert self.running is not None
        return sum(_cpu(one.pid) for one in self.running.workers)

    def memory(self) -> float:
        """Megabytes (PSS) of the web process and the workers together."""
        assert self.running is not None
        pids = [*(one.pid for one in self.running.workers), *_children(self.running.web.pid)]
        lines = (line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines())
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024

    @contextmanager
    def peak_memory(self) -> Iterator[list[float]]:
        """The largest memory seen meanwhile, looked at every half second, in a list of one."""
        peak, done = [0.0], threading.Event()

        def look() -> None:
            while not done.wait(0.5):
                peak[0] = max(peak[0], self.memory())

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield peak
        finally:
            done.set()
            watcher.join()


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def fields_of(html: str) -> dict[str, Any]:
    """What the form of a set-up step holds as it is proposed."""
    data: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]+>", html):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        kind = re.search(r'type="([^"]+)"', tag)
        if name is None or (kind and kind[1] in ("checkbox", "radio") and " checked" not in tag):
            continue
        data.setdefault(name[1], []).append(value[1] if value else "on")
    for name, options in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', html, re.S):
        chosen = re.search(r'<option value="([^"]*)"[^>]*selected', options) or re.search(r'<option value="([^"]*)"', options)
        data[name] = [chosen[1] if chosen else ""]
    return data


@contextmanager
def office(options: Options, *, workers: int = 1, database: str = "sqlite") -> Iterator[Office]:
    """An office of its own with a Redis and a database of its own; its logs are shown where a row breaks off."""
    with tempfile.TemporaryDirectory(prefix="tb-bench-", dir="/tmp") as folder, services.redis_server() as redis_url:
        if database == "postgresql":
            with services.postgres_server() as cluster:
                yield from _run(Path(folder), redis_url, cluster.create("bench"), options, workers)
        else:
            yield from _run(Path(folder), redis_url, f"sqlite:///{folder}/bench.db", options, workers)


def _run(folder: Path, redis_url: str, database_url: str, options: Options, workers: int) -> Iterator[Office]:
    services.migrate(database_url)
    made = Office(folder, redis_url, database_url, options, workers)
    try:
        yield made
    except BaseException:
        print(made.logs(), file=sys.stderr)
        raise
    finally:
        made.close()
        made.engine.dispose()
        made.redis.close()
