"""The whole main job: install, connect, map once, send, see it in Xero, see it paid in the CRM."""

from __future__ import annotations

from decimal import Decimal

from tests.stories.office import Office


def _sendable(office: Office, count: int = 3) -> list[int]:
    """Invoices of the demo that have a customer and rows, and are not in Xero yet."""
    portal = office.sandbox.bitrix24.portals["harbour"]
    taken = {one.number for one in office.sandbox.xero.invoices()}
    found = [
        number
        for number, one in sorted(portal.invoices.items())
        if one.get("companyId") in portal.companies and portal.rows(number) and one.get("isManualOpportunity") != "Y" and one["accountNumber"] not in taken
    ]
    return found[:count]


def test_an_invoice_goes_to_xero_and_comes_back_paid(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    ids = _sendable(office)

    batch = alice.send(*ids)

    assert "3 of 3 invoices exported" in alice.get(f"/app/batches/{batch}").text
    for crm_id in ids:
        invoice = crm.invoices[crm_id]
        document = office.sandbox.xero.invoice(invoice["accountNumber"])
        assert document is not None
        assert document.total == Decimal(str(invoice["opportunity"]))
        fields = crm.user_field_values(crm_id)
        assert fields["UF_CRM_SMART_INVOICE_XERO_NUMBER"] == document.number
    assert any("3 of 3 invoices exported" in one["message"] for one in crm.notifications)

    number = crm.invoices[ids[0]]["accountNumber"]
    office.sandbox.xero.approve(number)
    office.sandbox.xero.pay(number)
    alice.fetch(ids[0])

    assert crm.invoices[ids[0]]["stageId"] == crm.stage_id("P")
