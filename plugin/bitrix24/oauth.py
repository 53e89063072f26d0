"""The authorisation server: renewing tokens, and the trusted word on whose token one is (B§2.1–2.4, §2.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from plugin.bitrix24.client import read_answer
from plugin.bitrix24.errors import problem_of
from plugin.bitrix24.values import ident, moment, names
from plugin.config import Config
from plugin.wire import Answer, Wire

TIMEOUT = 20.0
REFUSED_VERBS = (404, 405, 501)
#: What a server says that finds no parameter, the app's own id among them.
NOTHING_READ = ("bitrix24.request_invalid", "bitrix24.token_missing", "bitrix24.client_refused")


@dataclass(frozen=True)
class Tokens:
    """A new pair. Both must be stored before either is used: each renewal replaces both."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    member_id: str
    user_id: int | None
    client_endpoint: str
    server_endpoint: str
    scope: frozenset[str]
    status: str


@dataclass(frozen=True)
class AppInfo:
    """What the authorisation server says about a token: the decisive check of B§2.7."""

    client_id: str
    user_id: int
    scopes: frozenset[str]
    installed: bool
    status: str
    domain: str
    client_endpoint: str
    member_id: str
    expires: datetime | None
    version: str = ""  # of the app, as the portal has it


def servers(config: Config, server_endpoint: str) -> tuple[str, ...]:
    """The allowed servers to ask, in order. A claim only picks among them; an unknown or absent one leaves the whole list."""
    claimed = _origin(server_endpoint)
    there = tuple(base for base in config.bitrix24_oauth_urls if _origin(base) == claimed)
    below = tuple(base for base in there if server_endpoint.startswith(f"{base}/"))  # several servers may share a host
    return below[:1] or there[:1] or config.bitrix24_oauth_urls


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:  # a claim may hold anything, "https://host:port" with words for a port among it
        return "", "", None


def refresh(wire: Wire, config: Config, server_endpoint: str, refresh_token: str) -> Tokens:
    """A new pair for an old refresh token. One at a time per person of a portal: rotation may kill the old one (B§2.4)."""
    form = {
        "grant_type": "refresh_token",
        "client_id": config.bitrix24_client_id,
        "client_secret": config.bitrix24_client_secret,
        "refresh_token": refresh_token,
    }
    body = read_answer(_ask(wire, f"{servers(config, server_endpoint)[0]}/oauth/token/", form, "oauth/token"), "oauth/token")
    return Tokens(
        access_token=str(body.get("access_token", "")),
        refresh_token=str(body.get("refresh_token", "")),
        expires_in=ident(body.get("expires_in")) or 3600,
        member_id=str(body.get("member_id", "")),
        user_id=ident(body.get("user_id")),
        client_endpoint=str(body.get("client_endpoint", "")),
        server_endpoint=str(body.get("server_endpoint", "")),
        scope=names(body.get("scope")),
        status=str(body.get("status", "")),
    )


def app_info(wire: Wire, config: Config, server_endpoint: str, token: str) -> AppInfo:
    """Whose token this is, for which app and which portal."""
    url = f"{servers(config, server_endpoint)[0]}/rest/app.info"
    result = read_answer(_ask(wire, url, {"auth": token}, "app.info"), "app.info").get("result")
    said: Mapping[str, Any] = result if isinstance(result, Mapping) else {}
    install: Mapping[str, Any] = said["install"] if isinstance(said.get("install"), Mapping) else {}
    return AppInfo(
        client_id=str(said.get("client_id", "")),
        user_id=ident(said.get("user_id")) or 0,
        scopes=names(said.get("scope")) or names(install.get("scope")),
        installed=install.get("installed") in (True, "Y", 1, "1"),
        status=str(install.get("status", "")),
        domain=str(install.get("domain", "")),
        client_endpoint=str(install.get("client_endpoint", "")),
        member_id=str(install.get("member_id", "")),
        expires=moment(said.get("expires")),
        version=str(install.get("version", "")),
    )


def _ask(wire: Wire, url: str, form: Mapping[str, str], label: str) -> Answer:
    """POST keeps secrets out of logs; the documentation shows GET, and which of both a server takes is an open fact (B§15.6)."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    answer = wire.send("POST", url, headers=headers, body=urlencode(form).encode(), timeout=TIMEOUT, label=label)
    if answer.status in REFUSED_VERBS or _did_not_read_the_form(answer):
        answer = wire.send("GET", url, params=form, headers={"Accept": "application/json"}, timeout=TIMEOUT, label=label)
    return answer


def _did_not_read_the_form(answer: Answer) -> bool:
    """A server that only reads query strings finds every parameter missing."""
    try:
        problem = problem_of(answer.status, answer.json())
    except ValueError:
        return False
    return problem is not None and problem.code in NOTHING_READ
