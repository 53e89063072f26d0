"""The face and the levers of the Xero stand-in: what a person clicks, and what other processes may pull."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
import requests

from sandbox.serve import Sandbox

ROOM = "/face/hV7nz"


def open_page(sandbox: Sandbox, path: str) -> str:
    answer = requests.get(f"{sandbox.settings.xero_url}{path}", timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.text


def press(sandbox: Sandbox, path: str, /, **form: str) -> str:
    answer = requests.post(f"{sandbox.settings.xero_url}{path}", data=form, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.text


def pull(sandbox: Sandbox, path: str, body: Any = None) -> requests.Response:
    return requests.post(f"{sandbox.settings.xero_url}/_sandbox/{path}", json=body, timeout=10)


def invoice_path(sandbox: Sandbox, number: str) -> str:
    invoice = sandbox.xero.invoice(number)
    assert invoice is not None
    return f"{ROOM}/invoices/{invoice.id}"


PAGES = [
    "/",
    "/face/levers",
    *(f"{ROOM}/{page}" for page in ("invoices?tab=payment", "invoices?kind=bills", "bills/new", "contacts", "items", "others", "settings")),
]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_opens_without_script(sandbox: Sandbox, path: str) -> None:
    page = open_page(sandbox, path)
    assert "<script" not in page
    assert not re.search(r"\son\w+=", page)
    assert '<html lang="en">' in page
    assert "<h1>" in page


def test_an_invoice_is_approved_paid_and_cannot_be_voided(sandbox: Sandbox) -> None:
    path = invoice_path(sandbox, "INV-0002")
    assert "Approved" in press(sandbox, f"{path}/approve")
    assert "Payment recorded" in press(sandbox, f"{path}/pay", amount="100", account="090")
    assert "payment or credit note allocated" in press(sandbox, f"{path}/void")
    page = press(sandbox, f"{path}/pay")
    assert "Paid</span>" in page
    invoice = sandbox.xero.invoice("INV-0002")
    assert invoice is not None
    assert (invoice.status, len(sandbox.xero.payments())) == ("PAID", 2)


def test_an_invoice_is_edited(sandbox: Sandbox) -> None:
    path = invoice_path(sandbox, "INV-0002")
    own = sandbox.xero.invoice("INV-0002")
    assert own is not None
    assert "Saved" in press(sandbox, f"{path}/edit", Reference="PO 7", DueDate="2026-12-24", **{f"description-{own.lines[0].id}": "Other words"})
    assert "Line added" in press(sandbox, f"{path}/line", Description="Extra", Quantity="2", UnitAmount="12.5", AccountCode="200", TaxType="")
    changed = sandbox.xero.invoice("INV-0002")
    assert changed is not None
    assert [one.description for one in changed.lines] == ["Other words", "Delivery, metropolitan", "Extra"]
    assert [one.id for one in changed.lines[:2]] == [one.id for one in own.lines]
    assert "Edited" in open_page(sandbox, path)


BILL_FORM = {
    "Supplier": "Raumati Roasters", "InvoiceNumber": "№ 17/26", "Date": "2026-11-02", "DueDate": "2026-11-22", "LineAmountTypes": "Inclusive",
    "Description-0": "Coffee beans", "Quantity-0": "2", "UnitAmount-0": "23", "AccountCode-0": "300", "TaxType-0": "INPUT2",
    "Description-1": "Freight", "Quantity-1": "1", "UnitAmount-1": "11.50", "AccountCode-1": "425", "TaxType-1": "",
}  # fmt: skip


def test_a_bill_is_typed_in_approved_paid_and_listed(sandbox: Sandbox) -> None:
    page = press(sandbox, f"{ROOM}/bills/new", **BILL_FORM, Status="DRAFT")
    assert "Bill № 17/26</h1>" in page
    bill = sandbox.xero.invoice("№ 17/26")
    assert bill is not None
    supplier = sandbox.xero.contact_by_name("Raumati Roasters")
    assert supplier is not None
    assert (bill.type, bill.status, bill.total, bill.total_tax, supplier.is_supplier) == ("ACCPAY", "DRAFT", Decimal("57.50"), Decimal("7.50"), True)
    path = f"{ROOM}/invoices/{bill.id}"
    assert "Saved" in press(sandbox, f"{path}/edit", InvoiceNumber="17/26", DueDate="2026-12-24")
    assert sandbox.xero.invoice("17/26") is not None
    assert "Make a payment" in press(sandbox, f"{path}/approve")
    assert "Paid</span>" in press(sandbox, f"{path}/pay")
    listed = open_page(sandbox, f"{ROOM}/invoices?kind=bills&tab=paid")
    assert "17/26" in listed
    assert "Raumati Roasters" in listed
    assert "17/26" not in open_page(sandbox, f"{ROOM}/invoices")


def test_a_bill_is_approved_at_once_and_voided(sandbox: Sandbox) -> None:
    path = f"{ROOM}/bills/new"
    for _ in range(2):
        assert "Awaiting payment" in press(sandbox, path, **BILL_FORM | {"InvoiceNumber": "A-1"}, Status="AUTHORISED")
    twins = [one for one in sandbox.xero.invoices() if one.number == "A-1"]
    assert len(twins) == 2
    assert "Voided" in press(sandbox, f"{ROOM}/invoices/{twins[0].id}/void")


def test_a_bill_that_is_refused_keeps_what_was_typed(sandbox: Sandbox) -> None:
    wrong = BILL_FORM | {"AccountCode-0": "", "Status": "AUTHORISED"}
    answer = requests.post(f"{sandbox.settings.xero_url}{ROOM}/bills/new", data=wrong, timeout=10)
    assert answer.status_code == 400
    for kept in (
        "Account code or ID must be specified",
        'value="№ 17/26"',
        'value="Coffee beans"',
        '<option value="425" selected>',
        '<option value="Inclusive" selected>',
    ):
        assert kept in answer.text, kept
    assert sandbox.xero.invoice("№ 17/26") is None


def test_contacts_are_archived_restored_and_merged(sandbox: Sandbox) -> None:
    one, other = sandbox.xero.contact_by_name("Pipi Street Interiors"), sandbox.xero.contact_by_name("Moana Events Ltd")
    assert one is not None
    assert other is not None
    path = f"{ROOM}/contacts/{one.id}"
    assert "Archived" in press(sandbox, f"{path}/archive")
    assert "Restored" in press(sandbox, f"{path}/restore")
    assert "Merged into" in press(sandbox, f"{path}/merge", winner=other.id)


def test_settings_lock_archive_and_disconnect(sandbox: Sandbox) -> None:
    sandbox.xero.tokens()
    assert 'value="2026-06-30"' in press(sandbox, f"{ROOM}/settings/locks", period="2026-06-30", year="")
    press(sandbox, f"{ROOM}/settings/archive", code="260")
    account = sandbox.xero.account("260")
    assert account is not None
    assert account.status == "ARCHIVED"
    assert "No app is connected" in press(sandbox, f"{ROOM}/settings/disconnect")


def test_texts_of_others_are_escaped(sandbox: Sandbox) -> None:
    sandbox.xero.edit("INV-0002", Reference="<img src=x>")
    assert "<img" not in open_page(sandbox, invoice_path(sandbox, "INV-0002"))


def test_a_deep_link_leads_to_the_page(sandbox: Sandbox) -> None:
    invoice = sandbox.xero.invoice("HV-1001")
    assert invoice is not None
    assert "Invoice HV-1001" in open_page(sandbox, f"/face/app/!hV7nz/invoicing/view/{invoice.id}")


def test_the_levers_page_pulls_levers(sandbox: Sandbox) -> None:
    press(sandbox, "/face/levers/switch", name="rounding", position="bankers")
    assert sandbox.xero.controls.switches.get("rounding") == "bankers"
    press(sandbox, "/face/levers/fault", kind="status", status="429", path="/api.xro", times="2")
    assert sandbox.xero.controls.faults[0].headers["Retry-After"] == "20"
    press(sandbox, "/face/levers/reset")
    assert (sandbox.xero.controls.switches.get("rounding"), sandbox.xero.controls.faults) == ("half_up", [])


def test_other_processes_act_and_look(sandbox: Sandbox) -> None:
    tenant = "Harbour & Vine Trading Ltd"
    assert pull(sandbox, "act", {"act": "pay", "tenant": tenant, "invoice": "HV-1002", "amount": "100"}).json()["done"] == "pay"
    assert "allocated" in pull(sandbox, "act", {"act": "void", "tenant": tenant, "invoice": "HV-1002"}).json()["error"]
    assert pull(sandbox, "act", {"act": "explode"}).status_code == 400
    state = requests.get(f"{sandbox.settings.xero_url}/_sandbox/state", timeout=10).json()
    found = next(one for one in state["organisations"] if one["organisation"]["Name"] == tenant)
    assert next(one for one in found["invoices"] if one["InvoiceNumber"] == "HV-1002")["AmountPaid"] == 100.0
    assert pull(sandbox, "reset").json() == {"reset": True}
    assert sandbox.xero.payments() == []


@pytest.mark.parametrize(
    ("act", "more"),
    [
        ("create_bill", {"supplier": "Orchard House Furnishers Ltd", "lines": [{"Description": "Timber", "UnitAmount": "10"}], "number": "WM-5521"}),
        ("approve", {"invoice": "INV-0002"}),
        ("delete", {"invoice": "INV-0002"}),
        ("edit", {"invoice": "INV-0002", "Reference": "x"}),
        ("add_line", {"invoice": "INV-0002", "Description": "x", "UnitAmount": "1", "AccountCode": "200"}),
        ("archive_contact", {"contact": "Pipi Street Interiors"}),
        ("edit_contact", {"contact": "Pipi Street Interiors", "EmailAddress": "p@pipi-street.example"}),
        ("merge_contacts", {"loser": "Pipi Street Interiors", "winner": "Moana Events Ltd"}),
        ("create_contact", {"element": {"Name": "A"}}),
        ("create_item", {"element": {"Code": "A"}}),
        ("archive_account", {"code": "260"}),
        ("tax_rate_status", {"tax_type": "ZERORATED"}),
        ("archive_option", {"category": "Region", "option": "North"}),
        ("lock_date", {"period": "2026-06-30"}),
        ("organisation_set", {"approvals": 5}),
        ("disconnect", {}),
        ("set_role", {"user": "ravi", "role": "READONLY"}),
        ("leave", {"minute": 3, "day": 10}),
        ("limits", {"on": False}),
        ("fill", {"count": 2}),
    ],
)
def test_every_act(sandbox: Sandbox, act: str, more: dict[str, Any]) -> None:
    answer = pull(sandbox, "act", {"act": act, "tenant": sandbox.xero.HARBOUR, **more})
    assert (answer.status_code, answer.json().get("done")) == (200, act), answer.text


def test_a_quote_is_marked_as_far_as_xero_lets_it_and_closed_ones_keep_their_content(sandbox: Sandbox) -> None:
    quote = sandbox.xero.quotes()[0].id
    assert "Marked as accepted" in press(sandbox, f"{ROOM}/quotes/{quote}/accepted")
    assert "not of valid status for modification" in press(sandbox, f"{ROOM}/quotes/{quote}/edit", Title="Another title")
    assert "status change is invalid" in press(sandbox, f"{ROOM}/quotes/{quote}/declined")
    assert "Mark as invoiced" in open_page(sandbox, f"{ROOM}/quotes/{quote}")
    found = sandbox.xero.quotes()[0]
    assert (found.status, found.title) == ("ACCEPTED", "Refit of the Hamilton kitchen")
