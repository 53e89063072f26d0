"""A worker of its own process, to be killed: `python -m tests.stories.doomed <bell>` says "ready", waits for a line, and answers the bell."""

from __future__ import annotations

import sys

from plugin import create_app, portal_work
from plugin.config import Config
from plugin.sending import conductor


def main(bell: str) -> None:
    services = create_app(Config.from_env()).extensions["tallybridge"]
    kind, _, number = bell.partition(":")
    print("ready", flush=True)
    sys.stdin.readline()
    (conductor.conduct if kind == "organisation" else portal_work.work)(services, int(number), lambda: False)
    print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
