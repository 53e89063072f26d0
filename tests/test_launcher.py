"""The launcher: with small programs in the place of the real ones, and once with the product itself."""

from __future__ import annotations

import ast
import json
import os
import queue
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
import yaml

from launch import components
from launch.commands import HELP, VERBS
from launch.setup import DEMO, DEV, NODE, VENDOR
from launch.tree import Advice, Tree

ROOT = Tree.here().root
LOCKS = ("requirements.lock", DEMO, DEV, NODE)

#: `python -m sandbox`, `-m flask` and `-m gunicorn` of the small tree. They start in a moment and fail when told to.
SANDBOX = """
import argparse, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from sandbox.settings import PORTALS

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

names = (*PORTALS, "oauth", "xero")
parser = argparse.ArgumentParser()
parser.add_argument("--app-url", required=True)
for name in names:
    parser.add_argument(f"--{name}", type=int, required=True)
given = parser.parse_args()
for name in names:
    threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", getattr(given, name)), Page).serve_forever).start()
"""
FLASK = """
import json, os, pathlib, signal, sys, time
command = sys.argv[3:]
if os.path.exists("broken"):
    sys.exit("the tables could not be made")
if command == ["db", "upgrade"]:
    names = ("SECRET_KEY", "ENCRYPTION_KEYS", "DATABASE_URL", "REDIS_URL", "PUBLIC_URL", "BITRIX24_PORTALS", "XERO_API_URL")
    pathlib.Path("var/tables.json").write_text(json.dumps({name: os.environ[name] for name in names}))
    with open(os.environ["DATABASE_URL"].removeprefix("sqlite:///"), "a") as database:
        database.write("upgraded ")
else:
    if os.path.exists("slow"):
        signal.signal(signal.SIGTERM, lambda *_: (time.sleep(3), os._exit(0)))
        pathlib.Path(f"slow-{os.getpid()}").touch()
    while True:
        time.sleep(1)
"""
GUNICORN = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

host, port = sys.argv[sys.argv.index("--bind") + 1].split(":")
ThreadingHTTPServer((host, int(port)), Page).serve_forever()
"""


@pytest.fixture
def small(tmp_path: Path) -> Tree:
    """A checkout with the real launcher and small programs."""
    return _small_tree(tmp_path / "checkout")


def _small_tree(root: Path) -> Tree:
    (root / "sandbox").mkdir(parents=True)
    (root / "sandbox" / "__init__.py").touch()
    (root / "sandbox" / "__main__.py").write_text(SANDBOX)
    (root / "flask.py").write_text(FLASK)
    (root / "gunicorn.py").write_text(GUNICORN)
    for name in ("run.py", "Makefile", "sandbox/settings.py"):
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "launch", root / "launch")
    (root / ".venv").symlink_to(sys.prefix)
    return Tree(root)


class Demo:
    """A running demo, its lines as they come."""

    def __init__(self, tree: Tree, *options: str, command: tuple[str, ...] = (sys.executable, "run.py", "demo", "--no-setup")) -> None:
        self.tree = tree
        environment = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "MAKELEVEL", "MAKEFLAGS")}
        as_usual = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # children of tests under nohup would ignore it, and mean it
        self.process = subprocess.Popen(
            [*command, *options], cwd=tree.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        signal.signal(signal.SIGHUP, as_usual)
        self._lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                self._lines.put(line.rstrip())
        self._lines.put("(nothing more)")

    def until(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line like {pattern!r} among {self.seen}") from None
            self.seen.append(line)
            if line == "(nothing more)":
                raise AssertionError(f"no line like {pattern!r} among {self.seen}")
            if found := re.search(pattern, line):
                return found

    def started(self) -> Demo:
        self.until("^App ")
        return self

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(timeout=40)
        self._reader.join(timeout=10)
        while not self._lines.empty():
            self.seen.append(self._lines.get())
        return code

    def children(self) -> dict[str, int]:
        note = self.tree.var / "run.json"
        assert note.exists(), f"it has ended: {self.seen} and {list(self._lines.queue)}"
        known = json.loads(note.read_text())["children"]
        return {name: child["pid"] for name, child in known.items()}


@pytest.fixture
def start() -> Iterator[Callable[..., Demo]]:
    """Start demos; whatever the test leaves behind is ended."""
    demos: list[Demo] = []

    def begin(tree: Tree, *options: str, **more: tuple[str, ...]) -> Demo:
        demos.append(Demo(tree, *options, **more))
        return demos[-1]

    yield begin
    for demo in demos:
        if demo.process.poll() is None:
            demo.end(signal.SIGTERM)
        demo.ended()
        for pid in _programs(demo.tree):
            os.kill(pid, signal.SIGKILL)


def _programs(tree: Tree) -> list[int]:
    """Every process that was started from this checkout."""
    rows = psutil.process_iter(["pid", "status", "cmdline"])
    return [row.pid for row in rows if row.info["status"] != psutil.STATUS_ZOMBIE and str(tree.root) in " ".join(row.info["cmdline"] or ())]


def _soon(true: Callable[[], object], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


Start = Callable[..., Demo]


def test_it_prints_three_addresses_that_answer(small: Tree, start: Start) -> None:
    demo = start(small)
    addresses = [demo.until(rf"^{name} (http://\S+)$").group(1) for name in ("CRM", "Xero", "App")]
    for address in addresses:
        with urlopen(address, timeout=5) as answer:
            assert answer.status == 200
    assert addresses[2].startswith("http://localhost:")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(small: Tree, start: Start, number: signal.Signals) -> None:
    demo = start(small).started()
    children = demo.children()
    assert set(children) == {"redis", "sandbox", "migrations", "web", "worker-1", "worker-2", "sweeper"}
    assert len(_programs(small)) >= 6
    assert demo.end(number) == 0
    assert _programs(small) == []
    assert not (small.var / "run.json").exists()
    assert not (small.var / "valkey.sock").exists()


def test_ctrl_c_during_the_start_ends_everything(small: Tree, start: Start) -> None:
    demo = start(small)
    demo.until("^CRM ")
    assert demo.end() == 0
    assert _programs(small) == []


def test_the_end_of_make_is_the_end_of_the_demo(small: Tree, start: Start) -> None:
    python = f"PYTHON={sys.executable}"
    demo = start(small, command=("make", "demo", python, "ARGS=--no-setup")).started()
    demo.process.kill()
    assert _soon(lambda: not _programs(small))


def test_after_a_hard_kill_the_next_start_is_clean(small: Tree, start: Start) -> None:
    (small.root / "slow").touch()  # so that the killed demo's workers still live when the next one starts
    first = start(small).started()
    left = set(first.children().values())
    assert _soon(lambda: list(small.root.glob("slow-*")))
    first.process.kill()
    first.process.wait()
    assert left & set(_programs(small))
    second = start(small).started()
    assert not left & set(_programs(small))
    (small.root / "slow").unlink()
    assert second.end() == 0
    assert _programs(small) == []


def test_a_process_that_merely_has_the_number_of_a_dead_child_is_left_alone(small: Tree, start: Start) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as stranger:
        small.var.mkdir()
        note = {"launcher": {"pid": 2**22, "started": "1"}, "children": {"web": {"pid": stranger.pid, "started": "1"}}}
        (small.var / "run.json").write_text(json.dumps(note))
        start(small).started().end()
        assert stranger.poll() is None
        stranger.communicate(b"\n")


def test_a_second_demo_in_the_same_folder_is_refused(small: Tree, start: Start) -> None:
    first = start(small).started()
    second = start(small)
    assert second.ended() == 2
    assert f"kill {first.process.pid}" in "\n".join(second.seen)
    assert first.process.poll() is None


def test_a_port_in_use_is_named_and_another_taken(small: Tree, start: Start) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 8080))
            other.listen()
        except OSError:
            pass  # somebody else sits there already, which does as well
        demo = start(small)
        instead = demo.until(r"^Port 8080 is in use; app takes (\d+) instead\.$").group(1)
        assert demo.until(r"^App (\S+)$").group(1) == f"http://localhost:{instead}"
        assert json.loads((small.var / "tables.json").read_text())["PUBLIC_URL"] == f"http://localhost:{instead}"


@pytest.mark.parametrize("name", ["worker-1", "sweeper", "web", "redis"])
def test_a_child_that_dies_is_started_again(small: Tree, start: Start, name: str) -> None:
    demo = start(small).started()
    before = demo.children()[name]
    os.kill(before, signal.SIGKILL)
    demo.until(rf"^{name} ended with -9; starting it again in \d+ s\. Its log: var/log/{name}\.log$")
    assert _soon(lambda: demo.children()[name] != before)


def test_a_start_that_fails_shows_why_and_leaves_nothing(small: Tree, start: Start) -> None:
    (small.root / "broken").touch()
    demo = start(small)
    assert demo.ended() == 2
    assert "the tables could not be made" in demo.seen
    assert _programs(small) == []


def test_a_long_path_gets_a_short_socket_that_is_gone_afterwards(tmp_path: Path, start: Start) -> None:
    tree = _small_tree(tmp_path / ("long" * 15) / ("longer" * 10))
    demo = start(tree).started()
    path = Path(json.loads((tree.var / "tables.json").read_text())["REDIS_URL"].removeprefix("unix://"))
    assert len(str(path)) < 100
    assert path.is_socket()
    demo.end()
    assert not path.parent.exists()


def test_the_database_starts_anew_unless_it_is_kept(small: Tree, start: Start) -> None:
    database = small.var / "tallybridge.db"
    for options, expected in (((), "upgraded "), ((), "upgraded "), (("--keep",), "upgraded upgraded ")):
        start(small, *options).started().end()
        assert database.read_text() == expected


def test_keys_are_made_once_for_this_user_only_and_again_when_fresh(small: Tree, start: Start) -> None:
    def key_after(*options: str) -> str:
        start(small, *options).started().end()
        key: str = json.loads((small.var / "tables.json").read_text())["ENCRYPTION_KEYS"]
        return key

    first = key_after()
    assert stat.S_IMODE((small.var / "secrets.json").stat().st_mode) == 0o600
    assert key_after() == first
    assert key_after("--fresh") != first


def test_the_product_itself_starts_and_stops(tmp_path: Path, start: Start) -> None:
    root = tmp_path / "checkout"
    left_out = shutil.ignore_patterns(".git", ".venv", "node_modules", "var", "__pycache__", ".*_cache", ".hypothesis", "tests", "docs")
    shutil.copytree(ROOT, root, ignore=left_out)
    (root / ".venv").symlink_to(sys.prefix)
    tree = Tree(root)
    demo = start(tree)
    addresses = [demo.until(rf"^{name} (http://\S+)$").group(1) for name in ("CRM", "Xero", "App")]
    for address in (*addresses[:2], f"{addresses[2]}/healthz"):
        with urlopen(address, timeout=10) as answer:
            assert answer.status == 200
    assert demo.end() == 0
    assert _programs(tree) == []


# --- What a bare machine is told


def test_run_py_can_be_read_by_the_pythons_that_it_sends_away() -> None:
    ast.parse((ROOT / "run.py").read_text(), feature_version=(3, 7))


def test_the_launcher_needs_the_standard_library_only() -> None:
    for path in [ROOT / "run.py", *(ROOT / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.partition(".")[0] in sys.stdlib_module_names | {"launch"} or name == "sandbox.settings", f"{path.name} imports {name}"


def test_a_missing_component_is_named_with_the_command_that_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PATH", str(tmp_path)), ("HOME", str(tmp_path)), ("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))):
        monkeypatch.setenv(name, value)
    with pytest.raises(Advice) as refused:
        components.require_components(Tree(tmp_path))
    assert "The tests need Redis, and this machine has none. This command helps: sudo apt-get install -y redis-server" in str(refused.value)
    assert "playwright install chromium" in str(refused.value)


def test_help_names_every_verb_and_so_does_make() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets == {verb for verb in VERBS if not verb.startswith("-")}
    assert all(f"run.py {verb}" in HELP for verb in targets)


# --- Locks


def test_locks_hold_hashes_and_no_address() -> None:
    for name in LOCKS:
        text = (ROOT / name).read_text()
        pinned = re.findall(r"^[a-z0-9][\w.-]*==", text, re.MULTILINE)
        assert pinned
        assert "://" not in text
        assert len(re.findall(r"^[a-z0-9][^\n]*\\\n +--hash=sha256:", text, re.MULTILINE)) == len(pinned)


def test_the_locks_contain_one_another() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==[^ ]+)", (ROOT / name).read_text(), re.MULTILINE))

    assert pins("requirements.lock") < pins(DEMO) < pins(DEV)


def test_every_range_is_explained_and_locked() -> None:
    for name, lock in (("requirements.txt", "requirements.lock"), ("requirements-demo.in", DEMO), ("requirements-dev.in", DEV), ("requirements-node.in", NODE)):
        locked = (ROOT / lock).read_text().lower()
        for line in (ROOT / name).read_text().splitlines():
            if line.startswith(("#", "-")) or not line:
                continue
            package = re.split(r"[\[<>=]", line)[0].lower()
            assert re.search(rf"^{re.escape(package)}==", locked, re.MULTILINE), f"{package} is not in {lock}"
            assert name != "requirements.txt" or "#" in line, f"nobody says why {package} is needed"


# --- Packaging


def test_the_image_carries_the_same_scripts_as_a_checkout() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    for name, source in VENDOR.items():
        assert f"COPY --from=pages /pages/node_modules/{source} static/vendor/{name}" in lines


def test_compose_runs_every_process_and_the_migrations_once() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert set(services) == {"migrate", "web", "worker", "sweep", "postgres", "redis"}
    assert services["migrate"]["command"][-2:] == ["db", "upgrade"]
    for name in ("web", "worker", "sweep"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
