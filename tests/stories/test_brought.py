"""What is made in Xero appears in Bitrix24, if somebody switched that on: once, complete, to the cent, and never what a portal sent itself."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from plugin import sweep
from plugin.bitrix24 import bringing as crm
from plugin.models import Activity, Arrival, Link, Organisation, SettingsVersion
from plugin.sending import conductor
from sandbox.xero.books import Invoice
from tests.stories.main_story import fields_of, notes_of, outcomes, sendable, writes
from tests.stories.office import Person
from tests.stories.patience import PatientOffice
from tests.stories.seen import deliver, ring, row, rows, words

HOUR = 3600.0


@pytest.fixture
def office(patient_office: PatientOffice) -> PatientOffice:
    patient_office.sandbox.xero.controls.switches.set("webhooks", "off")
    return patient_office


def later(office: PatientOffice, seconds: float = 3 * HOUR) -> None:
    office.pass_time(seconds)
    sweep.look(office.services)
    for organisation in rows(office, Organisation):
        conductor.conduct(office.services, organisation.id, lambda: False)
    office.work()


def switch_on(person: Person, **more: str) -> None:
    answer = person.post("/app/setup/brought", {"documents": "yes", **more})
    assert answer.status_code == 200, answer.text
    assert "Saved" in answer.text


def made_there(office: PatientOffice, contact: str = "", **more: Any) -> Invoice:
    """Somebody types an invoice into Xero."""
    xero = office.sandbox.xero
    holder = xero.contact_by_name(contact) if contact else None
    if holder is None:
        new = {"Name": contact or "Kauri Joinery Ltd", "EmailAddress": "office@kauri.example", "TaxNumber": "111-222-333"}
        phones = [{"PhoneType": "DEFAULT", "PhoneNumber": "555 0101", "PhoneAreaCode": "9", "PhoneCountryCode": "64"}]
        addresses = [{"AddressType": "POBOX", "AddressLine1": "PO Box 7", "City": "Napier", "PostalCode": "4110", "Country": "New Zealand"}]
        holder = xero.actions.create_contact(xero.HARBOUR, {**new, "Phones": phones, "Addresses": addresses})
    lines = [
        {"Description": "Boards", "Quantity": "3", "UnitAmount": "33.335", "AccountCode": "200", "TaxType": "OUTPUT2"},
        {"Description": "Delivery", "Quantity": "1", "UnitAmount": "20", "AccountCode": "200", "TaxType": "NONE"},
        {"Description": "Loyalty", "Quantity": "1", "UnitAmount": "-5", "AccountCode": "200", "TaxType": "OUTPUT2"},
    ]
    today = office.now().date()  # not yet due wherever the organisation is
    due = (today + timedelta(days=7)).isoformat()
    element = {"Type": "ACCREC", "Status": "AUTHORISED", "Contact": {"ContactID": holder.id}, "Date": today.isoformat(), "DueDate": due, "LineItems": lines}
    return xero.actions.create_invoice(xero.HARBOUR, {**element, "CurrencyCode": "NZD", "InvoiceNumber": "KJ-1", **more})


def brought(office: PatientOffice, portal: str = "harbour") -> list[dict[str, Any]]:
    return [one for one in office.sandbox.bitrix24.portals[portal].invoices.values() if one.get("xmlId")]


def killed_twice(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The worker dies in the middle of bringing, two times. What is left of these deaths."""
    real, dying = crm.totals, [True, True]

    def dies(*arguments: Any) -> Any:
        if dying:
            dying.pop()
            raise RuntimeError("killed")
        return real(*arguments)

    monkeypatch.setattr(crm, "totals", dies)
    return dying


def neighbour(office: PatientOffice) -> Person:
    """Another portal at the same organisation."""
    bob = office.install("stranger")
    bob.connect_xero()
    bob.set_up(number_prefix="BOB-")
    office.work()
    return bob


def test_an_invoice_made_in_xero_appears_with_everything_and_without_robots(office: PatientOffice) -> None:
    alice = office.ready()
    switch_on(alice)
    crm_side = office.sandbox.bitrix24.portals["harbour"]
    document = made_there(office)

    later(office)

    (found,) = brought(office)
    company = crm_side.companies[found["companyId"]]
    assert (company["title"], company["originatorId"]) == ("Kauri Joinery Ltd", "XERO")
    assert {one["value"] for one in company["fm"]} == {"office@kauri.example", "+64 9 555 0101"}
    assert Decimal(str(found["opportunity"])) == document.total
    assert (found["accountNumber"], found["currencyId"], found["begindate"]) == ("KJ-1", "NZD", document.date)
    assert [(one["productName"], one["taxRate"]) for one in crm_side.rows(found["id"])][1] == ("Delivery", None)
    assert fields_of(crm_side, found["id"])["ID"] == document.id
    assert found["stageId"] == crm_side.stage_id("S")
    link = row(office, Link, crm_kind="invoice", xero_id=document.id)
    assert (link.crm_id, link.how) == (found["id"], "imported")
    requisite = next(one for one in crm_side.requisites.values() if one["ENTITY_ID"] == company["id"])
    assert requisite["RQ_VAT_ID"] == "111-222-333"
    assert rows(office, Activity, code="activity.brought")

    office.sandbox.xero.pay(document.id)
    later(office)
    assert brought(office)[0]["stageId"] == crm_side.stage_id("P")


def test_what_was_made_in_xero_is_not_overwritten_unless_somebody_says_so(office: PatientOffice) -> None:
    """One author: the bookkeeper's document keeps its lines, status and link until a person decides otherwise."""
    alice = office.ready()
    switch_on(alice)
    crm_side = office.sandbox.bitrix24.portals["harbour"]
    document = made_there(office, "Harbour View Cafe", Status="DRAFT", Reference="Table 7")
    later(office)
    (found,) = brought(office)
    office.sandbox.xero.controls.calls.clear()

    batch = alice.send(found["id"])
    ((outcome, code),) = outcomes(office, batch)
    assert (outcome, code) == ("refused", "edit.conflict")
    assert "It was made in Xero, so what Xero says counts." in words(alice.get(f"/app/batches/{batch}").text)
    crm_side.set_stage(found["id"], "S")
    alice.send(found["id"])
    later(office)
    assert writes(office) == []
    assert office.sandbox.xero.invoice(document.id).status == "DRAFT"

    # Changes in the CRM do not go by themselves either, and nothing complains on the invoice.
    alice.post("/app/setup/automatic", {"automatic": "new"})
    deliver(office)
    crm_side.change_invoice(found["id"], title="Another title")
    deliver(office)
    office.work()
    assert writes(office) == []
    assert fields_of(crm_side, found["id"]).get("ERROR") in (None, "", "None")

    # Somebody says that the CRM's side counts, and from then on it does.
    assert outcomes(office, alice.send(found["id"], push="1")) == [("updated", None)]
    assert Decimal(str(office.sandbox.xero.invoice(document.id).total)) == Decimal(str(brought(office)[0]["opportunity"]))
    crm_side.change_invoice(found["id"], [{"productName": "Boards", "price": 50, "quantity": 2, "taxRate": 15}])
    assert outcomes(office, alice.send(found["id"])) == [("updated", None)]
    assert str(office.sandbox.xero.invoice(document.id).total) == "100.00"


def test_keeping_what_xero_has_is_a_decision_too(office: PatientOffice) -> None:
    alice = office.ready()
    switch_on(alice)
    document = made_there(office, "Harbour View Cafe", Status="DRAFT")
    later(office)
    (found,) = brought(office)
    before = office.sandbox.xero.invoice(document.id).total
    office.sandbox.xero.controls.calls.clear()

    assert outcomes(office, alice.send(found["id"], keep="1")) == [("unchanged", None)]
    assert outcomes(office, alice.send(found["id"])) == [("unchanged", None)]
    assert writes(office) == []
    assert office.sandbox.xero.invoice(document.id).total == before

    # From then on what the CRM changes goes, and only that.
    office.sandbox.bitrix24.portals["harbour"].change_invoice(found["id"], closedate=(office.now().date() + timedelta(days=40)).isoformat())
    assert outcomes(office, alice.send(found["id"])) == [("updated", None)]
    held = office.sandbox.xero.invoice(document.id)
    assert (held.due_date, held.total) == (office.now().date() + timedelta(days=40), before)


def test_a_brought_invoice_that_agrees_is_unchanged_and_says_why(office: PatientOffice) -> None:
    alice = office.ready()
    switch_on(alice)
    line = {"Description": "Delivery", "Quantity": "1", "UnitAmount": "20", "AccountCode": "200", "TaxType": "OUTPUT2"}
    document = made_there(office, "Harbour View Cafe", Status="DRAFT", LineItems=[line], LineAmountTypes="Exclusive", Reference="")
    later(office)
    (found,) = brought(office)
    office.sandbox.bitrix24.portals["harbour"].set_stage(found["id"], "S")
    office.sandbox.xero.controls.calls.clear()

    batch = alice.send(found["id"])

    assert outcomes(office, batch) == [("unchanged", None)]
    assert "note.made_in_xero" in notes_of(office, batch)
    assert "It was made in Xero and is changed there." in words(alice.get(f"/app/batches/{batch}").text)
    assert writes(office) == []
    assert (office.sandbox.xero.invoice(document.id).status, office.sandbox.xero.invoice(document.id).url) == ("DRAFT", "")


def test_off_by_default_older_ones_stay_and_a_stranger_sees_nothing(office: PatientOffice) -> None:
    alice = office.ready()
    made_there(office)
    later(office)
    assert brought(office) == []

    switch_on(alice)
    old = made_there(office, "Ancient Ltd", InvoiceNumber="OLD-1", Date="2026-01-05", DueDate="2026-01-20")
    later(office)

    assert [one["accountNumber"] for one in brought(office)] == ["KJ-1"]  # made before the switch, after the start date
    assert rows(office, Arrival, xero_id=old.id) == []
    assert brought(office, "stranger") == []
    assert office.open("harbour", 3).post("/app/setup/brought", {"documents": "yes"}).status_code == 403


def test_what_a_portal_sent_is_not_brought_into_another(office: PatientOffice) -> None:
    alice = office.ready()
    bob = neighbour(office)
    switch_on(alice)
    switch_on(bob)
    alice.send(*sendable(office, 1))
    document = made_there(office)

    later(office)

    for portal in ("harbour", "stranger"):
        assert [one["xmlId"] for one in brought(office, portal)] == [document.id]


def test_killed_in_the_middle_it_is_still_made_once(office: PatientOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = office.ready()
    switch_on(alice)
    document = made_there(office)
    dying = killed_twice(monkeypatch)
    office.pass_time(3 * HOUR)
    sweep.look(office.services)
    conductor.conduct(office.services, 1, lambda: False)
    ring(office)
    assert [one.state for one in rows(office, Arrival)] == ["announced"]
    (half,) = brought(office)
    batch = alice.order(half["id"])  # somebody, or the automatic mode, meets it before it is linked
    alice.post(f"/app/batches/{batch}/confirm")
    later(office)
    later(office)
    assert [one for one in writes(office) if one.method == "PUT"] == []  # the order came to an update of the one document

    assert not dying
    (found,) = brought(office)
    assert Decimal(str(found["opportunity"])) == document.total
    assert len([one for one in office.sandbox.bitrix24.portals["harbour"].companies.values() if one["title"] == "Kauri Joinery Ltd"]) == 1
    assert row(office, Arrival, xero_kind="invoice").state == "made"
    switch_on(alice)
    later(office)
    assert len(brought(office)) == 1


def test_an_answer_that_was_lost_makes_no_second_one(office: PatientOffice) -> None:
    alice = office.ready()
    switch_on(alice)
    made_there(office, "Harbour View Cafe")
    office.sandbox.bitrix24.controls.fail("lost", path="/rest/batch", times=2, skip=1)

    later(office)
    later(office)

    assert len(brought(office)) == 1


def test_an_invoice_that_agrees_is_linked_and_one_that_does_not_is_told(office: PatientOffice) -> None:
    alice = office.ready()
    switch_on(alice)
    crm_side = office.sandbox.bitrix24.portals["harbour"]
    document = made_there(office)
    later(office)
    crm_side.add_invoice([{"productName": "Else", "price": 5, "quantity": 1}], title="Mine", accountNumber="KJ-2")
    other = made_there(office, "Kauri Joinery Ltd", InvoiceNumber="KJ-2")

    later(office)

    assert [one["xmlId"] for one in brought(office)] == [document.id]
    assert row(office, Arrival, xero_id=other.id).problem_code == "bring.doubtful"
    assert "another invoice with the number KJ-2" in words(alice.get("/app/activity").text)
    assert "1 could not be made" in words(alice.get("/app/setup").text)


def test_new_contacts_become_companies_and_people(office: PatientOffice) -> None:
    alice = office.ready()
    switch_on(alice, contacts="yes")
    xero, crm_side = office.sandbox.xero, office.sandbox.bitrix24.portals["harbour"]
    xero.actions.create_contact(xero.HARBOUR, {"Name": "Moana Reti", "FirstName": "Moana", "LastName": "Reti", "EmailAddress": "moana@reti.example"})
    xero.actions.create_contact(xero.HARBOUR, {"Name": "Southern Kelp Ltd"})

    later(office)
    later(office)

    assert [one["lastName"] for one in crm_side.contacts.values() if one["originatorId"] == "XERO"] == ["Reti"]
    assert [one["title"] for one in crm_side.companies.values() if one["originatorId"] == "XERO"] == ["Southern Kelp Ltd"]
    assert {one.crm_kind for one in rows(office, Link, xero_kind="contact", how="imported")} == {"company", "contact"}


def test_a_later_change_of_the_set_up_keeps_the_switch(office: PatientOffice) -> None:
    alice = office.ready()
    switch_on(alice, contacts="yes")

    alice.set_up(number_prefix="HV-")

    newest = rows(office, SettingsVersion)[-1].body
    assert (newest["bring_documents"], newest["bring_contacts"], newest["number_prefix"]) == (True, True, "HV-")
    assert newest["bring_contacts_from"]
