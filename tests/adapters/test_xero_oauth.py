import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses

from plugin.config import Config
from plugin.domain.problems import LATER, NEVER, RECONNECT, Problem
from plugin.wire import NoAnswer
from plugin.xero import oauth
from tests.adapters.xero_calls import CONFIG, make_wire

TOKEN_URL = "https://identity.xero.com/connect/token"
CONNECTIONS_URL = "https://api.xero.com/connections"
USER = "1fa3e2d1-0000-4000-8000-000000000001"
EVENT = "2b2b2b2b-0000-4000-8000-000000000002"


def jwt(**claims: Any) -> str:
    def coded(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{coded({'alg': 'RS256'})}.{coded(claims)}.signature"


def token_answer(**changes: Any) -> dict[str, Any]:
    return {
        "id_token": jwt(aud="OUR-APP", xero_userid=USER, name="Mere Tidewell", email="mere@tidewater-cafe.example"),
        "access_token": jwt(client_id="OUR-APP", xero_userid=USER.upper(), authentication_event_id=EVENT, scope=["openid", "accounting.invoices"]),
        "expires_in": 1800,
        "token_type": "Bearer",
        "refresh_token": "next-refresh",
        "scope": "openid accounting.invoices offline_access",
        **changes,
    }


def test_the_authorise_address_names_everything_and_uses_percent_twenty() -> None:
    url = oauth.authorise_url(CONFIG, "a state+", "v" * 43)
    query = parse_qs(urlsplit(url).query)
    assert url.startswith("https://login.xero.com/identity/connect/authorize?")
    assert "+" not in url
    assert query["scope"] == [" ".join(oauth.SCOPES)]
    assert (query["response_type"], query["client_id"], query["state"]) == (["code"], ["OUR-APP"], ["a state+"])
    assert query["redirect_uri"] == ["https://bridge.example/xero/callback"]
    assert query["code_challenge"] == [base64.urlsafe_b64encode(hashlib.sha256(b"v" * 43).digest()).decode().rstrip("=")]
    assert query["code_challenge_method"] == ["S256"]


def test_the_configured_scheme_is_kept() -> None:
    config = Config(public_url="http://localhost:8080", xero_client_id="x", xero_authorize_url="http://127.0.0.1:9/identity/connect/authorize")
    assert oauth.authorise_url(config, "s", "v" * 43).startswith("http://127.0.0.1:9/identity/connect/authorize?response_type=code&client_id=x&")


def test_a_wider_consent_can_be_asked_for() -> None:
    url = oauth.authorise_url(CONFIG, "s", "v" * 43, (*oauth.SCOPES, oauth.ITEMS_FALLBACK_SCOPE))
    assert parse_qs(urlsplit(url).query)["scope"][0].endswith(" accounting.settings")


def test_verifiers_differ_and_are_long_enough() -> None:
    assert len({oauth.new_verifier() for _ in range(20)}) == 20
    assert 43 <= len(oauth.new_verifier()) <= 128


@responses.activate
def test_a_code_becomes_tokens() -> None:
    responses.post(TOKEN_URL, json=token_answer())
    tokens = oauth.exchange(make_wire(), CONFIG, "the code", "the-verifier")
    sent = responses.calls[0].request
    assert parse_qs(str(sent.body, "ascii")) == {
        "grant_type": ["authorization_code"],
        "code": ["the code"],
        "redirect_uri": ["https://bridge.example/xero/callback"],
        "code_verifier": ["the-verifier"],
    }
    assert sent.headers["Authorization"] == "Basic " + base64.b64encode(b"OUR-APP:our-secret").decode()
    assert (tokens.refresh_token, tokens.expires_in, tokens.scopes) == ("next-refresh", 1800, ("openid", "accounting.invoices", "offline_access"))
    assert (tokens.xero_userid, tokens.name, tokens.email, tokens.auth_event_id) == (USER, "Mere Tidewell", "mere@tidewater-cafe.example", EVENT)


@responses.activate
def test_a_refresh_gives_the_next_pair() -> None:
    responses.post(TOKEN_URL, json=token_answer(id_token=None))
    tokens = oauth.refresh(make_wire(), CONFIG, "old-refresh")
    assert parse_qs(str(responses.calls[0].request.body, "ascii")) == {"grant_type": ["refresh_token"], "refresh_token": ["old-refresh"]}
    assert (tokens.refresh_token, tokens.xero_userid, tokens.name) == ("next-refresh", USER, "")


@responses.activate
def test_opaque_tokens_are_borne_and_a_missing_refresh_token_keeps_the_old_one() -> None:
    responses.post(TOKEN_URL, json={"access_token": "opaque"})
    tokens = oauth.refresh(make_wire(), CONFIG, "old-refresh")
    assert tokens == oauth.TokenSet("opaque", "old-refresh", 1800)


def test_tokens_do_not_show_in_a_repr() -> None:
    assert "secret" not in repr(oauth.TokenSet("secret-a", "secret-r", 1800))


@responses.activate
@pytest.mark.parametrize(
    "changes",
    [{"id_token": jwt(aud="ANOTHER-APP")}, {"id_token": jwt(aud=["OUR-APP", "ANOTHER-APP"])}, {"access_token": jwt(client_id="ANOTHER-APP")}],
)
def test_tokens_made_for_another_app_are_refused(changes: dict[str, str]) -> None:
    responses.post(TOKEN_URL, json=token_answer(**changes))
    with pytest.raises(Problem) as caught:
        oauth.exchange(make_wire(), CONFIG, "c", "v")
    assert caught.value.code == "xero.token_foreign"


@responses.activate
@pytest.mark.parametrize(
    ("status", "body", "code", "retry"),
    [
        (400, '{"error":"invalid_grant"}', "xero.grant_invalid", RECONNECT),
        (400, '{"error":"invalid_client"}', "xero.client_invalid", NEVER),
        (401, '{"error":"invalid_client"}', "xero.client_invalid", NEVER),
        (400, '{"error":"unauthorized_client","error_description":"Invalid scope for client"}', "xero.client_refused", NEVER),
        (400, '{"error":"invalid_scope"}', "xero.scope_invalid", NEVER),
        (400, '{"error":"unsupported_grant_type"}', "xero.unknown", NEVER),
        (403, "<html>Access Denied</html>", "xero.blocked", NEVER),
        (500, "oops", "xero.login_unavailable", LATER),
        (503, "<html>", "xero.login_unavailable", LATER),
        (200, '{"token":"?"}', "xero.unknown", LATER),
        (200, "<html>", "xero.unknown", LATER),
    ],
)
def test_refusals_at_sign_in_become_problems(status: int, body: str, code: str, retry: object) -> None:
    responses.post(TOKEN_URL, body=body, status=status)
    with pytest.raises(Problem) as caught:
        oauth.refresh(make_wire(), CONFIG, "old-refresh")
    assert (caught.value.code, caught.value.retry) == (code, retry)


@responses.activate
def test_no_answer_passes_through_so_that_the_old_token_is_tried_again() -> None:
    responses.post(TOKEN_URL, body=requests.ReadTimeout())
    with pytest.raises(NoAnswer):
        oauth.refresh(make_wire(), CONFIG, "old-refresh")


@responses.activate
def test_revoking_names_the_refresh_token_only() -> None:
    responses.post("https://identity.xero.com/connect/revocation", body=b"")
    oauth.revoke(make_wire(), CONFIG, "the-refresh")
    assert responses.calls[0].request.body == b"token=the-refresh"


@responses.activate
def test_only_organisations_are_offered() -> None:
    made = {"id": "A1", "authEventId": EVENT, "tenantId": "B2", "tenantType": "ORGANISATION", "tenantName": "Harbour & Vine"}
    responses.get(CONNECTIONS_URL, json=[{**made, "createdDateUtc": "2019-12-07T18:46:19.5165400"}, {**made, "tenantType": "PRACTICE", "tenantName": None}])
    found = oauth.connections(make_wire(), CONFIG, "token", EVENT)
    assert found == (oauth.XeroConnection("a1", "b2", "Harbour & Vine", EVENT, datetime(2019, 12, 7, 18, 46, 19, 516540, tzinfo=UTC)),)
    sent = responses.calls[0].request
    assert sent.url == f"{CONNECTIONS_URL}?authEventId={EVENT}"
    assert "Xero-Tenant-Id" not in sent.headers


@responses.activate
@pytest.mark.parametrize(("status", "body"), [(401, '{"Detail":"TokenExpired"}'), (200, "<html>")])
def test_connections_that_cannot_be_read_are_a_problem(status: int, body: str) -> None:
    responses.get(CONNECTIONS_URL, status=status, body=body)
    with pytest.raises(Problem):
        oauth.connections(make_wire(), CONFIG, "token")


@responses.activate
@pytest.mark.parametrize("status", [204, 404])
def test_a_connection_that_is_gone_already_is_as_good_as_deleted(status: int) -> None:
    responses.delete(f"{CONNECTIONS_URL}/a1", status=status)
    oauth.delete_connection(make_wire(), CONFIG, "token", "a1")


@responses.activate
def test_a_connection_that_cannot_be_deleted_is_a_problem() -> None:
    responses.delete(f"{CONNECTIONS_URL}/a1", status=500)
    with pytest.raises(Problem):
        oauth.delete_connection(make_wire(), CONFIG, "token", "a1")
