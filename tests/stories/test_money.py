"""The Xero total is the CRM's to the cent, whatever stands on the rows; and what may not go is told (RULES 13, 17, 18)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.stories.main_story import change_quantity, document_of, outcomes, sendable, total_of
from tests.stories.office import Office

ROWS: dict[str, list[dict[str, Any]]] = {
    "four decimals": [{"productName": "Screw", "price": 0.07, "quantity": 1333, "taxRate": 15, "taxIncluded": "Y"}],
    "tax on top": [{"productName": "Chair", "price": 113.97, "quantity": 3, "taxRate": 15, "taxIncluded": "N"}],
    "a discount in percent": [
        {"productName": "Sofa", "price": 855.37, "quantity": 2, "discountTypeId": 2, "discountRate": 12.5, "taxRate": 15, "taxIncluded": "Y"}
    ],
    "a discount in money": [
        {"productName": "Sofa", "price": 790.01, "quantity": 3, "discountTypeId": 1, "discountSum": 33.33, "taxRate": 15, "taxIncluded": "Y"}
    ],
    "no tax, zero and fifteen": [
        {"productName": "Voucher", "price": 100, "quantity": 1, "taxIncluded": "N"},
        {"productName": "Export", "price": 480.55, "quantity": 1, "taxRate": 0, "taxIncluded": "Y"},
        {"productName": "Chair", "price": 189.99, "quantity": 7, "taxRate": 15, "taxIncluded": "Y"},
    ],
    "a third of a piece": [{"productName": "Cloth", "price": 19.99, "quantity": 0.3333, "taxRate": 15, "taxIncluded": "Y"}],
    "nothing to pay": [{"productName": "Gift", "price": 0, "quantity": 1, "taxRate": 15, "taxIncluded": "Y"}],
    "something taken back": [
        {"productName": "Chair", "price": 230, "quantity": 2, "taxRate": 15, "taxIncluded": "Y"},
        {"productName": "Returned chair", "price": -115, "quantity": 1, "taxRate": 15, "taxIncluded": "Y"},
    ],
}


@pytest.mark.parametrize("what", ROWS)
def test_totals_agree_to_the_cent(office: Office, what: str) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)
    crm.change_invoice(crm_id, rows=ROWS[what])

    assert outcomes(office, alice.send(crm_id)) == [("created", None)]
    assert document_of(office, crm_id).total == total_of(crm, crm_id)


def test_another_currency_goes_in_that_currency(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)
    crm.change_invoice(crm_id, currencyId="AUD")

    assert outcomes(office, alice.send(crm_id)) == [("created", None)]
    document = document_of(office, crm_id)
    assert (document.currency, document.total) == ("AUD", total_of(crm, crm_id))


def test_a_currency_that_xero_does_not_use_is_told_before_sending(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)
    crm.invoices[crm_id]["currencyId"] = "USD"

    assert outcomes(office, alice.send(crm_id)) == [("refused", "send.currency_missing")]


def test_a_locked_date_is_told_before_sending(office: Office) -> None:
    office.sandbox.xero.actions.lock_date(office.sandbox.xero.HARBOUR, period=datetime.now(UTC).date() + timedelta(days=400))
    alice = office.ready()
    (crm_id,) = sendable(office, 1)

    assert outcomes(office, alice.send(crm_id)) == [("refused", "send.locked")]


def test_an_edit_of_a_document_that_was_locked_since_is_told_before_sending(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    office.sandbox.xero.actions.lock_date(office.sandbox.xero.HARBOUR, period=datetime.now(UTC).date() + timedelta(days=400))
    change_quantity(crm, crm_id, 9)

    first, second = alice.send(crm_id), alice.send(crm_id)

    assert {outcomes(office, one)[0][1] for one in (first, second)} <= {"edit.locked", "xero.locked_period"}
    assert outcomes(office, second)[0][0] == "refused"


def test_an_account_archived_after_the_set_up_is_explained(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    income = alice.proposals()[2]["income"]
    office.sandbox.xero.actions.archive_account(office.sandbox.xero.HARBOUR, income)

    first = alice.send(crm_id)
    second = alice.send(crm_id)

    assert outcomes(office, first)[0] in (("problem", "xero.account_archived"), ("problem", "send.account_archived"), ("problem", "xero.account_invalid"))
    assert outcomes(office, second)[0][1] == "send.account_archived"


def test_xeros_own_numbers_come_back(office: Office) -> None:
    alice = office.ready(number_policy="xero")
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)

    alice.send(crm_id)
    alice.send(crm_id)

    document = document_of(office, crm_id)
    assert document.number.startswith("INV-")
    assert crm.user_field_values(crm_id)["UF_CRM_SMART_INVOICE_XERO_NUMBER"] == document.number


def test_a_prefix_stands_before_the_crms_number(office: Office) -> None:
    alice = office.ready(number_prefix="NZ-")
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)

    alice.send(crm_id)

    assert document_of(office, crm_id).number == f"NZ-{crm.invoices[crm_id]['accountNumber']}"


def test_a_plan_that_permits_no_more_approvals_is_explained(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)
    crm.set_stage(crm_id, "S")
    office.sandbox.xero.actions.organisation_set(office.sandbox.xero.HARBOUR, approvals=0)

    ((outcome, code),) = outcomes(office, alice.send(crm_id))

    assert (outcome, code) == ("problem", "xero.approval_limit")


def test_dates_are_the_same_days_on_both_sides_west_of_utc(office: Office) -> None:
    crm = office.sandbox.bitrix24.portals["westcoast"]
    alice = office.ready("westcoast")
    crm_id = sendable(office, 1, portal="westcoast", currency=crm.base_currency)[0]
    crm.change_invoice(crm_id, begindate="2026-03-01", closedate="2026-03-31")

    batch = alice.send(crm_id)

    assert outcomes(office, batch) == [("created", None)]
    document = office.sandbox.xero.invoice(crm.user_field_values(crm_id)["UF_CRM_SMART_INVOICE_XERO_ID"])
    assert document is not None
    assert (str(document.date), str(document.due_date)) == ("2026-03-01", "2026-03-31")
    assert document.total == Decimal(str(crm.invoices[crm_id]["opportunity"]))


def test_an_on_premise_portal_sends_as_any_other(office: Office) -> None:
    alice = office.ready("onpremise")
    (crm_id,) = sendable(office, 1, portal="onpremise")

    assert outcomes(office, alice.send(crm_id)) == [("created", None)]
