"""Processes by number: who they are, who belongs to them, and how to end them all."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

GRACE = 10.0


@dataclass(frozen=True)
class Row:
    """A line of the process table."""

    pid: int
    group: int
    started: str


def table() -> list[Row]:
    """Every process that lives; the dead whom nobody has collected do not count."""
    return _from_proc() if Path("/proc/self/stat").exists() else _from_ps()


def _from_proc() -> list[Row]:
    rows = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError):  # it ended while we looked
            # The name in parentheses may hold anything; what follows it has fixed places (man 5 proc).
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if fields[0] not in "ZX":
                rows.append(Row(int(folder.name), int(fields[2]), fields[19]))
    return rows


def _from_ps() -> list[Row]:
    listing = subprocess.run(["ps", "-axo", "pid=,pgid=,state=,lstart="], capture_output=True, text=True, check=True).stdout
    parts = [line.split(None, 3) for line in listing.splitlines()]
    return [Row(int(pid), int(group), started.strip()) for pid, group, state, started in parts if not state.startswith("Z")]


def started_at(pid: int) -> str:
    """When a process began, as the system tells it; with the number it names one process for ever. Empty if there is none."""
    return next((row.started for row in table() if row.pid == pid), "")


def end_groups(groups: Iterable[int], in_a_hurry: Callable[[], bool] = lambda: False, grace: float = GRACE) -> None:
    """TERM, a time of grace, KILL, for every process of these groups. Returns when none is left."""
    groups = set(groups)
    _signal(groups, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while _alive(groups) and time.monotonic() < deadline and not in_a_hurry():
        time.sleep(0.05)
    while left := _alive(groups):
        _signal(left, signal.SIGKILL)
        time.sleep(0.05)


def _alive(groups: set[int]) -> set[int]:
    return groups & {row.group for row in table()}


def _signal(groups: Iterable[int], number: signal.Signals) -> None:
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def dies_with_us(by: signal.Signals = signal.SIGTERM) -> Callable[[], None] | None:
    """What a child runs before it becomes another program, so that it ends when we are killed hard. Linux only."""
    if sys.platform != "linux":
        return None
    libc, parent, set_parent_death_signal = ctypes.CDLL(None), os.getpid(), 1

    def before_exec() -> None:
        libc.prctl(set_parent_death_signal, by)
        if os.getppid() != parent:  # we were killed before it could ask
            os._exit(1)

    return before_exec
