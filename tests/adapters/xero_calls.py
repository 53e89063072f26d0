"""A `Caller` for the tests of the Xero adapter: the real `send` on the real wire, bound to one organisation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from plugin.config import Config
from plugin.wire import Addresses, Answer, Wire
from plugin.xero import client

TOKEN = "a-token"
TENANT = "c2cc9b6e-9458-4c7d-93cc-f02b81b0594f"
API = "https://api.xero.com/api.xro/2.0"
CONFIG = Config(public_url="https://bridge.example", xero_client_id="OUR-APP", xero_client_secret="our-secret")


def make_wire(config: Config = CONFIG) -> Wire:
    return Wire(Addresses((config.xero_api_url, config.xero_identity_url), ()), "Tallybridge test")


class Call:
    """Calls one organisation."""

    def __init__(self, config: Config = CONFIG, token: str = TOKEN, tenant: str = TENANT) -> None:
        self._wire, self._config, self._token, self._tenant = make_wire(config), config, token, tenant

    def __call__(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        key: str | None = None,
        modified_since: datetime | None = None,
        timeout: float = 60,
    ) -> Answer:
        bound = (self._wire, self._config, self._token, self._tenant)
        return client.send(*bound, method, path, params=params, body=body, key=key, modified_since=modified_since, timeout=timeout)


def answer(status: int, body: Any = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """An answer as the wire hands it over."""
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Answer(status, headers or {}, raw, 0.1, "request")
