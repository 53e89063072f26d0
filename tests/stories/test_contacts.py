"""Customers: found, linked, created, or a clear refusal; never changed by sending (RULES 14)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import update

from plugin.models import Watermark
from sandbox.bitrix24.fields import COMPANY
from sandbox.xero.books import Contact
from tests.stories.main_story import document_of, notes_of, outcomes, sendable
from tests.stories.office import Office

HARBOUR = "harbour"


def as_kept(one: Contact) -> Contact:
    """A contact without what Xero itself notes when it gets a document."""
    return replace(one, is_customer=True)


def invoice_for(office: Office, name: str) -> int:
    """An invoice for a new customer of the CRM with this name."""
    crm = office.sandbox.bitrix24.portals[HARBOUR]
    like = crm.invoices[sendable(office, 1)[0]]
    company = crm.add_item(COMPANY, title=name)
    row = {"productName": "Chair", "price": 115, "quantity": 1, "taxRate": 15, "taxIncluded": "Y"}
    return crm.add_invoice([row], title=name, companyId=company, mycompanyId=like["mycompanyId"], currencyId="NZD", stageId=like["stageId"])


def contact(office: Office, name: str, **more: str) -> Contact:
    return office.sandbox.xero.actions.create_contact(office.sandbox.xero.HARBOUR, {"Name": name, **more})


def test_a_customer_whom_xero_does_not_know_is_created_with_everything_known(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals[HARBOUR]
    company = next(number for number, one in crm.companies.items() if one["title"] == "Pōhutukawa Day Spa")
    (crm_id,) = sendable(office, 1)
    crm.change_invoice(crm_id, companyId=company)

    assert outcomes(office, alice.send(crm_id)) == [("created", None)]

    made = office.sandbox.xero.contact_by_name("Pōhutukawa Day Spa")
    assert made is not None
    assert document_of(office, crm_id).contact_id == made.id
    assert made.number.endswith(f"-CO{company}")
    assert made.texts["EmailAddress"] == "accounts@pohutukawa-spa.example"


def test_one_contact_of_the_same_name_is_linked_and_the_confirmation_says_so(office: Office) -> None:
    alice = office.ready()
    theirs = contact(office, "Marble & Moss Ltd", EmailAddress="books@marble.example")
    make_stale(office)
    crm_id = invoice_for(office, "MARBLE & moss  Ltd")

    batch = alice.send(crm_id)

    assert outcomes(office, batch) == [("created", None)]
    assert document_of(office, crm_id).contact_id == theirs.id
    assert "note.contact_linked" in notes_of(office, batch) or "note.contact_new" in notes_of(office, batch)
    after = office.sandbox.xero.contact_by_name("Marble & Moss Ltd")
    assert after is not None
    assert as_kept(after) == as_kept(theirs)


def test_an_archived_contact_of_the_same_name_is_a_refusal(office: Office) -> None:
    contact(office, "Old Friends Ltd")
    office.sandbox.xero.actions.archive_contact(office.sandbox.xero.HARBOUR, "Old Friends Ltd")
    alice = office.ready()
    crm_id = invoice_for(office, "Old Friends Ltd")

    assert outcomes(office, alice.send(crm_id)) == [("refused", "send.contact_archived")]
    assert len([one for one in office.sandbox.xero.contacts() if one.name == "Old Friends Ltd"]) == 1


def test_a_contact_archived_after_linking_is_a_refusal_until_it_is_restored(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    document = document_of(office, crm_id)
    another = sendable(office, 1)[0]
    crm = office.sandbox.bitrix24.portals[HARBOUR]
    crm.change_invoice(another, companyId=crm.invoices[crm_id]["companyId"])
    office.sandbox.xero.actions.archive_contact(office.sandbox.xero.HARBOUR, document.contact_id)

    ((outcome, code),) = outcomes(office, alice.send(another))
    assert (outcome, code) in (("problem", "send.contact_archived"), ("problem", "xero.contact_archived"))

    office.sandbox.xero.actions.restore_contact(office.sandbox.xero.HARBOUR, document.contact_id)
    make_stale(office)
    assert outcomes(office, alice.send(another)) == [("created", None)]


def make_stale(office: Office) -> None:
    """The directory's two minutes are over."""
    with office.services.db.transaction() as tx:
        tx.execute(update(Watermark).values(read_at=None))


def test_a_merged_contact_is_followed(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    loser = document_of(office, crm_id).contact_id
    winner = contact(office, "The Larger Group Ltd")
    office.sandbox.xero.actions.merge_contacts(office.sandbox.xero.HARBOUR, loser, winner.id)
    another = sendable(office, 1)[0]
    crm = office.sandbox.bitrix24.portals[HARBOUR]
    crm.change_invoice(another, companyId=crm.invoices[crm_id]["companyId"])
    make_stale(office)

    assert outcomes(office, alice.send(another)) == [("created", None)]
    assert document_of(office, another).contact_id == winner.id


def test_a_contact_with_another_tax_number_is_a_refusal(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals[HARBOUR]
    company = next(number for number, one in crm.companies.items() if one["title"] == "Saltbush Trading Ltd")
    (crm_id,) = sendable(office, 1)
    crm.change_invoice(crm_id, companyId=company)

    assert outcomes(office, alice.send(crm_id)) == [("refused", "send.contact_tax_differs")]


@pytest.mark.parametrize("name", ["   ", "<>"])
def test_a_customer_without_a_name_is_a_refusal_and_no_call(office: Office, name: str) -> None:
    alice = office.ready()
    crm_id = invoice_for(office, name)
    office.sandbox.xero.controls.calls.clear()

    assert outcomes(office, alice.send(crm_id)) == [("refused", "send.customer_unnamed")]
    assert not [one for one in office.sandbox.xero.controls.calls if one.method == "PUT"]


def test_where_creating_customers_is_switched_off_a_missing_one_is_a_refusal(office: Office) -> None:
    alice = office.ready(create_contacts=[])
    crm_id = invoice_for(office, "Nobody Knows Ltd")

    assert outcomes(office, alice.send(crm_id)) == [("refused", "send.contact_missing")]
    assert office.sandbox.xero.contact_by_name("Nobody Knows Ltd") is None


def test_a_contact_is_never_changed_by_sending(office: Office) -> None:
    alice = office.ready()
    before = {one.id: as_kept(one) for one in office.sandbox.xero.contacts()}
    alice.send(*sendable(office, 15))

    after = {one.id: as_kept(one) for one in office.sandbox.xero.contacts()}
    assert {key: after[key] for key in before} == before
