"""Addresses on this machine: the usual ones, or their neighbours when somebody else sits there."""

from __future__ import annotations

import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

from launch.tree import Advice

HOST = "127.0.0.1"


#: Held until we end, so that two launchers that start at once do not choose the same ports before either listens there.
_reservations: list[socket.socket] = []


def choose(usual: Mapping[str, int]) -> dict[str, int]:
    """A free port for every name; each that is in use is named, with the one taken instead."""
    chosen: dict[str, int] = {}
    for name, port in usual.items():
        chosen[name] = port if _take(port) else _another(port, set(usual.values()))
        if chosen[name] != port:
            print(f"Port {port} is in use; {name} takes {chosen[name]} instead.", flush=True)
    return chosen


def _another(port: int, spoken_for: set[int]) -> int:
    for candidate in range(port + 1000, 65000, 1000):
        if candidate not in spoken_for and _take(candidate):
            return candidate
    raise Advice(f"Port {port} and all its neighbours are in use. This command shows by whom: ss -ltnp")


def _take(port: int) -> bool:
    return _reserve(port) and is_free(port)


def _reserve(port: int) -> bool:
    """By a name that only Linux has and that vanishes with us; elsewhere the port itself must do."""
    if sys.platform != "linux":
        return True
    reservation = socket.socket(socket.AF_UNIX)
    try:
        reservation.bind(f"\0tallybridge-port-{port}")
    except OSError:
        reservation.close()
        return False
    _reservations.append(reservation)
    return True


def is_free(port: int) -> bool:
    """Nobody listens there under any name that a browser may try for this machine, and we may."""
    try:
        with socket.create_server((HOST, port)):
            pass
    except OSError:
        return False
    return not any(_answers(family, address, port) for family, address in ((socket.AF_INET, HOST), (socket.AF_INET6, "::1")))


def _answers(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.socket(family) as probe:
            probe.settimeout(0.5)
            return probe.connect_ex((address, port)) == 0
    except OSError:
        return False


def responds(url: str, healthy: bool = False) -> bool:
    """Whether a server answers there; a healthy one answers with success."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5):
            return True
    except urllib.error.HTTPError as answer:
        answer.close()
        return not healthy and answer.code < 500
    except OSError:
        return False
