"""One call and one batch on the wire."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
import responses

from plugin.bitrix24.client import Command, Direct, Reply, chunks, pack, php_query, send, unpack
from plugin.domain.problems import Problem
from plugin.wire import NoAnswer
from sandbox.bitrix24.php import parse_query
from tests.adapters.bitrix24_calls import ENDPOINT, wire


def call(method: str = "profile", **params: Any) -> Reply:
    return send(wire(), ENDPOINT, "t0ken", method, params)


@responses.activate
def test_the_token_travels_in_the_body_and_not_in_the_address() -> None:
    responses.post(f"{ENDPOINT}profile", json={"result": {"ID": "1"}})
    call(start=0)
    sent = responses.calls[0].request
    assert json.loads(sent.body or b"") == {"start": 0, "auth": "t0ken"}
    assert "t0ken" not in str(sent.url)
    assert sent.headers["Content-Type"] == "application/json"


@responses.activate
def test_an_answer_keeps_money_exact_and_tells_what_it_cost() -> None:
    body = '{"result":[1200.10],"total":137,"next":50,"time":{"operating":1.25,"operating_reset_at":1756000600}}'
    responses.post(f"{ENDPOINT}profile", body=body)
    assert call() == Reply([Decimal("1200.10")], 137, 50, 1.25, 1756000600.0)


@responses.activate
def test_a_result_of_false_or_null_is_a_result() -> None:
    responses.post(f"{ENDPOINT}profile", json={"result": False})
    responses.post(f"{ENDPOINT}profile", json={"result": None})
    assert call().result is False
    assert call().result is None


@responses.activate
def test_an_array_beside_the_result_is_taken_for_the_result() -> None:
    responses.post(f"{ENDPOINT}catalog.vat.list", json={"vats": [{"id": 1}], "total": 1})
    assert call("catalog.vat.list").result == {"vats": [{"id": 1}]}


@responses.activate
def test_an_error_under_200_is_raised() -> None:
    responses.post(f"{ENDPOINT}placement.bind", json={"error": "ERROR_PLACEMENT_MAX_COUNT", "error_description": "Too many"})
    with pytest.raises(Problem) as raised:
        call("placement.bind")
    assert raised.value.params == {"error": "ERROR_PLACEMENT_MAX_COUNT", "text": "Too many", "status": 200, "method": "placement.bind"}


@responses.activate
def test_a_renamed_portal_names_its_new_address_and_nothing_is_sent_there() -> None:
    responses.post(f"{ENDPOINT}profile", status=302, headers={"Location": "https://acme-new.bitrix24.com/rest/profile"})
    with pytest.raises(Problem) as raised:
        call()
    assert (raised.value.code, raised.value.params["location"]) == ("bitrix24.moved", "https://acme-new.bitrix24.com/rest/")
    assert len(responses.calls) == 1


@responses.activate
def test_a_redirect_to_the_same_host_is_no_move() -> None:
    responses.post(f"{ENDPOINT}profile", status=302, headers={"Location": "/auth/"})
    with pytest.raises(Problem) as raised:
        call()
    assert raised.value.code == "bitrix24.not_json"


@responses.activate
def test_a_page_of_html_is_not_an_answer() -> None:
    responses.post(f"{ENDPOINT}profile", body="<!doctype html><title>Busy</title>")
    with pytest.raises(Problem) as raised:
        call()
    assert raised.value.code == "bitrix24.not_json"


@responses.activate
@pytest.mark.parametrize("status", [502, 504])
def test_a_proxy_that_gave_up_leaves_the_outcome_unknown(status: int) -> None:
    responses.post(f"{ENDPOINT}crm.item.update", status=status, body="<html>")
    with pytest.raises(NoAnswer) as raised:
        call("crm.item.update")
    assert raised.value.sent


def test_php_queries_carry_signs_spaces_and_letters_of_all_scripts() -> None:
    params = {"filter": {">=updatedTime": "2026-08-21T10:00:00+00:00", "@id": [5, 9], "%title": "A&B=C #1 % ÄЖ"}, "select": ["*"], "start": -1}
    written = php_query(params)
    assert parse_query(written) == {
        "filter": {">=updatedTime": "2026-08-21T10:00:00+00:00", "@id": ["5", "9"], "%title": "A&B=C #1 % ÄЖ"},
        "select": ["*"],
        "start": "-1",
    }
    assert not set(written) & set("[]<>@+ #$")
    assert dict(parse_qsl(written))["filter[@id][1]"] == "9"


def test_php_queries_write_scalars_as_php_does() -> None:
    assert php_query({"a": None, "b": True, "c": False, "d": Decimal("1E+2"), "e": {}}) == "a=&b=1&c=0&d=100"


def test_an_empty_list_is_refused_because_it_would_widen_a_filter() -> None:
    with pytest.raises(ValueError, match="empty list"):
        php_query({"filter": {"@id": []}})


def test_a_batch_holds_at_most_fifty_commands() -> None:
    commands: dict[str, Command] = {f"c{number}": ("profile", {}) for number in range(51)}
    assert [len(part) for part in chunks(commands)] == [50, 1]
    with pytest.raises(ValueError, match="50"):
        pack(commands)
    with pytest.raises(ValueError, match="50"):
        pack({})


COMMANDS = {"one": ("crm.item.get", {"id": 1}), "two": ("crm.item.get", {"id": 2}), "three": ("crm.item.list", {})}


def test_each_command_is_judged_by_itself() -> None:
    inner = {
        "result": {"one": {"item": {}}, "three": {"items": []}},
        "result_error": {"two": {"error": "NOT_FOUND", "error_description": "gone"}},
        "result_total": {"three": 120},
        "result_next": {"three": 50},
        "result_time": {"one": {"operating": 1.5}, "three": {"operating": 9.0, "operating_reset_at": 17}},
    }
    reply = unpack(Reply(inner), COMMANDS)
    assert reply.results == {"one": {"item": {}}, "three": {"items": []}}
    assert (reply.errors["two"].code, reply.errors["two"].params["method"]) == ("bitrix24.not_found", "crm.item.get")
    assert (reply.totals, reply.nexts) == ({"three": 120}, {"three": 50})
    assert reply.spent == {"crm.item.get": (1.5, None), "crm.item.list": (9.0, 17.0)}


def test_empty_maps_come_as_lists() -> None:
    reply = unpack(Reply({"result": [], "result_error": [], "result_total": [], "result_next": [], "result_time": []}), COMMANDS, halt=True)
    assert (reply.results, reply.errors) == ({}, {})


def test_a_command_without_any_answer_is_a_passing_problem_unless_the_batch_may_halt() -> None:
    reply = unpack(Reply({"result": {"one": None}, "result_error": []}), COMMANDS)
    assert reply.results == {"one": None}
    assert {key: problem.code for key, problem in reply.errors.items()} == {"two": "bitrix24.command_skipped", "three": "bitrix24.command_skipped"}


@responses.activate
def test_a_batch_goes_as_one_request_with_strings() -> None:
    responses.post(f"{ENDPOINT}batch", json={"result": {"result": {"one": True}, "result_error": []}})
    reply = Direct(wire(), ENDPOINT, "t").batch({"one": ("profile", {"a": "x y"})}, halt=True)
    assert reply.results == {"one": True}
    assert json.loads(responses.calls[0].request.body or b"") == {"halt": 1, "cmd": {"one": "profile?a=x%20y"}, "auth": "t"}
