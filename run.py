#!/usr/bin/env python3
"""Run the project from a bare machine: `python3 run.py help`. The standard library is all it needs."""

import sys


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - said to older Pythons, before any module with newer syntax is imported
        print(f"Tallybridge needs Python 3.11 or newer, and this is {sys.version.split()[0]}. Name a newer one: python3.11 run.py", file=sys.stderr)
        return 2
    from launch.commands import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
