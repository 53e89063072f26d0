"""One demo a checkout: a lock that also its children hold, and a note of who they are for the start after a hard kill."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from launch.processes import end_groups, started_at, table
from launch.tree import Advice


class Run:
    """The right to be the only run in this folder. Children inherit `lock`, so it is free only when the last of them is gone."""

    def __init__(self, var: Path) -> None:
        self._note = var / "run.json"
        self._known: dict[str, Any] = {"launcher": {"pid": os.getpid(), "started": started_at(os.getpid())}, "children": {}, "folders": []}
        self.lock = _open(var)
        if not _locked(self.lock):
            self._end_leftovers()
        self._remove_folders(self._read())
        self._write()

    def remember(self, name: str, pid: int) -> None:
        self._known["children"][name] = {"pid": pid, "started": started_at(pid)}
        self._write()

    def remember_folder(self, folder: Path) -> None:
        self._known["folders"].append(str(folder))
        self._write()

    def close(self) -> None:
        self._remove_folders(self._known)
        self._note.unlink(missing_ok=True)
        os.close(self.lock)

    def _end_leftovers(self) -> None:
        note = self._read()
        launcher = note.get("launcher", {})
        if launcher and started_at(launcher["pid"]) == launcher["started"]:
            raise Advice(f"A demo already runs in this folder. This command stops it: kill {launcher['pid']}")
        print("The last run was killed; ending what it left behind …", flush=True)
        alive = {row.pid: row.started for row in table()}
        # A number that now belongs to another process is not ours; one whose leader is gone may still have members.
        groups = [child["pid"] for child in note.get("children", {}).values() if alive.get(child["pid"], child["started"]) == child["started"]]
        end_groups(groups, grace=1)  # they were told to end when their launcher died
        self._wait_for_lock()

    def _wait_for_lock(self) -> None:
        deadline = time.monotonic() + 5
        while not _locked(self.lock):
            if time.monotonic() > deadline:
                raise Advice("Another start is under way in this folder, or a program of the last run lives on. This command shows it: fuser -v var/run.lock")
            time.sleep(0.05)

    def _read(self) -> dict[str, Any]:
        try:
            note: dict[str, Any] = json.loads(self._note.read_text())
        except (OSError, ValueError):
            return {}
        return note

    def _write(self) -> None:
        half = self._note.with_suffix(".new")
        half.write_text(json.dumps(self._known, indent=1))
        half.replace(self._note)

    @staticmethod
    def _remove_folders(note: dict[str, Any]) -> None:
        for folder in note.get("folders", []):
            shutil.rmtree(folder, ignore_errors=True)


def _open(var: Path) -> int:
    var.mkdir(mode=0o700, exist_ok=True)
    return os.open(var / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _locked(lock: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
