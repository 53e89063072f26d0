"""`make chaos`: TRIALS trials from SEED on, half of them on SQLite and half on PostgreSQL; exit 1 where one failed."""

from __future__ import annotations

import argparse
import random
import sys

from tests.chaos.runner import live


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py chaos")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None, help="the first trial's seed; the others follow")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1, 10**6) * 1000
    print(f"SEED={seed} TRIALS={given.trials}", flush=True)
    result = live(range(seed, seed + given.trials), lambda line: print(line, flush=True))
    each = result.seconds / max(1, result.lived)
    print(f"{result.lived} trials in {result.seconds:.0f} s ({each:.1f} s each), {len(result.failed)} failed: {sorted(result.failed)}", flush=True)
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
