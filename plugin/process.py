"""What every process that lives for long does once, when everything is loaded."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

#: A thread that hears from Redis or a partner goes on almost at once, not after five milliseconds of another thread's arithmetic:
#: the bell of a click leaves while its page is still being drawn.
SWITCH_SECONDS = 0.0005

#: glibc's M_ARENA_MAX: so many heaps for all threads together, instead of eight a core that each keep what they once needed.
_ARENA_MAX, ARENAS = -8, 2


def settle() -> None:
    """What was loaded stays for good: the collector would walk through all of it now and then, for up to 100 ms of somebody's page or click."""
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)
    with suppress(OSError, AttributeError, TypeError):  # another C library than glibc
        ctypes.CDLL(None).mallopt(_ARENA_MAX, ARENAS)
