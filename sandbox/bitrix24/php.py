"""PHP's way of writing nested values in forms and query strings, which is the wire format of Bitrix24 (B§3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

_PARTS = re.compile(r"\[([^\]]*)\]")


def nest(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """`filter[@id][]=1` and its kind as nested dictionaries and lists."""
    root: dict[str, Any] = {}
    for key, value in pairs:
        head, bracket, rest = key.partition("[")
        path = [head, *_PARTS.findall(bracket + rest)] if bracket else [head]
        _place(root, path, value)
    return {key: _settle(value) for key, value in root.items()}


def _place(root: dict[str, Any], path: list[str], value: str) -> None:
    here = root
    for depth, part in enumerate(path):
        name = part if part or depth == 0 else str(_next_index(here))
        if depth == len(path) - 1:
            here[name] = value
            return
        below = here.get(name)
        if not isinstance(below, dict):
            below = here[name] = {}
        here = below


def _next_index(level: dict[str, Any]) -> int:
    return max((int(key) for key in level if key.isdigit()), default=-1) + 1


def _settle(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    settled = {key: _settle(one) for key, one in value.items()}
    if settled and list(settled) == [str(number) for number in range(len(settled))]:
        return list(settled.values())
    return settled


def parse_query(text: str) -> dict[str, Any]:
    """A query string as PHP reads it."""
    return nest(parse_qsl(text, keep_blank_values=True))


def flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """The pairs of a form that carries this value."""
    if isinstance(value, Mapping):
        return [pair for key, one in value.items() for pair in flatten(one, f"{prefix}[{key}]" if prefix else str(key))]
    if isinstance(value, list | tuple):
        return [pair for number, one in enumerate(value) for pair in flatten(one, f"{prefix}[{number}]")]
    return [(prefix, scalar(value))]


def scalar(value: Any) -> str:
    """A scalar as PHP prints it into a form."""
    if value is None or value is False:
        return ""
    return "1" if value is True else str(value)


def query(value: Mapping[str, Any]) -> str:
    """The query string of this value, everything percent-encoded."""
    return "&".join(f"{quote(key, safe='')}={quote(one, safe='')}" for key, one in flatten(value))


def as_map(value: Any) -> dict[str, Any]:
    """A PHP array seen as a map: a list has the keys 0, 1, …"""
    if isinstance(value, Mapping):
        return {str(key): one for key, one in value.items()}
    return {str(number): one for number, one in enumerate(value)} if isinstance(value, list) else {}


def as_list(value: Any) -> list[Any]:
    """A PHP array seen as a list; a scalar is a list of one, nothing is an empty list."""
    if value is None or value == "":
        return []
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def empty_map(value: dict[str, Any]) -> dict[str, Any] | list[Any]:
    """An empty PHP map serialises as `[]` (B§3.2)."""
    return value or []
