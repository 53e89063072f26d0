"""The sandbox's levers: a clock, switches for open facts, faults on demand, and a record of every call.

Each stand-in owns one `Controls`. Tests in the same process use it directly; the chaos runs and the demo reach it
over HTTP under `/_sandbox/` (see `sandbox.controls.blueprint`).
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Flask, Response, g, jsonify, request


class Clock:
    """Real time plus an offset that tests may move forward."""

    def __init__(self) -> None:
        self._offset = timedelta()

    def now(self) -> datetime:
        """The sandbox's present, UTC."""
        return datetime.now(UTC) + self._offset

    def advance(self, seconds: float) -> None:
        self._offset += timedelta(seconds=seconds)

    def reset(self) -> None:
        self._offset = timedelta()


@dataclass
class Switch:
    """A fact that the reference leaves open: its positions, and which one holds now."""

    name: str
    positions: tuple[str, ...]
    position: str
    note: str


class Switches:
    """Every open fact by name. Unknown names and positions are errors, so that a typo cannot pass a test."""

    def __init__(self) -> None:
        self._all: dict[str, Switch] = {}
        self._defaults: dict[str, str] = {}

    def define(self, name: str, *positions: str, note: str) -> None:
        """Declare a switch; the first position is the default."""
        self._all[name] = Switch(name, positions, positions[0], note)
        self._defaults[name] = positions[0]

    def get(self, name: str) -> str:
        return self._all[name].position

    def set(self, name: str, position: str) -> None:
        switch = self._all[name]
        if position not in switch.positions:
            raise ValueError(f"{name} has the positions {', '.join(switch.positions)}, not {position}")
        switch.position = position

    def reset(self) -> None:
        for name, position in self._defaults.items():
            self._all[name].position = position

    def all(self) -> list[Switch]:
        return list(self._all.values())


@dataclass
class Fault:
    """What goes wrong, for which calls, and how often.

    `kind` is one of: `status` (answer `status` with `body` and `headers`, nothing done), `slow` (wait `seconds`, then work),
    `cut` (close the connection before the work), `lost` (do the work, then close the connection), `lost500` (do the
    work, then answer 500), `html` (an HTML page with `status` 200 instead of JSON, nothing done), `hold` and `hold_after` (wait
    before or after the work until `released`, at most `seconds`; `reached` tells that somebody waits).
    """

    kind: str
    path: str = ".*"
    method: str = ".*"
    times: int = 1
    skip: int = 0
    status: int = 503
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    reached: threading.Event = field(default_factory=threading.Event, compare=False)
    released: threading.Event = field(default_factory=threading.Event, compare=False)

    def wait(self) -> None:
        """Stand still here, so that a test may do something at exactly this instant."""
        self.reached.set()
        self.released.wait(self.seconds)

    def matches(self, method: str, path: str) -> bool:
        return bool(re.fullmatch(self.method, method) and re.search(self.path, path))


@dataclass
class SeenCall:
    """One call as the sandbox saw it."""

    at: float
    method: str
    path: str
    query: str
    status: int
    seconds: float
    in_flight: int
    body: bytes = b""
    answer: bytes = b""
    fault: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


class Controls:
    """Clock, switches, faults, latencies and the call log of one stand-in."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.switches = Switches()
        self.lock = threading.RLock()
        self.faults: list[Fault] = []
        self.calls: deque[SeenCall] = deque(maxlen=50_000)
        self.in_flight = 0
        #: Seconds that a call of this path (regular expression) takes, beside the real work; first match counts.
        self.latency: list[tuple[str, str, float]] = []

    def fail(self, kind: str, **what: Any) -> Fault:
        """Arm a fault; see `Fault`."""
        fault = Fault(kind, **what)
        with self.lock:
            self.faults.append(fault)
        return fault

    def take_fault(self, method: str, path: str) -> Fault | None:
        """The first armed fault for this call, used up by one."""
        with self.lock:
            for fault in self.faults:
                if not fault.matches(method, path):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def reset(self) -> None:
        """Everything back to its default; the state of the partner itself is reset by its owner."""
        with self.lock:
            self.clock.reset()
            self.switches.reset()
            self.faults.clear()
            self.calls.clear()
            self.latency.clear()


def cut_connection() -> None:
    """Close the client's connection without an answer, as a broken network does."""
    raw = request.environ.get("sandbox.socket")
    if raw is not None:
        with suppress(OSError):
            raw.shutdown(socket.SHUT_RDWR)


def attach(app: Flask, controls: Controls, quiet: str = r"^/(_sandbox|static|face)", admit: Callable[[], Response | None] | None = None) -> None:
    """Let the levers act on every call of a stand-in, its own pages and levers excepted.

    `admit` may refuse a call before latency and faults are applied, as a partner's gateway does.
    """

    @app.before_request
    def before() -> Response | None:
        if re.search(quiet, request.path):
            return None
        g.seen_started = time.perf_counter()
        g.seen_body = request.get_data(cache=True)
        with controls.lock:
            controls.in_flight += 1
            g.seen_in_flight = controls.in_flight
        refused = admit() if admit is not None else None
        if refused is not None:
            return refused
        for path, method, seconds in controls.latency:
            if re.search(path, request.path) and re.fullmatch(method, request.method):
                time.sleep(seconds)
                break
        g.fault = fault = controls.take_fault(request.method, request.path)
        if fault is None:
            return None
        if fault.kind == "slow":
            time.sleep(fault.seconds)
        elif fault.kind == "hold":
            fault.wait()
        elif fault.kind == "status":
            return Response(fault.body, fault.status, fault.headers, mimetype="application/json")
        elif fault.kind == "html":
            return Response("<!doctype html><title>Busy</title><p>Please wait.", fault.status if fault.status != 503 else 200, mimetype="text/html")
        elif fault.kind == "cut":
            cut_connection()
            return Response("", 502)
        return None

    @app.after_request
    def after(response: Response) -> Response:
        if "seen_started" not in g:
            return response
        fault: Fault | None = g.get("fault")
        if fault is not None and fault.kind == "lost":
            cut_connection()
        elif fault is not None and fault.kind == "lost500":
            response = Response('{"Message":"An error occurred"}', 500, mimetype="application/json")
        elif fault is not None and fault.kind == "hold_after":
            fault.wait()
        with controls.lock:
            controls.in_flight -= 1
            controls.calls.append(
                SeenCall(
                    at=controls.clock.now().timestamp(),
                    method=request.method,
                    path=request.path,
                    query=request.query_string.decode("utf-8", "replace"),
                    status=response.status_code,
                    seconds=time.perf_counter() - g.seen_started,
                    in_flight=g.seen_in_flight,
                    body=g.seen_body,
                    answer=b"" if response.direct_passthrough else response.get_data(),
                    fault=fault.kind if fault else "",
                    detail=g.get("seen_detail") or {},
                )
            )
        return response


def blueprint(controls: Controls) -> Blueprint:
    """The levers over HTTP, for processes that do not share our memory."""
    levers = Blueprint("levers", __name__, url_prefix="/_sandbox")

    @levers.get("/switches")
    def switches() -> Response:
        return jsonify([asdict(one) for one in controls.switches.all()])

    @levers.post("/switches")
    def set_switches() -> Response:
        for name, position in (request.get_json() or {}).items():
            controls.switches.set(name, position)
        return switches()

    @levers.post("/faults")
    def fault() -> Response:
        controls.fail(**request.get_json())
        return jsonify(armed=len(controls.faults))

    @levers.delete("/faults")
    def no_faults() -> Response:
        with controls.lock:
            controls.faults.clear()
        return jsonify(armed=0)

    @levers.post("/latency")
    def latency() -> Response:
        controls.latency[:] = [(one["path"], one.get("method", ".*"), float(one["seconds"])) for one in request.get_json()]
        return jsonify(controls.latency)

    @levers.post("/clock")
    def clock() -> Response:
        controls.clock.advance(float(request.get_json()["advance"]))
        return jsonify(now=controls.clock.now().isoformat())

    @levers.get("/calls")
    def calls() -> Response:
        since = float(request.args.get("since", 0))
        with controls.lock:
            rows = [one for one in controls.calls if one.at >= since]
        return jsonify(
            [
                {
                    **{key: getattr(one, key) for key in ("at", "method", "path", "query", "status", "seconds", "in_flight", "fault", "detail")},
                    "body": one.body.decode("utf-8", "replace"),
                    "answer": one.answer.decode("utf-8", "replace") if "bodies" in request.args else "",
                }
                for one in rows
            ]
        )

    @levers.delete("/calls")
    def no_calls() -> Response:
        with controls.lock:
            controls.calls.clear()
        return jsonify(calls=0)

    return levers
