"""Where the customer sees the invoice: one call when somebody asks, then never again, and only so many a day."""

from __future__ import annotations

from plugin.models import Link
from tests.stories.main_story import approve, document_of, reads, sendable
from tests.stories.patience import PatientOffice
from tests.stories.seen import row, says


def test_the_link_is_asked_for_once_by_whoever_may_see_the_invoice(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    assert says(alice.post(f"/app/invoices/{crm_id}/online").text, "online.not_sent")
    alice.send(crm_id)
    if document_of(office, crm_id).status == "DRAFT":
        assert says(alice.post(f"/app/invoices/{crm_id}/online").text, "online.not_approved")
    approve(office, crm_id)
    alice.fetch(crm_id)
    office.sandbox.xero.controls.calls.clear()

    first, second = (alice.post(f"/app/invoices/{crm_id}/online").text for _ in range(2))

    url = row(office, Link, crm_kind="invoice", crm_id=crm_id).online_url
    assert url.startswith("https://in.xero.com/")
    assert url in first
    assert url in second
    assert [one.path.rpartition("/")[2] for one in reads(office)] == ["OnlineInvoice"]
    bob = office.install("stranger")
    assert bob.post(f"/app/invoices/{crm_id}/online").status_code in (200, 404)
    assert url not in bob.post(f"/app/invoices/{crm_id}/online").text


def test_a_twentieth_of_the_day_is_the_most(patient_office: PatientOffice) -> None:
    office = patient_office
    office.sandbox.xero.controls.switches.set("limits", "starter")
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    approve(office, crm_id)
    alice.fetch(crm_id)
    for _ in range(50):
        assert office.services.xero_limits.spend(office.sandbox.xero.HARBOUR, "online", 0.05)
    office.sandbox.xero.controls.calls.clear()

    assert says(alice.post(f"/app/invoices/{crm_id}/online").text, "online.allowance")
    assert reads(office) == []
