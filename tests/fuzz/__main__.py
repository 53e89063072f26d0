"""`make fuzz`: 100,000 requests at every address, half of them on each database; exit 1 with the smallest request that is answered wrongly.

REQUESTS and SEED may be given: `make fuzz ARGS="--requests 5000 --seed 7"`. The seed is printed, and the same seed fires the same requests.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import redis

from sandbox.serve import Sandbox
from tests import services
from tests.fuzz.fire import bombard
from tests.fuzz.target import Target
from tests.stories.patience import PatientOffice


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py fuzz")
    parser.add_argument("--requests", type=int, default=100_000, help="how many, on both databases together")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    given = parser.parse_args()
    seed = given.seed or secrets.randbelow(10**9) + 1
    print(f"seed {seed}, {given.requests} requests", flush=True)
    count: Counter[tuple[str, int]] = Counter()
    slowest, started = (0.0, ""), time.monotonic()
    with services.redis_server() as redis_url, services.postgres_server() as cluster, tempfile.TemporaryDirectory() as folder:
        databases = services.Databases(Path(folder), lambda: cluster)
        for number, kind in enumerate(services.KINDS):
            with redis.Redis.from_url(redis_url) as client:
                client.flushall()
            sandbox = Sandbox().start()
            office = PatientOffice(sandbox, databases.migrated(kind), redis_url)
            target = Target(office)
            try:
                bombard(target, given.requests // len(services.KINDS), seed + number, lambda fired, kind=kind: print(f"  {kind} {fired}", flush=True))
            finally:
                target.close()
                office.close()
                sandbox.stop()
            count += target.count
            slowest = max(slowest, target.slowest)
    _table(count)
    print(f"{sum(count.values())} requests in {time.monotonic() - started:.0f} s; the slowest answer took {slowest[0] * 1000:.0f} ms ({slowest[1]})")
    return 0


def _table(count: Counter[tuple[str, int]]) -> None:
    for route in sorted({route for route, _ in count}):
        answers = {status: times for (one, status), times in sorted(count.items()) if one == route}
        print(f"{route:55} {sum(answers.values()):7}  " + "  ".join(f"{status}: {times}" for status, times in answers.items()))


if __name__ == "__main__":
    sys.exit(main())
