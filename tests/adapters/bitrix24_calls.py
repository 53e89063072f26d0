"""A portal of a few lines at the other end of the wire: answers by method, remembers every request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import responses
from requests import PreparedRequest

from plugin.bitrix24.client import Direct
from plugin.config import Config
from plugin.wire import Addresses, Wire
from sandbox.bitrix24.php import parse_query

ORIGIN = "https://acme.bitrix24.com"
ENDPOINT = f"{ORIGIN}/rest/"
OAUTH = "https://oauth.bitrix.info"
OTHER_OAUTH = "https://oauth.bitrix24.tech"
CONFIG = Config(bitrix24_client_id="app.5f3c.1", bitrix24_client_secret="s3cret", bitrix24_oauth_urls=(OAUTH, OTHER_OAUTH), bitrix24_portals=(ORIGIN,))


def addresses() -> Addresses:
    return Addresses(CONFIG.bitrix24_oauth_urls, CONFIG.bitrix24_portals)


def wire() -> Wire:
    return Wire(addresses(), "Tallybridge tests")


@dataclass
class Refusal(Exception):
    """What a scripted method answers instead of a result."""

    error: Any
    text: str = ""


@dataclass
class Listed:
    """A page of a list."""

    result: Any
    total: int | None = None
    next: int | None = None


@dataclass
class ScriptedPortal:
    """`methods` maps a name to a function of the parameters; unknown ones are refused as Bitrix24 refuses them."""

    methods: dict[str, Callable[[dict[str, Any]], Any]]
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    inner: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def attach(self, mock: responses.RequestsMock) -> Direct:
        mock.add_callback(responses.POST, re.compile(f"{ENDPOINT}.*"), callback=self._answer)
        return Direct(wire(), ENDPOINT, "token")

    def asked(self, method: str) -> list[dict[str, Any]]:
        """The parameters of every execution of this method, in a batch or alone."""
        return [params for name, params in self.inner if name == method]

    def _answer(self, request: PreparedRequest) -> tuple[int, Mapping[str, str], str]:
        method = str(request.url).removeprefix(ENDPOINT)
        params = json.loads(request.body or b"{}")
        assert params.pop("auth") == "token"
        self.requests.append((method, params))
        return 200, {}, json.dumps(self._batch(params) if method == "batch" else self._one(method, params))

    def _one(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.inner.append((method, params))
        try:
            if method not in self.methods:
                raise Refusal("ERROR_METHOD_NOT_FOUND", "Method not found!")
            result = self.methods[method](params)
        except Refusal as refusal:
            return {"error": refusal.error, "error_description": refusal.text}
        if isinstance(result, Listed):
            return {"result": result.result, **{name: one for name, one in (("total", result.total), ("next", result.next)) if one is not None}}
        return {"result": result}

    def _batch(self, params: dict[str, Any]) -> dict[str, Any]:
        assert len(params["cmd"]) <= 50
        parts: dict[str, dict[str, Any]] = {"result": {}, "result_error": {}, "result_total": {}, "result_next": {}}
        for key, command in params["cmd"].items():
            method, _, query = command.partition("?")
            answer = self._one(method, parse_query(query))
            if "error" in answer:
                parts["result_error"][key] = answer
                continue
            parts["result"][key] = answer["result"]
            for name in ("total", "next"):
                if name in answer:
                    parts[f"result_{name}"][key] = answer[name]
        return {"result": {name: value or [] for name, value in parts.items()}}
