"""The verbs of `run.py`. The Makefile has the same ones and only calls these."""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from launch import setup, texts
from launch.audit import audit
from launch.components import require_components
from launch.processes import dies_with_us
from launch.tree import Advice, Tree, child_environment

HELP = """\
python3 run.py demo    start everything and print its addresses; Ctrl-C stops it
                         --keep      keep the app's database (the sandbox always starts anew)
                         --fresh     also forget logs and keys: as after a fresh clone
                         --no-setup  take the packages as they are
python3 run.py test    install what the tests need and run them all; what follows goes to pytest: test -- -k words
python3 run.py lint    format, rules, types and layers
python3 run.py bench   measure, and compare with the bounds
python3 run.py fuzz    fire 100,000 hostile requests at every address: fuzz -- --requests 5000 --seed 7
python3 run.py chaos   break it in the middle of its work, 1,000 times: chaos -- --trials 100, and --seed 7 --trials 1 to replay
python3 run.py audit   look for known holes in every package of the lock files; 3 if no service could be asked
python3 run.py live-oracles  let Bitrix24's own Python SDK judge the sandbox
python3 run.py setup   only install: Python packages and front-end packages
python3 run.py lock    renew the lock files from the ranges in requirements*.txt and *.in
python3 run.py messages  find the texts of the interface and bring the catalogues in translations/ up to date
python3 run.py help    this

With make: make demo, make test ARGS="-k words", make lint, make bench, make fuzz, make chaos, make audit, make live-oracles, make setup,
make lock, make messages, make help."""


def run(arguments: Sequence[str]) -> int:
    """One verb with its arguments; the exit code: 0 done, 1 failed, 2 something is missing, 130 interrupted."""
    verb, *rest = arguments or ["help"]
    action = VERBS.get(verb)
    if action is None:
        print(f"There is no {verb!r}.\n\n{HELP}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell script's `&` would have us and our children ignore it
    try:
        return action(Tree.here(), rest)
    except Advice as advice:
        print(f"\n{advice}", file=sys.stderr, flush=True)
        return 2
    except PermissionError as refused:
        print(
            f"\nThis user may not write to {refused.filename}, which another user made. This command helps: sudo chown -R $(id -u) .",
            file=sys.stderr,
            flush=True,
        )
        return 2
    except KeyboardInterrupt:
        return 130


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _help(tree: Tree, arguments: list[str]) -> int:
    print(HELP)
    return 0


def _demo(tree: Tree, arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py demo")
    parser.add_argument("--keep", action="store_true", help="keep the app's database")
    parser.add_argument("--fresh", action="store_true", help="forget everything of earlier runs")
    parser.add_argument("--no-setup", action="store_true", help="take the packages as they are")
    given = parser.parse_args(arguments)
    if not given.no_setup:
        setup.prepare(tree, setup.DEMO)
    from launch.demo import Options, demo

    return demo(tree, Options(keep=given.keep, fresh=given.fresh))


def _setup(tree: Tree, arguments: list[str]) -> int:
    setup.prepare(tree, setup.DEV)
    return 0


def _lock(tree: Tree, arguments: list[str]) -> int:
    setup.prepare(tree, setup.DEMO)
    setup.renew_locks(tree)
    return 0


def _messages(tree: Tree, arguments: list[str]) -> int:
    setup.prepare(tree, setup.DEV)
    return texts.renew(tree)


def _test(tree: Tree, arguments: list[str]) -> int:
    setup.prepare(tree, setup.DEV)
    require_components(tree)
    # Three at a time, since much of it waits for processes and stand-ins; `-n 0` goes one by one.
    return _call(tree, "-m", "pytest", "-n", "3", "--dist", "worksteal", *_without_dashes(arguments))


def _bench(tree: Tree, arguments: list[str]) -> int:
    setup.prepare(tree, setup.DEV)
    require_components(tree)
    return _call(tree, "-m", "tests.bench", *_without_dashes(arguments))


def _fuzz(tree: Tree, arguments: list[str]) -> int:
    setup.prepare(tree, setup.DEV)
    require_components(tree)
    return _call(tree, "-m", "tests.fuzz", *_without_dashes(arguments))


def _chaos(tree: Tree, arguments: list[str]) -> int:
    setup.prepare(tree, setup.DEV)
    require_components(tree)
    return _call(tree, "-m", "tests.chaos", *_without_dashes(arguments))


def _audit(tree: Tree, arguments: list[str]) -> int:
    setup.prepare(tree, setup.DEV)
    return audit(tree)


def _oracles(tree: Tree, arguments: list[str]) -> int:
    """Bitrix24's own SDK, which pins our packages backwards, judges the sandbox from an environment of its own."""
    setup.prepare(tree, setup.DEV)
    python = setup.own_environment(tree, "oracles", "tests/sandbox/live_oracles/bitrix24.requirements.txt")
    return subprocess.run([str(python), "-m", "tests.sandbox.live_oracles.bitrix24"], cwd=tree.root, env=child_environment(), check=False).returncode


def _lint(tree: Tree, arguments: list[str]) -> int:
    """Every check, also after one has failed, so that one run shows all there is to mend."""
    setup.prepare(tree, setup.DEV)
    checks = (
        ["-m", "ruff", "format", "--check", "."],
        ["-m", "ruff", "check", "."],
        ["-m", "mypy"],
        ["-c", "from importlinter.cli import lint_imports_command as check; check()"],
    )
    return max(_call(tree, *check) for check in checks)


def _call(tree: Tree, *arguments: str) -> int:
    """Our environment's Python, with a module rather than a script, so that a moved checkout still finds it."""
    command, ends_when_we_are_killed = [str(tree.python), *arguments], dies_with_us(signal.SIGINT)
    with subprocess.Popen(command, cwd=tree.root, env=child_environment(), preexec_fn=ends_when_we_are_killed) as process:
        try:
            return process.wait()
        except (KeyboardInterrupt, SystemExit) as stop:
            _end(process, already_told=isinstance(stop, KeyboardInterrupt))
            raise


def _end(process: subprocess.Popen[bytes], already_told: bool) -> None:
    """Let it put its things in order. Ctrl-C at a terminal reaches it by itself; a TERM to us, or to make, does not."""
    for number in (None if already_told else signal.SIGINT, signal.SIGINT, signal.SIGKILL):
        if number is not None:
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)
            return


def _without_dashes(arguments: list[str]) -> list[str]:
    return arguments[1:] if arguments[:1] == ["--"] else arguments


VERBS: dict[str, Callable[[Tree, list[str]], int]] = {
    "demo": _demo,
    "test": _test,
    "lint": _lint,
    "bench": _bench,
    "chaos": _chaos,
    "fuzz": _fuzz,
    "audit": _audit,
    "live-oracles": _oracles,
    "setup": _setup,
    "lock": _lock,
    "messages": _messages,
    "help": _help,
    "--help": _help,
    "-h": _help,
}
