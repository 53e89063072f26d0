from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from plugin.xero import parse
from plugin.xero.body import decimals, encode, many_lines, one_line

DATES = [
    ("/Date(1789257600000+0000)/", datetime(2026, 9, 13, tzinfo=UTC)),
    ("/Date(1789257600000+1200)/", datetime(2026, 9, 13, tzinfo=UTC)),
    ("/Date(1789257600123)/", datetime(2026, 9, 13, 0, 0, 0, 123000, tzinfo=UTC)),
    ("/Date(-62135596800000)/", datetime(1, 1, 1, tzinfo=UTC)),
    ("2026-09-13T00:00:00", datetime(2026, 9, 13, tzinfo=UTC)),
    ("2026-09-13T04:05:06Z", datetime(2026, 9, 13, 4, 5, 6, tzinfo=UTC)),
    ("2026-09-13T04:05:06+12:00", datetime(2026, 9, 12, 16, 5, 6, tzinfo=UTC)),
    ("2019-12-07T18:46:19.5165400", datetime(2019, 12, 7, 18, 46, 19, 516540, tzinfo=UTC)),
    ("2026-06-21T01:15:39.902", datetime(2026, 6, 21, 1, 15, 39, 902000, tzinfo=UTC)),
    ("2026-09-13", datetime(2026, 9, 13, tzinfo=UTC)),
]


@pytest.mark.parametrize(("text", "expected"), DATES)
def test_every_documented_form_of_a_time_is_understood(text: str, expected: datetime) -> None:
    assert parse.moment(text) == expected


@pytest.mark.parametrize("value", [None, "", 5, "soon", "/Date(x)/", "2026-13-45", "/Date(999999999999999999)/"])
def test_what_is_no_time_is_none(value: object) -> None:
    assert parse.moment(value) is None


def test_a_document_date_is_the_utc_day() -> None:
    assert parse.day("/Date(1789257600000+1300)/") == date(2026, 9, 13)


@pytest.mark.parametrize(("value", "expected"), [(Decimal("1.10"), "1.10"), (3, "3"), ("20.00", "20.00"), (None, "0"), (True, "0"), ("x", "0"), ("NaN", "0")])
def test_amounts_are_decimals(value: object, expected: str) -> None:
    assert str(parse.amount(value)) == expected


@pytest.mark.parametrize(("value", "expected"), [(Decimal("345.0"), "345.00"), (345, "345.00"), (None, "0.00"), (Decimal("1.234"), "1.234")])
def test_totals_show_their_cents(value: object, expected: str) -> None:
    assert str(parse.money(value)) == expected


def test_the_zero_id_is_no_id() -> None:
    assert parse.guid("00000000-0000-0000-0000-000000000000") == ""
    assert parse.guid("3C1E0000-0000-0000-0000-00000000000A") == "3c1e0000-0000-0000-0000-00000000000a"
    assert parse.guid(None) == ""


def test_messages_of_nested_objects_are_collected_once_each() -> None:
    element = {
        "ValidationErrors": [{"Message": "One"}, {"Message": "Two"}],
        "LineItems": [{"ValidationErrors": [{"Message": "Two"}, {"Message": "Three"}]}],
        "Contact": {"Phones": [{"ValidationErrors": [{"Message": "Four"}]}]},
        "Warnings": [{"Message": "Mind the gap"}],
    }
    assert parse.messages(element) == ("One", "Two", "Three", "Four")
    assert parse.said(element) == (("One", "Two", "Three", "Four"), ("Mind the gap",))


def test_money_is_written_exactly_and_always_the_same() -> None:
    assert (
        encode({"a": Decimal("150.00"), "b": Decimal("0.1234"), "c": Decimal("1E+3"), "d": Decimal("-0.00"), "e": 2})
        == b'{"a":150,"b":0.1234,"c":1000,"d":0,"e":2}'
    )
    assert encode(Decimal("12345678901234567890.12345678901")) == b"12345678901234567890.12345678901"


def test_texts_dates_flags_and_lists_are_written_in_the_order_given() -> None:
    assert encode({"z": "Café \u201c", "a": [date(2026, 1, 2), True]}) == '{"z":"Café \u201c","a":["2026-01-02",true]}'.encode()


@pytest.mark.parametrize("value", [1.5, None, object(), b"raw", {"x": None}])
def test_floats_and_nulls_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encode({"value": value})


def test_more_decimals_than_xero_keeps_are_refused_not_rounded() -> None:
    assert decimals(Decimal("1.23450"), 4) == Decimal("1.2345")
    with pytest.raises(ValueError, match="more than 4 decimals"):
        decimals(Decimal("1.23456"), 4)


def test_control_characters_are_stripped_from_texts() -> None:
    assert many_lines("  one\r\ntwo\ttabs\x00\x07\x85 \ud800 ", 4000) == "one\ntwo\ttabs"
    assert one_line(" one\n two\x00\u00a0three ", 255) == "one two three"
    assert one_line("e\u0301", 10) == "\u00e9"
