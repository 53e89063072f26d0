"""One call, one batch: how REST 2.0 is spoken (B§3.1–3.3, §4.2). Tokens and limiters belong to whoever implements `Rest`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urljoin, urlsplit

from plugin.bitrix24.errors import problem_of
from plugin.domain.problems import LATER, Problem
from plugin.wire import READ_SECONDS, Answer, NoAnswer, Wire

BATCH = 50  # commands of a batch, and rows of a page (B§4.1)

Params = Mapping[str, Any]
Command = tuple[str, Params]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Reply:
    """A good answer. `operating` is what this method has used of its ten-minute budget, in seconds (cloud only)."""

    result: Any
    total: int | None = None
    next: int | None = None
    operating: float | None = None
    operating_reset_at: float | None = None


@dataclass(frozen=True)
class BatchReply:
    """What each command answered, by its key. With `halt`, commands after the first error are absent everywhere."""

    results: dict[str, Any]
    errors: dict[str, Problem]
    totals: dict[str, int] = field(default_factory=dict)
    nexts: dict[str, int] = field(default_factory=dict)
    #: By method: seconds used of its ten-minute budget, and when that is reset (B§4.1).
    spent: dict[str, tuple[float, float | None]] = field(default_factory=dict)


class Rest(Protocol):
    """Bitrix24 as one person of one portal: fresh token, limiter respected. Raises `Problem` and `NoAnswer`."""

    def call(self, method: str, params: Params | None = None) -> Reply: ...

    def batch(self, commands: Mapping[str, Command], halt: bool = False) -> BatchReply: ...


class Direct:
    """A `Rest` with a given token and nobody's limiter: for the opening, when the portal is not known yet."""

    def __init__(self, wire: Wire, endpoint: str, token: str, timeout: float = READ_SECONDS) -> None:
        self._wire, self._endpoint, self._token, self._timeout = wire, endpoint, token, timeout

    def call(self, method: str, params: Params | None = None) -> Reply:
        return send(self._wire, self._endpoint, self._token, method, params or {}, self._timeout)

    def batch(self, commands: Mapping[str, Command], halt: bool = False) -> BatchReply:
        return unpack(self.call("batch", pack(commands, halt)), commands, halt)


def send(wire: Wire, endpoint: str, token: str, method: str, params: Params, timeout: float = READ_SECONDS) -> Reply:
    """One request. The token travels in the body, where no proxy logs it (B§3.1)."""
    url = f"{endpoint.rstrip('/')}/{method}"
    body = json.dumps({**params, "auth": token}, default=_json_value).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    answer = wire.send("POST", url, headers=headers, body=body, timeout=timeout, label=method)
    if 300 <= answer.status < 400:
        raise _moved(endpoint, url, answer, method)
    return _reply(read_answer(answer, method))


def read_answer(answer: Answer, method: str) -> dict[str, Any]:
    """The answer's object, or the problem that it stands for."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if answer.status in (502, 504) and not (isinstance(body, dict) and "error" in body):
        # The 60 s ceiling or a proxy: nobody knows whether the work was done (B§3.5).
        raise NoAnswer(f"HTTP {answer.status}", sent=True)
    problem = problem_of(answer.status, body, method)
    if problem is not None:
        raise problem
    return dict(body) if isinstance(body, dict) else {}


def _moved(endpoint: str, url: str, answer: Answer, method: str) -> Problem:
    """A renamed portal answers 302 for a while; the new address must be confirmed before anything is sent there (B§2.8)."""
    target = urlsplit(urljoin(url, answer.headers.get("Location", "")))
    if target.netloc.lower() == urlsplit(url).netloc.lower():
        return Problem("bitrix24.not_json", LATER, error="", text="", status=answer.status, method=method)
    location = f"{target.scheme}://{target.netloc}{urlsplit(endpoint).path.rstrip('/')}/"
    return Problem("bitrix24.moved", LATER, error="", text="", status=answer.status, method=method, location=location)


def _reply(body: Mapping[str, Any]) -> Reply:
    # Samples of a few catalogue methods show their array beside `result` instead of under it (B§9.4).
    result = body["result"] if "result" in body else {name: value for name, value in body.items() if name not in ("time", "total", "next")}
    seconds, reset_at = _spent(body.get("time"))
    return Reply(result, _whole(body.get("total")), _whole(body.get("next")), seconds, reset_at)


def pack(commands: Mapping[str, Command], halt: bool = False) -> dict[str, Any]:
    """The payload of one batch: at most fifty commands, each a method with a percent-encoded PHP query string (B§4.2)."""
    if not 0 < len(commands) <= BATCH:
        raise ValueError(f"a batch holds 1 to {BATCH} commands, not {len(commands)}")
    return {"halt": int(halt), "cmd": {key: f"{method}?{php_query(params)}" for key, (method, params) in commands.items()}}


def unpack(reply: Reply, commands: Mapping[str, Command], halt: bool = False) -> BatchReply:
    """A batch's answer by key. Empty maps come as `[]` (B§4.2)."""
    inner = reply.result if isinstance(reply.result, Mapping) else {}
    results = as_map(inner.get("result"))
    errors = {key: _inner_problem(error, commands[key][0]) for key, error in as_map(inner.get("result_error")).items() if key in commands}
    results = {key: value for key, value in results.items() if key not in errors}
    if not halt:
        for key, (method, _) in commands.items():
            if key not in results and key not in errors:
                errors[key] = Problem("bitrix24.command_skipped", LATER, error="", text="", status=0, method=method)
    totals, nexts = (_whole_numbers(inner.get(name)) for name in ("result_total", "result_next"))
    return BatchReply(results, errors, totals, nexts, _spent_by_method(as_map(inner.get("result_time")), commands))


def _inner_problem(error: Any, method: str) -> Problem:
    body = error if isinstance(error, Mapping) and "error" in error else {"error": error}
    return problem_of(0, body, method) or Problem("bitrix24.unknown", error="", text="", status=0, method=method)


def _spent_by_method(times: Mapping[str, Any], commands: Mapping[str, Command]) -> dict[str, tuple[float, float | None]]:
    spent: dict[str, tuple[float, float | None]] = {}
    for key, value in times.items():
        seconds, reset_at = _spent(value)
        method = commands[key][0] if key in commands else ""
        if method and seconds is not None and seconds >= spent.get(method, (0.0, None))[0]:
            spent[method] = (seconds, reset_at)
    return spent


def chunks(values: Mapping[str, Value], size: int = BATCH) -> Iterator[dict[str, Value]]:
    """The same mapping in pieces that fit one batch."""
    keys = list(values)
    for start in range(0, len(keys), size):
        yield {key: values[key] for key in keys[start : start + size]}


def php_query(params: Params) -> str:
    """`{"filter": {"@id": [5]}}` as `filter%5B%40id%5D%5B0%5D=5` (B§4.2). An empty list is refused: leaving it out would widen a filter."""
    return "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in _pairs("", params))


#: As `quote` writes them; by a table, for a batch of results holds a thousand of them.
_ESCAPES = {code: f"%{code:02X}" for code in range(128) if not (chr(code).isalnum() or chr(code) in "_.-~")}


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES) if text.isascii() else quote(text, safe="")


def _pairs(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _pairs(f"{name}[{key}]" if name else str(key), one)
    elif isinstance(value, (list, tuple, set, frozenset)):
        if not value:
            raise ValueError(f"{name} is an empty list")
        for position, one in enumerate(value):
            yield from _pairs(f"{name}[{position}]", one)
    elif value is None:
        yield name, ""
    else:
        yield name, str(int(value)) if isinstance(value, bool) else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, (datetime, date)) else str(value)


def _json_value(value: Any) -> Any:
    if isinstance(value, (Decimal, date, datetime)):
        return _text(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} cannot be sent to Bitrix24")


def as_map(value: Any) -> dict[str, Any]:
    """A PHP map: a list where its keys are 0, 1, 2, and `[]` where it is empty (B§3.2)."""
    if isinstance(value, Mapping):
        return {str(key): one for key, one in value.items()}
    return {str(position): one for position, one in enumerate(value)} if isinstance(value, list) else {}


def _whole_numbers(value: Any) -> dict[str, int]:
    read = {key: _whole(one) for key, one in as_map(value).items()}
    return {key: one for key, one in read.items() if one is not None}


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _spent(value: Any) -> tuple[float | None, float | None]:
    if not isinstance(value, Mapping):
        return None, None
    seconds, reset_at = value.get("operating"), value.get("operating_reset_at")
    return (None if seconds is None else float(seconds)), (None if reset_at is None else float(reset_at))
