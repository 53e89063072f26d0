"""The filter language of lists: operators as prefixes of field names, OR groups under numeric keys (B§8.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from sandbox.bitrix24.php import as_list, as_map

Row = Mapping[str, Any]
Predicate = Callable[[Row], bool]
#: Turns a name of a filter into (key of the row, reader of the given value); raises what the method wants raised.
Resolve = Callable[[str], tuple[str, Callable[[Any], Any]]]

OPERATORS = ("!=%", "!%=", "!@", "!%", "!=", "=%", "%=", ">=", "<=", "!", ">", "<", "@", "%", "=")


def split(key: str) -> tuple[str, str]:
    """`>=updatedTime` as (`>=`, `updatedTime`); no prefix is `=`."""
    for operator in OPERATORS:
        if key.startswith(operator):
            return operator, key[len(operator) :]
    return "=", key


def compile_filter(spec: Any, resolve: Resolve) -> Predicate:
    """One predicate out of a filter; groups may be nested."""
    entries = as_map(spec)
    any_of = str(entries.pop("logic", entries.pop("LOGIC", "AND"))).upper() == "OR"
    parts = [compile_filter(value, resolve) if key.isdigit() else _condition(key, value, resolve) for key, value in entries.items()]
    if len(parts) == 1:
        return parts[0]
    if any_of and parts:
        return lambda row: any(part(row) for part in parts)
    return lambda row: all(part(row) for part in parts)


def _condition(key: str, value: Any, resolve: Resolve) -> Predicate:
    operator, name = split(key)
    column, read = resolve(name)
    many = isinstance(value, list | tuple | dict) or operator in ("@", "!@")
    if many and operator in ("=", "!", "!=", "@", "!@"):
        wanted = {comparable(read(one)) for one in as_list(value)}
        inside: Predicate = lambda row: any(one in wanted for one in _values(row.get(column)))  # noqa: E731
        return _negated(inside) if operator.startswith("!") else inside
    given = as_list(value)[0] if many and as_list(value) else value
    return _scalar_condition(operator, column, given, read)


def _scalar_condition(operator: str, column: str, given: Any, read: Callable[[Any], Any]) -> Predicate:
    if operator in ("%", "!%"):
        part = str(given).casefold()
        contains: Predicate = lambda row: any(part in str(one).casefold() for one in _values(row.get(column)) if one is not None)  # noqa: E731
        return _negated(contains) if operator == "!%" else contains
    if operator in ("=%", "%=", "!=%", "!%="):
        pattern = re.compile("".join(".*" if one == "%" else "." if one == "_" else re.escape(one) for one in str(given)), re.I | re.S)
        like: Predicate = lambda row: any(pattern.fullmatch(str(one)) is not None for one in _values(row.get(column)) if one is not None)  # noqa: E731
        return _negated(like) if operator.startswith("!") else like
    wanted = comparable(read(given))
    if operator in ("=", "!", "!="):
        equal: Predicate = lambda row: any(one == wanted for one in _values(row.get(column)))  # noqa: E731
        return _negated(equal) if operator != "=" else equal
    return _ordered(operator, column, wanted)


def _ordered(operator: str, column: str, wanted: Any) -> Predicate:
    compare: dict[str, Callable[[Any, Any], bool]] = {
        ">": lambda one, other: one > other,
        ">=": lambda one, other: one >= other,
        "<": lambda one, other: one < other,
        "<=": lambda one, other: one <= other,
    }
    holds = compare[operator]

    def ordered(row: Row) -> bool:
        for one in _values(row.get(column)):
            if one in (None, "") or wanted in (None, ""):
                continue
            try:
                if holds(one, wanted):
                    return True
            except TypeError:
                continue
        return False

    return ordered


def _negated(predicate: Predicate) -> Predicate:
    return lambda row: not predicate(row)


def _values(stored: Any) -> list[Any]:
    if isinstance(stored, list | tuple):
        return [comparable(one) for one in stored] or [""]
    return [comparable(stored)]


def comparable(value: Any) -> Any:
    """What the database's collation compares: case is ignored, nothing and empty are one."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float | datetime | date):
        return value
    return str(value).casefold()


def order_rows(rows: list[Any], order: Any, column_of: Callable[[str], str]) -> list[Any]:
    """Stable sort by several columns, the last one first."""
    for name, direction in reversed(list(as_map(order).items())):
        column = column_of(name)
        rows.sort(key=lambda row: _sort_key(row.get(column)), reverse=str(direction).upper().startswith("DESC"))
    return rows


def _sort_key(value: Any) -> tuple[int, Any]:
    key = comparable(value)
    if key == "":
        return (0, 0)
    if isinstance(key, datetime):
        return (2, key.timestamp())
    if isinstance(key, date):
        return (2, key.toordinal())
    return (2, key) if isinstance(key, int | float) else (3, key)
