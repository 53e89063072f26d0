"""Servers for the tests, each started once a session and gone with it: Redis, PostgreSQL, and databases made by copying a migrated one."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar

import psycopg
import redis

from launch.components import find_chromium, find_postgres, find_redis, server_user
from launch.processes import dies_with_us
from launch.tree import Tree, child_environment

TREE = Tree.here()
Kind = Literal["sqlite", "postgresql"]
KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")
Program = TypeVar("Program")


class Missing(RuntimeError):
    """A component that the tests need is not on this machine. Never a reason to skip."""


def chromium_path() -> Path:
    return _found("Chromium", find_chromium(TREE))


@contextmanager
def redis_server() -> Iterator[str]:
    """A Redis that keeps nothing, on a socket of its own; its URL."""
    program = _found("Redis", find_redis(TREE))
    with _short_folder() as folder:
        path = folder / "redis.sock"
        arguments = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", str(folder)]
        with _server([str(program), *arguments], folder, signal.SIGTERM), redis.Redis(unix_socket_path=str(path)) as client:
            _wait_until(client.ping, redis.ConnectionError)
            yield f"unix://{path}"


class Postgres:
    """A cluster that is fast because nobody will miss it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self._folder}"

    def create(self, database: str, template: str = "template0") -> str:
        """A new database, equal to the template, to which nobody may be connected. Its URL."""
        self.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url(database)

    def execute(self, statement: str) -> None:
        with psycopg.connect(host=str(self._folder), user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    programs = _found("PostgreSQL", find_postgres(TREE))
    with _short_folder() as folder:
        other = _other_user(folder)
        data = folder / "data"
        make = [str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(make, capture_output=True, text=True, check=False, cwd=folder, env=child_environment(), **other)
        if done.returncode != 0:
            raise Missing(f"initdb did not succeed:\n{done.stdout}{done.stderr}")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": folder,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "autovacuum": "off",
        }
        settings |= {"max_connections": "200"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        cluster = Postgres(folder)
        with _server([str(programs / "postgres"), "-D", str(data), *options], folder, signal.SIGQUIT, **other):
            _wait_until(lambda: cluster.execute("SELECT 1"), psycopg.OperationalError)
            yield cluster


class Databases:
    """Empty and migrated databases of both kinds. Migrations run once a kind; every other database is a copy."""

    def __init__(self, folder: Path, postgres: Callable[[], Postgres]) -> None:
        self._folder, self._postgres = folder, postgres
        self._numbers = count(1)
        self._templates: dict[Kind, str] = {}

    def empty(self, kind: Kind) -> str:
        name = f"t{next(self._numbers)}"
        return self._postgres().create(name) if kind == "postgresql" else f"sqlite:///{self._folder / name}.db"

    def migrated(self, kind: Kind) -> str:
        """A database as `flask db upgrade` leaves it, with no rows of its own."""
        name = f"t{next(self._numbers)}"
        template = self._template(kind)
        if kind == "postgresql":
            return self._postgres().create(name, template)
        shutil.copyfile(template, self._folder / f"{name}.db")
        return f"sqlite:///{self._folder / name}.db"

    def _template(self, kind: Kind) -> str:
        if kind not in self._templates:
            name = f"migrated{next(self._numbers)}"
            migrate(self._postgres().create(name) if kind == "postgresql" else f"sqlite:///{self._folder / name}.db")
            self._templates[kind] = name if kind == "postgresql" else str(self._folder / f"{name}.db")
        return self._templates[kind]


def migrate(url: str, *command: str) -> str:
    """Run `flask db …` (upgrade, if nothing else is said) as an operator does; what it printed."""
    environment = child_environment() | {"DATABASE_URL": url}
    arguments = [sys.executable, "-m", "flask", "--app", "wsgi", "db", *(command or ("upgrade",))]
    done = subprocess.run(arguments, cwd=TREE.root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"flask db {' '.join(command)} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


# --- Inside


def _found(name: str, path: Program | None) -> Program:
    if path is None:
        raise Missing(f"The tests need {name}. This command helps: python3 run.py test")
    return path


def _other_user(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return {}
    name = _found("a user for PostgreSQL", server_user())
    entry = pwd.getpwnam(name)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextmanager
def _short_folder() -> Iterator[Path]:
    """Socket paths may not be long, and pytest's folders are."""
    with tempfile.TemporaryDirectory(prefix="tb-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def _server(command: list[str], folder: Path, end_by: signal.Signals, **other: Any) -> Iterator[None]:
    """A server that ends with us, even if we are killed."""
    with open(folder / "log", "ab") as log, warnings.catch_warnings():
        # From Python 3.12 on it warns that other threads live; what runs between fork and exec touches nothing of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=dies_with_us(end_by),
            **other,
        )
    try:
        yield
    finally:
        process.send_signal(end_by)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until(works: Callable[[], object], not_yet: type[Exception], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            works()
        except not_yet:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.03)
        else:
            return
