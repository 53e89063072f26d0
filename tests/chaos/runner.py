"""Many trials on a few starts: the same for `make chaos` and for the test that lives thirty of them."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from launch.tree import Tree
from tests import services
from tests.chaos.drawing import Drawn, draw
from tests.chaos.system import PACE, Kind, System
from tests.chaos.trial import Trial

#: One start serves so many; then everything begins anew, so that lists do not grow without end.
ON_ONE_START = 150
LOG_BYTES = 200_000
#: Good, but worth a look: its logs are kept as well.
SLOW = 8.0


@dataclass
class Result:
    """How the trials went."""

    lived: int = 0
    failed: dict[int, list[str]] = field(default_factory=dict)
    seconds: float = 0.0


@contextmanager
def started(kind: Kind, folder: Path, pace: float = PACE) -> Iterator[System]:
    """Everything running and set up; ended whatever happens."""
    running: list[services.Postgres] = []
    cluster = services.postgres_server()

    def postgres() -> services.Postgres:
        if not running:
            running.append(cluster.__enter__())
        return running[0]

    with tempfile.TemporaryDirectory(prefix="tb-chaos-", dir="/tmp") as place:
        system = None
        try:
            system = System(kind, folder, services.Databases(Path(place), postgres), postgres, pace)
            system.ready()
            yield system
        finally:
            if system is not None:
                system.close()
            if running:
                cluster.__exit__(None, None, None)


def live(seeds: Sequence[int], say: Callable[[str], None], place: Path | None = None) -> Result:
    """The trials of these seeds, those on SQLite first. Failures are told at once and keep their logs in this place, var/chaos if none is said."""
    place = place or Tree.here().var / "chaos"
    result, began = Result(), time.monotonic()
    every = [draw(seed) for seed in seeds]
    for kind in ("sqlite", "postgresql"):
        mine = [one for one in every if one.group == kind]
        for start in range(0, len(mine), ON_ONE_START):
            _on_one_start(kind, mine[start : start + ON_ONE_START], result, say, place)
    result.seconds = time.monotonic() - began
    return result


def _on_one_start(kind: Kind, trials: Sequence[Drawn], result: Result, say: Callable[[str], None], place: Path) -> None:
    folder = place / f"{kind}-{trials[0].seed}"
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    with started(kind, folder) as system:
        say(f"{kind}: started in {time.monotonic() - began:.1f} s, {len(trials)} trials")
        for drawn in trials:
            marks = {file: file.stat().st_size for file in folder.glob("*.log")}
            trial, began = Trial(system, drawn), time.monotonic()
            try:
                found = trial.run()
            except Exception as error:
                found = [f"the trial broke off: {type(error).__name__}: {error}"]
            result.lived += 1
            took = time.monotonic() - began
            say(f"{'FAILED' if found else 'ok    '} SEED={drawn.seed} {took:5.1f} s  {drawn}")
            if found:
                result.failed[drawn.seed] = found
                _keep(folder, "failed", trial, found, marks, say)
            elif took > SLOW and drawn.blow != "workers stay away":
                _keep(folder, "slow", trial, found, marks, say)
    if not any(one.seed in result.failed for one in trials):
        shutil.rmtree(folder, ignore_errors=True)


def _keep(folder: Path, how: str, trial: Trial, found: list[str], marks: dict[Path, int], say: Callable[[str], None]) -> None:
    place = folder.parent / f"{how}-{trial.drawn.seed}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for file in folder.glob("*.log"):
        with file.open("rb") as log:
            log.seek(marks.get(file, 0))
            (place / file.name).write_bytes(log.read(LOG_BYTES))
    (place / "report.json").write_text(json.dumps({**trial.told(), "timeline": trial.timeline, "differences": found}, indent=2, default=str))
    for line in (*trial.timeline, *(f"  ≠ {one}" for one in found[:12])):
        say(f"    {line}")
    say(f"    replay: make chaos SEED={trial.drawn.seed} TRIALS=1    logs: {place}")
