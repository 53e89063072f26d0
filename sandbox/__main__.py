"""`python -m sandbox`: both stand-ins until a signal ends them."""

from __future__ import annotations

import argparse
import signal
import threading

from sandbox.serve import Sandbox
from sandbox.settings import PORTALS, SandboxSettings


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox", description="Bitrix24 and Xero in miniature")
    parser.add_argument("--app-url", default="http://localhost:8080")
    for name in (*PORTALS, "oauth", "xero"):
        parser.add_argument(f"--{name}", type=int, default=0, metavar="PORT")
    given = parser.parse_args()
    sandbox = Sandbox(SandboxSettings(app_url=given.app_url), {name: getattr(given, name) for name in (*PORTALS, "oauth", "xero")}).start()
    for name, value in sandbox.settings.app_environment().items():
        print(f"{name}={value}", flush=True)
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    done.wait()
    sandbox.stop()


if __name__ == "__main__":
    main()
