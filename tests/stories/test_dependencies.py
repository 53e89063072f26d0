"""What invoices depend on changes in the CRM: requisites and addresses, products and prices, currencies. What is ours in Xero follows, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from plugin.models import Activity, SetUp
from plugin.talking import service_rest
from plugin.usecases import watch
from sandbox.bitrix24.fields import COMPANY
from tests.stories.main_story import outcomes
from tests.stories.office import Office, Person
from tests.stories.patience import PatientOffice
from tests.stories.seen import deliver, row, rows
from tests.stories.test_automatic import automatic, contact_of, harbour, live, new_invoice
from tests.stories.test_sending import sendable, writes


def somebody(office: Office, person: Person, method: str, **params: Any) -> Any:
    """An administrator of the portal changes something, as the CRM's own pages do."""
    return service_rest(office.services, person.portal_id, "people").call(method, params).result


def contact_writes(office: Office) -> int:
    return len([one for one in writes(office) if one.path.endswith("/Contacts")])


def made_customer(office: Office) -> tuple[Person, int]:
    """A company of which our app made a contact, with an open invoice."""
    alice = automatic(office)
    company = harbour(office).add_item(COMPANY, title="Kowhai Glass Ltd")
    new_invoice(office, companyId=company)
    live(office, 6)
    assert contact_of(office, company).name == "Kowhai Glass Ltd"
    office.sandbox.xero.controls.calls.clear()
    return alice, company


def add_papers(office: Office, alice: Person, company: int) -> int:
    fields = {"ENTITY_TYPE_ID": COMPANY, "ENTITY_ID": company, "PRESET_ID": 1, "NAME": "Papers", "RQ_VAT_ID": "123-456-789"}
    return int(somebody(office, alice, "crm.requisite.add", fields=fields))


def test_requisites_and_addresses_reach_the_contact_that_we_made(office: Office) -> None:
    alice, company = made_customer(office)
    papers = add_papers(office, alice, company)
    live(office)
    assert contact_of(office, company).texts.get("TaxNumber") == "123-456-789"

    place = {"TYPE_ID": 1, "ENTITY_TYPE_ID": 8, "ENTITY_ID": papers, "ADDRESS_1": "12 Quay St", "CITY": "Napier", "POSTAL_CODE": "4110"}
    somebody(office, alice, "crm.address.add", fields=place)
    live(office)
    assert "12 Quay St" in str(contact_of(office, company).addresses)
    assert contact_writes(office) == 2
    assert len(rows(office, Activity, code="activity.contact_updated")) == 2

    # What is said again changes nothing.
    somebody(office, alice, "crm.requisite.update", id=papers, fields={"RQ_VAT_ID": "123-456-789"})
    live(office)
    assert contact_writes(office) == 2


def test_requisites_that_changed_without_a_word_are_found_in_the_night(patient_office: PatientOffice) -> None:
    office = patient_office
    alice, company = made_customer(office)
    watch.order_due(office.services)
    office.work()
    add_papers(office, alice, company)
    assert office.sandbox.bitrix24.delivery.flush()
    office.sandbox.bitrix24.delivery.log.clear()  # the event is lost
    office.work()
    assert contact_of(office, company).texts.get("TaxNumber") != "123-456-789"

    office.pass_time(86_400)
    watch.order_due(office.services)
    office.work()

    assert contact_of(office, company).texts.get("TaxNumber") == "123-456-789"
    office.sandbox.xero.controls.calls.clear()
    office.pass_time(86_400)
    watch.order_due(office.services)
    office.work()
    assert contact_writes(office) == 0


def test_a_product_with_another_code_is_named_by_it_in_the_next_send(office: Office) -> None:
    alice = automatic(office)
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    live(office)
    before = {line.item_id for line in office.sandbox.xero.invoice(harbour(office).invoices[crm_id]["accountNumber"]).lines}
    office.sandbox.xero.controls.calls.clear()

    product = next(int(one["productId"]) for one in harbour(office).rows(crm_id) if one.get("productId"))
    catalog = harbour(office).catalog.products
    parent = next((int(value) for name, value in catalog[product].items() if name.startswith("property") and value), None)
    for number in {product, parent} - {None}:
        somebody(office, alice, "catalog.product.update", id=number, fields={"code": f"NEW-{number}"})
    assert "CATALOG.PRODUCT.ON.UPDATE" in [one.parcel.name for one in flushed(office)]
    live(office)
    assert writes(office) == []  # nothing was ordered by that

    assert outcomes(office, alice.send(crm_id)) == [("updated", None)]
    after = {line.item_id for line in office.sandbox.xero.invoice(harbour(office).invoices[crm_id]["accountNumber"]).lines}
    assert after != before


def flushed(office: Office) -> list[Any]:
    assert office.sandbox.bitrix24.delivery.flush()
    return list(office.sandbox.bitrix24.delivery.log)


@pytest.mark.parametrize("method", ["crm.currency.update", "crm.currency.add"])
def test_a_changed_currency_is_read_again(patient_office: PatientOffice, method: str) -> None:
    office = patient_office
    alice = automatic(office)
    alice.get("/app/setup/4")
    assert row(office, SetUp, portal_id=alice.portal_id).facts is not None
    fields = {"CURRENCY": "JPY", "AMOUNT": 1.2, "AMOUNT_CNT": 100} if method.endswith("add") else {"AMOUNT": 1.7}
    somebody(office, alice, method, **({"fields": fields} if method.endswith("add") else {"id": "AUD", "fields": fields}))
    deliver(office)
    office.take_in()

    assert row(office, SetUp, portal_id=alice.portal_id).facts is None
