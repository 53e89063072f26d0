"""Addresses on this machine: the usual ones, or their neighbours when somebody else sits there."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping

HOST = "127.0.0.1"


def choose(usual: Mapping[str, int]) -> dict[str, int]:
    """A free port for every name; each that is in use is named, with the one taken instead."""
    chosen: dict[str, int] = {}
    for name, port in usual.items():
        chosen[name] = port if is_free(port) else _another(port, {*usual.values(), *chosen.values()})
        if chosen[name] != port:
            print(f"Port {port} is in use; {name} takes {chosen[name]} instead.", flush=True)
    return chosen


def _another(port: int, taken: Iterable[int]) -> int:
    candidates = (port + step for step in range(1000, 20000, 1000))
    return next((one for one in candidates if one not in taken and is_free(one)), 0) or _any_port()


def _any_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


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
