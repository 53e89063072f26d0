"""What nobody announced is found: lists read again once per organisation, overdue by the day, silence noticed, all within a few calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from plugin import sweep
from plugin.models import Activity, DirectoryEntry, Link, Organisation
from plugin.sending import conductor
from tests.stories.main_story import approve, document_of, fields_of, reads, sendable, total_of
from tests.stories.office import Person
from tests.stories.patience import PatientOffice
from tests.stories.seen import row, rows

HOUR = 3600.0


@pytest.fixture
def office(patient: PatientOffice) -> PatientOffice:
    """Nothing is announced unless a story says so."""
    patient.sandbox.xero.controls.switches.set("webhooks", "off")
    return patient


def later(office: PatientOffice, seconds: float) -> None:
    """Time passes, the sweep looks, and what it rings for is done."""
    office.pass_time(seconds)
    looked(office)


def looked(office: PatientOffice) -> None:
    sweep.look(office.services)
    for organisation in rows(office, Organisation):
        conductor.conduct(office.services, organisation.id, lambda: False)
    office.work()


def sent(office: PatientOffice, count: int = 1) -> tuple[Person, list[int]]:
    """Invoices in Xero, approved, and everything seen."""
    alice = office.ready()
    ids = sendable(office, count)
    alice.send(*ids)
    for crm_id in ids:
        approve(office, crm_id)
    later(office, 3 * HOUR)
    return alice, ids


def status(office: PatientOffice, crm_id: int, portal: str = "harbour") -> str:
    return fields_of(office.sandbox.bitrix24.portals[portal], crm_id)["STATUS"]


def stage(office: PatientOffice, crm_id: int) -> str:
    return str(office.sandbox.bitrix24.portals["harbour"].invoices[crm_id]["stageId"])


def test_a_payment_that_nobody_announced_is_found_within_one_interval(office: PatientOffice) -> None:
    _, (crm_id,) = sent(office)
    crm = office.sandbox.bitrix24.portals["harbour"]
    office.sandbox.xero.pay(document_of(office, crm_id).id, "10.00")

    later(office, 3 * HOUR)

    assert status(office, crm_id) == "Part paid"
    assert Decimal(fields_of(crm, crm_id)["DUE"].partition("|")[0]) == total_of(crm, crm_id) - 10
    office.sandbox.xero.pay(document_of(office, crm_id).id)
    later(office, 3 * HOUR)
    assert (status(office, crm_id), stage(office, crm_id)) == ("Paid", crm.stage_id("P"))


def test_a_deleted_payment_moves_back_and_a_void_to_the_losing_stage(office: PatientOffice) -> None:
    _, (first, second) = sent(office, 2)
    crm = office.sandbox.bitrix24.portals["harbour"]
    payment = office.sandbox.xero.pay(document_of(office, first).id)
    office.sandbox.xero.void(document_of(office, second).id)
    later(office, 3 * HOUR)
    assert (stage(office, first), stage(office, second)) == (crm.stage_id("P"), crm.stage_id("D"))

    office.sandbox.xero.actions.unpay(office.sandbox.xero.HARBOUR, payment.id)
    later(office, 3 * HOUR)

    assert status(office, first) in ("Awaiting payment", "Overdue")
    assert stage(office, first) != crm.stage_id("P")
    assert status(office, second) == "Voided"


def test_what_moves_no_mark_in_xero_is_found_at_night(office: PatientOffice) -> None:
    office.sandbox.xero.controls.switches.set("payment_bumps_updated", "no")
    _, (crm_id, other) = sent(office, 2)
    office.sandbox.xero.edit(document_of(office, other).id, Reference="moves the mark on")
    later(office, 3 * HOUR)
    office.sandbox.xero.pay(document_of(office, crm_id).id)

    later(office, 3 * HOUR)
    assert status(office, crm_id) != "Paid"
    for _ in range(12):
        later(office, 2 * HOUR)

    assert status(office, crm_id) == "Paid"


def test_credit_set_against_an_invoice_is_found(office: PatientOffice) -> None:
    _, (crm_id,) = sent(office)
    xero, document = office.sandbox.xero, document_of(office, crm_id)
    line = {"Description": "Goodwill", "Quantity": 1, "UnitAmount": 10, "AccountCode": "200", "TaxType": "NONE"}
    element = {"Type": "ACCRECCREDIT", "Status": "AUTHORISED", "Contact": {"ContactID": document.contact_id}, "LineItems": [line]}
    note = xero.actions.create_credit_note(xero.HARBOUR, {**element, "Date": "2026-11-20", "CurrencyCode": document.currency})
    later(office, 3 * HOUR)
    xero.actions.allocate(xero.HARBOUR, note.id, document.id, "10.00")

    later(office, 3 * HOUR)

    assert status(office, crm_id) == "Part paid"


def test_quiet_time_writes_nothing_and_both_portals_share_one_reading(office: PatientOffice) -> None:
    sent(office)
    bob = office.install("stranger")
    bob.connect_xero()
    bob.set_up(number_prefix="BOB-")
    office.work()
    office.sandbox.xero.controls.calls.clear()
    office.sandbox.bitrix24.controls.calls.clear()

    later(office, 3 * HOUR)

    assert sorted(one.path.rpartition("/")[2] for one in reads(office)) == ["Contacts", "CreditNotes", "Invoices"]
    assert sum(call.body.count(b"crm.item.update") for call in office.sandbox.bitrix24.controls.calls) == 0


def test_nothing_is_swept_before_a_first_synchronisation(office: PatientOffice) -> None:
    alice = office.install()
    alice.connect_xero()
    office.sandbox.xero.controls.calls.clear()

    later(office, 24 * HOUR)

    assert reads(office) == []


def idle_day(office: PatientOffice) -> int:
    """A day in steps of ten minutes; the Xero calls of the accounting API that it took."""
    office.sandbox.xero.controls.calls.clear()
    for _ in range(144):
        office.pass_time(600)
        sweep.look(office.services)
        for organisation in rows(office, Organisation):
            conductor.conduct(office.services, organisation.id, lambda: False)
    return len(reads(office))


@pytest.mark.parametrize("silent", [False, True])
def test_an_idle_day_on_the_smallest_tier_takes_a_tenth_of_the_allowance_at_most(patient_office: PatientOffice, silent: bool) -> None:
    office = patient_office
    office.sandbox.xero.controls.switches.set("limits", "starter")
    sent(office)
    with office.services.db.transaction() as tx:
        tx.query(Organisation).update({"unheard": 2 if silent else 0})

    calls = idle_day(office)

    assert 20 <= calls <= (100 if silent else 60), calls


def test_two_misses_in_a_row_raise_the_operators_alarm_and_news_ends_it(office: PatientOffice) -> None:
    _, (first, second, third) = sent(office, 3)
    with office.services.db.transaction() as tx:
        tx.query(Organisation).update({"unheard": 0})
    metrics = lambda: office.client.get("/metrics").text  # noqa: E731
    office.sandbox.xero.pay(document_of(office, first).id)
    later(office, 3 * HOUR)
    assert "tallybridge_organisations_without_news 0" in metrics()

    office.sandbox.xero.pay(document_of(office, second).id)
    later(office, 3 * HOUR)

    assert "tallybridge_organisations_without_news 1" in metrics()
    office.sandbox.xero.pay(document_of(office, third).id)
    later(office, 0.2 * HOUR)  # sooner than usual now, on the larger day
    assert status(office, third) == "Paid"


def test_a_merged_contact_takes_its_customers_along(office: PatientOffice) -> None:
    _, (crm_id,) = sent(office)
    document = document_of(office, crm_id)
    winner = office.sandbox.xero.actions.create_contact(office.sandbox.xero.HARBOUR, {"Name": "The winner Ltd"})
    office.sandbox.xero.actions.merge_contacts(office.sandbox.xero.HARBOUR, document.contact_id, winner.id)
    for _ in range(14):
        later(office, 2 * HOUR)

    entry = row(office, DirectoryEntry, xero_id=document.contact_id)
    assert not entry.active
    assert rows(office, Link, xero_kind="contact", xero_id=document.contact_id) == []
    assert rows(office, Link, xero_kind="contact", xero_id=winner.id)
    assert rows(office, Activity, code="activity.contact_merged")


@pytest.mark.parametrize(("zone", "xero_name"), [("Pacific/Auckland", "NEWZEALANDSTANDARDTIME"), ("America/Los_Angeles", "PACIFICSTANDARDTIME")])
def test_overdue_comes_with_the_organisations_midnight_and_without_a_call(office: PatientOffice, zone: str, xero_name: str) -> None:
    office.sandbox.xero.actions.organisation_set(office.sandbox.xero.HARBOUR, timezone=xero_name)
    _, (crm_id,) = sent(office)
    document = document_of(office, crm_id)
    due = office.now().astimezone(ZoneInfo(zone)).date() + timedelta(days=1)
    office.sandbox.xero.edit(document.id, DueDate=due.isoformat())
    later(office, 3 * HOUR)
    midnight = datetime.combine(due + timedelta(days=1), datetime.min.time(), ZoneInfo(zone)).astimezone(UTC)
    left = (midnight - office.now()).total_seconds()
    office.pass_time(left - 120)
    sweep.look(office.services)
    assert status(office, crm_id) != "Overdue"
    office.sandbox.xero.controls.calls.clear()

    office.pass_time(180)
    sweep.look(office.services)
    office.work()

    assert status(office, crm_id) == "Overdue"
    assert reads(office) == []
    assert rows(office, Activity, code="activity.status_changed")[-1].params["after"] == "overdue"


def test_the_other_portal_sees_nothing_of_it(office: PatientOffice) -> None:
    _, (crm_id,) = sent(office)
    stranger = office.sandbox.bitrix24.portals["stranger"]
    before: Any = {number: dict(one) for number, one in stranger.invoices.items()}
    office.sandbox.xero.pay(document_of(office, crm_id).id)

    later(office, 3 * HOUR)

    assert {number: dict(one) for number, one in stranger.invoices.items()} == before
