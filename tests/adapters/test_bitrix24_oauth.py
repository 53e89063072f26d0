"""The authorisation server: only allowed hosts ever hear the secret."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
import responses

from plugin.bitrix24.oauth import app_info, refresh, servers
from plugin.domain.problems import Problem
from plugin.wire import NoAnswer
from tests.adapters.bitrix24_calls import CONFIG, OAUTH, OTHER_OAUTH, wire

PAIR = {
    "access_token": "a2",
    "refresh_token": "r2",
    "expires_in": 3600,
    "client_endpoint": "https://acme.bitrix24.com/rest/",
    "server_endpoint": f"{OAUTH}/rest/",
    "domain": "oauth.bitrix.info",
    "member_id": "a223",
    "scope": "crm,placement",
    "status": "F",
    "user_id": 1,
}


@responses.activate
def test_a_refresh_sends_its_secrets_in_a_form() -> None:
    responses.post(f"{OAUTH}/oauth/token/", json=PAIR)
    tokens = refresh(wire(), CONFIG, f"{OAUTH}/rest/", "r1")
    sent = responses.calls[0].request
    assert sent.url == f"{OAUTH}/oauth/token/"
    assert parse_qs((sent.body or b"").decode() if isinstance(sent.body, bytes) else "") == {
        "grant_type": ["refresh_token"],
        "client_id": ["app.5f3c.1"],
        "client_secret": ["s3cret"],
        "refresh_token": ["r1"],
    }
    assert (tokens.access_token, tokens.refresh_token, tokens.user_id, tokens.scope) == ("a2", "r2", 1, frozenset({"crm", "placement"}))


@responses.activate
@pytest.mark.parametrize(
    "refusal",
    [
        {"status": 405, "body": ""},
        {"status": 404, "body": "<html>not found"},
        {"status": 400, "json": {"error": "invalid_request"}},
        {"json": {"error": "invalid_request"}},
        {"status": 401, "json": {"error": "invalid_client"}},
    ],
)
def test_a_server_that_takes_only_get_is_asked_so(refusal: dict[str, Any]) -> None:
    responses.post(f"{OAUTH}/oauth/token/", **refusal)
    responses.get(f"{OAUTH}/oauth/token/", json={key: value for key, value in PAIR.items() if key != "user_id"})
    assert refresh(wire(), CONFIG, "", "r1").user_id is None


@responses.activate
@pytest.mark.parametrize("status", [200, 400, 401])
def test_a_dead_refresh_token_asks_for_a_person_whatever_the_status(status: int) -> None:
    responses.post(f"{OAUTH}/oauth/token/", status=status, json={"error": "invalid_grant", "error_description": "Invalid refresh token"})
    with pytest.raises(Problem) as raised:
        refresh(wire(), CONFIG, "", "r1")
    assert (raised.value.code, raised.value.retry.kind) == ("bitrix24.grant_invalid", "reconnect")


@responses.activate
def test_a_refresh_without_an_answer_is_no_problem_of_the_token() -> None:
    responses.post(f"{OAUTH}/oauth/token/", status=504)
    with pytest.raises(NoAnswer):
        refresh(wire(), CONFIG, "", "r1")


@pytest.mark.parametrize(
    ("claim", "asked"),
    [
        (f"{OTHER_OAUTH}/rest/", (OTHER_OAUTH,)),
        ("https://OAUTH.bitrix24.tech:443/rest/", (OTHER_OAUTH,)),
        ("", (OAUTH, OTHER_OAUTH)),
        ("https://oauth.evil.example/rest/", (OAUTH, OTHER_OAUTH)),
        ("https://oauth.bitrix.info.evil.example/rest/", (OAUTH, OTHER_OAUTH)),
        ("https://oauth.bitrix.info@evil.example/rest/", (OAUTH, OTHER_OAUTH)),
        ("http://oauth.bitrix.info/rest/", (OAUTH, OTHER_OAUTH)),
        ("https://oauth.bitrix.info:port/", (OAUTH, OTHER_OAUTH)),
    ],
)
def test_a_claim_only_picks_among_the_allowed_servers(claim: str, asked: tuple[str, ...]) -> None:
    assert servers(CONFIG, claim) == asked


def test_servers_that_share_a_host_are_told_apart_by_their_paths() -> None:
    shared = replace(CONFIG, bitrix24_oauth_urls=("https://oauth.example/one", "https://oauth.example/two"))
    assert servers(shared, "https://oauth.example/two/rest/") == ("https://oauth.example/two",)
    assert servers(shared, "https://oauth.example/rest/") == ("https://oauth.example/one",)


@responses.activate
def test_a_server_that_reads_only_the_query_is_asked_again_about_a_token() -> None:
    responses.post(f"{OAUTH}/rest/app.info", status=401, json={"error": "NO_AUTH_FOUND", "error_description": "Wrong authorization data"})
    responses.get(f"{OAUTH}/rest/app.info", json={"result": {"client_id": "app.5f3c.1", "user_id": "7"}})
    assert app_info(wire(), CONFIG, f"{OAUTH}/rest/", "a1").user_id == 7


@responses.activate
def test_tokens_are_not_shown_by_accident() -> None:
    responses.post(f"{OAUTH}/oauth/token/", json=PAIR)
    assert "a2" not in repr(refresh(wire(), CONFIG, "", "r1")).replace("a223", "")


@responses.activate
def test_the_trusted_word_on_a_token() -> None:
    install = {"installed": True, "status": "F", "scope": "crm", "domain": "acme.bitrix24.com", "client_endpoint": PAIR["client_endpoint"], "member_id": "a223"}
    said = {"client_id": "app.5f3c.1", "scope": "crm,im", "expires": "2026-08-21T10:00:00+00:00", "user_id": 7, "install": install}
    responses.post(f"{OTHER_OAUTH}/rest/app.info", json={"result": said})
    info = app_info(wire(), CONFIG, f"{OTHER_OAUTH}/rest/", "a1")
    assert (info.client_id, info.user_id, info.member_id, info.installed, info.scopes) == ("app.5f3c.1", 7, "a223", True, frozenset({"crm", "im"}))
