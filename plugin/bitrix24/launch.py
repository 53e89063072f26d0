"""The opening POST (B§1.4): read as claims, believed only after the authorisation server has confirmed the token in it (B§2.7).

Problems made here (each is the end of an opening; nothing is retried by itself):

launch.incomplete        missing (list of names)
launch.domain_malformed  domain
launch.wrong_app         the token belongs to another app
launch.wrong_portal      the token belongs to another portal than the one named
launch.wrong_domain      domain, expected
launch.address_refused   host (not among the portals this installation may talk to)
launch.wrong_user        the portal names another user than the authorisation server

Errors of the authorisation server and of the portal keep their bitrix24.* codes.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from plugin.bitrix24.client import Rest
from plugin.bitrix24.oauth import AppInfo, app_info, servers
from plugin.bitrix24.values import ident, names, text, yes
from plugin.config import Config
from plugin.domain.problems import Problem
from plugin.wire import Addresses, NoAnswer, Wire

HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?")
LIMIT = 4_096  # characters of any one value; real ones are far shorter


@dataclass(frozen=True)
class Launch:
    """What the opening POST claims. Nothing in it is signed."""

    domain: str
    secure: bool
    lang: str
    app_sid: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    member_id: str
    server_endpoint: str  # empty on older on-premise portals, as the next two
    application_token: str = field(repr=False)
    scope: frozenset[str]
    status: str
    placement: str
    options: Mapping[str, Any]

    @property
    def document_id(self) -> int | None:
        """The item that the placement stands on: `ENTITY_ID` in a detail toolbar, `ID` elsewhere (B§6.3). Input, not proof."""
        return ident(self.options.get("ID")) or ident(self.options.get("ENTITY_ID"))


@dataclass(frozen=True)
class Confirmed:
    """An opening as the authorisation server vouches for it; addresses, user and scopes come from there."""

    member_id: str
    domain: str
    client_endpoint: str
    server_endpoint: str
    user_id: int
    scopes: frozenset[str]
    status: str
    installed: bool
    launch: Launch
    version: str = ""


@dataclass(frozen=True)
class Person:
    """The token's user."""

    id: int
    name: str
    admin: bool
    timezone: str


def parse_launch(query: Mapping[str, str], form: Mapping[str, str]) -> Launch:
    """Read the claims; names are case sensitive, `member_id` among them in lower case (B§1.4)."""

    def claim(name: str) -> str:
        value = (form.get(name) or query.get(name) or "")[:LIMIT]
        return value if value.isprintable() else ""  # control characters are in no real one, and a database may refuse them

    missing = [name for name in ("AUTH_ID", "member_id", "DOMAIN") if not claim(name)]
    if missing:
        raise Problem("launch.incomplete", missing=missing)
    if not HOST.fullmatch(claim("DOMAIN")):
        raise Problem("launch.domain_malformed", domain=claim("DOMAIN")[:100])
    return Launch(
        domain=claim("DOMAIN").lower(),
        secure=claim("PROTOCOL") != "0",
        lang=claim("LANG").lower()[:8] or "en",
        app_sid=claim("APP_SID"),
        access_token=claim("AUTH_ID"),
        refresh_token=claim("REFRESH_ID"),
        expires_in=ident(claim("AUTH_EXPIRES")) or 0,
        member_id=claim("member_id"),
        server_endpoint=claim("SERVER_ENDPOINT"),
        application_token=claim("APPLICATION_TOKEN"),
        scope=names(claim("APPLICATION_SCOPE")),
        status=claim("status"),
        placement=claim("PLACEMENT") or "DEFAULT",
        options=_options(form.get("PLACEMENT_OPTIONS", "")),
    )


def _options(written: str) -> dict[str, Any]:
    """PLACEMENT_OPTIONS is a JSON string; an empty PHP map comes as `[]`, and anything unreadable is nothing."""
    try:
        read = json.loads(written[:LIMIT]) if written else {}
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def confirm(wire: Wire, config: Config, addresses: Addresses, launch: Launch) -> Confirmed:
    """Ask the authorisation server about the token, and compare every claim with its answer. Nothing is sent to the claimed portal."""
    server, info = _ask_in_turn(wire, config, launch)
    if not same_secret(info.client_id, config.bitrix24_client_id):
        raise Problem("launch.wrong_app")
    if not same_secret(info.member_id, launch.member_id):
        raise Problem("launch.wrong_portal")
    endpoint = _endpoint(info, launch)
    if not _same_host(launch.domain, endpoint):
        raise Problem("launch.wrong_domain", domain=launch.domain, expected=_host(endpoint))
    if not addresses.portal_allowed(endpoint):
        raise Problem("launch.address_refused", host=_host(endpoint))
    return Confirmed(
        member_id=info.member_id,
        domain=_host(endpoint),
        client_endpoint=endpoint,
        server_endpoint=f"{server}/rest/",
        user_id=info.user_id,
        scopes=info.scopes or launch.scope,
        status=info.status,
        installed=info.installed,
        launch=launch,
        version=info.version,
    )


def _endpoint(info: AppInfo, launch: Launch) -> str:
    """The portal's REST address as the authorisation server knows it; a server may name only its domain (B§2.7)."""
    named = info.client_endpoint or (f"{'https' if launch.secure else 'http'}://{info.domain}/rest" if info.domain else "")
    return named.rstrip("/") + "/"


def _ask_in_turn(wire: Wire, config: Config, launch: Launch) -> tuple[str, AppInfo]:
    """Old portals do not say which server issued the token; then each allowed one is asked until one knows it (B§1.4)."""
    failure: Problem | NoAnswer = Problem("launch.incomplete", missing=["BITRIX24_OAUTH_URL"])
    for server in servers(config, launch.server_endpoint):
        try:
            return server, app_info(wire, config, server, launch.access_token)
        except (Problem, NoAnswer) as error:
            if not _passing(failure):
                failure = error
    raise failure


def _passing(failure: Problem | NoAnswer) -> bool:
    """A server that could not answer says more than another one that does not know the token."""
    return isinstance(failure, NoAnswer) or failure.retry.kind in ("later", "after")


def profile(rest: Rest) -> Person:
    """Who the token acts for, and whether as administrator: the cheapest question there is (B§2.5)."""
    said = rest.call("profile").result
    said = said if isinstance(said, Mapping) else {}
    name = " ".join(part for part in (text(said.get("NAME")), text(said.get("LAST_NAME"))) if part)
    return Person(ident(said.get("ID")) or 0, name, yes(said.get("ADMIN")), text(said.get("TIME_ZONE")))


def meet(rest: Rest, confirmed: Confirmed) -> Person:
    """The confirmed person by name; `rest` must hold the token of this opening."""
    person = profile(rest)
    if confirmed.user_id and person.id != confirmed.user_id:
        raise Problem("launch.wrong_user")
    return person


def same_secret(one: str, other: str) -> bool:
    """Equal and not empty, in a time that tells nothing about where they differ."""
    return bool(one) and bool(other) and hmac.compare_digest(one.encode(), other.encode())


def _host(url: str) -> str:
    parts = urlsplit(url)
    port = "" if parts.port in (None, {"https": 443, "http": 80}.get(parts.scheme)) else f":{parts.port}"
    return f"{(parts.hostname or '').lower()}{port}"


def _same_host(domain: str, endpoint: str) -> bool:
    """DOMAIN may carry the port or leave it out (on-premise); the address used is the confirmed one in any case."""
    parts = urlsplit(endpoint)
    name, _, port = domain.partition(":")
    if name != (parts.hostname or "").lower():
        return False
    return not port or int(port) == (parts.port or {"https": 443, "http": 80}.get(parts.scheme))
