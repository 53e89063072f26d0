"""Consent, tokens, rotation and connections of the Xero stand-in (X§1)."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sandbox.serve import Sandbox
from tests.sandbox.xero_calls import Api

SCOPES = "openid profile email offline_access accounting.invoices accounting.contacts accounting.settings.read"
VERIFIER = "v" * 64


def ask(sandbox: Sandbox, **changes: str) -> str:
    given = {
        "response_type": "code",
        "client_id": sandbox.settings.xero_client_id,
        "redirect_uri": f"{sandbox.settings.app_url}/xero/callback",
        "scope": SCOPES,
        "state": "st/ate+1",
        **changes,
    }
    return f"{sandbox.settings.xero_url}/identity/connect/authorize?{urlencode(given)}"


def decide(url: str, login: str = "olivia", organisation: str = "", decision: str = "allow") -> requests.Response:
    return requests.post(url, data={"login": login, "organisation": organisation, "decision": decision}, allow_redirects=False, timeout=10)


def back(answer: requests.Response) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def fetch(sandbox: Sandbox, **form: str) -> requests.Response:
    keys = (sandbox.settings.xero_client_id, sandbox.settings.xero_client_secret)
    return requests.post(f"{sandbox.settings.xero_url}/connect/token", data=form, auth=keys, timeout=10)


def sign_in(sandbox: Sandbox, **changes: str) -> dict[str, Any]:
    code = back(decide(ask(sandbox, **changes), organisation=sandbox.xero.HARBOUR))["code"]
    answer = fetch(sandbox, grant_type="authorization_code", code=code, redirect_uri=f"{sandbox.settings.app_url}/xero/callback")
    assert answer.status_code == 200
    return dict(answer.json())


def renew(sandbox: Sandbox, token: str) -> requests.Response:
    return fetch(sandbox, grant_type="refresh_token", refresh_token=token)


def claims(sandbox: Sandbox, token: str) -> dict[str, Any]:
    """The claims, after the signature was checked with the published key."""
    base = sandbox.settings.xero_url
    discovery = requests.get(f"{base}/.well-known/openid-configuration", timeout=10).json()
    key = requests.get(discovery["jwks_uri"], timeout=10).json()["keys"][0]
    head, body, signature = token.split(".")

    def raw(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    numbers = rsa.RSAPublicNumbers(int.from_bytes(raw(key["e"])), int.from_bytes(raw(key["n"])))
    numbers.public_key().verify(raw(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
    return dict(json.loads(raw(body)))


def test_the_consent_page_lets_choose_a_login_and_an_organisation(sandbox: Sandbox) -> None:
    page = requests.get(ask(sandbox), timeout=10)
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "Olivia Standard" in page.text
    chosen = requests.post(ask(sandbox), data={"login": "olivia"}, timeout=10).text
    assert "Harbour &amp; Vine Trading Ltd" in chosen
    assert "Bob&#39;s Boat Repairs" not in chosen


def test_the_state_comes_back_unchanged_and_the_code_works_once(sandbox: Sandbox) -> None:
    answer = back(decide(ask(sandbox), organisation=sandbox.xero.HARBOUR))
    assert answer["state"] == "st/ate+1"
    form = {"grant_type": "authorization_code", "code": answer["code"], "redirect_uri": f"{sandbox.settings.app_url}/xero/callback"}
    assert fetch(sandbox, **form).status_code == 200
    second = fetch(sandbox, **form)
    assert (second.status_code, second.json()) == (400, {"error": "invalid_grant"})


def test_a_code_lives_five_minutes(sandbox: Sandbox) -> None:
    code = back(decide(ask(sandbox), organisation=sandbox.xero.HARBOUR))["code"]
    sandbox.xero.controls.clock.advance(301)
    answer = fetch(sandbox, grant_type="authorization_code", code=code, redirect_uri=f"{sandbox.settings.app_url}/xero/callback")
    assert answer.json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_id": "somebody"}, "unauthorized_client"),
        ({"redirect_uri": "http://localhost:8080/xero/callback/"}, "Invalid redirect_uri"),
        ({"redirect_uri": "http://127.0.0.1:8080/xero/callback"}, "Invalid redirect_uri"),
        ({"scope": "openid accounting.everything"}, "invalid_scope"),
        ({"scope": "openid accounting.transactions"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_a_bad_request_ends_at_xero(sandbox: Sandbox, changes: dict[str, str], words: str) -> None:
    answer = requests.get(ask(sandbox, **changes), allow_redirects=False, timeout=10)
    assert answer.status_code == 400
    assert words in answer.text


def test_cancel_comes_back_with_access_denied(sandbox: Sandbox) -> None:
    assert back(decide(ask(sandbox), decision="cancel")) == {"error": "access_denied", "state": "st/ate+1"}
    sandbox.xero.controls.switches.set("cancel", "stays")
    assert decide(ask(sandbox), decision="cancel").status_code == 200


def test_an_invoice_only_user_is_refused_with_an_explanation(sandbox: Sandbox) -> None:
    answer = decide(ask(sandbox), "ines", sandbox.xero.HARBOUR)
    assert answer.status_code == 403
    assert "Standard or Adviser" in answer.text


def test_the_tokens_are_signed_and_carry_the_documented_claims(sandbox: Sandbox) -> None:
    tokens = sign_in(sandbox)
    access, identity = claims(sandbox, tokens["access_token"]), claims(sandbox, tokens["id_token"])
    assert tokens["expires_in"] == 1800
    assert access["iss"] == "https://identity.xero.com"
    assert access["aud"] == "https://identity.xero.com/resources"
    assert access["exp"] - access["nbf"] == 1800
    assert "accounting.invoices" in access["scope"]
    assert identity["aud"] == sandbox.settings.xero_client_id
    assert identity["email"] == "olivia@harbourandvine.example"
    assert identity["xero_userid"] == access["xero_userid"]
    connections = requests.get(
        f"{sandbox.settings.xero_url}/connections",
        params={"authEventId": access["authentication_event_id"]},
        headers={"Authorization": f"Bearer {tokens['access_token']}"},
        timeout=10,
    ).json()
    assert [one["tenantId"] for one in connections] == [sandbox.xero.HARBOUR]
    assert len(connections[0]["createdDateUtc"]) == len("2019-12-07T18:46:19.5165400")


def test_pkce_is_checked_when_it_is_given(sandbox: Sandbox) -> None:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    url = ask(sandbox, code_challenge=challenge, code_challenge_method="S256")
    form = {"grant_type": "authorization_code", "redirect_uri": f"{sandbox.settings.app_url}/xero/callback"}
    good = back(decide(url, organisation=sandbox.xero.HARBOUR))["code"]
    assert fetch(sandbox, code=good, code_verifier=VERIFIER, **form).status_code == 200
    bad = back(decide(url, organisation=sandbox.xero.HARBOUR))["code"]
    assert fetch(sandbox, code=bad, code_verifier="w" * 64, **form).json() == {"error": "invalid_grant"}


def test_a_refresh_rotates_and_the_previous_token_has_thirty_minutes(sandbox: Sandbox) -> None:
    first = sign_in(sandbox)["refresh_token"]
    second = renew(sandbox, first).json()["refresh_token"]
    assert second != first
    sandbox.xero.controls.clock.advance(29 * 60)
    third = renew(sandbox, first)
    assert third.status_code == 200
    sandbox.xero.controls.clock.advance(2 * 60)
    assert renew(sandbox, first).json() == {"error": "invalid_grant"}
    assert renew(sandbox, third.json()["refresh_token"]).status_code == 200


def test_a_refresh_token_dies_after_sixty_idle_days(sandbox: Sandbox) -> None:
    token = sign_in(sandbox)["refresh_token"]
    sandbox.xero.controls.clock.advance(61 * 86_400)
    assert renew(sandbox, token).json() == {"error": "invalid_grant"}


def test_wrong_keys_are_invalid_client(sandbox: Sandbox) -> None:
    url = f"{sandbox.settings.xero_url}/connect/token"
    form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": sandbox.settings.xero_client_id, "client_secret": "wrong"}
    assert requests.post(url, data=form, timeout=10).json() == {"error": "invalid_client"}
    assert requests.post(url, json=form, auth=(sandbox.settings.xero_client_id, sandbox.settings.xero_client_secret), timeout=10).json() == {
        "error": "unsupported_grant_type"
    }


def test_scopes_add_up_over_consents(sandbox: Sandbox) -> None:
    sign_in(sandbox)
    assert "accounting.contacts" in sign_in(sandbox, scope="offline_access accounting.payments.read")["scope"]


def test_a_later_consent_covers_both_organisations_of_a_user(sandbox: Sandbox) -> None:
    sign_in(sandbox)
    code = back(decide(ask(sandbox), organisation=sandbox.xero.AUSTRALIA))["code"]
    tokens = fetch(sandbox, grant_type="authorization_code", code=code, redirect_uri=f"{sandbox.settings.app_url}/xero/callback").json()
    found = requests.get(f"{sandbox.settings.xero_url}/connections", headers={"Authorization": f"Bearer {tokens['access_token']}"}, timeout=10)
    assert {one["tenantId"] for one in found.json()} == {sandbox.xero.HARBOUR, sandbox.xero.AUSTRALIA}


def test_disconnecting_ends_access_at_once_but_not_the_refresh(sandbox: Sandbox) -> None:
    tokens = sign_in(sandbox)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    base = sandbox.settings.xero_url
    connection = requests.get(f"{base}/connections", headers=headers, timeout=10).json()[0]
    assert requests.delete(f"{base}/connections/{connection['tenantId']}", headers=headers, timeout=10).status_code == 404
    assert requests.delete(f"{base}/connections/{connection['id']}", headers=headers, timeout=10).status_code == 204
    answer = requests.get(f"{base}/api.xro/2.0/Organisation", headers={**headers, "Xero-Tenant-Id": connection["tenantId"]}, timeout=10)
    assert answer.status_code == 403
    assert answer.json()["Detail"] == "AuthenticationUnsuccessful"
    assert renew(sandbox, tokens["refresh_token"]).status_code == 200


def test_revocation_removes_every_connection_of_the_user(sandbox: Sandbox) -> None:
    tokens = sign_in(sandbox)
    keys = (sandbox.settings.xero_client_id, sandbox.settings.xero_client_secret)
    answer = requests.post(f"{sandbox.settings.xero_url}/connect/revocation", data={"token": tokens["refresh_token"]}, auth=keys, timeout=10)
    assert (answer.status_code, answer.content) == (200, b"")
    assert not sandbox.xero.world.identity.connections
    assert renew(sandbox, tokens["refresh_token"]).json() == {"error": "invalid_grant"}


def test_the_apps_own_token_sees_connections_and_nothing_else(sandbox: Sandbox) -> None:
    sign_in(sandbox)
    token = fetch(sandbox, grant_type="client_credentials", scope="app.connections").json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Xero-Tenant-Id": sandbox.xero.HARBOUR}
    assert len(requests.get(f"{sandbox.settings.xero_url}/connections", headers=headers, timeout=10).json()) == 1
    assert requests.get(f"{sandbox.settings.xero_url}/api.xro/2.0/Organisation", headers=headers, timeout=10).status_code == 403
    assert fetch(sandbox, grant_type="client_credentials", scope="accounting.invoices").json() == {"error": "invalid_scope"}


@pytest.mark.parametrize(("switch", "position"), [("tier", "full"), ("uncertified_apps", "two_already")])
def test_an_organisation_beyond_the_limit_is_refused(sandbox: Sandbox, switch: str, position: str) -> None:
    sandbox.xero.controls.switches.set(switch, position)
    assert decide(ask(sandbox), organisation=sandbox.xero.HARBOUR).status_code == 403
    sandbox.xero.controls.switches.set("tier_refusal", "access_denied")
    assert back(decide(ask(sandbox), organisation=sandbox.xero.HARBOUR))["error"] == "access_denied"


def test_an_expired_token_says_so(sandbox: Sandbox) -> None:
    api = Api(sandbox)
    sandbox.xero.controls.clock.advance(1801)
    answer = api.call("GET", "Organisation")
    assert answer.status_code == 401
    assert answer.json()["Detail"].startswith("TokenExpired: token expired at ")
    forged = api.call("GET", "Organisation", headers={"Authorization": "Bearer abc.def.ghi"})
    assert forged.json()["Detail"] == "TokenInvalidSignature"


@pytest.mark.parametrize(("position", "status"), [("401", 401), ("403", 403)])
def test_a_missing_scope(sandbox: Sandbox, position: str, status: int) -> None:
    sandbox.xero.controls.switches.set("missing_scope", position)
    api = Api(sandbox, scopes="accounting.invoices.read")
    assert api.call("GET", "Invoices").status_code == 200
    refused = api.call("PUT", "Invoices", {"Invoices": []})
    assert refused.status_code == status
    assert refused.json()["Detail"] == "AuthorizationUnsuccessful"
    if status == 401:
        assert "insufficient_scope" in refused.headers["WWW-Authenticate"]


def test_items_are_written_under_the_scope_of_the_switch(sandbox: Sandbox) -> None:
    api = Api(sandbox, scopes="accounting.invoices")
    assert api.call("PUT", "Items", {"Items": [{"Code": "N-1"}]}).status_code == 200
    sandbox.xero.controls.switches.set("items_scope", "settings")
    assert api.call("PUT", "Items", {"Items": [{"Code": "N-2"}]}).status_code == 401


@pytest.mark.parametrize("tenant", ["", "nonsense", "bob"])
def test_a_missing_or_foreign_tenant_is_forbidden(sandbox: Sandbox, tenant: str) -> None:
    answer = Api(sandbox).call("GET", "Organisation", headers={"Xero-Tenant-Id": sandbox.xero.BOB if tenant == "bob" else tenant})
    assert answer.status_code == 403
    assert answer.json()["Title"] == "Forbidden"


def test_a_user_who_loses_the_role_gets_403(sandbox: Sandbox) -> None:
    api = Api(sandbox)
    sandbox.xero.actions.set_role(sandbox.xero.HARBOUR, "olivia", "READONLY")
    assert api.call("GET", "Organisation").status_code == 403
