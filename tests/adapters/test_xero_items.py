import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import responses

from plugin.domain.ledger import Item
from plugin.domain.problems import Problem
from plugin.xero import items
from tests.adapters.xero_calls import API, Call, answer

ID = "5b0a1a57-0000-4000-8000-00000000000{}"


def make_item(code: str = "CH-OAK-01", **changes: Any) -> Item:
    return Item(**{"id": "", "code": code, "name": "Dining chair", "unit_price": Decimal("189.1250"), "account_code": "200", "tax_type": "OUTPUT2", **changes})


@responses.activate
def test_all_items_are_read_with_four_decimals() -> None:
    row = {
        "ItemID": ID.format("A"),
        "Code": "CONS",
        "Name": "Consulting",
        "Description": "By the hour",
        "SalesDetails": {"UnitPrice": 95.1234, "AccountCode": "200", "TaxType": "OUTPUT2"},
        "IsSold": True,
        "IsTrackedAsInventory": True,
        "UpdatedDateUTC": "/Date(1789257600123)/",
    }
    responses.get(f"{API}/Items", json={"Items": [row, {"ItemID": ID.format("b"), "Code": "BARE", "IsSold": False}]})
    found = items.items(Call(), datetime(2026, 9, 1, tzinfo=UTC))
    assert found[0] == Item(
        ID.format("a"),
        "CONS",
        "Consulting",
        "By the hour",
        Decimal("95.1234"),
        "200",
        "OUTPUT2",
        True,
        True,
        datetime(2026, 9, 13, 0, 0, 0, 123000, tzinfo=UTC),
    )
    assert (found[1].code, found[1].is_sold, found[1].unit_price) == ("BARE", False, None)
    assert responses.calls[0].request.url == f"{API}/Items?unitdp=4"
    assert responses.calls[0].request.headers["If-Modified-Since"] == "2026-09-01T00:00:00"


def test_the_body_names_code_price_and_account_and_leaves_out_what_is_empty() -> None:
    body = json.loads(items.create_body([make_item(), make_item("B24-7", unit_price=None, account_code="", tax_type="")]), parse_float=Decimal)
    assert body == {
        "Items": [
            {
                "Code": "CH-OAK-01",
                "Name": "Dining chair",
                "Description": "Dining chair",
                "IsSold": True,
                "SalesDetails": {"UnitPrice": Decimal("189.125"), "AccountCode": "200", "TaxType": "OUTPUT2"},
            },
            {"Code": "B24-7", "Name": "Dining chair", "Description": "Dining chair", "IsSold": True},
        ]
    }


def test_a_name_too_long_stands_whole_in_the_description() -> None:
    name = "Chair " * 20
    made = items.element(make_item(name=name))
    assert len(made["Name"]) <= 50
    assert made["Description"] == name.strip()


def test_long_codes_are_shortened_to_the_same_and_to_different_ones() -> None:
    long = "SKU-" + "9" * 40
    assert items.fits_code("  CH-OAK-01 ") == "CH-OAK-01"
    assert items.fits_code(long) == items.fits_code(long)
    assert items.fits_code(long) != items.fits_code(long + "1")
    assert len(items.fits_code(long)) == items.CODE_CHARS
    assert items.fits_code(items.fits_code(long)) == items.fits_code(long)


def test_outcomes_follow_what_was_sent_whatever_the_order_of_the_answer() -> None:
    good = {"ItemID": ID.format(1), "Code": "one", "StatusAttributeString": "OK"}
    bad = {
        "ItemID": ID.format(0)[:0],
        "Code": "TWO",
        "StatusAttributeString": "ERROR",
        "ValidationErrors": [{"Message": "Price List Item with Code 'TWO' already exists"}],
    }
    found = items.outcomes(answer(200, {"Items": [bad, good]}), [make_item("ONE"), make_item("TWO"), make_item("THREE")])
    assert [(one.ok, one.id) for one in found] == [(True, ID.format(1)), (False, ""), (False, "")]
    assert found[0].item is not None
    assert found[0].item.code == "one"
    assert found[1].errors == ("Price List Item with Code 'TWO' already exists",)
    assert found[2].errors == ()


def test_without_what_was_sent_outcomes_follow_the_answer() -> None:
    rows = [{"ItemID": ID.format(1), "Code": "A"}, {"ItemID": ID.format(2), "Code": "B"}]
    assert [one.id for one in items.outcomes(answer(200, {"Items": rows}))] == [ID.format(1), ID.format(2)]


def test_a_missing_scope_is_a_problem_of_the_whole_call() -> None:
    given = answer(401, {"Detail": "AuthorizationUnsuccessful"}, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'})
    with pytest.raises(Problem) as caught:
        items.outcomes(given, [make_item()])
    assert caught.value.code == "xero.scope_missing"
