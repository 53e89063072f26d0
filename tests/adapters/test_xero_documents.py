import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import responses
from responses import matchers

from plugin.domain.ledger import Draft, Line, Outcome, Tracking
from plugin.domain.problems import Problem
from plugin.wire import Answer
from plugin.xero import documents
from plugin.xero.body import encode
from plugin.xero.documents import INVOICES
from plugin.xero.resource import Change
from tests.adapters.xero_calls import API, Call, answer

ID = "3c1e0000-0000-4000-8000-00000000000{}"
LINE_ID = "11111111-0000-4000-8000-00000000000{}"
CONTACT = "c0c0c0c0-0000-4000-8000-000000000001"
ZERO = "00000000-0000-0000-0000-000000000000"
NOT_UNIQUE = "Invoice # must be unique."


def make_line(**changes: Any) -> Line:
    return Line(
        **{"description": "Consulting", "quantity": Decimal(2), "unit_amount": Decimal("150.00"), "account_code": "200", "tax_type": "OUTPUT2", **changes}
    )


def make_draft(number: str = "HV-1001", **changes: Any) -> Draft:
    values = {
        "contact_id": CONTACT,
        "date": date(2026, 9, 13),
        "due_date": date(2026, 9, 27),
        "currency": "NZD",
        "line_amount_types": "Exclusive",
        "lines": (make_line(),),
        "total": Decimal("345.00"),
        "number": number,
        "reference": "Deal 10017",
        "url": f"https://harbour.bitrix24.example/crm/type/31/details/{number}/",
    }
    return Draft(**{**values, **changes})


def outcomes(given: Answer, sent: Sequence[Draft] | Sequence[Change]) -> tuple[Outcome, ...]:
    """What the answer says of each of these documents."""
    return documents.outcomes(given, [documents.element(one) for one in sent])


def made(draft: Draft) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(INVOICES.parcel([draft]).body, parse_float=Decimal)["Invoices"][0]
    return found


def reply(draft: Draft, identity: str, **changes: Any) -> dict[str, Any]:
    """What Xero answers for a draft that it saved."""
    return {**json.loads(INVOICES.parcel([draft]).body)["Invoices"][0], "InvoiceID": identity, "StatusAttributeString": "OK", "HasErrors": False, **changes}


def test_a_draft_becomes_the_documented_body() -> None:
    line = make_line(
        item_code="CONS", discount_rate=Decimal("7.5"), unit_amount=Decimal("0.1234"), tracking=(Tracking("t1", "o1", "Region", "North"),), row_id=5
    )
    assert INVOICES.parcel([make_draft(lines=(line,), status="AUTHORISED")]).body == (
        b'{"Invoices":[{"Type":"ACCREC","Status":"AUTHORISED","Contact":{"ContactID":"c0c0c0c0-0000-4000-8000-000000000001"},'
        b'"InvoiceNumber":"HV-1001","Reference":"Deal 10017","Date":"2026-09-13","DueDate":"2026-09-27","LineAmountTypes":"Exclusive",'
        b'"CurrencyCode":"NZD","Url":"https://harbour.bitrix24.example/crm/type/31/details/HV-1001/","LineItems":[{"Description":"Consulting",'
        b'"Quantity":2,"UnitAmount":0.1234,"DiscountRate":7.5,"ItemCode":"CONS","AccountCode":"200","TaxType":"OUTPUT2",'
        b'"Tracking":[{"TrackingCategoryID":"t1","TrackingOptionID":"o1"}]}]}]}'
    )


def test_equal_drafts_give_equal_bytes() -> None:
    one = make_draft(lines=(make_line(unit_amount=Decimal("150.0")),))
    other = make_draft(lines=(make_line(unit_amount=Decimal("1.5E+2")),))
    assert INVOICES.parcel([one]).body == INVOICES.parcel([other]).body


@pytest.mark.parametrize("number", ["", "Счёт-1", "tab\tbed", "x" * 256, " HV-1"])
def test_a_number_that_xero_cannot_hold_is_left_to_xero(number: str) -> None:
    assert not documents.number_fits(number)
    assert "InvoiceNumber" not in made(make_draft(number))


@pytest.mark.parametrize("url", ["", "/crm/deal/1", "https://", "ftp://crm.example/1", "https://myXero.example/1", "https://crm.example/a b", "https://[bad"])
def test_a_link_that_xero_would_refuse_is_dropped(url: str) -> None:
    assert "Url" not in made(make_draft(url=url))


def test_texts_are_cleaned_and_cut() -> None:
    lines = (make_line(description="\x00 one\r\ntwo\x07 "), make_line(description="  \n"), make_line(description="x" * 5000))
    found = made(make_draft(reference="a\nb" + "c" * 300, lines=lines))
    assert [one["Description"] for one in found["LineItems"]] == ["one\ntwo", "-", "x" * 4000]
    assert found["Reference"] == "a b" + "c" * 252


def test_a_negative_line_and_a_free_line_keep_their_account() -> None:
    found = made(make_draft(lines=(make_line(unit_amount=Decimal("-79.00")), make_line(unit_amount=Decimal(0)))))["LineItems"]
    assert found[0]["UnitAmount"] == -79
    assert (found[1]["UnitAmount"], found[1]["Quantity"], found[1]["AccountCode"]) == (0, 2, "200")


def test_amounts_that_xero_would_round_are_our_mistake() -> None:
    with pytest.raises(ValueError, match="more than 4 decimals"):
        INVOICES.parcel([make_draft(lines=(make_line(unit_amount=Decimal("0.12345")),))])


def changed(**values: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(INVOICES.parcel([Change(**values)]).body, parse_float=Decimal)["Invoices"][0]
    return found


def test_an_update_says_only_what_changed() -> None:
    assert changed(id=ID.format(1), fields={"status": "VOIDED"}) == {"InvoiceID": ID.format(1), "Status": "VOIDED"}
    fields = {"reference": "", "due_date": date(2026, 10, 1), "contact_id": CONTACT, "url": "https://xero.example", "number": "№ 5", "currency": "AUD"}
    assert changed(id=ID.format(1), fields=fields) == {
        "InvoiceID": ID.format(1),
        "Contact": {"ContactID": CONTACT},
        "Reference": "",
        "DueDate": "2026-10-01",
        "CurrencyCode": "AUD",
    }


def test_lines_of_an_update_are_complete_with_ids_and_clear_what_was_taken_away() -> None:
    lines = (
        make_line(id=LINE_ID.format(1)),
        make_line(id=LINE_ID.format(2), item_code="CONS", discount_amount=Decimal("5.00"), tracking=(Tracking("", "", "Region", "North"),)),
        make_line(description="Added", account_code="", account_id=LINE_ID.format(9)),
        make_line(id=LINE_ID.format(3), description="Thank you", quantity=Decimal(0), unit_amount=Decimal(0), account_code="", tax_type=""),
    )
    found = changed(id=ID.format(1), fields={"line_amount_types": "Inclusive"}, lines=lines)
    assert list(found) == ["InvoiceID", "LineAmountTypes", "LineItems"]
    common = {"Quantity": 2, "UnitAmount": 150, "TaxType": "OUTPUT2"}
    assert found["LineItems"] == [
        {"LineItemID": LINE_ID.format(1), "Description": "Consulting", **common, "DiscountRate": 0, "ItemCode": "", "AccountCode": "200", "Tracking": []},
        {
            "LineItemID": LINE_ID.format(2),
            "Description": "Consulting",
            **common,
            "DiscountAmount": 5,
            "ItemCode": "CONS",
            "AccountCode": "200",
            "Tracking": [{"Name": "Region", "Option": "North"}],
        },
        {"Description": "Added", **common, "AccountID": LINE_ID.format(9)},
        {"LineItemID": LINE_ID.format(3), "Description": "Thank you"},
    ]


@pytest.mark.parametrize(
    "change",
    [
        Change("", {"status": "VOIDED"}),
        Change(ID.format(1), {}, (make_line(),)),
        Change(ID.format(1), {"Status": "VOIDED"}),
        Change(ID.format(1), {"reference": None}),
        Change(ID.format(1), {"status": Decimal(1)}),
    ],
)
def test_an_update_that_would_do_harm_is_never_made(change: Change) -> None:
    with pytest.raises(ValueError, match=r".+"):
        INVOICES.parcel([change])


def test_documents_are_split_by_number_and_by_bytes() -> None:
    drafts = [make_draft(f"HV-{number}") for number in range(120)]
    assert [len(call.sent) for call in INVOICES.split(drafts)] == [50, 50, 20]
    size = len(INVOICES.parcel(drafts[:10]).body)
    calls = INVOICES.split(drafts, most_bytes=size)
    assert all(len(call.body) <= size for call in calls)
    assert [one for call in calls for one in call.sent] == drafts
    assert [call.body for call in calls] == [encode({"Invoices": list(call.elements)}) for call in calls]
    assert INVOICES.split([]) == ()
    large = make_draft(lines=(make_line(description="x" * 4000),) * 3)
    assert [len(call.sent) for call in INVOICES.split([drafts[0], large, drafts[1]], most_bytes=2000)] == [1, 1, 1]
    change = Change(ID.format(1), {"status": "VOIDED"})
    assert INVOICES.split([change]) == (INVOICES.parcel([change]),)


def test_outcomes_follow_what_was_sent_though_the_answer_is_shuffled() -> None:
    numbered, by_url, refused = make_draft("HV-1"), make_draft("", url="https://crm.example/2"), make_draft("HV-3")
    rows = [
        reply(refused, ZERO, StatusAttributeString="ERROR", HasErrors=True, ValidationErrors=[{"Message": NOT_UNIQUE}]),
        reply(by_url, ID.format(2), InvoiceNumber="INV-0042"),
        reply(numbered, ID.format(1), StatusAttributeString="WARNING", Warnings=[{"Message": "Account code '476' has been removed."}]),
    ]
    found = outcomes(answer(200, {"Invoices": rows}), [numbered, by_url, refused])
    assert [(one.ok, one.id, one.errors) for one in found] == [(True, ID.format(1), ()), (True, ID.format(2), ()), (False, "", (NOT_UNIQUE,))]
    assert found[0].warnings == ("Account code '476' has been removed.",)
    assert found[1].document is not None
    assert found[1].document.number == "INV-0042"
    assert found[2].document is None


def test_position_decides_only_between_documents_that_do_not_contradict() -> None:
    one, two = (make_draft("", url="", reference=name) for name in ("One", "Two"))
    rows = [reply(one, ID.format(1), InvoiceNumber="INV-1"), reply(two, ID.format(2), InvoiceNumber="INV-2")]
    assert [found.id for found in outcomes(answer(200, {"Invoices": rows}), [one, two])] == [ID.format(1), ID.format(2)]
    assert [found.id for found in outcomes(answer(200, {"Invoices": rows[::-1]}), [one, two])] == ["", ""]
    shorter = outcomes(answer(200, {"Invoices": rows[:1]}), [one, two])
    assert [(found.ok, found.errors) for found in shorter] == [(False, ()), (False, ())]


def test_the_last_one_left_is_the_last_one_left() -> None:
    numbered, bare = make_draft("HV-1"), make_draft("", url="")
    rows = [reply(bare, ID.format(2), InvoiceNumber="INV-9"), reply(numbered, ID.format(1))]
    assert [found.id for found in outcomes(answer(200, {"Invoices": rows}), [numbered, bare])] == [ID.format(1), ID.format(2)]


def test_a_mark_that_is_not_unique_decides_nothing() -> None:
    twice = make_draft("HV-1")
    rows = [reply(twice, ID.format(1), Reference="Other"), reply(twice, ID.format(2))]
    found = outcomes(answer(200, {"Invoices": rows}), [twice, replace(twice, reference="Another")])
    assert [one.id for one in found] == ["", ""]


def test_updates_are_told_apart_by_id_and_keep_it_when_refused() -> None:
    changes = [Change(ID.format(1), {"status": "VOIDED"}), Change(ID.format(2), {"reference": "x"})]
    rows = [
        {"InvoiceID": ID.format(2).upper(), "StatusAttributeString": "OK", "LineItems": [{"LineItemID": LINE_ID.format(1)}]},
        {"InvoiceID": ID.format(1), "HasErrors": True, "ValidationErrors": [{"Message": "Invoice not of valid status for modification"}]},
    ]
    found = outcomes(answer(200, {"Invoices": rows}), changes)
    assert [(one.ok, one.id) for one in found] == [(False, ID.format(1)), (True, ID.format(2))]


def test_a_200_proves_nothing() -> None:
    draft = make_draft()
    for changes in ({"InvoiceID": ZERO}, {"HasErrors": True}, {"StatusAttributeString": "ERROR"}):
        assert not outcomes(answer(200, {"Invoices": [reply(draft, ID.format(1), **changes) | changes]}), [draft])[0].ok
    unmarked = {"InvoiceID": ID.format(1), "InvoiceNumber": "HV-1001", "ValidationErrors": [{"Message": NOT_UNIQUE}]}
    assert not outcomes(answer(200, {"Invoices": [unmarked]}), [draft])[0].ok


def test_a_400_names_the_failing_elements_and_leaves_the_others_open() -> None:
    good, bad = make_draft("HV-1"), make_draft("HV-2")
    body = {
        "ErrorNumber": 10,
        "Type": "ValidationException",
        "Elements": [{"InvoiceID": ZERO, "InvoiceNumber": "HV-2", "ValidationErrors": [{"Message": NOT_UNIQUE}], "LineItems": []}],
    }
    found = outcomes(answer(400, body), [good, bad])
    assert [(one.ok, one.errors) for one in found] == [(False, ()), (False, (NOT_UNIQUE,))]


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [(400, "Idempotency Key: k is used with a different request.", "xero.key_reused"), (500, "", "xero.server_error"), (200, "<html>", "xero.unknown")],
)
def test_an_answer_about_the_whole_call_is_a_problem(status: int, body: str, code: str) -> None:
    with pytest.raises(Problem) as caught:
        outcomes(answer(status, body), [make_draft()])
    assert caught.value.code == code


FULL = {
    "Type": "ACCREC",
    "InvoiceID": ID.format("A"),
    "InvoiceNumber": "HV-1001",
    "Reference": "Deal",
    "Status": "AUTHORISED",
    "Contact": {"ContactID": CONTACT.upper(), "Name": "Tidewater"},
    "Date": "/Date(1789257600000+0000)/",
    "DueDateString": "2026-09-27T00:00:00",
    "LineAmountTypes": "Exclusive",
    "CurrencyCode": "NZD",
    "Url": "https://crm.example/1",
    "Total": 345.00,
    "TotalTax": 45.00,
    "AmountDue": 300,
    "AmountPaid": 45.0,
    "AmountCredited": 0,
    "SentToContact": True,
    "UpdatedDateUTC": "/Date(1789257600123+0000)/",
    "LineItems": [
        {
            "LineItemID": LINE_ID.format("A"),
            "Description": "Consulting",
            "Quantity": 2.0,
            "UnitAmount": 150.1234,
            "LineAmount": 300.25,
            "TaxAmount": 45.04,
            "AccountCode": "200",
            "AccountID": LINE_ID.format("B"),
            "TaxType": "OUTPUT2",
            "ItemCode": "CONS",
            "Item": {"ItemID": LINE_ID.format("C"), "Code": "CONS"},
            "DiscountAmount": 5.00,
            "Tracking": [{"TrackingCategoryID": "T1", "TrackingOptionID": "O1", "Name": "Region", "Option": "North"}],
        }
    ],
}


@responses.activate
def test_one_document_is_read_in_full_with_exact_money() -> None:
    responses.get(f"{API}/Invoices/{ID.format('a')}", json={"Invoices": [FULL]}, match=[matchers.query_param_matcher({"unitdp": "4"})])
    found = documents.invoice(Call(), ID.format("a"))
    assert found is not None
    assert (found.id, found.contact_id, found.contact_name, found.number) == (ID.format("a"), CONTACT, "Tidewater", "HV-1001")
    assert (found.date, found.due_date, found.updated_at) == (date(2026, 9, 13), date(2026, 9, 27), datetime(2026, 9, 13, 0, 0, 0, 123000, tzinfo=UTC))
    assert (found.total, found.amount_due, found.amount_paid, found.sent) == (Decimal(345), Decimal(300), Decimal(45), True)
    assert found.lines == (
        Line(
            description="Consulting",
            quantity=Decimal(2),
            unit_amount=Decimal("150.1234"),
            account_code="200",
            tax_type="OUTPUT2",
            item_code="CONS",
            id=LINE_ID.format("a"),
            line_amount=Decimal("300.25"),
            tax_amount=Decimal("45.04"),
            item_id=LINE_ID.format("c"),
            tracking=(Tracking("t1", "o1", "Region", "North"),),
            discount_amount=Decimal(5),
            account_id=LINE_ID.format("b"),
        ),
    )


@responses.activate
def test_a_document_that_is_not_there_is_none() -> None:
    responses.get(f"{API}/Invoices/{ID.format(1)}", status=404, body="The resource you're looking for cannot be found")
    assert documents.invoice(Call(), ID.format(1)) is None


@responses.activate
def test_documents_are_read_by_fifty_ids_a_call_and_absent_ones_are_absent() -> None:
    ids = [f"{number:08d}-0000-0000-0000-000000000000" for number in range(51)]
    responses.get(f"{API}/Invoices", json={"Invoices": [FULL]})
    assert len(documents.invoices_by_ids(Call(), ids)) == 2
    assert str(responses.calls[0].request.url) == f"{API}/Invoices?IDs={','.join(ids[:50])}&page=1&pageSize=1000&unitdp=4"
    assert documents.invoices_by_ids(Call(), []) == ()


@responses.activate
def test_a_number_with_a_comma_is_searched_for_by_itself() -> None:
    listed = {"InvoiceNumbers": "HV-1,HV-2", "page": "1", "pageSize": "1000", "unitdp": "4"}
    searched = {"searchTerm": "HV,3", "page": "1", "pageSize": "1000", "unitdp": "4"}
    responses.get(f"{API}/Invoices", json={"Invoices": [{"InvoiceNumber": "HV-1"}]}, match=[matchers.query_param_matcher(listed)])
    responses.get(f"{API}/Invoices", json={"Invoices": [{"InvoiceNumber": "HV,3"}, {"InvoiceNumber": "HV,33"}]}, match=[matchers.query_param_matcher(searched)])
    assert [one.number for one in documents.invoices_by_numbers(Call(), ["HV-1", "HV,3", "HV-2"])] == ["HV-1", "HV,3"]


@responses.activate
def test_a_pull_is_one_summary_page_without_lines() -> None:
    query = {"page": "1", "pageSize": "1000", "order": "UpdatedDateUTC ASC", "unitdp": "4", "summaryOnly": "true", "createdByMyApp": "true"}
    summary = {**FULL, "LineItems": []}
    responses.get(f"{API}/Invoices", json={"pagination": {"pageCount": 2}, "Invoices": [summary]}, match=[matchers.query_param_matcher(query)])
    found, pages = documents.invoices_modified(Call(), datetime(2026, 9, 1, tzinfo=UTC), 1, created_by_my_app=True)
    assert (len(found), pages, found[0].lines) == (1, 2, None)


@responses.activate
def test_a_full_page_carries_lines_and_304_nothing() -> None:
    responses.get(f"{API}/Invoices", json={"Invoices": [FULL]})
    found, pages = documents.invoices_modified(Call(), None, 1, summary=False, page_size=1)
    assert (found[0].lines is not None, pages) == (True, 2)
    assert "If-Modified-Since" not in responses.calls[0].request.headers
    responses.replace(responses.GET, f"{API}/Invoices", status=304)
    assert documents.invoices_modified(Call(), datetime(2026, 9, 1, tzinfo=UTC), 1) == ((), 0)


@responses.activate
def test_the_customers_link_may_be_missing() -> None:
    responses.get(f"{API}/Invoices/a/OnlineInvoice", json={"OnlineInvoices": [{"OnlineInvoiceUrl": "https://in.xero.com/token"}]})
    responses.get(f"{API}/Invoices/b/OnlineInvoice", json={"OnlineInvoices": []})
    assert documents.online_url(Call(), "a") == "https://in.xero.com/token"
    assert documents.online_url(Call(), "b") == ""


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("invoice", "https://go.xero.com/app/!Qj35V/invoicing/view/a-b"),
        ("contact", "https://go.xero.com/app/!Qj35V/contacts/contact/a-b"),
        ("quote", "https://go.xero.com/app/!Qj35V/quotes/view/a-b"),
        ("bill", "https://go.xero.com/organisationlogin/default.aspx?shortcode=!Qj35V&redirecturl=/AccountsPayable/View.aspx?InvoiceID=a-b"),
        ("organisation", "https://go.xero.com/organisationlogin/default.aspx?shortcode=!Qj35V"),
    ],
)
def test_links_lead_into_the_right_organisation(kind: str, expected: str) -> None:
    assert documents.deep_link("!Qj35V", kind, "a-b") == expected
    assert documents.deep_link("", kind, "a-b") == ""
