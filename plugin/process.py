"""What every process that lives for long does once, when everything is loaded."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

#: A thread that hears from Redis or a partner goes on almost at once, not after five milliseconds of another thread's arithmetic:
#: the bell of a click leaves while its page is still being drawn.
SWITCH_SECONDS = 0.0005

#: glibc's names for what it can be told. One heap for all threads instead of eight a core that each keep what they once needed; large
#: pieces, such as a partner's answer, go back to the machine when they are free, instead of leaving holes.
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
HEAPS, LARGE_BYTES = 1, 65_536


def settle() -> None:
    """What was loaded stays for good: the collector would walk through all of it now and then, for up to 100 ms of somebody's page or click."""
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)
    with suppress(OSError, AttributeError, TypeError):  # another C library than glibc
        told = ctypes.CDLL(None).mallopt
        told(_ARENA_MAX, HEAPS)
        told(_MMAP_THRESHOLD, LARGE_BYTES)
