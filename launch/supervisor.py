"""Children with a log each: started, watched, started again when they die, and ended without a rest."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from launch.processes import dies_with_us, end_groups
from launch.single import Run
from launch.tree import Advice, Tree

LONGEST_DELAY, SETTLED = 15.0, 30.0


class Stopped(Exception):
    """Somebody asked us to stop while we were waiting."""


@dataclass
class Child:
    """One program, however often it had to be started. One that the others lean on is stopped after them; one that `ends` has a task, not a service."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    leaned_on: bool = False
    ends: bool = False
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    delay: float = 0.5
    due: float | None = None
    groups: list[int] = field(default_factory=list)


class Supervisor:
    """Owns every child. Its waiting ends with `Stopped` at the first signal; a second one cuts the stop short."""

    def __init__(self, tree: Tree, run: Run) -> None:
        self._tree, self._run = tree, run
        self._children: list[Child] = []
        self._signals = 0
        self._parent = os.getppid() if "MAKELEVEL" in os.environ else None  # make, which may be killed without a word to us
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
                signal.signal(number, self._note_signal)

    def start(self, name: str, command: Sequence[str], environment: dict[str, str], leaned_on: bool = False, ends: bool = False) -> Child:
        child = Child(name, command, environment, leaned_on, ends)
        self._log(child).unlink(missing_ok=True)
        self._children.append(child)
        self._spawn(child)
        return child

    def finish(self, child: Child, seconds: float = 120) -> None:
        """Wait for the success of a child whose work has an end."""
        self.wait(lambda: _exit_code(child) == 0, child, seconds)
        self._children.remove(child)

    def wait(self, ready: Callable[[], bool], child: Child, seconds: float = 90) -> None:
        """Until `ready`, while every child lives: at the start a death is a failure, not a reason to try again."""
        deadline = time.monotonic() + seconds
        while not ready():
            self._look_for_stop()
            for one in self._children:
                if (code := _exit_code(one)) is not None and not (one.ends and code == 0):
                    raise self._failed(one, f"ended with {code}")
            if time.monotonic() > deadline:
                raise self._failed(child, f"did not answer within {seconds:.0f} seconds")
            time.sleep(0.03)

    def watch(self) -> None:
        """Start the dead again, with ever longer pauses, until somebody asks us to stop."""
        while True:
            self._look_for_stop()
            for child in self._children:
                self._revive(child)
            time.sleep(0.1)

    def stop(self) -> None:
        """End every child: first those who speak to others, then those they lean on."""
        already = self._signals
        for leaned_on in (False, True):
            groups = [group for child in self._children if child.leaned_on == leaned_on for group in child.groups]
            end_groups(groups, in_a_hurry=lambda: self._signals > already)
        for child in self._children:
            if child.process:
                child.process.wait()

    # --- Inside

    def _spawn(self, child: Child) -> None:
        with open(self._log(child), "ab") as log:
            child.process = subprocess.Popen(
                child.command,
                cwd=self._tree.root,
                env=child.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at the terminal reaches only us, so that the order of the stop is ours
                pass_fds=(self._run.lock,),
                preexec_fn=dies_with_us(),
            )
        child.started, child.due = time.monotonic(), None
        child.groups.append(child.process.pid)
        self._run.remember(child.name, child.process.pid)

    def _revive(self, child: Child) -> None:
        now, code = time.monotonic(), _exit_code(child)
        if code is None:
            return
        if child.due is None:
            end_groups(child.groups)  # what it had started itself
            child.groups.clear()
            child.delay = 0.5 if now - child.started > SETTLED else min(child.delay * 2, LONGEST_DELAY)
            child.due = now + child.delay
            print(f"{child.name} ended with {code}; starting it again in {child.delay:.0f} s. Its log: {self._shown(child)}", flush=True)
        elif now >= child.due:
            self._spawn(child)

    def _failed(self, child: Child, how: str) -> Advice:
        tail = "\n".join(self._log(child).read_text(errors="replace").splitlines()[-15:])
        return Advice(f"{child.name} {how}. The end of its log, {self._shown(child)}:\n{tail}")

    def _log(self, child: Child) -> Path:
        return self._tree.logs / f"{child.name}.log"

    def _shown(self, child: Child) -> Path:
        return self._log(child).relative_to(self._tree.root)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _look_for_stop(self) -> None:
        if self._signals or (self._parent is not None and os.getppid() != self._parent):
            raise Stopped


def _exit_code(child: Child) -> int | None:
    """None while it lives."""
    return child.process.poll() if child.process else None
