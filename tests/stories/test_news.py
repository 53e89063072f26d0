"""Xero's news: lost, shuffled, told twice, about contacts and credit notes; both sides agree after one interval of the sweep."""

from __future__ import annotations

import random
from typing import Any

from plugin.limits import Slot
from plugin.models import DirectoryEntry, Organisation, Watermark
from plugin.sending import conductor
from tests.stories.main_story import approve, document_of, fields_of, reads, sendable
from tests.stories.patience import PatientOffice
from tests.stories.seen import row
from tests.stories.test_sweeps import HOUR, later
from tests.stories.test_webhooks import event, told


def test_every_third_lost_and_the_rest_shuffled_both_sides_agree_after_one_interval(patient_office: PatientOffice) -> None:
    office, dice = patient_office, random.Random(8)
    office.sandbox.xero.controls.switches.set("webhooks", "off")
    alice = office.ready()
    ids = sendable(office, 6)
    alice.send(*ids)
    news: list[dict[str, Any]] = []
    for crm_id in ids:
        approve(office, crm_id)
        document = document_of(office, crm_id)
        office.sandbox.xero.pay(document.id, "1.00")
        office.sandbox.xero.pay(document.id)
        news += [event(office, document.id) for _ in range(3)]
    arrived = [one for number, one in enumerate(news[:-3]) if number % 3]  # and of the last invoice nothing at all
    dice.shuffle(arrived)
    for one in arrived:
        assert told(office, one, one) == 200
    office.work()
    crm = office.sandbox.bitrix24.portals["harbour"]
    assert [fields_of(crm, one)["STATUS"] for one in ids[:-1]] == ["Paid"] * 5
    assert fields_of(crm, ids[-1])["STATUS"] != "Paid"

    later(office, 3 * HOUR)

    assert [fields_of(crm, one)["STATUS"] for one in ids] == ["Paid"] * 6
    assert {crm.invoices[one]["stageId"] for one in ids} == {crm.stage_id("P")}


def test_payments_in_quick_succession_share_readings_and_a_click_waits_for_none_of_them(patient_office: PatientOffice) -> None:
    office = patient_office
    office.sandbox.xero.controls.switches.set("webhooks", "off")
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    alice.send(*(everything := sendable(office, 13)))
    clicked, *ids = [one for one in everything if fields_of(crm, one).get("ID")]
    for crm_id in ids:
        approve(office, crm_id)
    books = row(office, Organisation)
    organisation, limits = books.id, office.services.xero_limits
    for _ in range(10):  # the minute is not young any more
        slot = limits.take(books.tenant_id, "people")
        assert isinstance(slot, Slot)
        limits.give_back(slot, minute_left=None, day_left=None)
    office.sandbox.xero.controls.calls.clear()

    for crm_id in ids:
        document = document_of(office, crm_id)
        office.sandbox.xero.pay(document.id)
        assert told(office, event(office, document.id)) == 200
        office.take_in()
        conductor.conduct(office.services, organisation, lambda: False)

    assert len(reads(office)) < len(ids) / 2
    crm.change_invoice(clicked, title="Said by a person meanwhile", rows=[{**one, "quantity": 7} for one in crm.rows(clicked)])
    batch = alice.order(clicked)
    alice.post(f"/app/batches/{batch}/confirm")
    conductor.conduct(office.services, organisation, lambda: False)
    assert document_of(office, clicked).lines[0].quantity == 7
    assert any(kind == "pull" for kind, *_ in office.waiting())

    office.work()
    assert [fields_of(crm, one)["STATUS"] for one in ids] == ["Paid"] * len(ids)


def test_news_of_a_contact_refreshes_the_list_and_much_of_it_is_one_reading(patient_office: PatientOffice) -> None:
    office = patient_office
    office.sandbox.xero.controls.switches.set("webhooks", "off")
    office.ready()
    office.pass_time(120)
    contact = office.sandbox.xero.actions.create_contact(office.sandbox.xero.HARBOUR, {"Name": "Just Met Ltd"})
    office.sandbox.xero.controls.calls.clear()

    for _ in range(5):
        assert told(office, event(office, contact.id, eventCategory="CONTACT"), event(office, contact.id, eventCategory="SUBSCRIPTION")) == 200
        office.take_in()
        conductor.conduct(office.services, row(office, Organisation).id, lambda: False)

    assert row(office, DirectoryEntry, xero_id=contact.id).appeared_at is not None
    assert [one.path.rpartition("/")[2] for one in reads(office)] == ["Contacts"]
    assert row(office, Watermark, resource="contact").due_at is not None  # the later news waits for its turn


def test_news_of_a_stranger_is_counted_and_forged_ones_too(patient_office: PatientOffice) -> None:
    office = patient_office
    office.ready()

    assert told(office, event(office, "717f2bfc-c6d4-41fd-b238-3f2f0c0cf777", tenantId=office.sandbox.xero.BOB)) == 200
    assert office.client.post("/xero/webhooks", data=b"{}", headers={"x-xero-signature": "forged"}).status_code == 401

    metrics = office.client.get("/metrics").text
    assert 'tallybridge_webhooks_total{outcome="stranger"} ' in metrics
    assert 'tallybridge_webhooks_total{outcome="forged"} ' in metrics
