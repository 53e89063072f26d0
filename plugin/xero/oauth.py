"""Signing in to Xero and the connections that follow from it (X§1). Opens with the table: OAuth error, our problem code, retry.

| Code | Parameters | When |
|---|---|---|
| xero.grant_invalid | detail | code or refresh token wrong, expired, used or revoked: re-read the stored token once, then reconnect |
| xero.client_invalid | detail | our client id or secret is wrong: an operator's alarm, connections stay |
| xero.client_refused | detail | the app may not do this (grant type or scope not allowed for it) |
| xero.scope_invalid | detail | a scope that Xero or the app does not know |
| xero.login_unavailable | status | Xero's sign-in service failed: again with the same refresh token, within 30 minutes |
| xero.token_foreign | | the token was made for another app |

Everything else as in `plugin.xero.errors`. `NoAnswer` passes through: the refresh token sent stays good for 30 minutes (X§1.3).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from oauthlib.oauth2 import WebApplicationClient
from requests_oauthlib import OAuth2Session

from plugin.config import Config
from plugin.domain.problems import LATER, NEVER, RECONNECT, Problem, Retry
from plugin.wire import Answer, Wire
from plugin.xero.client import segment
from plugin.xero.errors import body_text, json_object, problem_of
from plugin.xero.parse import guid, moment, objects, text

OAUTH_ERRORS: dict[str, tuple[str, Retry]] = {
    "invalid_grant": ("xero.grant_invalid", RECONNECT),
    "invalid_client": ("xero.client_invalid", NEVER),
    "unauthorized_client": ("xero.client_refused", NEVER),
    "invalid_scope": ("xero.scope_invalid", NEVER),
}

#: The least that the product needs; certification asks for a reason for each (X§1.6, §11).
SCOPES = (
    "openid",  # an id token, by which we know the Xero user
    "profile",  # the name of the user, shown as "connected by"
    "email",  # the address of the user, to tell two logins of one name apart
    "offline_access",  # a refresh token: work goes on while nobody looks
    "accounting.invoices",  # invoices, credit notes, quotes, bills; items too, says the scope page (else ITEMS_FALLBACK_SCOPE)
    "accounting.contacts",  # find and create customers
    "accounting.settings.read",  # accounts, tax rates, currencies, tracking, organisation: for choosing and checking only
    "accounting.payments.read",  # what was paid and when
)

#: OAS 16.1 lists only this scope for writing items; asked for when creating items is refused with xero.scope_missing (X§1.6).
ITEMS_FALLBACK_SCOPE = "accounting.settings"

#: Seconds an access token lives where the answer does not say (X§1.3).
EXPIRES_IN = 1800
TIMEOUT = 20.0
VERIFIER_CHARS = 64


@dataclass(frozen=True)
class TokenSet:
    """What the token endpoint gave. It belongs to a Xero user, not to an organisation (RULES 1). Fields of an opaque token are empty."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    scopes: tuple[str, ...] = ()
    xero_userid: str = ""
    name: str = ""
    email: str = ""
    auth_event_id: str = ""


@dataclass(frozen=True)
class XeroConnection:
    """One organisation that the user has connected. `id` is what deletes it; `tenant_id` is what calls name (X§1.5)."""

    id: str
    tenant_id: str
    tenant_name: str
    auth_event_id: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None


def new_verifier() -> str:
    """A fresh PKCE verifier."""
    return str(WebApplicationClient("").create_code_verifier(VERIFIER_CHARS))


def authorise_url(config: Config, state: str, verifier: str, scopes: Sequence[str] = SCOPES) -> str:
    """Where the browser goes for consent, in a window of its own: the page cannot be framed (X§1.2)."""
    client = WebApplicationClient(config.xero_client_id)
    session = OAuth2Session(client=client, redirect_uri=config.xero_callback_url, scope=list(scopes))
    proof = {"code_challenge": client.create_code_challenge(verifier, "S256"), "code_challenge_method": "S256"} if config.xero_pkce else {}
    # oauthlib builds addresses of https only; which scheme is right was decided by the configuration.
    address = urlsplit(config.xero_authorize_url)
    built, _ = session.authorization_url(urlunsplit(address._replace(scheme="https")), state=state, **proof)
    parts = urlsplit(str(built))
    # Xero has refused a + between scopes (X§1.2); a real plus sign is %2B here.
    return urlunsplit(parts._replace(scheme=address.scheme, query=parts.query.replace("+", "%20")))


def exchange(wire: Wire, config: Config, code: str, verifier: str) -> TokenSet:
    """The tokens for a code, which works once and for five minutes."""
    client = WebApplicationClient(config.xero_client_id)
    proof = verifier if config.xero_pkce else None
    body = client.prepare_request_body(code=code, redirect_uri=config.xero_callback_url, include_client_id=False, code_verifier=proof)
    return _tokens(_post(wire, config, "token", body), config, "")


def refresh(wire: Wire, config: Config, refresh_token: str) -> TokenSet:
    """The next pair of tokens. Commit it before using it; one refresh at a time (X§1.3)."""
    body = WebApplicationClient(config.xero_client_id).prepare_refresh_body(refresh_token=refresh_token)
    return _tokens(_post(wire, config, "token", body), config, refresh_token)


def revoke(wire: Wire, config: Config, refresh_token: str) -> None:
    """End *every* connection that this Xero user gave us: only when none of them is wanted any more (RULES 2)."""
    _post(wire, config, "revocation", urlencode({"token": refresh_token}))


def app_token(wire: Wire, config: Config) -> str:
    """A token of the app itself, which may list and delete connections whose user's tokens are gone (X§1.5). It has no organisation."""
    found = json_object(_post(wire, config, "token", urlencode({"grant_type": "client_credentials", "scope": "app.connections"}))) or {}
    return text(found.get("access_token"))


def connections(wire: Wire, config: Config, access_token: str, auth_event_id: str | None = None) -> tuple[XeroConnection, ...]:
    """The organisations that this user has connected, or those of one consent."""
    params = {"authEventId": auth_event_id} if auth_event_id else None
    answer = wire.send("GET", f"{config.xero_api_url}/connections", params=params, headers=_bearer(access_token), timeout=TIMEOUT, label="connections")
    if answer.status != 200:
        raise problem_of(answer)
    try:
        listed = answer.json()
    except ValueError:
        raise problem_of(answer) from None
    return tuple(_connection(one) for one in objects(listed) if text(one.get("tenantType")).upper() == "ORGANISATION")


def delete_connection(wire: Wire, config: Config, access_token: str, connection_id: str) -> None:
    """Disconnect one organisation. One that is gone already is as good."""
    url = f"{config.xero_api_url}/connections/{segment(connection_id)}"
    answer = wire.send("DELETE", url, headers=_bearer(access_token), timeout=TIMEOUT, label="connections")
    if answer.status not in (200, 204, 404):
        raise problem_of(answer)


def _bearer(access_token: str) -> dict[str, str]:
    """Connections are asked for without a tenant (X§1.5)."""
    return {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}


def _connection(found: dict[str, Any]) -> XeroConnection:
    return XeroConnection(
        id=guid(found.get("id")),
        tenant_id=guid(found.get("tenantId")),
        tenant_name=text(found.get("tenantName")),
        auth_event_id=guid(found.get("authEventId")),
        created_at=moment(found.get("createdDateUtc")),
        updated_at=moment(found.get("updatedDateUtc")),
    )


def _post(wire: Wire, config: Config, what: str, body: str) -> Answer:
    answer = wire.send(
        "POST",
        f"{config.xero_identity_url}/connect/{what}",
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        body=body.encode(),
        auth=(config.xero_client_id, config.xero_client_secret),
        timeout=TIMEOUT,
        label=what,
    )
    if answer.status != 200:
        raise _oauth_problem(answer)
    return answer


def _oauth_problem(answer: Answer) -> Problem:
    found = json_object(answer) or {}
    error = text(found.get("error"))
    if error in OAUTH_ERRORS:
        code, retry = OAUTH_ERRORS[error]
        return Problem(code, retry, detail=text(found.get("error_description")) or error)
    if answer.status >= 500:
        return Problem("xero.login_unavailable", LATER, status=answer.status)
    if answer.status in (400, 401):
        return Problem("xero.unknown", NEVER, status=answer.status, text=body_text(answer), correlation="")
    return problem_of(answer)


def _tokens(answer: Answer, config: Config, old_refresh_token: str) -> TokenSet:
    found = json_object(answer) or {}
    access, identity = text(found.get("access_token")), text(found.get("id_token"))
    if not access:
        # The body of a success is not kept: it may hold a token in a form that we do not recognise.
        raise Problem("xero.unknown", LATER, status=answer.status, text="no access token in the answer", correlation="")
    bearer, person = _claims(access), _claims(identity)
    _check_audience(bearer, person, config.xero_client_id)
    expires = found.get("expires_in")
    return TokenSet(
        access_token=access,
        refresh_token=text(found.get("refresh_token")) or old_refresh_token,
        expires_in=expires if isinstance(expires, int) and expires > 0 else EXPIRES_IN,
        scopes=_scopes(found.get("scope")) or _scopes(bearer.get("scope")),
        xero_userid=guid(bearer.get("xero_userid")) or guid(person.get("xero_userid")),
        name=_name(person),
        email=text(person.get("email")),
        auth_event_id=guid(bearer.get("authentication_event_id")),
    )


def _check_audience(bearer: dict[str, Any], person: dict[str, Any], client_id: str) -> None:
    """Tokens that name an app must name ours."""
    audience = person.get("aud")
    named = [text(bearer.get("client_id")), *(map(text, audience) if isinstance(audience, list) else [text(audience)])]
    if any(one and one != client_id for one in named):
        raise Problem("xero.token_foreign", NEVER)


def _claims(token: str) -> dict[str, Any]:
    """What a JWT says. It came straight from the token endpoint over TLS, so its signature adds nothing; an opaque token says nothing."""
    try:
        middle = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _scopes(value: object) -> tuple[str, ...]:
    """A string with spaces in the answer, an array in the token (X§1.3, §1.4)."""
    return tuple(value.split()) if isinstance(value, str) else tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _name(person: dict[str, Any]) -> str:
    return text(person.get("name")) or f"{text(person.get('given_name'))} {text(person.get('family_name'))}".strip()
