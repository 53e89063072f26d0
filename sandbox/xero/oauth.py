"""The identity server over HTTP: consent, tokens, revocation, discovery and connections (X§1)."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, jsonify, redirect, render_template, request
from werkzeug.wrappers import Response as Redirect

from sandbox.xero.errors import Halt, not_found, problem
from sandbox.xero.identity import CONNECTING_ROLES, ISSUER, SIGN_IN, Connection, Membership, OAuthError, User, jwks
from sandbox.xero.words import iso_seven, to_json

if TYPE_CHECKING:
    from sandbox.xero.world import World

_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


class PageError(Exception):
    """An error page at Xero: the user is not sent back (X§1.2)."""

    def __init__(self, error: str, explanation: str, status: int = 400) -> None:
        super().__init__(error)
        self.error, self.explanation, self.status = error, explanation, status


class ConsentRequest:
    """The query of the authorise address, checked."""

    def __init__(self, world: World) -> None:
        self._world = world
        args, settings = request.args, world.settings
        if args.get("client_id") != settings.xero_client_id:
            raise PageError("unauthorized_client", "Unknown client or client not enabled")
        self.redirect_uri = args.get("redirect_uri", "")
        if self.redirect_uri != f"{settings.app_url}/xero/callback" or not _safe(self.redirect_uri):
            raise PageError("unauthorized_client", "Invalid redirect_uri")
        if args.get("response_type") != "code":
            raise PageError("unsupported_response_type", "The response_type must be code")
        self.scopes = tuple(dict.fromkeys(args.get("scope", "").split()))
        unknown = [one for one in self.scopes if one not in world.identity.known_scopes()]
        if not self.scopes or unknown:
            raise PageError("invalid_scope", f"Invalid scope for client: {' '.join(unknown)}".rstrip(": "))
        self.state = args.get("state")
        self.challenge = args.get("code_challenge", "")
        self._check_pkce()

    def _check_pkce(self) -> None:
        if not self.challenge:
            return
        if self._world.switch("pkce_on_web_app") == "refused":
            raise PageError("unauthorized_client", "PKCE is not enabled for this client")
        if request.args.get("code_challenge_method") != "S256" or not _VERIFIER.fullmatch(self.challenge):
            raise PageError("invalid_request", "code_challenge_method must be S256")

    @property
    def signs_in_only(self) -> bool:
        return all(one in SIGN_IN for one in self.scopes)

    def back(self, **parameters: str) -> Redirect:
        """Send the browser to the app, with the state unchanged."""
        if self.state is not None:
            parameters["state"] = self.state
        return redirect(f"{self.redirect_uri}?{urlencode(parameters)}")


def _safe(uri: str) -> bool:
    """https, or http on localhost (X§1.2)."""
    parts = urlsplit(uri)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname == "localhost")


def blueprint(world: World) -> Blueprint:
    """All routes of the identity server."""
    routes = Blueprint("identity", __name__)

    @routes.errorhandler(PageError)
    def error_page(error: PageError) -> tuple[str, int]:
        return render_template("xero/oauth_error.html", error=error), error.status

    @routes.errorhandler(OAuthError)
    def token_error(error: OAuthError) -> Response:
        return Response(to_json({"error": error.error}), error.status, mimetype="application/json")

    @routes.errorhandler(Halt)
    def halted(halt: Halt) -> Response:
        return halt.response

    @routes.after_request
    def no_frame(response: Response) -> Response:
        response.headers["X-Frame-Options"] = "DENY"
        return response

    @routes.get("/identity/connect/authorize")
    def authorize() -> str:
        with world.lock:
            ConsentRequest(world)
            return render_template("xero/login.html", users=world.identity.users.values(), query=request.query_string.decode())

    @routes.post("/identity/connect/authorize")
    def decide() -> Redirect | str:
        with world.lock:
            return _decide(world, ConsentRequest(world))

    @routes.post("/connect/token")
    def token() -> Response:
        with world.lock:
            _client(world)
            response = Response(to_json(_grant(world)), 200, mimetype="application/json")
        response.headers["Cache-Control"] = "no-store"
        return response

    @routes.post("/connect/revocation")
    def revocation() -> Response:
        with world.lock:
            _client(world)
            world.identity.revoke(request.form.get("token", ""))
        return Response("", 200)

    @routes.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        base = world.settings.xero_url or request.url_root.rstrip("/")
        return jsonify(
            issuer=ISSUER,
            jwks_uri=f"{base}/.well-known/openid-configuration/jwks",
            authorization_endpoint=f"{base}/identity/connect/authorize",
            token_endpoint=f"{base}/connect/token",
            revocation_endpoint=f"{base}/connect/revocation",
            id_token_signing_alg_values_supported=["RS256"],
            response_types_supported=["code"],
            grant_types_supported=["authorization_code", "client_credentials", "refresh_token"],
            code_challenge_methods_supported=["S256"],
            scopes_supported=sorted(world.identity.known_scopes()),
        )

    @routes.get("/.well-known/openid-configuration/jwks")
    def keys() -> Response:
        return jsonify(jwks())

    @routes.get("/connections")
    @routes.get("/Connections")
    def connections() -> Response:
        with world.lock:
            found = _own_connections(world)
            event = request.args.get("authEventId")
            rows = [_render(world, one) for one in found if event is None or one.auth_event_id == event]
        return Response(to_json(rows), 200, mimetype="application/json")

    @routes.delete("/connections/<id_>")
    @routes.delete("/Connections/<id_>")
    def disconnect(id_: str) -> Response:
        with world.lock:
            if all(one.id != id_.lower() for one in _own_connections(world)):
                raise not_found()
            del world.identity.connections[id_.lower()]
        return Response("", 204)

    return routes


def _decide(world: World, asked: ConsentRequest) -> Redirect | str:
    """The consent form: who, which organisation, yes or no."""
    user = world.identity.users.get(request.form.get("login", ""))
    if request.form.get("decision") == "cancel":
        if world.switch("cancel") == "access_denied":
            return asked.back(error="access_denied")
        raise PageError("access_denied", "You cancelled. You can close this window.", 200)
    if user is None:
        raise PageError("login_required", "Choose somebody to log in as")
    if asked.signs_in_only and request.form.get("decision") == "allow":
        return _allow(world, asked, user)
    tenant, several = request.form.get("organisation", ""), world.switch("bulk_connections") == "on"
    mine = [one for one in world.identity.memberships if one.user == user]
    if request.form.get("decision") != "allow" or not (tenant or asked.signs_in_only):
        choices = [(world.books[one.tenant_id].organisation, one.role) for one in mine]
        return render_template("xero/consent.html", user=user, choices=choices, asked=asked, query=request.query_string.decode(), several=several)
    chosen = list(dict.fromkeys(request.form.getlist("organisation"))) if several else [tenant]
    for one in chosen:
        _check_role(user, next((each for each in mine if each.tenant_id == one), None))
    return _allow(world, asked, user, *chosen)


def _check_role(user: User, membership: Membership | None) -> None:
    if membership is None or membership.role not in CONNECTING_ROLES:
        role = "no access to it" if membership is None else f"the role {membership.role.title()}"
        raise PageError(
            "access_denied",
            f"{user.name} has {role}. Only a user with the Standard or Adviser role can connect an app to this organisation.",
            403,
        )


def _allow(world: World, asked: ConsentRequest, user: User, *tenants: str) -> Redirect:
    for tenant in tenants:
        if world.identity.connection(user, tenant) is not None:
            continue
        refusal = _connection_refusal(world, tenant)
        if refusal and world.switch("tier_refusal") == "access_denied":
            return asked.back(error="access_denied", error_description=refusal)
        if refusal:
            raise PageError("connection_limit", refusal, 403)
    code = world.identity.consent(user, tenants[0] if tenants else None, asked.scopes, asked.redirect_uri, asked.challenge, tenants[1:])
    granted = " ".join(world.identity.codes[code].scopes)
    session = {"session_state": secrets.token_urlsafe(32)} if world.switch("session_state") == "sent" else {}
    return asked.back(code=code, scope=granted, **session)


def _connection_refusal(world: World, tenant: str) -> str:
    """The app's tier, and the organisation's two uncertified apps (X§1.8, X§3.4)."""
    tier, connected = world.switch("tier"), world.identity.connected_organisations()
    if tenant not in connected and (tier == "full" or (tier == "starter" and len(connected) >= 5)):
        return "This app has reached the number of organisations that it can connect. Please contact the app's provider."
    if world.switch("uncertified_apps") == "two_already":
        return "This organisation is already connected to two uncertified apps. Disconnect one of them first."
    return ""


def _client(world: World) -> None:
    """Basic authentication, or the keys in the body (X§1.3)."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            id_, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise OAuthError("invalid_client", 401) from None
    else:
        id_, secret = request.form.get("client_id", ""), request.form.get("client_secret", "")
    if not id_ and not secret:
        raise OAuthError("unauthorized_client")
    if id_ != world.settings.xero_client_id or not secrets.compare_digest(secret, world.settings.xero_client_secret):
        raise OAuthError("invalid_client", 401)


def _grant(world: World) -> dict[str, object]:
    form = request.form
    if request.mimetype != "application/x-www-form-urlencoded":
        raise OAuthError("unsupported_grant_type")
    kind = form.get("grant_type")
    if kind == "authorization_code":
        return world.identity.exchange(form.get("code", ""), form.get("redirect_uri", ""), form.get("code_verifier", ""))
    if kind == "refresh_token":
        return world.identity.renew(form.get("refresh_token", ""))
    if kind == "client_credentials":
        return world.identity.app_token(tuple(form.get("scope", "").split()))
    raise OAuthError("unsupported_grant_type")


def _own_connections(world: World) -> list[Connection]:
    """What this token may see: its user's connections, or all of them with an app token (X§1.5)."""
    token = world.gate.bearer()
    connections = list(world.identity.connections.values())
    if token.user is not None:
        user = token.user
        return [one for one in connections if one.user_id == user.id]
    if "app.connections" not in token.scopes:
        raise Halt(problem(403, "Forbidden", "AuthorizationUnsuccessful"))
    return connections


def _render(world: World, one: Connection) -> dict[str, object]:
    return {
        "id": one.id,
        "authEventId": one.auth_event_id,
        "tenantId": one.tenant_id,
        "tenantType": "ORGANISATION",
        "tenantName": world.books[one.tenant_id].organisation.name,
        "createdDateUtc": iso_seven(one.created),
        "updatedDateUtc": iso_seven(one.updated),
    }
