"""Inbound events: nested keys from anybody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin.bitrix24.events import DEPTH_LIMIT, KEY_LIMIT, parse_event, unnest
from plugin.domain.problems import Problem
from sandbox.bitrix24.php import flatten

AUTH = {"member_id": "a223", "application_token": "51856f", "domain": "Acme.bitrix24.com", "scope": "crm placement", "expires_in": "3600", "user_id": "7"}
UPDATE = {"event": "onCrmDynamicItemUpdate", "data": {"FIELDS": {"ID": "24", "ENTITY_TYPE_ID": "31"}}, "ts": "1766047124", "auth": AUTH}


def depth(value: object) -> int:
    return 1 + max((depth(one) for one in value.values()), default=0) if isinstance(value, dict) else 0


def test_an_event_is_read() -> None:
    event = parse_event(flatten(UPDATE))
    assert (event.name, event.subject_id, event.member_id, event.domain, event.user_id) == ("ONCRMDYNAMICITEMUPDATE", 24, "a223", "acme.bitrix24.com", 7)
    assert (event.scope, event.ts, event.about_invoice) == (frozenset({"crm", "placement"}), 1766047124, True)
    assert "51856f" not in repr(event)


def test_an_event_without_tokens_is_read() -> None:
    event = parse_event(flatten({"event": "ONAPPUNINSTALL", "data": {"CLEAN": "1"}, "auth": {"member_id": "a223", "application_token": "x"}}))
    assert (event.access_token, event.user_id, event.data, event.about_invoice) == ("", None, {"CLEAN": "1"}, False)


@pytest.mark.parametrize(
    ("name", "type_id", "about"),
    [
        ("ONCRMDYNAMICITEMADD_31", "31", True),
        ("ONCRMDYNAMICITEMADD_31", "", True),
        ("ONCRMDYNAMICITEMADD", "147", False),
        ("ONCRMDYNAMICITEMADD_147", "31", False),
        ("ONCRMCOMPANYUPDATE", "31", False),
    ],
)
def test_only_invoices_are_invoices(name: str, type_id: str, about: bool) -> None:
    event = parse_event(flatten({**UPDATE, "event": name, "data": {"FIELDS": {"ID": "1", "ENTITY_TYPE_ID": type_id}}}))
    assert event.about_invoice is about


@pytest.mark.parametrize(
    "form", [[], [("event", "X")], [("auth[member_id]", "a")], [("event", "X"), ("auth", "a")], [("event[x]", "X"), ("auth[member_id]", "a")]]
)
def test_a_delivery_without_name_or_portal_is_refused(form: list[tuple[str, str]]) -> None:
    with pytest.raises(Problem) as raised:
        parse_event(form)
    assert raised.value.code == "bitrix24.event_malformed"


def test_lists_and_maps_are_told_by_their_keys() -> None:
    assert unnest([("a[]", "1"), ("a[]", "2"), ("b[x][y]", "3"), ("c", "4")]) == {"a": {"0": "1", "1": "2"}, "b": {"x": {"y": "3"}}, "c": "4"}


@pytest.mark.parametrize("key", ["[a]", "a[", "a]", "a[b", "a[b]c", "a[[b]]", "", "a" * 300])
def test_malformed_keys_are_left_out(key: str) -> None:
    assert unnest([(key, "x"), ("good", "y")]) == {"good": "y"}


def test_a_key_that_contradicts_an_earlier_one_is_left_out() -> None:
    assert unnest([("a", "1"), ("a[b]", "2"), ("a", "3")]) == {"a": "1"}
    assert unnest([("a[b]", "2"), ("a", "1")]) == {"a": {"b": "2"}}


@given(st.lists(st.tuples(st.text(alphabet="ab[]0", max_size=40), st.text(max_size=5)), max_size=60))
def test_hostile_keys_neither_fail_nor_grow(form: list[tuple[str, str]]) -> None:
    assert depth(unnest(form)) <= DEPTH_LIMIT


def test_a_flood_of_keys_is_cut() -> None:
    assert len(unnest((f"k{number}", "x") for number in range(10 * KEY_LIMIT))) == KEY_LIMIT
    assert unnest([("a" + "[b]" * 1000, "x")]) == {}
