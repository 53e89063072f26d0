"""Bills made in Xero appear in a smart process of the CRM, if somebody switched that on: once, to the cent, in their own place, followed from then on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from plugin import jobs, sweep
from plugin.bitrix24 import bringing as crm
from plugin.models import Activity, Arrival, Job, Link, SettingsVersion
from plugin.receiving import overdue
from plugin.sending import conductor
from plugin.usecases import take_webhooks
from sandbox.bitrix24.crm import Actor
from sandbox.bitrix24.portal import Portal
from sandbox.xero.books import Invoice
from tests.stories.main_story import writes
from tests.stories.office import Person
from tests.stories.patience import PatientOffice
from tests.stories.seen import ring, row, rows, says, words
from tests.stories.test_brought import brought, killed_twice, later, made_there, neighbour, office
from tests.stories.test_webhooks import event, told

__all__ = ["office"]

TITLE = "Supplier bills"
LINES = [
    {"Description": "Corks", "Quantity": "3", "UnitAmount": "33.335", "AccountCode": "429", "TaxType": "INPUT2"},
    {"Description": "Freight", "Quantity": "1", "UnitAmount": "20", "AccountCode": "429", "TaxType": "NONE"},
]


def switch_on(person: Person, place: str = "new", **more: str) -> str:
    answer = person.post("/app/setup/brought", {"bills": "yes", "bills_place": place, **more})
    assert answer.status_code == 200, answer.text
    return answer.text


def bill(office: PatientOffice, supplier: str = "Cork & Co Ltd", number: str = "INV-77", **more: Any) -> Invoice:
    """Somebody types a supplier's bill into Xero."""
    return made_there(office, supplier, Type="ACCPAY", InvoiceNumber=number, LineItems=LINES, **more)


def side(office: PatientOffice, portal: str = "harbour") -> Portal:
    return office.sandbox.bitrix24.portals[portal]


def process(portal: Portal, title: str = TITLE) -> Mapping[str, Any]:
    (found,) = [one for one in portal.processes.values() if one["title"] == title]
    return found


def bills(office: PatientOffice, portal: str = "harbour", title: str = TITLE) -> list[dict[str, Any]]:
    """What lies in the place for bills."""
    there = side(office, portal)
    return [one for kind in there.processes.values() if kind["title"] == title for one in there.items(kind["entityTypeId"]).values()]


def own(office: PatientOffice, item: Mapping[str, Any], name: str) -> Any:
    """Our own field of a bill."""
    return item.get(f"UF_CRM_{process(side(office))['id']}_XERO_{name}")


def stage(office: PatientOffice, code: str) -> str:
    there = side(office)
    return there.process_stage(process(there)["entityTypeId"], code)


def test_a_bill_made_in_xero_appears_in_a_process_made_for_it_and_is_followed(office: PatientOffice) -> None:
    alice = office.ready()
    there = side(office)
    assert "Supplier bills" not in alice.get("/app/setup").text  # nobody asked
    assert "Make a new one: “Supplier bills”" in words(alice.get("/app/setup/bills-place").text)
    assert not there.processes

    page = words(switch_on(alice))

    assert "Saved" in page
    made = process(there)
    names = {one["NAME"] for one in there.stages(made["entityTypeId"]).values()}
    assert {"Draft", "Awaiting approval", "Awaiting payment", "Paid", "Voided"} <= names
    before = len(there.invoices)
    document = bill(office)
    later(office)

    (found,) = bills(office)
    assert (found["title"], Decimal(str(found["opportunity"])), found["currencyId"]) == ("INV-77 Cork & Co Ltd", document.total, "NZD")
    assert (found["begindate"], found["closedate"], found["stageId"]) == (document.date, document.due_date, stage(office, "CLIENT"))
    supplier = there.companies[found["companyId"]]
    assert (supplier["title"], supplier["typeId"], supplier["originatorId"]) == ("Cork & Co Ltd", "SUPPLIER", "XERO")
    assert (own(office, found, "ID"), own(office, found, "NUMBER"), own(office, found, "STATUS")) == (document.id, "INV-77", "Awaiting payment")
    assert own(office, found, "DUE") == f"{document.total:.2f}|NZD"
    assert document.id in own(office, found, "URL")
    assert len(there.invoices) == before
    assert rows(office, Activity, code="activity.brought")[-1].params["number"] == "INV-77 Cork & Co Ltd"

    office.sandbox.xero.pay(document.id)
    assert told(office, event(office, document.id)) == 200
    office.work()
    (found,) = bills(office)
    assert (found["stageId"], own(office, found, "STATUS"), own(office, found, "DUE")) == (stage(office, "SUCCESS"), "Paid", "0.00|NZD")
    assert own(office, found, "PAID") == f"{document.total:.2f}|NZD"
    later(office)
    assert len(bills(office)) == 1
    assert writes(office) == []

    card = f"/crm/type/{made['entityTypeId']}/details/{found['id']}/"
    assert card in alice.get("/app/activity").text
    alice.post("/app/setup/connection/disconnect")
    page = alice.get("/app/activity").text
    assert "INV-77 Cork & Co Ltd" in words(page)
    assert "/crm/type/0/" not in page


def test_the_proposed_map_may_be_changed_and_holds(office: PatientOffice) -> None:
    alice = office.ready()
    switch_on(alice)
    chosen = {"bill-stage:draft": stage(office, "PREPARATION"), "bill-stage:paid": stage(office, "CLIENT"), "bill-stage:authorised": ""}
    kind = str(process(side(office))["entityTypeId"])
    assert "Saved" in switch_on(alice, kind, **chosen)
    assert rows(office, SettingsVersion)[-1].body["bill_status_to_stage"] == {"draft": stage(office, "PREPARATION"), "paid": stage(office, "CLIENT")}

    draft = bill(office, Status="DRAFT")
    later(office)
    assert bills(office)[0]["stageId"] == stage(office, "PREPARATION")
    office.sandbox.xero.approve(draft.id)
    later(office)
    assert bills(office)[0]["stageId"] == stage(office, "PREPARATION")
    office.sandbox.xero.pay(draft.id)
    later(office)
    assert bills(office)[0]["stageId"] == stage(office, "CLIENT")

    page = switch_on(alice, kind, **{"bill-stage:paid": "DT1030_9:ELSEWHERE"})
    assert "Saved" not in page
    assert says(page, "setup.stage_unknown", stage="DT1030_9:ELSEWHERE")


def test_off_by_default_and_a_stranger_sees_nothing(office: PatientOffice) -> None:
    alice = office.ready()
    neighbour(office)
    side(office, "stranger").add_process("Bob's own")
    bill(office)
    later(office)
    assert rows(office, Arrival) == []

    assert "Bob" not in alice.get("/app/setup/bills-place").text
    foreign = str(next(iter(side(office, "stranger").processes.values()))["entityTypeId"])
    refused = switch_on(alice, foreign)
    assert "This smart process does not exist" in words(refused)
    assert not rows(office, SettingsVersion)[-1].body["bring_bills"]
    sales = office.open("harbour", 3)
    assert sales.post("/app/setup/brought", {"bills": "yes", "bills_place": "new"}).status_code == 403
    assert sales.get("/app/setup/bills-place").status_code == 403

    switch_on(alice)
    later(office)
    assert len(bills(office)) == 1
    assert bills(office, "stranger") == []
    assert [one for one in side(office, "stranger").companies.values() if one["title"] == "Cork & Co Ltd"] == []


def test_two_portals_of_one_organisation_each_get_theirs(office: PatientOffice) -> None:
    alice = office.ready()
    bob = neighbour(office)
    switch_on(alice)
    switch_on(bob)
    document = bill(office)
    later(office)
    office.sandbox.xero.pay(document.id)
    later(office)

    for name in ("harbour", "stranger"):
        (found,) = bills(office, name)
        assert (found["xmlId"], found["stageId"]) == (document.id, side(office, name).process_stage(process(side(office, name))["entityTypeId"], "SUCCESS"))


def test_only_a_process_that_suits_is_offered(office: PatientOffice) -> None:
    alice = office.ready()
    there = side(office)
    plain = there.add_process("Permits", isLinkWithProductsEnabled=False)
    purchases = there.add_process("Purchases")

    page = alice.get("/app/setup/bills-place").text
    assert "Purchases" in page
    assert "Permits" not in page
    assert "This smart process does not exist, or lacks what a bill needs." in words(switch_on(alice, str(plain["entityTypeId"])))

    assert "Saved" in switch_on(alice, str(purchases["entityTypeId"]))
    bill(office)
    later(office)
    assert [one["title"] for one in bills(office, title="Purchases")] == ["INV-77 Cork & Co Ltd"]
    assert len(there.processes) == 2


def test_an_answer_that_was_lost_makes_no_second_process(office: PatientOffice) -> None:
    alice = office.ready()
    office.sandbox.bitrix24.controls.fail("lost", path="crm.type.add")

    page = switch_on(alice)
    assert "Saved" not in page
    assert len(side(office).processes) == 1
    assert "Saved" in switch_on(alice)
    assert len(side(office).processes) == 1


def test_before_the_set_up_there_is_nothing_to_choose(office: PatientOffice) -> None:
    alice = office.install("harbour")
    answer = alice.get("/app/setup/bills-place")
    assert answer.status_code < 500
    assert says(answer.text, "portal.not_set_up")


def test_who_saves_before_the_choice_is_shown_gets_it(office: PatientOffice) -> None:
    alice = office.ready()
    page = alice.post("/app/setup/brought", {"bills": "yes"}).text
    assert says(page, "bills.no_process")
    assert "Make a new one" in page
    assert not rows(office, SettingsVersion)[-1].body["bring_bills"]


def test_a_portal_that_knows_no_smart_processes_says_so_and_the_rest_is_saved(office: PatientOffice) -> None:
    alice = office.ready()
    office.sandbox.bitrix24.controls.fail("status", path="crm.type.list", status=404, times=9)
    assert "Where bills are kept cannot be shown now." in words(alice.get("/app/setup/bills-place").text)
    assert "Saved" in alice.post("/app/setup/brought", {"documents": "yes"}).text


def test_a_plan_without_smart_processes_is_told_and_nothing_is_kept(office: PatientOffice) -> None:
    alice = office.ready()
    office.sandbox.bitrix24.controls.switches.set("smart_processes", "restricted")

    page = words(switch_on(alice, documents="yes"))

    assert "Please look again" in page
    assert "The plan of this Bitrix24 does not permit this." in page
    newest = rows(office, SettingsVersion)[-1].body
    assert (newest["bring_documents"], newest["bring_bills"]) == (False, False)


def test_killed_in_the_middle_it_is_still_made_once(office: PatientOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = office.ready()
    switch_on(alice)
    document = bill(office)
    dying = killed_twice(monkeypatch)
    later(office)
    later(office)

    assert not dying
    (found,) = bills(office)
    assert Decimal(str(found["opportunity"])) == document.total
    assert len([one for one in side(office).companies.values() if one["title"] == "Cork & Co Ltd"]) == 1
    assert row(office, Arrival, xero_kind="bill").state == "made"


def test_a_deleted_process_stops_bills_only_and_the_next_one_gets_them(office: PatientOffice) -> None:
    alice = office.ready()
    there = side(office)
    switch_on(alice, documents="yes")
    first, sold = bill(office), made_there(office, "Harbour View Cafe", InvoiceNumber="HV-1")
    later(office)
    there.remove_process(process(there)["entityTypeId"])
    for paid in (first, sold):
        office.sandbox.xero.pay(paid.id)
    second = bill(office, number="INV-78")
    invoice = made_there(office, "Kauri Joinery Ltd")
    later(office)

    assert [(one["xmlId"], one["stageId"]) for one in brought(office)] == [(sold.id, there.stage_id("P")), (invoice.id, there.stage_id("S"))]
    assert row(office, Arrival, xero_id=second.id).problem_code == "bring.no_place"
    page = alice.get("/app/setup").text
    assert "1 could not be made" in words(page)
    assert says(page, "bring.no_place")

    assert "Saved" in switch_on(alice, documents="yes")
    later(office)
    assert [one["xmlId"] for one in bills(office)] == [second.id]  # the first one went with its place, and is Xero's
    assert row(office, Link, xero_id=first.id).ended_reason == "place_left"


def test_bills_of_a_place_that_was_left_stay_as_they_are(office: PatientOffice) -> None:
    alice = office.ready()
    there = side(office)
    switch_on(alice)
    document = bill(office)
    later(office)
    other = there.add_process("Purchases")
    page = alice.get("/app/setup").text
    assert "the bills that are in “Supplier bills” stay there" in words(page)

    office.sandbox.xero.pay(document.id)  # the news is on its way while somebody chooses
    told(office, event(office, document.id))
    take_webhooks.drain(office.services, 1, lambda: False)
    conductor.conduct(office.services, 1, lambda: False)
    assert row(office, Job, kind=jobs.WRITE_BACK, state="waiting").subject.startswith("back:bill:")
    switch_on(alice, str(other["entityTypeId"]))
    there.crm.create(other["entityTypeId"], {"title": "Mine"}, Actor(1))
    office.work()
    later(office)
    later(office)

    assert [one["stageId"] for one in bills(office)] == [stage(office, "CLIENT")]
    (mine,) = bills(office, title="Purchases")
    assert (mine["title"], mine["stageId"]) == ("Mine", there.process_stage(other["entityTypeId"], "NEW"))
    assert not any(value for name, value in mine.items() if name.startswith("UF_"))
    newer = bill(office, number="INV-79")
    later(office)
    assert [one["xmlId"] for one in bills(office, title="Purchases") if one["xmlId"]] == [newer.id]


def test_a_choice_waits_while_a_bill_is_being_made(office: PatientOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = office.ready()
    other = side(office).add_process("Purchases")
    switch_on(alice)
    bill(office)
    monkeypatch.setattr(crm, "totals", lambda *_: 1 // 0)
    office.pass_time(3 * 3600)
    sweep.look(office.services)
    conductor.conduct(office.services, 1, lambda: False)
    ring(office)
    assert rows(office, Arrival, state="announced")

    page = words(switch_on(alice, str(other["entityTypeId"])))

    assert "Please look again" in page
    assert rows(office, SettingsVersion)[-1].body["bills_type"] == process(side(office))["entityTypeId"]


def test_overdue_comes_with_the_day_and_automation_hears_of_sales_only(office: PatientOffice) -> None:
    alice = office.ready()
    switch_on(alice)
    kind = str(process(side(office))["entityTypeId"])
    switch_on(alice, kind, **{"bill-stage:overdue": stage(office, "PREPARATION")})
    document = bill(office, DueDate=(office.now().date() + timedelta(days=1)).isoformat())
    later(office)
    office.pass_time(3 * 86400)
    overdue.look(office.services)
    ring(office)
    assert bills(office)[0]["stageId"] == stage(office, "PREPARATION")

    office.sandbox.xero.pay(document.id)
    later(office)
    assert row(office, Link, crm_kind="bill").paid_trigger == ""
    assert [one for one in rows(office, Job) if one.problem_code and "bill" in one.subject] == []


def test_a_suppliers_card_shows_the_bills(office: PatientOffice) -> None:
    alice = office.ready()
    switch_on(alice)
    bill(office)
    later(office)
    company = bills(office)[0]["companyId"]

    page = words(alice.get(f"/app/cards/customers/company/{company}").text)

    assert "Bill INV-77 Cork & Co Ltd Awaiting payment NZ$135.02 INV-77" in page
    assert "Sent" not in page  # it came, and never went
    vera = office.open("harbour", 3)  # she reads everything else
    page = words(vera.get(f"/app/cards/customers/company/{company}").text)
    assert "Cork & Co Ltd in Xero" in page
    assert "INV-77" not in page
    assert "No invoices of this customer, or none that you may see." in page
    side(office).users[3].rights.clear()  # somebody gave her the right
    assert "Bill INV-77 Cork & Co Ltd" in words(vera.get(f"/app/cards/customers/company/{company}").text)
