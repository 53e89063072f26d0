"""Where things lie in a checkout, and how a command says that it cannot go on."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class Advice(Exception):
    """Something is missing or in the way; the message says what, and the one command that helps."""


@dataclass(frozen=True)
class Tree:
    """A checkout. Everything that a run leaves behind is under `.venv`, `node_modules`, `static/vendor` and `var`."""

    root: Path

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def var(self) -> Path:
        return self.root / "var"

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @property
    def vendor(self) -> Path:
        return self.root / "static" / "vendor"

    @property
    def packages(self) -> Path:
        return self.root / "node_modules"

    @classmethod
    def here(cls) -> Tree:
        return cls(Path(__file__).resolve().parent.parent)


def child_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for programs we start: a home they can write to, and no proxy between this machine and itself."""
    environment = dict(os.environ if base is None else base)
    home = environment.get("HOME", "")
    if not home or not os.access(home, os.W_OK):
        environment["HOME"] = _borrowed_home()
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, [environment.get(name), "localhost", "127.0.0.1"]))
    environment["PYTHONUNBUFFERED"] = "1"
    # Where compiled modules may not be kept, every process would compile every package anew: they are kept beside the logs, away from the sources.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment.setdefault("PYTHONPYCACHEPREFIX", str(Tree.here().var / "pycache"))
    return environment


@functools.cache
def _borrowed_home() -> str:
    """For users who have none, such as a service's: package managers want to keep a cache somewhere."""
    home = tempfile.mkdtemp(prefix="tallybridge-home-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home
