"""The app as it runs in production: gunicorn, a worker and the sweep as processes of their own, on an address of this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests
from cryptography.fernet import Fernet

from launch.tree import child_environment

_held: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody listens on, and that the system gives to nobody else while we live: bound, not listening, a server of ours may bind it as well."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    _held.append(held)
    return int(held.getsockname()[1])


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until it is true; fail when it never becomes so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if true():
                return
        except (requests.ConnectionError, requests.Timeout):
            pass
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s in vain")


class Running:
    """Web, worker and sweep; `close` ends them."""

    def __init__(self, partners: dict[str, str], database_url: str, redis_url: str, port: int, folder: Path, workers: int = 1) -> None:
        self.environment = (
            child_environment()
            | partners
            | {
                "SECRET_KEY": "a secret of sixteen characters and more",
                "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
            }
        )
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder
        web = ["-m", "gunicorn", "wsgi:app", "--worker-class", "gthread", "--threads", "8", "--bind", f"127.0.0.1:{port}"]
        web += ["--no-control-socket", "--log-level", "warning"]
        self.web = self._start("web", web)
        self.workers = [self._start(f"worker-{number}", ["-m", "flask", "--app", "wsgi", "worker"]) for number in range(workers)]
        self.sweep = self._start("sweep", ["-m", "flask", "--app", "wsgi", "sweep"])
        until(lambda: requests.get(f"{self.url}/healthz", timeout=15).ok, 300)

    def _start(self, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as file:
            return subprocess.Popen([sys.executable, *arguments], env=self.environment, stdout=file, stderr=file)

    def close(self) -> None:
        every = [self.web, *self.workers, self.sweep]
        for process in every:
            process.terminate()
        for process in every:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def logs(self) -> str:
        """The last lines of every log, for a failure."""
        return "\n".join(line for file in sorted(self.folder.glob("*.log")) for line in (f"--- {file.name}", *file.read_text().splitlines()[-15:]))
