"""Quotes at Xero: what each call has to say again, pages without a count, numbers found by parts, answers told apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import responses

from plugin.domain.ledger import Draft, Outcome
from plugin.wire import Answer
from plugin.xero import quotes
from plugin.xero.quotes import QUOTES
from plugin.xero.resource import Change
from tests.adapters.test_xero_documents import CONTACT, make_draft, make_line
from tests.adapters.xero_calls import API, Call, answer

QUOTE = "4c82c365-35cb-467f-bb11-dce1f2f2f67c"
SINCE = datetime(2026, 9, 1, 10, tzinfo=UTC)


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def outcomes(given: Answer, sent: Sequence[Draft] | Sequence[Change]) -> tuple[Outcome, ...]:
    """What the answer says of each of these documents."""
    return quotes.outcomes(given, [quotes.element(one) for one in sent])


def draft(number: str = "Q-7", **more: Any) -> Draft:
    given = {"kind": "quote", "url": "", "title": "Two tables", "terms": "Net 30", "summary": "Oak", "status": "ACCEPTED"} | more
    return replace(make_draft(number), **given)


def element(number: str = "Q-7", status: str = "SENT", **more: Any) -> dict[str, Any]:
    """As recorded (X§6.11): dates without an offset, upper case."""
    return {
        "QuoteID": QUOTE,
        "QuoteNumber": number,
        "Reference": "PO 7",
        "Terms": "Net 30",
        "Title": "Two tables",
        "Summary": "Oak",
        "Contact": {"ContactID": CONTACT, "Name": "Tidewater"},
        "LineItems": [{"LineItemID": QUOTE, "Description": "Table", "Quantity": 1.0, "UnitAmount": 100.0, "TaxType": "OUTPUT2", "AccountCode": "200"}],
        "Date": "/Date(1789257600000)/",
        "DateString": "2026-09-13T00:00:00",
        "ExpiryDateString": "2026-10-13T00:00:00",
        "Status": status,
        "CurrencyCode": "NZD",
        "Total": 115.00,
        "TotalTax": 15.00,
        "UpdatedDateUTC": "/Date(1789300000000)/",
        "LineAmountTypes": "INCLUSIVE",
        "StatusAttributeString": "OK",
        **more,
    }


def only(body: bytes) -> dict[str, Any]:
    (found,) = json.loads(body)["Quotes"]
    return dict(found)


def test_a_new_quote_begins_as_a_draft_whatever_it_shall_become() -> None:
    made = only(QUOTES.parcel([draft(line_amount_types="Inclusive")]).body)
    assert (made["Status"], made["LineAmountTypes"], made["QuoteNumber"], made["Title"]) == ("DRAFT", "INCLUSIVE", "Q-7", "Two tables")
    assert "Url" not in made
    assert "DueDate" not in made
    assert "QuoteNumber" not in only(QUOTES.parcel([draft("")]).body)
    assert "ExpiryDate" not in only(QUOTES.parcel([draft(due_date=None)]).body)


def test_an_update_says_again_what_it_would_reset_by_silence() -> None:
    held = quotes.parse_quote(element())
    made = only(QUOTES.parcel([Change(QUOTE, {"status": "ACCEPTED"}, None, held)]).body)
    assert made == {
        "QuoteID": QUOTE,
        "QuoteNumber": "Q-7",
        "Contact": {"ContactID": CONTACT},
        "Date": "2026-09-13",
        "ExpiryDate": "2026-10-13",
        "Reference": "PO 7",
        "Title": "Two tables",
        "Summary": "Oak",
        "Terms": "Net 30",
        "LineAmountTypes": "INCLUSIVE",
        "CurrencyCode": "NZD",
        "Status": "ACCEPTED",
    }
    changed = only(QUOTES.parcel([Change(QUOTE, {"terms": "", "due_date": None, "date": date(2026, 9, 14)}, (make_line(),), held)]).body)
    assert (changed["Terms"], changed["ExpiryDate"], changed["Date"]) == ("", "2026-10-13", "2026-09-14")
    assert (changed["Status"], len(changed["LineItems"])) == ("SENT", 1)
    with pytest.raises(ValueError, match="without an id"):
        QUOTES.parcel([Change("", {}, None, held)])


def test_what_xero_holds_is_read_in_our_words() -> None:
    found = quotes.parse_quote(json.loads(json.dumps(element(status="Invoiced")), parse_float=Decimal))
    assert (found.type, found.status, found.line_amount_types, found.total) == ("QUOTE", "INVOICED", "Inclusive", Decimal("115.00"))
    assert (found.date, found.due_date, found.updated_at is not None) == (date(2026, 9, 13), date(2026, 10, 13), True)
    assert (found.amount_due, found.url, found.lines and found.lines[0].unit_amount) == (0, "", 100)


def test_answers_are_told_apart_by_id_and_number() -> None:
    refused = element("Q-2", QuoteID="00000000-0000-0000-0000-000000000000", StatusAttributeString="ERROR", ValidationErrors=[{"Message": "no"}])
    last = element("Q-1", QuoteID=QUOTE.replace("4c", "5d"))
    told = outcomes(answer(200, {"Quotes": [element("Q-3"), refused, last]}), [draft(f"Q-{n}") for n in (1, 2, 3)])
    assert [one.ok for one in told] == [True, False, True]
    assert [one.document.number for one in told if one.document] == ["Q-1", "Q-3"]
    assert told[1].errors == ("no",)


def test_a_page_that_may_be_full_means_another_one(mock: responses.RequestsMock) -> None:
    for count in (100, 99):
        mock.get(f"{API}/Quotes", json={"Quotes": [element(f"Q-{n}") for n in range(count)]})
    first, pages = quotes.quotes_modified(Call(), SINCE, 1)
    assert (len(first), pages) == (100, 2)
    assert quotes.quotes_modified(Call(), SINCE, 2)[1] == 2
    assert mock.calls[0].request.headers["If-Modified-Since"] == "2026-09-01T10:00:00"
    assert "unitdp" not in str(mock.calls[0].request.url)


def test_a_part_of_a_number_is_not_the_number(mock: responses.RequestsMock) -> None:
    mock.get(f"{API}/Quotes", json={"Quotes": [element("Q-17"), element("q-7"), element("Q-71")]})
    assert [one.number for one in quotes.quotes_by_numbers(Call(), ["Q-7"])] == ["q-7"]


def test_each_is_read_by_its_id_and_an_unknown_one_is_absent(mock: responses.RequestsMock) -> None:
    other = QUOTE.replace("4c", "5d")
    mock.get(f"{API}/Quotes/{QUOTE}", json={"Quotes": [element()]})
    mock.get(f"{API}/Quotes/{other}", status=404, body="The resource you're looking for cannot be found")
    assert [one.id for one in QUOTES.by_ids(Call(), [QUOTE, other, QUOTE])] == [QUOTE]
