"""Invoices of the Xero stand-in: each rule of X§4, and each switch in both positions."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from sandbox.serve import Sandbox
from tests.sandbox.xero_calls import Api

ZERO_ID = "00000000-0000-0000-0000-000000000000"
LOCKED = "This document cannot be edited as it has a payment or credit note allocated to it."


@pytest.fixture
def api(sandbox: Sandbox) -> Api:
    sandbox.xero.controls.switches.set("webhooks", "off")
    sandbox.xero.controls.switches.set("limits", "off")
    return Api(sandbox)


def turn(api: Api, **positions: str) -> None:
    for name, position in positions.items():
        api.xero.controls.switches.set(name, position)


def line(**more: Any) -> dict[str, Any]:
    return {"Description": "Chair", "Quantity": 1, "UnitAmount": 100, "AccountCode": "200", "TaxType": "OUTPUT2", **more}


def lines(*given: dict[str, Any]) -> dict[str, Any]:
    return {"LineItems": list(given)}


# --- Creating


def test_a_batch_is_judged_element_by_element(api: Api) -> None:
    good, bad = api.write("PUT", "Invoices", api.invoice("B24-1"), api.invoice("B24-2", LineItems=[line(AccountCode="999")]))
    assert (good["StatusAttributeString"], good["HasErrors"], good["Total"]) == ("OK", False, 345.0)
    assert (bad["StatusAttributeString"], bad["HasErrors"], bad["InvoiceID"]) == ("ERROR", True, ZERO_ID)
    assert bad["LineItems"][0]["ValidationErrors"] == [{"Message": "Account code '999' is not a valid code for this document."}]


@pytest.mark.parametrize(("position", "stored"), [("yes", True), ("no", False)])
def test_without_summarize_errors_one_bad_element_is_a_400(api: Api, position: str, stored: bool) -> None:
    turn(api, summarize_true_saves=position)
    answer = api.call("PUT", "Invoices", {"Invoices": [api.invoice("B24-1"), api.invoice("HV-1001")]})
    body = answer.json()
    assert (answer.status_code, body["ErrorNumber"], body["Type"]) == (400, 10, "ValidationException")
    assert [one["InvoiceNumber"] for one in body["Elements"]] == ["HV-1001"]
    assert (api.xero.invoice("B24-1") is not None) is stored


def test_put_never_updates_and_post_silently_does(api: Api) -> None:
    api.one("PUT", "Invoices", api.invoice("B24-1", Reference="ours"))
    assert api.refusal("PUT", "Invoices", api.invoice("B24-1")) == "Invoice # must be unique."
    changed = api.one("POST", "Invoices", {"Type": "ACCREC", "InvoiceNumber": "B24-1", "Reference": "overwritten"})
    assert (changed["Reference"], changed["Total"]) == ("overwritten", 345.0)


@pytest.mark.parametrize(("position", "count"), [("no", 2), ("yes", 1)])
def test_post_of_a_bill_by_number(api: Api, position: str, count: int) -> None:
    turn(api, post_matches_bills=position)
    bill = api.invoice("SUP-7", Type="ACCPAY", LineItems=[line(AccountCode="300", TaxType="INPUT2")])
    for _ in range(2):
        assert not api.refusal("POST", "Invoices", bill)
    assert sum(one.number == "SUP-7" for one in api.xero.invoices()) == count


def test_numbers_are_given_when_they_are_missing(api: Api) -> None:
    first, second = (api.one("PUT", "Invoices", api.invoice(InvoiceNumber="")) for _ in range(2))
    assert [one["InvoiceNumber"] for one in (first, second)] == ["INV-0004", "INV-0005"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Type": "ACCRECCREDIT"}, "Invoice not of valid type for creation"),
        ({"Status": "PAID"}, "Invoice not of valid status for creation"),
        ({"Status": "VOIDED"}, "Invoice not of valid status for creation"),
        ({"Contact": {}}, "A Contact must be specified"),
        ({"Contact": {"EmailAddress": "a@b.example"}}, "must contain at least 1 of the following elements"),
        ({"CurrencyCode": "USD"}, "Organisation is not subscribed to currency USD"),
        ({"InvoiceNumber": "Nº 5"}, "invalid characters"),
        ({"InvoiceNumber": "x" * 256}, "255"),
        ({"Url": "crm/deal/1"}, "Url must be a valid absolute url"),
        ({"Url": "https://crm.example/xero/1"}, "must not contain"),
        ({"LineItems": []}, "One or more line items must be specified"),
        ({"Date": "31.12.2026"}, "not a valid date"),
        ({"SentToContact": True, "Status": "DRAFT"}, "SentToContact"),
        (lines(line(AccountCode="209")), "has been archived, or has been deleted"),
        (lines(line(AccountCode="090", TaxType="NONE")), "is not a valid code for this document."),
        (lines(line(AccountCode="610", TaxType="NONE")), "is not a valid code for this document."),
        (lines(line(AccountCode="429")), "The TaxType code 'OUTPUT2' cannot be used with account code '429'."),
        (lines(line(TaxType="OUTPUT")), "The TaxType code 'OUTPUT' does not exist or cannot be used"),
        (lines(line(ItemCode="NOPE")), "Item code 'NOPE' is not valid"),
        (lines({"Description": "No account", "Quantity": 1, "UnitAmount": 5}), "Account code or ID must be specified"),
        (lines(line(Description="")), "Description must be specified"),
        (lines(line(Description="x" * 4001)), "4000"),
        (lines(line(Quantity="12345678901234")), "Quantity"),
        (lines(line(UnitAmount=-100)), "must not be negative"),
        (lines(line(LineAmount=99)), "does not match the expected line total"),
        (lines(line(DiscountRate=10, DiscountAmount=5)), "Only one of DiscountRate and DiscountAmount"),
        (lines(line(Tracking=[{"Name": "Region", "Option": "West"}])), "not an active option"),
    ],
)
def test_what_is_refused_on_creation(api: Api, change: dict[str, Any], words: str) -> None:
    assert words in api.refusal("PUT", "Invoices", api.invoice(**change))
    assert api.xero.invoice("B24-1") is None


def test_a_draft_may_be_incomplete(api: Api) -> None:
    draft = api.one("PUT", "Invoices", {"Type": "ACCREC", "Contact": {"ContactID": api.contact_id()}})
    assert (draft["Status"], draft["Total"], draft["LineItems"]) == ("DRAFT", 0.0, [])
    assert "One or more line items" in api.refusal("POST", f"Invoices/{draft['InvoiceID']}", {"Status": "AUTHORISED"})


@pytest.mark.parametrize(("position", "outcome"), [("error", "ERROR"), ("warning", "WARNING")])
def test_an_unknown_account_on_a_draft(api: Api, position: str, outcome: str) -> None:
    turn(api, unknown_account_on_draft=position)
    row = api.one("PUT", "Invoices", api.invoice(Status="DRAFT", LineItems=[line(AccountCode="476")]))
    assert row["StatusAttributeString"] == outcome
    if outcome == "WARNING":
        assert "'476' has been removed" in row["Warnings"][0]["Message"]


def test_a_negative_line_is_allowed_when_the_total_is_not_negative(api: Api) -> None:
    assert api.one("PUT", "Invoices", api.invoice(LineItems=[line(), line(UnitAmount="-79.00")]))["Total"] == 24.15


@pytest.mark.parametrize(("position", "status"), [("paid", "PAID"), ("authorised", "AUTHORISED")])
def test_an_approved_invoice_of_zero(api: Api, position: str, status: str) -> None:
    turn(api, zero_total=position)
    assert api.one("PUT", "Invoices", api.invoice(LineItems=[line(UnitAmount=0)]))["Status"] == status


def test_an_approval_without_due_date_takes_the_terms(api: Api) -> None:
    assert api.one("PUT", "Invoices", api.invoice(DueDate=None))["DueDateString"] == "2026-12-20T00:00:00"
    turn(api, due_date_on_approval="required")
    assert "DueDate" in api.refusal("PUT", "Invoices", api.invoice("B24-2", DueDate=None))


@pytest.mark.parametrize(
    ("positions", "free"),
    [({}, {"DELETED": True, "VOIDED": False}), ({"number_of_deleted": "taken", "number_of_voided": "free"}, {"DELETED": False, "VOIDED": True})],
)
def test_numbers_of_deleted_and_voided_documents(api: Api, positions: dict[str, str], free: dict[str, bool]) -> None:
    turn(api, **positions)
    for status, start in (("DELETED", "DRAFT"), ("VOIDED", "AUTHORISED")):
        number = f"B24-{status}"
        made = api.one("PUT", "Invoices", api.invoice(number, Status=start))
        api.one("POST", f"Invoices/{made['InvoiceID']}", {"Status": status})
        assert (api.refusal("PUT", "Invoices", api.invoice(number)) == "") is free[status]


# --- Amounts


@pytest.mark.parametrize(("places", "unit", "amount"), [("", 0.13, 13.0), ("4", 0.125, 12.5)])
def test_prices_have_two_places_unless_four_are_asked_for(api: Api, places: str, unit: float, amount: float) -> None:
    row = api.one("PUT", "Invoices", api.invoice(LineItems=[line(Quantity=100, UnitAmount="0.125")]), **({"unitdp": places} if places else {}))
    assert (row["LineItems"][0]["UnitAmount"], row["LineItems"][0]["LineAmount"]) == (unit, amount)
    read = api.get(f"Invoices/{row['InvoiceID']}")["Invoices"][0]["LineItems"][0]["UnitAmount"]
    assert read == 0.13
    assert api.get(f"Invoices/{row['InvoiceID']}", unitdp="4")["Invoices"][0]["LineItems"][0]["UnitAmount"] == unit


@pytest.mark.parametrize(("mode", "tax"), [("half_up", 0.03), ("bankers", 0.02)])
def test_the_rounding_mode(api: Api, mode: str, tax: float) -> None:
    turn(api, rounding=mode)
    api.xero.books(api.xero.HARBOUR).tax_rates["OUTPUT2"].rate = Decimal(5)
    row = api.one("PUT", "Invoices", api.invoice(LineItems=[line(UnitAmount="0.50")]))
    assert row["TotalTax"] == tax


def test_tax_is_rounded_line_by_line(api: Api) -> None:
    three = [line(UnitAmount="0.10") for _ in range(3)]
    assert api.one("PUT", "Invoices", api.invoice(LineItems=three))["TotalTax"] == 0.06


def test_inclusive_amounts(api: Api) -> None:
    row = api.one("PUT", "Invoices", api.invoice(LineAmountTypes="Inclusive", LineItems=[line(UnitAmount=115)]))
    assert (row["SubTotal"], row["TotalTax"], row["Total"]) == (100.0, 15.0, 115.0)
    assert api.one("PUT", "Invoices", api.invoice("B24-2", LineAmountTypes="NoTax"))["Total"] == 300.0


def test_discounts_belong_to_sales(api: Api) -> None:
    row = api.one("PUT", "Invoices", api.invoice(LineItems=[line(DiscountRate=10), line(DiscountAmount=5)]))
    assert (row["SubTotal"], row["TotalDiscount"], row["IsDiscounted"]) == (185.0, 15.0, True)
    bill = api.invoice("S", Type="ACCPAY", LineItems=[line(AccountCode="300", TaxType="INPUT2", DiscountRate=10)])
    assert "Discounts" in api.refusal("PUT", "Invoices", bill)


def test_the_missing_amount_is_calculated(api: Api) -> None:
    row = api.one(
        "PUT", "Invoices", api.invoice(LineItems=[line(UnitAmount=None, Quantity=4, LineAmount=50), line(Quantity=None, UnitAmount=25, LineAmount=50)])
    )
    assert [(one["Quantity"], one["UnitAmount"], one["LineAmount"]) for one in row["LineItems"]] == [(4, 12.5, 50.0), (2, 25.0, 50.0)]


def test_an_item_fills_what_is_missing_and_gives_way_to_what_is_sent(api: Api) -> None:
    row = api.one("PUT", "Invoices", api.invoice(LineItems=[{"ItemCode": "ch-bis-02", "Quantity": 2}, line(ItemCode="CH-BIS-02", UnitAmount=70)]))
    first, second = row["LineItems"]
    assert (first["Description"], first["UnitAmount"], first["AccountCode"], first["TaxType"]) == ("Bistro chair, stackable", 74.5, "200", "OUTPUT2")
    assert (second["Description"], second["UnitAmount"]) == ("Chair", 70.0)
    turn(api, item_code_case="sensitive")
    assert "ch-bis-02" in api.refusal("PUT", "Invoices", api.invoice("B24-2", LineItems=[{"ItemCode": "ch-bis-02", "Quantity": 2}]))


def test_a_deviating_tax_amount_sticks(api: Api) -> None:
    row = api.one("PUT", "Invoices", api.invoice(LineItems=[line(TaxAmount=15.01)]))
    assert row["Total"] == 115.01


def test_a_foreign_currency_has_a_rate_and_unlikely_ones_are_warned_of(api: Api) -> None:
    row = api.one("PUT", "Invoices", api.invoice(CurrencyCode="AUD"))
    assert row["CurrencyRate"] == 0.9192
    warned = api.one("PUT", "Invoices", api.invoice("B24-2", CurrencyCode="AUD", CurrencyRate=9))
    assert (warned["StatusAttributeString"], "unlikely" in warned["Warnings"][0]["Message"]) == ("WARNING", True)


# --- Changing


def test_lines_are_replaced_by_their_ids(api: Api) -> None:
    made = api.one("PUT", "Invoices", api.invoice(LineItems=[line(), line(Description="Table")]))
    kept = made["LineItems"][1]["LineItemID"]
    changed = api.one("POST", f"Invoices/{made['InvoiceID']}", lines({"LineItemID": kept, "Quantity": 3}, line(Description="New")))
    assert [(one["Description"], one["Quantity"]) for one in changed["LineItems"]] == [("Table", 3), ("New", 1)]
    assert changed["LineItems"][0]["LineItemID"] == kept


def test_a_status_alone_keeps_everything(api: Api) -> None:
    made = api.one("PUT", "Invoices", api.invoice(Reference="Deal 1", Url="https://crm.example/1"))
    voided = api.one("POST", f"Invoices/{made['InvoiceID']}", {"Status": "VOIDED"})
    assert (voided["Status"], voided["Reference"], len(voided["LineItems"]), voided["AmountDue"]) == ("VOIDED", "Deal 1", 1, 0.0)


@pytest.mark.parametrize(
    ("start", "wanted", "allowed"),
    [
        ("DRAFT", "SUBMITTED", True),
        ("DRAFT", "AUTHORISED", True),
        ("DRAFT", "DELETED", True),
        ("DRAFT", "VOIDED", False),
        ("DRAFT", "PAID", False),
        ("SUBMITTED", "DRAFT", True),
        ("SUBMITTED", "AUTHORISED", True),
        ("SUBMITTED", "DELETED", True),
        ("AUTHORISED", "VOIDED", True),
        ("AUTHORISED", "DRAFT", False),
        ("AUTHORISED", "DELETED", False),
    ],
)
def test_transitions(api: Api, start: str, wanted: str, allowed: bool) -> None:
    made = api.one("PUT", "Invoices", api.invoice(Status=start))
    refusal = api.refusal("POST", "Invoices", {"InvoiceID": made["InvoiceID"], "Status": wanted})
    assert refusal == ("" if allowed else "Invoice not of valid status for modification")


def test_closed_documents_do_not_change(api: Api) -> None:
    made = api.one("PUT", "Invoices", api.invoice())
    api.one("POST", f"Invoices/{made['InvoiceID']}", {"Status": "VOIDED"})
    assert "not of valid status" in api.refusal("POST", f"Invoices/{made['InvoiceID']}", {"Reference": "late"})


@pytest.mark.parametrize("paid", ["100", None])
def test_what_a_payment_leaves_editable(api: Api, paid: str | None) -> None:
    made = api.one("PUT", "Invoices", api.invoice())
    path, own = f"Invoices/{made['InvoiceID']}", made["LineItems"][0]["LineItemID"]
    api.xero.pay("B24-1", paid)
    late = {"Reference": "PO 7", "DueDate": "2026-12-24", "InvoiceNumber": "B24-9", "Url": "https://crm.example/9"}
    changed = api.one("POST", path, late | lines({"LineItemID": own, "Description": "Other words", "AccountCode": "201"}))
    assert (changed["Reference"], changed["InvoiceNumber"], changed["LineItems"][0]["AccountCode"]) == ("PO 7", "B24-9", "201")
    blocked: list[dict[str, Any]] = [
        {"Date": "2026-11-03"},
        {"LineAmountTypes": "Inclusive"},
        {"CurrencyCode": "AUD"},
        lines({"LineItemID": own, "Quantity": 3}),
        lines(line()),
        {"ExpectedPaymentDate": "2026-12-01"},
    ]
    assert {api.refusal("POST", path, change) for change in blocked} == {LOCKED}
    assert api.refusal("POST", path, {"Status": "VOIDED"}) == LOCKED
    turn(api, void_paid_message="status")
    assert "The status VOIDED cannot be applied" in api.refusal("POST", path, {"Status": "VOIDED"})


def test_some_changes_of_a_part_paid_invoice_move_no_date(api: Api) -> None:
    api.xero.pay("HV-1001", "10")
    before = api.xero.invoice("HV-1001")
    api.xero.controls.clock.advance(60)
    api.xero.edit("HV-1001", DueDate="2026-12-31")
    silent = api.xero.invoice("HV-1001")
    assert before is not None
    assert silent is not None
    assert (silent.updated, silent.due_date) == (before.updated, date(2026, 12, 31))


@pytest.mark.parametrize(("kind", "words"), [("period", "period lock date"), ("year", "end of year lock date")])
def test_lock_dates(api: Api, kind: str, words: str) -> None:
    made = api.one("PUT", "Invoices", api.invoice())
    api.xero.actions.lock_date(api.tenant, **{kind: "2026-11-02"})
    assert words in api.refusal("PUT", "Invoices", api.invoice("B24-2"))
    assert words in api.refusal("POST", f"Invoices/{made['InvoiceID']}", {"Reference": "x"})
    assert words in api.refusal("POST", f"Invoices/{made['InvoiceID']}", {"Status": "VOIDED"})
    assert words in api.refusal("PUT", "Invoices", api.invoice("B24-2", Status="DRAFT"))
    turn(api, lock_date_drafts="allowed")
    assert not api.refusal("PUT", "Invoices", api.invoice("B24-2", Status="DRAFT"))


def test_a_plan_of_few_approvals(api: Api) -> None:
    api.xero.actions.organisation_set(api.tenant, approvals=0)
    assert api.refusal("PUT", "Invoices", api.invoice()) == "You have reached the limit of invoices you can approve"
    assert not api.refusal("PUT", "Invoices", api.invoice(Status="DRAFT"))
    actions = {one["Name"]: one["Status"] for one in api.get("Organisation/Actions")["Actions"]}
    assert (actions["CreateApprovedInvoice"], actions["CreateDraftInvoice"]) == ("NOT-ALLOWED", "ALLOWED")


@pytest.mark.parametrize(("position", "value"), [("clears", ""), ("kept", "ours")])
def test_the_empty_string(api: Api, position: str, value: str) -> None:
    turn(api, empty_string=position)
    made = api.one("PUT", "Invoices", api.invoice(Reference="ours"))
    assert api.one("POST", f"Invoices/{made['InvoiceID']}", {"Reference": ""})["Reference"] == value


@pytest.mark.parametrize(("position", "value"), [("kept", "ours"), ("clears", "")])
def test_null(api: Api, position: str, value: str) -> None:
    turn(api, null_values=position)
    made = api.one("PUT", "Invoices", api.invoice(Reference="ours"))
    assert api.one("POST", f"Invoices/{made['InvoiceID']}", {"Reference": None})["Reference"] == value


@pytest.mark.parametrize(("position", "code"), [("element", 200), ("404", 404)])
def test_an_unknown_contact_in_a_batch(api: Api, position: str, code: int) -> None:
    turn(api, unknown_contact_in_batch=position)
    unknown = api.invoice("B24-2", Contact={"ContactID": "11111111-1111-4111-8111-111111111111"})
    answer = api.call("PUT", "Invoices", {"Invoices": [api.invoice(), unknown]}, summarizeErrors="false")
    assert answer.status_code == code
    assert (api.xero.invoice("B24-1") is not None) is (code == 200)


def test_the_order_of_an_answer(api: Api) -> None:
    turn(api, response_order="shuffled")
    rows = api.write("PUT", "Invoices", api.invoice("B24-1"), api.invoice("B24-2"))
    assert [one["InvoiceNumber"] for one in rows] == ["B24-2", "B24-1"]


def test_an_archived_contact_takes_no_invoice(api: Api) -> None:
    archived = api.contact_id("Fernbank Motor Lodge Ltd")
    assert "matched an archived contact" in api.refusal("PUT", "Invoices", api.invoice(Contact={"ContactID": archived}))


def test_a_nested_contact_with_more_than_its_id_is_changed(api: Api) -> None:
    tidewater = api.contact_id("Tidewater Café Group Ltd")
    api.one("PUT", "Invoices", api.invoice(Contact={"ContactID": tidewater, "EmailAddress": "new@tidewater-cafe.example"}))
    contact = api.xero.contact_by_name("Tidewater Café Group Ltd")
    assert contact is not None
    assert (contact.texts["EmailAddress"], contact.people) == ("new@tidewater-cafe.example", [])


# --- Bodies


@pytest.mark.parametrize(
    ("body", "number"),
    [(b"{", 14), (b'{"Invoices": {}}', 14), (b'{"Invoices": [{"Typ": "ACCREC"}]}', 14), (b'{"Invoices": [{"Type": "ACCREC", "Reference": "a\\u0007"}]}', 14)],
)
def test_bodies_that_cannot_be_read(api: Api, body: bytes, number: int) -> None:
    url = f"{api.sandbox.settings.xero_url}/api.xro/2.0/Invoices"
    answer = api.session.put(url, data=body, headers=api.headers | {"Content-Type": "application/json"}, timeout=10)
    assert (answer.status_code, answer.json()["ErrorNumber"]) == (400, number)


def test_keys_in_another_case(api: Api) -> None:
    body = {"invoices": [{key[0].lower() + key[1:]: value for key, value in api.invoice().items()}]}
    assert api.call("PUT", "Invoices", body).status_code == 200
    turn(api, request_keys="exact", unknown_elements="refused")
    assert api.call("PUT", "Invoices", body).status_code == 400


def test_xml_comes_when_json_is_not_asked_for(api: Api) -> None:
    answer = api.call("GET", "Invoices/HV-1001", headers={"Accept": "*/*"})
    assert answer.headers["Content-Type"].startswith("text/xml")
    assert b"<InvoiceNumber>HV-1001</InvoiceNumber>" in answer.content
    pdf = api.call("GET", "Invoices/HV-1001", headers={"Accept": "application/pdf"})
    assert pdf.content.startswith(b"%PDF")


def test_a_body_beyond_the_limit(api: Api) -> None:
    turn(api, body_limit="3.5MB")
    big = api.invoice(LineItems=[line(Description="x" * 4000) for _ in range(1000)])
    assert api.call("PUT", "Invoices", {"Invoices": [big]}).status_code == 413


# --- Beside the invoice


def test_history_online_link_and_email(api: Api) -> None:
    assert api.call("PUT", "Invoices/HV-1001/History", {"HistoryRecords": [{"Details": "Created from the CRM"}]}).status_code == 200
    assert api.get("Invoices/HV-1001/History")["HistoryRecords"][-1]["Details"] == "Created from the CRM"
    assert api.call("PUT", "Invoices/HV-1001/History", {"HistoryRecords": [{"Details": "x" * 2501}]}).status_code == 400
    assert api.get("Invoices/HV-1001/OnlineInvoice")["OnlineInvoices"][0]["OnlineInvoiceUrl"].startswith("https://in.xero.com/")
    assert api.call("GET", "Invoices/INV-0002/OnlineInvoice").status_code == 400
    assert api.call("POST", "Invoices/HV-1001/Email", {}).status_code == 204
    sent = api.xero.invoice("HV-1001")
    assert sent is not None
    assert sent.sent


def test_unknown_things_are_404_in_html(api: Api) -> None:
    for path in ("Invoices/none-such", "Invoices/11111111-1111-4111-8111-111111111111", "Nonsense"):
        answer = api.call("GET", path)
        assert (answer.status_code, answer.text) == (404, "The resource you're looking for cannot be found")
        assert answer.headers["Content-Type"].startswith("text/html")
    assert api.call("DELETE", "Invoices/HV-1001").status_code == 405
    assert api.call("POST", "Organisation", {}).status_code == 501


# --- Payments


def test_payments_settle_and_their_removal_unsettles(api: Api) -> None:
    account, invoice = {"Code": "090"}, {"InvoiceNumber": "HV-1001"}
    part = api.one("PUT", "Payments", {"Invoice": invoice, "Account": account, "Date": "2026-11-10", "Amount": 100})
    assert (part["PaymentType"], part["Status"]) == ("ACCRECPAYMENT", "AUTHORISED")
    rest = api.one("PUT", "Payments", {"Invoice": invoice, "Account": account, "Date": "2026-11-12", "Amount": "575.35"})
    paid = api.get("Invoices/HV-1001")["Invoices"][0]
    assert (paid["Status"], paid["AmountDue"], paid["AmountPaid"], len(paid["Payments"])) == ("PAID", 0.0, 675.35, 2)
    assert paid["FullyPaidOnDate"] == "/Date(1794441600000+0000)/"
    api.one("POST", f"Payments/{rest['PaymentID']}", {"Status": "DELETED"})
    assert api.get("Invoices/HV-1001")["Invoices"][0]["Status"] == "AUTHORISED"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Amount": 10_000}, "Payment amount exceeds the amount outstanding on this document"),
        ({"Amount": 0}, "greater than zero"),
        ({"Account": {"Code": "200"}}, "Account must be valid"),
        ({"Account": {}}, "Account must be valid"),
        ({"Invoice": {"InvoiceNumber": "INV-0002"}}, "Payments can only be made against Authorised documents"),
    ],
)
def test_payments_that_are_refused(api: Api, change: dict[str, Any], words: str) -> None:
    payment = {"Invoice": {"InvoiceNumber": "HV-1001"}, "Account": {"Code": "090"}, "Date": "2026-11-10", "Amount": 100}
    assert words in api.refusal("PUT", "Payments", payment | change)


@pytest.mark.parametrize(("position", "moves"), [("yes", True), ("no", False)])
def test_a_payment_moves_the_date_of_its_invoice(api: Api, position: str, moves: bool) -> None:
    turn(api, payment_bumps_updated=position)
    before = api.xero.invoice("HV-1001")
    api.xero.pay("HV-1001")
    after = api.xero.invoice("HV-1001")
    assert before is not None
    assert after is not None
    assert (after.updated > before.updated) is moves


# --- Credit notes and quotes


def credit_note(api: Api, **more: Any) -> dict[str, Any]:
    contact = api.contact_id("Tidewater Café Group Ltd")
    return {"Type": "ACCRECCREDIT", "Status": "AUTHORISED", "Contact": {"ContactID": contact}, "Date": "2026-11-05", "LineItems": [line()], **more}


def test_a_credit_note_is_allocated_and_taken_back(api: Api) -> None:
    note = api.one("PUT", "CreditNotes", credit_note(api))
    assert (note["CreditNoteNumber"], note["RemainingCredit"]) == ("CN-0002", 115.0)
    invoice = api.xero.invoice("HV-1001")
    assert invoice is not None
    allocation = {"Invoice": {"InvoiceID": invoice.id}, "Amount": 60.5, "Date": "2026-11-06"}
    path = f"CreditNotes/{note['CreditNoteID']}/Allocations"
    made = api.call("PUT", path, {"Allocations": [allocation]}).json()["Allocations"][0]
    shown = api.get("Invoices/HV-1001")["Invoices"][0]
    assert (shown["AmountCredited"], shown["CreditNotes"][0]["AppliedAmount"]) == (60.5, 60.5)
    assert api.refusal("POST", f"Invoices/{invoice.id}", {"Status": "VOIDED"}) == LOCKED
    assert api.call("DELETE", f"{path}/{made['AllocationID']}").json()["Allocations"][0]["IsDeleted"] is True
    assert api.get("Invoices/HV-1001")["Invoices"][0]["AmountCredited"] == 0.0
    assert "Discounts" in api.refusal("PUT", "CreditNotes", credit_note(api, LineItems=[line(DiscountRate=5)]))


def test_quotes_forget_what_an_update_does_not_repeat(api: Api) -> None:
    contact = {"ContactID": api.contact_id()}
    made = api.one("PUT", "Quotes", {"Contact": contact, "Date": "2026-11-05", "Terms": "30 days", "Title": "Refit", "LineItems": [line(TaxType=None)]})
    assert (made["QuoteNumber"], made["TotalTax"], made["LineAmountTypes"]) == ("QU-0002", 0.0, "EXCLUSIVE")
    changed = api.one("POST", "Quotes", {"QuoteID": made["QuoteID"], "Contact": contact, "Date": "2026-11-05", "Status": "SENT"})
    assert (changed["QuoteNumber"], changed["Terms"], changed["Title"], len(changed["LineItems"])) == ("QU-0003", "", "", 1)


@pytest.mark.parametrize(("position", "words"), [("refused", "Quote status change is invalid"), ("allowed", "")])
def test_a_quote_steps_through_sent(api: Api, position: str, words: str) -> None:
    turn(api, quote_draft_to_accepted=position)
    contact = {"ContactID": api.contact_id()}
    made = api.one("PUT", "Quotes", {"Contact": contact, "Date": "2026-11-05", "LineItems": [line()]})
    assert api.refusal("POST", "Quotes", {"QuoteID": made["QuoteID"], "Contact": contact, "Date": "2026-11-05", "Status": "ACCEPTED"}) == words


@pytest.mark.parametrize(
    ("verb", "path", "params"),
    [
        ("GET", "Invoices", {"modifiedAfter": "2026-11-01"}),
        ("GET", "Invoices", {"IDs": "B24-1"}),
        ("GET", "Invoices", {"summaryOnly": "yes"}),
        ("GET", "Invoices", {"page": "first"}),
        ("GET", "Invoices", {"unitdp": "3"}),
        ("GET", "Invoices", {"IDs": [ZERO_ID, ZERO_ID]}),
        ("GET", "Contacts", {"createdByMyApp": "true"}),
        ("GET", "Quotes", {"where": 'Status=="DRAFT"'}),
        ("GET", "Quotes", {"IDs": ZERO_ID}),
        ("GET", "CreditNotes", {"IDs": ZERO_ID}),
        ("GET", "Items", {"page": "1"}),
        ("GET", "Organisation", {"page": "1"}),
        ("PUT", "Quotes", {"unitdp": "4"}),
        ("PUT", "Accounts", {"summarizeErrors": "false"}),
        ("PUT", "Contacts", {"unitdp": "4"}),
        ("POST", f"Invoices/{ZERO_ID}", {"summarizeErrors": "false"}),
        ("POST", "Payments", {"summarizeErrors": "false"}),
    ],
)
def test_an_address_holds_only_what_xero_documents(api: Api, verb: str, path: str, params: dict[str, Any]) -> None:
    answer = api.call(verb, path, {} if verb != "GET" else None, **params)

    assert (answer.status_code, answer.json()["Type"]) == (400, "QueryParseException")


def test_whether_quotes_take_a_size_of_page_is_an_open_fact(api: Api) -> None:
    assert api.call("GET", "Quotes", page="1", pageSize="5").status_code == 200
    turn(api, quote_page_size="refused")
    assert api.call("GET", "Quotes", page="1", pageSize="5").status_code == 400
    assert api.call("GET", "Quotes", page="1").status_code == 200
