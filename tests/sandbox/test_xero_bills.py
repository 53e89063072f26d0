"""What bills are otherwise than sales invoices (X§4.4), and that lists and payments carry both."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.serve import Sandbox
from tests.sandbox.xero_calls import Api

LINE = {"Description": "Timber", "Quantity": 2, "UnitAmount": 150, "AccountCode": "300", "TaxType": "INPUT2"}


@pytest.fixture
def api(sandbox: Sandbox) -> Api:
    sandbox.xero.controls.switches.set("webhooks", "off")
    sandbox.xero.controls.switches.set("limits", "off")
    return Api(sandbox)


def bill(api: Api, number: str = "WM-1", **more: Any) -> dict[str, Any]:
    return api.invoice(number, Type="ACCPAY", **{"LineItems": [LINE], **more})


def test_the_number_is_free_text_that_several_bills_may_share_or_lack(api: Api) -> None:
    for number in ("№ 17 – März", "№ 17 – März", "HV-1001", "", ""):
        made = api.one("PUT", "Invoices", bill(api, number))
        assert (made["StatusAttributeString"], made["InvoiceNumber"]) == ("OK", number)
    assert len({one.id for one in api.xero.invoices() if one.number == "№ 17 – März"}) == 2
    assert api.refusal("PUT", "Invoices", bill(api, "x" * 256))


def test_a_reference_is_ignored_and_not_told(api: Api) -> None:
    made = api.one("PUT", "Invoices", bill(api, Reference="PO 7"))
    assert "Reference" not in made
    stored = api.xero.invoice("WM-1")
    assert stored is not None
    assert stored.reference == ""


@pytest.mark.parametrize("discount", [{"DiscountRate": 10}, {"DiscountAmount": 5}])
def test_lines_of_bills_take_no_discount(api: Api, discount: dict[str, Any]) -> None:
    assert "Discounts" in api.refusal("PUT", "Invoices", bill(api, LineItems=[LINE | discount]))


def test_there_is_no_online_invoice_and_no_email(api: Api) -> None:
    id_ = api.one("PUT", "Invoices", bill(api))["InvoiceID"]
    assert api.call("GET", f"Invoices/{id_}/OnlineInvoice").status_code == 400
    assert api.call("POST", f"Invoices/{id_}/Email", {}).status_code == 400


def test_the_planned_day_belongs_to_bills_and_the_expected_one_to_invoices(api: Api) -> None:
    made = api.one("PUT", "Invoices", bill(api, PlannedPaymentDate="2026-11-20", ExpectedPaymentDate="2026-11-21"))
    assert ("PlannedPaymentDate" in made, "ExpectedPaymentDate" in made) == (True, False)


def test_a_payment_says_that_it_is_one_of_a_bill(api: Api) -> None:
    id_ = api.one("PUT", "Invoices", bill(api))["InvoiceID"]
    part = api.one("PUT", "Payments", {"Invoice": {"InvoiceID": id_}, "Account": {"Code": "090"}, "Amount": 100, "Date": "2026-11-03"})
    assert (part["PaymentType"], part["Invoice"]["Type"]) == ("ACCPAYPAYMENT", "ACCPAY")
    assert api.refusal("POST", f"Invoices/{id_}", {"InvoiceID": id_, "LineItems": [LINE]})
    late = {"InvoiceID": id_, "PlannedPaymentDate": "2026-11-25", "InvoiceNumber": "WM-2"}
    assert not api.refusal("POST", f"Invoices/{id_}", late)
    assert api.xero.invoice("WM-2") is not None
    rest = {"Invoice": {"InvoiceID": id_}, "Account": {"Code": "090"}, "Amount": 245, "Date": "2026-11-04"}
    assert not api.refusal("PUT", "Payments", rest)
    assert api.get(f"Invoices/{id_}")["Invoices"][0]["Status"] == "PAID"


def test_lists_of_what_changed_carry_both_types(api: Api) -> None:
    since = api.xero.controls.clock.now().strftime("%Y-%m-%dT%H:%M:%S")
    made = [api.one("PUT", "Invoices", one)["InvoiceID"] for one in (bill(api), api.invoice("B24-1"))]
    rows = api.call("GET", "Invoices", headers={"If-Modified-Since": since}).json()["Invoices"]
    assert {one["InvoiceID"]: one["Type"] for one in rows} == dict(zip(made, ("ACCPAY", "ACCREC"), strict=True))
    assert [one["InvoiceID"] for one in api.get("Invoices", where='Type=="ACCPAY" AND InvoiceNumber=="WM-1"')["Invoices"]] == made[:1]


def test_the_due_date_of_a_bill_comes_from_the_terms_for_bills(api: Api) -> None:
    api.xero.controls.switches.set("due_date_on_approval", "terms")
    dated = {"Date": "2026-11-02", "DueDate": None}
    assert "DueDate" in api.refusal("PUT", "Invoices", bill(api, **dated))
    api.xero.actions.organisation_set(api.tenant, bill_terms={"Day": 10, "Type": "DAYSAFTERBILLDATE"})
    assert api.one("PUT", "Invoices", bill(api, **dated))["DueDateString"].startswith("2026-11-12")
    assert api.get("Organisation")["Organisations"][0]["PaymentTerms"]["Bills"] == {"Day": 10, "Type": "DAYSAFTERBILLDATE"}


def test_a_merged_supplier_stays_a_supplier(api: Api) -> None:
    supplier, other = api.xero.actions.create_contact(api.tenant, {"Name": "Raumati Roasters"}), api.xero.contact_by_name("Moana Events Ltd")
    assert other is not None
    api.xero.actions.create_bill(api.tenant, supplier.id, [LINE])
    api.xero.actions.merge_contacts(api.tenant, supplier.id, other.id)
    merged = api.xero.contact_by_name("Moana Events Ltd")
    assert merged is not None
    assert merged.is_supplier
