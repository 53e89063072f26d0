"""`make bench`: every figure with its bound and its reach, as a table and in var/bench/latest.json; exit 1 where one falls short.

    make bench                               everything, in about twenty-five minutes
    make bench ARGS="--only calls,click"     some rows; --list names them
    make bench ARGS="--small"                smaller sizes, to see that the rows work: its figures prove nothing

Speed is measured in API calls first, then in milliseconds. The partners run in a process of their own with their own latency
(1.2 s a write, 0.3 s a read) and their real limits; the app and one worker run as they do in production.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import both_ways, intake, portals, sending
from tests.bench.figures import Figure, Size

ROWS: dict[str, Callable[[Size], list[Figure]]] = {
    "calls": sending.calls,
    "bulk": sending.bulk,
    "slow": sending.slow,
    "portals": portals.portals,
    "click": sending.click,
    "page": sending.page,
    "out": both_ways.out,
    "back": both_ways.back,
    "intake": intake.intake,
    "storm": both_ways.storm,
    "idle": both_ways.idle,
    "lost": both_ways.lost,
}
OUT = Path("var/bench/latest.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure, and compare with the bounds.")
    parser.add_argument("--only", default="", help=f"rows, by comma: {', '.join(ROWS)}")
    parser.add_argument("--small", action="store_true", help="smaller sizes, to see that the rows work")
    parser.add_argument("--list", action="store_true", help="name the rows and what each measures")
    given = parser.parse_args()
    if given.list:
        print("\n".join(f"{name:<8} {(row.__doc__ or '').partition(chr(10))[0]}" for name, row in ROWS.items()))
        return 0
    chosen = [one.strip() for one in given.only.split(",") if one.strip()] or list(ROWS)
    if unknown := [one for one in chosen if one not in ROWS]:
        parser.error(f"no such row: {', '.join(unknown)}")
    figures: list[Figure] = []
    for name in chosen:
        started = time.monotonic()
        figures += ROWS[name](Size(given.small))
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    show(figures)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"small": given.small, "rows": chosen, "figures": [one.as_json() for one in figures]}, indent=2))
    return 0 if all(one.ok for one in figures) else 1


def show(figures: list[Figure]) -> None:
    width = max(len(one.what) for one in figures)
    print(f"{'What':<{width}}  {'figure':>13}  {'bound':>20}  {'reach':>8}")
    for one in figures:
        verdict = "" if one.reach is None else "ok" if one.ok else "SHORT"
        print(f"{one.what:<{width}}  {one.figure:>10.4g} {one.unit:<2}  {one.bound:>20}  {one.promise:>8}  {verdict}")


if __name__ == "__main__":
    raise SystemExit(main())
