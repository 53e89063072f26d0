"""The opening POST: claims, and what makes them believed."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from plugin.bitrix24.launch import Confirmed, Launch, confirm, meet, parse_launch, profile, same_secret
from plugin.domain.problems import Problem
from plugin.wire import Addresses, NoAnswer
from tests.adapters.bitrix24_calls import CONFIG, OAUTH, OTHER_OAUTH, ScriptedPortal, addresses, wire

QUERY = {"DOMAIN": "acme.bitrix24.com", "PROTOCOL": "1", "LANG": "de", "APP_SID": "sid"}
FORM = {
    "AUTH_ID": "a1",
    "AUTH_EXPIRES": "3600",
    "REFRESH_ID": "r1",
    "SERVER_ENDPOINT": f"{OAUTH}/rest/",
    "APPLICATION_TOKEN": "51856f",
    "APPLICATION_SCOPE": "crm,placement",
    "member_id": "a223",
    "status": "F",
    "PLACEMENT": "CRM_SMART_INVOICE_DETAIL_TAB",
    "PLACEMENT_OPTIONS": '{"ID":"123","URI":"/crm/"}',
}
OLD = {name: value for name, value in FORM.items() if name not in ("SERVER_ENDPOINT", "APPLICATION_TOKEN", "APPLICATION_SCOPE")}


def info(**changed: Any) -> dict[str, Any]:
    install = {"installed": False, "status": "F", "scope": "crm,im", "client_endpoint": "https://acme.bitrix24.com/rest/", "member_id": "a223"}
    install |= {name: value for name, value in changed.items() if name in install}
    return {"result": {"client_id": changed.get("client_id", "app.5f3c.1"), "scope": "crm,im", "user_id": 7, "install": install}}


def confirmed(launch: Launch | None = None, allowed: Addresses | None = None) -> Confirmed:
    return confirm(wire(), CONFIG, allowed or addresses(), launch or parse_launch(QUERY, FORM))


def test_the_claims_are_read() -> None:
    launch = parse_launch(QUERY, FORM)
    assert (launch.domain, launch.member_id, launch.lang, launch.placement, launch.document_id) == ("acme.bitrix24.com", "a223", "de", FORM["PLACEMENT"], 123)
    assert launch.scope == {"crm", "placement"}
    assert "a1" not in repr(launch)


def test_the_old_on_premise_shape_is_read() -> None:
    launch = parse_launch(QUERY, OLD)
    assert (launch.server_endpoint, launch.application_token, launch.scope) == ("", "", frozenset())


def test_a_detail_toolbar_names_its_item_differently() -> None:
    assert parse_launch(QUERY, {**FORM, "PLACEMENT_OPTIONS": '{"ENTITY_ID":"5"}'}).document_id == 5


@pytest.mark.parametrize("options", ["", "[]", "{", '"x"', "[" * 5000, '{"ID":""}', '{"ID":"0"}', '{"ID":["1"]}'])
def test_options_that_say_nothing_are_nothing(options: str) -> None:
    assert parse_launch(QUERY, {**FORM, "PLACEMENT_OPTIONS": options}).document_id is None


def test_what_is_missing_is_named() -> None:
    with pytest.raises(Problem) as raised:
        parse_launch({}, {"MEMBER_ID": "a223"})
    assert (raised.value.code, raised.value.params["missing"]) == ("launch.incomplete", ["AUTH_ID", "member_id", "DOMAIN"])


@pytest.mark.parametrize("domain", ["a/b", "a@b", "http://a", "a b", "a:x", "-a.com", "a..", "x" * 300, "[::1]", "ä.de"])
def test_a_domain_is_a_plain_host(domain: str) -> None:
    with pytest.raises(Problem) as raised:
        parse_launch({**QUERY, "DOMAIN": domain}, FORM)
    assert raised.value.code == "launch.domain_malformed"


def test_a_domain_with_control_characters_is_none() -> None:
    with pytest.raises(Problem) as raised:
        parse_launch({**QUERY, "DOMAIN": "a\n"}, {name: value for name, value in FORM.items() if name != "DOMAIN"})
    assert raised.value.code == "launch.incomplete"


@given(query=st.dictionaries(st.text(max_size=12), st.text(max_size=50)), form=st.dictionaries(st.sampled_from([*FORM, "x"]), st.text(max_size=60)))
def test_anything_may_come_and_only_problems_leave(query: dict[str, str], form: dict[str, str]) -> None:
    with contextlib.suppress(Problem):
        assert parse_launch(query, form).member_id


@responses.activate
def test_a_genuine_opening_is_confirmed_from_the_server_alone() -> None:
    responses.post(f"{OAUTH}/rest/app.info", json=info())
    found = confirmed()
    assert (found.member_id, found.user_id, found.client_endpoint, found.installed) == ("a223", 7, "https://acme.bitrix24.com/rest/", False)
    assert found.scopes == {"crm", "im"}
    assert [call.request.url for call in responses.calls] == [f"{OAUTH}/rest/app.info"]


@responses.activate
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (info(client_id="app.other.2"), "launch.wrong_app"),
        (info(client_id=""), "launch.wrong_app"),
        (info(member_id="b999"), "launch.wrong_portal"),
        (info(client_endpoint="https://stranger.bitrix24.com/rest/"), "launch.wrong_domain"),
        (info(client_endpoint=""), "launch.wrong_domain"),
        ({"result": []}, "launch.wrong_app"),
        ({"error": "expired_token"}, "bitrix24.token_expired"),
        ({"error": "NOT_INSTALLED"}, "bitrix24.not_installed"),
    ],
)
def test_a_contradiction_ends_the_opening(answer: dict[str, Any], code: str) -> None:
    responses.post(f"{OAUTH}/rest/app.info", json=answer)
    with pytest.raises(Problem) as raised:
        confirmed()
    assert raised.value.code == code


@responses.activate
def test_a_portal_outside_the_allowed_ones_is_refused() -> None:
    responses.post(f"{OAUTH}/rest/app.info", json=info())
    with pytest.raises(Problem) as raised:
        confirmed(allowed=Addresses((OAUTH,), ("https://only.this.example",)))
    assert (raised.value.code, raised.value.params["host"]) == ("launch.address_refused", "acme.bitrix24.com")


@responses.activate
@pytest.mark.parametrize(
    ("domain", "endpoint", "same"),
    [
        ("crm.example.com:8443", "https://crm.example.com:8443/rest/", True),
        ("crm.example.com", "https://crm.example.com:8443/rest/", True),
        ("CRM.example.com:443", "https://crm.example.com/rest/", True),
        ("crm.example.com:8443", "https://crm.example.com/rest/", False),
        ("crm.example.com:8443", "https://crm.example.com:9443/rest/", False),
    ],
)
def test_ports_are_compared_where_both_name_one(domain: str, endpoint: str, same: bool) -> None:
    responses.post(f"{OAUTH}/rest/app.info", json=info(client_endpoint=endpoint))
    launch = parse_launch({**QUERY, "DOMAIN": domain}, FORM)
    allowed = Addresses((OAUTH,), ("https://crm.example.com:8443", "https://crm.example.com"))
    if same:
        assert confirmed(launch, allowed).client_endpoint == endpoint
    else:
        with pytest.raises(Problem, match=r"launch\.wrong_domain"):
            confirmed(launch, allowed)


@responses.activate
def test_an_old_portal_is_looked_for_on_every_allowed_server() -> None:
    responses.post(f"{OAUTH}/rest/app.info", status=401, json={"error": "NO_AUTH_FOUND"})
    responses.post(f"{OTHER_OAUTH}/rest/app.info", json=info())
    assert confirmed(parse_launch(QUERY, OLD)).server_endpoint == f"{OTHER_OAUTH}/rest/"


@responses.activate
def test_a_server_that_did_not_answer_is_not_taken_for_a_refusal() -> None:
    responses.post(f"{OAUTH}/rest/app.info", status=504)
    responses.post(f"{OTHER_OAUTH}/rest/app.info", status=401, json={"error": "NO_AUTH_FOUND"})
    with pytest.raises(NoAnswer):
        confirmed(parse_launch(QUERY, OLD))


def test_the_person_is_named_by_the_portal_and_must_be_the_confirmed_one() -> None:
    said = {"ID": "7", "ADMIN": True, "NAME": "Ann", "LAST_NAME": "Lee", "TIME_ZONE": "Pacific/Auckland"}
    with responses.RequestsMock() as mock:
        rest = ScriptedPortal({"profile": lambda params: said}).attach(mock)
        mock.post(f"{OAUTH}/rest/app.info", json=info())
        opening = confirmed()
        assert dataclasses.astuple(meet(rest, opening)) == (7, "Ann Lee", True, "Pacific/Auckland")
        said["ID"] = "8"
        assert profile(rest).id == 8
        with pytest.raises(Problem, match=r"launch\.wrong_user"):
            meet(rest, opening)


def test_secrets_are_equal_only_when_there_are_any() -> None:
    assert same_secret("é1", "é1")
    assert not same_secret("a", "b")
    assert not same_secret("", "")
