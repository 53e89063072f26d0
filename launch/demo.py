"""The whole product on one machine: embedded Redis and SQLite, the sandbox, web, two workers and the sweeper, until Ctrl-C."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from launch.components import find_redis
from launch.ports import HOST, choose, responds
from launch.single import Run
from launch.supervisor import Child, Stopped, Supervisor
from launch.tree import Advice, Tree, child_environment
from sandbox.settings import PORTALS, SandboxSettings

PORTS = {"app": 8080} | {name: 8090 + place for place, name in enumerate(PORTALS)} | {"oauth": 8090 + len(PORTALS), "xero": 8100}
DATABASE = "tallybridge.db"
WORKERS = 2
LONGEST_SOCKET_PATH = 100  # the system allows 104 to 108 bytes


@dataclass(frozen=True)
class Options:
    keep: bool = False
    fresh: bool = False


def demo(tree: Tree, options: Options) -> int:
    """Run until a signal; whatever happens, nothing is left running."""
    run = Run(tree.var)
    supervisor = Supervisor(tree, run)
    try:
        _clear(tree, options)
        _start(tree, run, supervisor)
        supervisor.watch()
    except Stopped:
        print("Stopping …", flush=True)
    finally:
        supervisor.stop()
        run.close()
    print("Everything has stopped.", flush=True)
    return 0


def _clear(tree: Tree, options: Options) -> None:
    """The sandbox forgets at every start, so the app's links would point at documents that nobody knows: both begin anew."""
    if options.fresh:
        for path in tree.var.iterdir():
            if path.name not in ("run.lock", "run.json", "setup.lock"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif not options.keep:
        for path in tree.var.glob(f"{DATABASE}*"):
            path.unlink()
    tree.logs.mkdir(exist_ok=True)


def _start(tree: Tree, run: Run, supervisor: Supervisor) -> None:
    ports = choose(PORTS)
    redis = None if os.environ.get("REDIS_URL") else _start_redis(tree, run, supervisor)
    settings = _settings(ports)
    environment = _environment(tree, settings, f"unix://{quote(redis)}" if redis else os.environ["REDIS_URL"])
    sandbox = supervisor.start("sandbox", [str(tree.python), "-m", "sandbox", *_sandbox_arguments(settings, ports)], child_environment(), leaned_on=True)
    # The web process loads while the tables are made; the workers begin when the tables stand and the page is up.
    migrations = supervisor.start("migrations", _flask(tree, "db", "upgrade"), environment, ends=True)
    web = supervisor.start("web", _gunicorn(tree, ports["app"]), environment)
    _announce(supervisor, sandbox, "CRM ", settings.portal_urls["harbour"])
    _announce(supervisor, sandbox, "Xero", settings.xero_url)
    supervisor.finish(migrations)
    supervisor.wait(lambda: responds(f"{settings.app_url}/healthz", healthy=True), web)
    for number in range(1, WORKERS + 1):
        supervisor.start(f"worker-{number}", _flask(tree, "worker"), environment)
    supervisor.start("sweeper", _flask(tree, "sweep"), environment)
    print(f"App {settings.app_url}", flush=True)
    print(f"Logs: {tree.logs.relative_to(tree.root)}/   Stop: Ctrl-C", flush=True)


def _announce(supervisor: Supervisor, child: Child, name: str, url: str) -> None:
    supervisor.wait(lambda: responds(url), child)
    print(f"{name.strip()} {url}", flush=True)


# --- Redis


def _start_redis(tree: Tree, run: Run, supervisor: Supervisor) -> str:
    """An embedded server on a socket that nobody outside can reach; the path of that socket."""
    program = find_redis(tree)
    if program is None:
        raise Advice("There is no Redis for this machine. This command helps: sudo apt-get install -y redis-server")
    path = _socket_path(tree, run)
    path.unlink(missing_ok=True)  # left by a run that was killed
    # It keeps nothing: the database is the truth, Redis only rings and counts.
    arguments = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--save", "", "--appendonly", "no", "--dir", str(tree.var)]
    child = supervisor.start("redis", [str(program), *arguments], child_environment(), leaned_on=True)
    supervisor.wait(lambda: _answers_ping(path), child, seconds=10)
    return str(path)


def _socket_path(tree: Tree, run: Run) -> Path:
    path = tree.var / "valkey.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    folder = Path(tempfile.mkdtemp(prefix="tallybridge-", dir="/tmp"))
    run.remember_folder(folder)
    return folder / "valkey.sock"


def _answers_ping(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


# --- Who is started how


def _settings(ports: dict[str, int]) -> SandboxSettings:
    """The app is at `localhost` and the partners at a number, so that the frame is as foreign to the CRM as in real life."""
    return SandboxSettings(
        app_url=f"http://localhost:{ports['app']}",
        portal_urls={name: f"http://{HOST}:{ports[name]}" for name in PORTALS},
        oauth_url=f"http://{HOST}:{ports['oauth']}",
        xero_url=f"http://{HOST}:{ports['xero']}",
    )


def _sandbox_arguments(settings: SandboxSettings, ports: dict[str, int]) -> list[str]:
    return ["--app-url", settings.app_url] + [part for name in (*PORTALS, "oauth", "xero") for part in (f"--{name}", str(ports[name]))]


def _environment(tree: Tree, settings: SandboxSettings, redis_url: str) -> dict[str, str]:
    storage = {"TALLYBRIDGE_DATA": str(tree.var), "DATABASE_URL": f"sqlite:///{tree.var / DATABASE}", "REDIS_URL": redis_url}
    return child_environment() | settings.app_environment() | _secrets(tree.var / "secrets.json") | storage


def _secrets(path: Path) -> dict[str, str]:
    """Made once, so that what one start encrypted the next can read."""
    make: dict[str, Callable[[], str]] = {
        "SECRET_KEY": lambda: secrets.token_urlsafe(48),
        "ENCRYPTION_KEYS": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({name: new() for name, new in make.items()}, file)
    known: dict[str, str] = json.loads(path.read_text())
    return {name: known[name] for name in make}


def _flask(tree: Tree, *arguments: str) -> list[str]:
    return [str(tree.python), "-m", "flask", "--app", "wsgi", *arguments]


def _gunicorn(tree: Tree, port: int) -> list[str]:
    shape = ["--worker-class", "gthread", "--workers", "1", "--threads", "8", "--graceful-timeout", "5", "--no-control-socket"]
    return [str(tree.python), "-m", "gunicorn", "wsgi:app", "--bind", f"{HOST}:{port}", *shape, "--access-logfile", "-"]
