"""Thirty trials in every run of the tests: half of them always the same, half of them new; a failing seed is printed."""

from __future__ import annotations

import random

from tests.chaos.drawing import draw
from tests.chaos.runner import live

FIXED = 15_000
TRIALS = 15


def test_thirty_trials_lose_nothing_and_double_nothing() -> None:
    fresh = random.SystemRandom().randrange(1, 10**6) * 1000
    print(f"chaos: seeds {FIXED} to {FIXED + TRIALS - 1} and, fresh, {fresh} to {fresh + TRIALS - 1}")

    result = live([*range(FIXED, FIXED + TRIALS), *range(fresh, fresh + TRIALS)], print)

    assert result.failed == {}
    assert result.lived == 2 * TRIALS


def test_a_seed_means_one_trial() -> None:
    for seed in range(200):
        assert draw(seed) == draw(seed)
        assert str(draw(seed))
