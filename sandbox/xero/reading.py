"""What lists understand: `where`, `order`, pages and If-Modified-Since (X§2.3, X§2.6, X§4.8, X§5.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from flask import Response
from werkzeug.datastructures import MultiDict

from sandbox.xero.errors import Halt, bad_query, exception
from sandbox.xero.words import parse_since, plain_name

T = TypeVar("T")
Getter = Callable[[Any], Any]
HIGH_VOLUME = 100_000

_TOKEN = re.compile(r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w.]*)|(?P<sign>==|!=|>=|<=|&&|\|\||[()<>!,=.]))""")


def _tokens(clause: str) -> list[tuple[str, str]]:
    found, place = [], 0
    while place < len(clause.rstrip()):
        match = _TOKEN.match(clause, place)
        if match is None:
            raise bad_query(f"Syntax error at position {place} of the where clause")
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        place = match.end()
    return found


@dataclass
class _Where:
    """A recursive-descent reader of one clause; builds a function of a row."""

    tokens: list[tuple[str, str]]
    fields: Mapping[str, Getter]
    kind: str
    place: int = 0

    def _peek(self) -> str:
        return self.tokens[self.place][1] if self.place < len(self.tokens) else ""

    def _next(self) -> tuple[str, str]:
        if self.place >= len(self.tokens):
            raise bad_query("Expression expected")
        self.place += 1
        return self.tokens[self.place - 1]

    def _take(self, *words: str) -> bool:
        if self._peek().upper() in words:
            self.place += 1
            return True
        return False

    def whole(self) -> Getter:
        test = self._any()
        if self.place < len(self.tokens):
            raise bad_query("Syntax error")
        return test

    def _any(self) -> Getter:
        tests = [self._all()]
        while self._take("OR", "||"):
            tests.append(self._all())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _all(self) -> Getter:
        tests = [self._one()]
        while self._take("AND", "&&"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _one(self) -> Getter:
        if self._take("!"):
            inner = self._one()
            return lambda row: not inner(row)
        if self._take("("):
            inner = self._any()
            if not self._take(")"):
                raise bad_query("')' expected")
            return inner
        left = self._operand()
        sign = self._peek()
        if sign not in ("==", "=", "!=", ">", "<", ">=", "<="):
            return left
        self.place += 1
        right = self._operand()
        return lambda row: _compare(sign, left(row), right(row))

    def _operand(self) -> Getter:
        kind, word = self._next()
        if kind == "text":
            text = re.sub(r"\\(.)", r"\1", word[1:-1])
            return lambda row: text
        if kind == "number":
            number = Decimal(word)
            return lambda row: number
        if kind != "name":
            raise bad_query("Expression expected")
        return self._named(word)

    def _named(self, word: str) -> Getter:
        if word.lower() in ("true", "false", "null"):
            value = {"true": True, "false": False, "null": None}[word.lower()]
            return lambda row: value
        if word.lower() in ("datetime", "guid"):
            return self._literal(word.lower())
        path, _, method = word.rpartition(".")
        method = method if self._peek() == "(" else ""
        getter = self.fields.get((path if method else word).lower())
        if getter is None:
            raise bad_query(f"No property or field '{word}' exists in type '{self.kind}'")
        return self._methods(getter, method) if method else getter

    def _literal(self, word: str) -> Getter:
        values = self._arguments()
        try:
            if word == "guid":
                text = str(values[0]).lower()
                return lambda row: text
            year, month, day, *rest = (int(one) for one in values)
            hour, minute, second = (*rest, 0, 0, 0)[:3]
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except (ValueError, TypeError, IndexError):
            raise bad_query(f"The arguments of {word} are not valid") from None
        return lambda row: moment

    def _arguments(self) -> list[Any]:
        if not self._take("("):
            raise bad_query("'(' expected")
        values = []
        while not self._take(")"):
            values.append(self._operand()(None))
            self._take(",")
        return values

    def _methods(self, getter: Getter, method: str) -> Getter:
        """`.ToLower()`, `.Contains("x")` and their like, one after the other."""
        while True:
            getter = _called(getter, method, self._arguments())
            if not self._take("."):
                return getter
            method = self._next()[1]


def _called(getter: Getter, method: str, arguments: list[Any]) -> Getter:
    works: dict[str, Callable[[str], Any]] = {
        "ToLower": lambda text: text.lower(),
        "ToUpper": lambda text: text.upper(),
        "ToString": lambda text: text,
        "Contains": lambda text: str(arguments[0]) in text,
        "StartsWith": lambda text: text.startswith(str(arguments[0])),
        "EndsWith": lambda text: text.endswith(str(arguments[0])),
    }
    if method not in works or len(arguments) != (1 if method in ("Contains", "StartsWith", "EndsWith") else 0):
        raise bad_query(f"No applicable method '{method}' exists")
    return lambda row: works[method](str(getter(row) or ""))


def _compare(sign: str, left: Any, right: Any) -> bool:
    left, right = (_moment(one) for one in (left, right))
    if sign in ("==", "=", "!="):
        same = left == right or (isinstance(left, str) and isinstance(right, str) and plain_name(left) == plain_name(right))
        return same != (sign == "!=")
    if left is None or right is None:
        return False
    try:
        return bool({">": left > right, "<": left < right, ">=": left >= right, "<=": left <= right}[sign])
    except TypeError:
        raise bad_query(f"Operator '{sign}' incompatible with operand types") from None


def _moment(value: Any) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def where(clause: str, fields: Mapping[str, Getter], kind: str) -> Getter:
    """A test of one row; QueryParseException when the clause cannot be read."""
    return _Where(_tokens(clause), fields, kind).whole()


def ordered(rows: Iterable[T], order: str, fields: Mapping[str, Getter], kind: str) -> list[T]:
    """Sort by `Field ASC, Field DESC`."""
    found = list(rows)
    for part in reversed([one.strip() for one in order.split(",") if one.strip()]):
        name, _, direction = part.partition(" ")
        getter = fields.get(name.lower())
        if getter is None or direction.strip().upper() not in ("", "ASC", "DESC"):
            raise bad_query(f"No property or field '{name}' exists in type '{kind}'")
        found.sort(key=_sort_key(getter), reverse=direction.strip().upper() == "DESC")
    return found


def _sort_key(getter: Getter) -> Callable[[Any], tuple[bool, Any]]:
    """Rows without a value come first."""

    def key(row: Any) -> tuple[bool, Any]:
        value = getter(row)
        return value is not None, 0 if value is None else _moment(value)

    return key


@dataclass
class Page:
    """Which part of a list is wanted; `number` 0 is the whole list."""

    number: int
    size: int

    @classmethod
    def asked(cls, args: MultiDict[str, str], forced: bool = False) -> Page:
        """`page` from 1, `pageSize` 1 to 1000, out-of-range values snapped (X§2.6)."""
        size = min(1000, max(1, _whole(args.get("pageSize"), 100)))
        number = max(1, _whole(args.get("page"), 1)) if "page" in args or "pageSize" in args or forced else 0
        return cls(number, size)

    def cut(self, rows: Sequence[T]) -> Sequence[T]:
        return rows if not self.number else rows[(self.number - 1) * self.size : self.number * self.size]

    def block(self, count: int) -> dict[str, int] | None:
        if not self.number:
            return None
        return {"page": self.number, "pageSize": self.size, "pageCount": -(-count // self.size), "itemCount": count}


def _whole(text: str | None, default: int) -> int:
    try:
        return int(text) if text is not None else default
    except ValueError:
        return default


def since(header: str | None) -> datetime | None:
    """If-Modified-Since; one that cannot be read is a bad conditional header (X§9.1)."""
    if not header:
        return None
    moment = parse_since(header)
    if moment is None:
        raise Halt(Response("Precondition Failed", 412, mimetype="text/html"))
    return moment


class Dated(Protocol):
    """A row that knows when it last changed."""

    updated: datetime


M = TypeVar("M", bound=Dated)


def modified(rows: Iterable[M], moment: datetime | None) -> list[M]:
    """Created or modified since, to the second."""
    if moment is None:
        return list(rows)
    return [row for row in rows if row.updated >= moment]


def guard_volume(count: int, limit: int) -> None:
    if count > limit:
        message = "The request would touch too many documents. Use filters, paging or If-Modified-Since"
        raise Halt(exception(400, 51, "HighVolumeException", message))


def comma(args: MultiDict[str, str], name: str) -> list[str]:
    """A comma-separated list, unquoted."""
    return [one.strip() for one in args.get(name, "").split(",") if one.strip()]


def flag(args: MultiDict[str, str], name: str) -> bool:
    return args.get(name, "").lower() == "true"
