"""Thirty trials in every run of the tests, always the same ones: `make chaos` draws new ones; a failing seed is printed."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.drawing import draw
from tests.chaos.runner import live

FIXED = 15_000
TRIALS = 30


def test_thirty_trials_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    result = live([*range(FIXED, FIXED + TRIALS)], print, tmp_path)

    assert result.failed == {}
    assert result.lived == TRIALS


def test_a_seed_means_one_trial() -> None:
    for seed in range(200):
        assert draw(seed) == draw(seed)
        assert str(draw(seed))
