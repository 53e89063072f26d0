"""What every suite may ask for: servers, databases of both kinds, a browser, the sandbox; and no way out to the network."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from hypothesis import settings

from tests import services

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from sandbox.serve import Sandbox

settings.register_profile("steady", deadline=None)  # a slow machine is not a wrong answer
settings.load_profile("steady")

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# --- No network


class NetworkRefused(RuntimeError):
    """A test tried to leave this machine."""


def _is_here(host: object) -> bool:
    if not isinstance(host, str) or host in ("", "localhost") or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this machine's own addresses, and no look-up of any other name. `-m live` tests may leave."""
    if request.node.get_closest_marker("live"):
        return
    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address[0]):
            raise NetworkRefused(f"a test tried to reach {address[0]}")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        check(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        check(self, address)
        return connect_ex(self, address)

    def guarded_look_up(host: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if not _is_here(name):
            raise NetworkRefused(f"a test tried to look up {name}")
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


# --- Redis


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    with services.redis_server() as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


# --- Databases


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.Databases]:
    """Make as many as you like; PostgreSQL starts when the first test asks for it."""
    running: list[services.Postgres] = []
    cluster = services.postgres_server()

    def postgres() -> services.Postgres:
        if not running:
            running.append(cluster.__enter__())
        return running[0]

    yield services.Databases(tmp_path_factory.mktemp("databases"), postgres)
    if running:
        cluster.__exit__(None, None, None)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> services.Kind:
    """The test runs once on each."""
    kind: services.Kind = request.param
    return kind


@pytest.fixture
def database_url(databases: services.Databases, database_kind: services.Kind) -> str:
    """A database of the test's own, migrated and empty of rows; the test runs on both kinds."""
    return databases.migrated(database_kind)


@pytest.fixture
def empty_database_url(databases: services.Databases, database_kind: services.Kind) -> str:
    """A database without tables; the test runs on both kinds."""
    return databases.empty(database_kind)


@pytest.fixture
def sqlite_url(databases: services.Databases) -> str:
    """A migrated SQLite file, for tests to which the kind does not matter."""
    return databases.migrated("sqlite")


# --- Browser


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(services.chromium_path()), headless=True, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def browser_context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser without a past."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-NZ", timezone_id="Pacific/Auckland")
    yield context
    context.close()


@pytest.fixture
def page(browser_context: BrowserContext) -> Page:
    return browser_context.new_page()


@pytest.fixture(scope="session")
def axe_script() -> str:
    """The accessibility checker, to be injected into a page or a frame."""
    return (Path(services.TREE.packages) / "axe-core" / "axe.min.js").read_text()


# --- The sandbox


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[Sandbox]:
    from sandbox.serve import Sandbox

    running = Sandbox().start()
    yield running
    running.stop()


@pytest.fixture
def sandbox(sandbox_server: Sandbox) -> Sandbox:
    """Both partners as freshly seeded, with their faults switched off."""
    sandbox_server.reset()
    return sandbox_server
