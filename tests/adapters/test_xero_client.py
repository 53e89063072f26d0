from datetime import UTC, datetime, timedelta, timezone

import pytest
import responses

from plugin.domain.problems import Problem
from plugin.xero import client
from tests.adapters.xero_calls import API, TENANT, Call, answer


@responses.activate
def test_every_call_carries_the_headers_that_xero_asks_for() -> None:
    responses.put(f"{API}/Invoices", json={})
    when = datetime(2026, 7, 1, 22, 20, 30, 999999, timezone(timedelta(hours=12)))
    Call()("PUT", "Invoices", params={"summarizeErrors": "false"}, body=b"{}", key="live:1", modified_since=when)
    sent = responses.calls[0].request
    assert sent.headers["Authorization"] == "Bearer a-token"
    assert sent.headers["Xero-Tenant-Id"] == TENANT
    assert sent.headers["Accept"] == "application/json"
    assert sent.headers["Content-Type"].startswith("application/json")
    assert sent.headers["Idempotency-Key"] == "live:1"
    assert sent.headers["If-Modified-Since"] == "2026-07-01T10:20:30"
    assert sent.body == b"{}"


@responses.activate
def test_a_read_carries_neither_key_nor_body_headers() -> None:
    responses.get(f"{API}/Accounts", json={})
    Call()("GET", "Accounts")
    sent = responses.calls[0].request
    assert not {"Idempotency-Key", "If-Modified-Since", "Content-Type"} & set(sent.headers)


@responses.activate
def test_commas_stay_and_spaces_become_percent_twenty() -> None:
    responses.get(f"{API}/Invoices", json={})
    Call()("GET", "Invoices", params={"IDs": "a,b", "order": "UpdatedDateUTC ASC", "where": 'Name=="A&B"'})
    assert responses.calls[0].request.url == f"{API}/Invoices?IDs=a,b&order=UpdatedDateUTC%20ASC&where=Name%3D%3D%22A%26B%22"


@responses.activate
def test_a_time_without_zone_is_utc() -> None:
    responses.get(f"{API}/Invoices", json={})
    Call()("GET", "Invoices", modified_since=datetime(2026, 7, 1, 10, 20, 30))  # noqa: DTZ001 - as the database gives it
    assert responses.calls[0].request.headers["If-Modified-Since"] == "2026-07-01T10:20:30"


@responses.activate
def test_a_refusal_is_handed_over_not_raised() -> None:
    responses.get(f"{API}/Accounts", status=429, headers={"Retry-After": "5"})
    assert Call()("GET", "Accounts").status == 429


def test_a_key_that_xero_would_refuse_is_never_sent() -> None:
    with pytest.raises(ValueError, match="128"):
        Call()("PUT", "Invoices", body=b"{}", key="x" * 129)


def test_304_is_an_empty_list() -> None:
    assert client.rows(answer(304), "Invoices") == []
    assert client.page_count(answer(304), 1, 0) == 0


def test_a_success_that_is_no_json_is_a_problem() -> None:
    with pytest.raises(Problem) as caught:
        client.rows(answer(200, "<Response/>"), "Invoices")
    assert caught.value.code == "xero.unknown"


@pytest.mark.parametrize(
    ("body", "got", "expected"),
    [({"pagination": {"page": 2, "pageSize": 1000, "pageCount": 7, "itemCount": 6001}}, 1000, 7), ({}, 1000, 3), ({}, 999, 2), ({}, 0, 1)],
)
def test_pages_are_counted_with_or_without_xeros_help(body: dict[str, object], got: int, expected: int) -> None:
    assert client.page_count(answer(200, body), 2, got) == expected


def test_lists_fit_into_an_address() -> None:
    ids = [f"{number:08d}-0000-0000-0000-000000000000" for number in range(120)]
    assert [len(chunk) for chunk in client.comma_lists([*ids, *ids])] == [50, 50, 20]
    assert all(len(",".join(chunk)) <= client.LIST_CHARS for chunk in client.comma_lists(["N" * 255 + str(number) for number in range(30)]))
    assert list(client.comma_lists([])) == []
    assert list(client.comma_lists(["x" * 5000])) == [["x" * 5000]]


def test_utc_times_pass_unchanged() -> None:
    assert client._utc_seconds(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05"
