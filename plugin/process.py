"""What every process that lives for long does once, when everything is loaded."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

#: A thread that hears from Redis or a partner goes on almost at once, not after five milliseconds of another thread's arithmetic:
#: the bell of a click leaves while its page is still being drawn.
SWITCH_SECONDS = 0.0005

#: glibc's names for what it can be told. One heap for all threads instead of eight a core that each keep what they once needed; large
#: pieces, such as a partner's answer, go back to the machine when they are free, instead of leaving holes.
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
HEAPS, LARGE_BYTES = 1, 65_536


#: Much more comes with the first work: compiled statements, templates, connections. It is set apart in these quiet moments, so many seconds after the
#: start; a moment that is not quiet for so long passes.
SETTLE_AGAIN, QUIET_WITHIN = (12.0, 60.0, 300.0), 60.0


def settle(quiet: Callable[[], bool] = lambda: True) -> None:
    """What was loaded stays for good: the collector would walk through all of it now and then, for up to 100 ms of somebody's page or click.

    `quiet`: whether nothing is being worked on just now, so that nothing of it is taken for what stays.
    """
    _set_apart()
    threading.Thread(target=_settle_again, args=(quiet,), name="settle", daemon=True).start()
    sys.setswitchinterval(SWITCH_SECONDS)
    with suppress(OSError, AttributeError, TypeError):  # another C library than glibc
        told = ctypes.CDLL(None).mallopt
        told(_ARENA_MAX, HEAPS)
        told(_MMAP_THRESHOLD, LARGE_BYTES)


def _set_apart() -> None:
    gc.collect()
    gc.freeze()


def _settle_again(quiet: Callable[[], bool]) -> None:
    started = time.monotonic()
    for moment in SETTLE_AGAIN:
        time.sleep(max(0.0, started + moment - time.monotonic()))
        while not quiet() and time.monotonic() < started + moment + QUIET_WITHIN:
            time.sleep(0.2)
        if quiet():
            _set_apart()
