"""The authorisation server: /oauth/token/ and the trusted /rest/app.info (B§2)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, g, request

from sandbox.bitrix24.errors import RestError
from sandbox.bitrix24.php import nest
from sandbox.bitrix24.portal import Portal
from sandbox.bitrix24.tokens import Pair, TokenBook
from sandbox.controls import Controls
from sandbox.settings import SandboxSettings


class AuthorisationServer:
    """Gives, rotates and explains tokens; knows every portal by member_id."""

    def __init__(self, settings: SandboxSettings, controls: Controls, tokens: TokenBook, portals: Callable[[], dict[str, Portal]]) -> None:
        self._settings, self._controls, self._tokens, self._portals = settings, controls, tokens, portals

    def portal(self, member_id: str) -> Portal:
        return next(one for one in self._portals().values() if one.member_id == member_id)

    def token(self, given: dict[str, Any], verb: str) -> tuple[dict[str, Any], int]:
        """/oauth/token/ for a refresh token or a code."""
        try:
            self._check_verb(verb)
            self._check_client(given)
            kind = given.get("grant_type")
            if kind == "refresh_token":
                pair = self._refresh(str(given.get("refresh_token") or ""))
            elif kind == "authorization_code":
                pair = self._redeem(str(given.get("code") or ""))
            else:
                raise self._error("invalid_request", "Invalid grant_type parameter or parameter missing")
            g.seen_detail = {"portal": self.portal(pair.member_id).name, "method": f"oauth/token {kind}", "user": pair.user_id}
            return self._pair(pair, kind == "refresh_token"), 200
        except RestError as refusal:
            return refusal.body(), refusal.status

    def _error(self, code: str, text: str, status: int = 0) -> RestError:
        return RestError(code, text, status or int(self._controls.switches.get("oauth_error_status")))

    def _check_verb(self, verb: str) -> None:
        allowed = self._controls.switches.get("oauth_token_verb")
        if (allowed, verb) in (("get_only", "POST"), ("post_only", "GET")):
            raise self._error("invalid_request", "Method not allowed")

    def _check_client(self, given: dict[str, Any]) -> None:
        if given.get("client_id") != self._settings.bitrix24_client_id or given.get("client_secret") != self._settings.bitrix24_client_secret:
            if self._controls.switches.get("oauth_client_mismatch") == "wrong_client_200":
                raise self._error("wrong_client", "Wrong client", 200)
            raise self._error("invalid_client", "The client credentials are invalid")

    def _refresh(self, refresh: str) -> Pair:
        known = self._tokens.peek(refresh)
        if known is None:
            raise self._error("invalid_grant", "Invalid refresh token")
        if known.client_id != self._settings.bitrix24_client_id:
            raise self._error("invalid_grant", "Invalid refresh token")
        portal = self.portal(known.member_id)
        if known.dead or portal.installation is None:
            code = self._controls.switches.get("oauth_uninstalled")
            raise self._error(code, "Application not installed", 401 if code == "NOT_INSTALLED" else 0)
        if portal.installation.payment_expired:
            raise self._error("PAYMENT_REQUIRED", "Payment required")
        user = portal.users.get(known.user_id)
        if user is None or not user.active:
            raise self._error("invalid_grant", "The user is dismissed")
        pair = self._tokens.rotate(refresh)
        if pair is None:
            raise self._error("invalid_grant", "Invalid refresh token")
        return pair

    def _redeem(self, code: str) -> Pair:
        pair = self._tokens.redeem(code)
        if pair is None or self.portal(pair.member_id).installation is None:
            raise self._error("invalid_grant", "Invalid or expired code")
        return pair

    def _pair(self, pair: Pair, refreshed: bool) -> dict[str, Any]:
        """B§2.2; `domain` is the authorisation server here, not the portal."""
        portal = self.portal(pair.member_id)
        app = portal.installation
        assert app is not None
        answer = {
            "access_token": pair.access,
            "refresh_token": pair.refresh,
            "expires_in": 3600,
            "client_endpoint": portal.client_endpoint,
            "server_endpoint": portal.server_endpoint,
            "domain": self._settings.oauth_url.partition("//")[2],
            "member_id": pair.member_id,
            "scope": ",".join(app.scopes),
            "status": app.status,
        }
        if refreshed or self._controls.switches.get("oauth_code_extras") == "present":
            answer |= {"expires": int(pair.access_until.timestamp()), "user_id": pair.user_id}
        return answer

    def app_info(self, token: str) -> tuple[dict[str, Any], int]:
        """What the authorisation server itself knows of this token: the decisive check (B§2.7)."""
        pair = self._tokens.by_access(token)
        if pair is None:
            return RestError("NO_AUTH_FOUND", "Wrong authorization data", 401).body(), 401
        portal = self.portal(pair.member_id)
        g.seen_detail = {"portal": portal.name, "method": "oauth app.info", "user": pair.user_id}
        app = portal.installation
        if pair.dead or (app is None and pair.client_id == self._settings.bitrix24_client_id):
            return RestError("NOT_INSTALLED", "Application not installed", 401).body(), 401
        if self._tokens.expired(pair):
            return RestError("expired_token", "The access token provided has expired.", 401).body(), 401
        return {"result": self._trusted(pair, portal), "time": self._time()}, 200

    def _time(self) -> dict[str, Any]:
        now = self._controls.clock.now()
        written = now.isoformat(timespec="seconds")
        return {"start": now.timestamp(), "finish": now.timestamp(), "duration": 0.0, "processing": 0.0, "date_start": written, "date_finish": written}

    def _trusted(self, pair: Pair, portal: Portal) -> dict[str, Any]:
        app = portal.installation
        scopes = ",".join(app.scopes) if app else ""
        return {
            "client_id": pair.client_id,
            "scope": scopes,
            "expires": pair.access_until.isoformat(timespec="seconds"),
            "user_id": pair.user_id,
            "install": {
                "installed": bool(app and (app.installed or self._controls.switches.get("trusted_installed_before_finish") == "true")),
                "version": app.version if app else 0,
                "status": app.status if app else "F",
                "scope": scopes,
                "domain": portal.domain,
                "uri": portal.url,
                "client_endpoint": portal.client_endpoint,
                "member_id": portal.member_id,
                "member_type": "box" if portal.on_premise else "bitrix24",
            },
        }


def blueprint(server: AuthorisationServer) -> Blueprint:
    """The addresses under BITRIX24_OAUTH_URL."""
    oauth = Blueprint("oauth", __name__)

    def given() -> dict[str, Any]:
        found = nest(request.args.items(multi=True))
        if request.is_json:
            body = request.get_json(silent=True)
            return found | (body if isinstance(body, dict) else {})
        return found | nest(request.form.items(multi=True))

    def respond(answer: tuple[dict[str, Any], int]) -> Response:
        return Response(json.dumps(answer[0]), answer[1], mimetype="application/json", headers={"Access-Control-Allow-Origin": "*"})

    @oauth.route("/oauth/token/", methods=["GET", "POST"])
    @oauth.route("/oauth/token", methods=["GET", "POST"])
    def token() -> Response:
        return respond(server.token(given(), request.method))

    @oauth.route("/rest/<name>", methods=["GET", "POST"])
    @oauth.route("/rest/<name>/", methods=["GET", "POST"])
    def trusted(name: str) -> Response:
        if name.removesuffix(".json").lower() != "app.info":
            return respond(({"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"}, 404))
        return respond(server.app_info(str(given().get("auth") or "")))

    return oauth
