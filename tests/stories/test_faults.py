"""Whatever goes wrong on the wire, for whichever call: nothing is lost, nothing is made twice, and the work goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select

from plugin.models import Call, Job
from sandbox.bitrix24.fields import COMPANY
from sandbox.serve import Sandbox
from tests.stories.main_story import change_quantity, copies, document_of, outcomes, sendable, total_of
from tests.stories.office import Person
from tests.stories.patience import PatientOffice

Fault = tuple[str, dict[str, Any]]

ANYWHERE: dict[str, Fault] = {
    "500": ("status", {"status": 500, "body": '{"Message":"An error occurred"}'}),
    "503": ("status", {"status": 503}),
    "slow": ("slow", {"seconds": 0.1}),
    "cut before the work": ("cut", {}),
    "lost after the work": ("lost", {}),
    "500 after the work": ("lost500", {}),
    "a page with 200": ("html", {"status": 200}),
}
XERO: dict[str, Fault] = {
    **ANYWHERE,
    "429 minute": ("status", {"status": 429, "headers": {"Retry-After": "20", "X-Rate-Limit-Problem": "minute"}}),
    "429 day": ("status", {"status": 429, "headers": {"Retry-After": "4000", "X-Rate-Limit-Problem": "day"}}),
    "429 concurrent": ("status", {"status": 429, "headers": {"X-Rate-Limit-Problem": "concurrent"}}),
    "offline": ("status", {"status": 503, "body": "The Organisation is offline"}),
    "cut three times": ("cut", {"times": 3}),
    "500 three times": ("status", {"status": 500, "times": 3}),
}
BITRIX24: dict[str, Fault] = {
    **ANYWHERE,
    "busy": ("status", {"status": 503, "body": '{"error":"QUERY_LIMIT_EXCEEDED","error_description":"Too many requests"}'}),
    "operating limit": ("status", {"status": 429, "body": '{"error":"OPERATION_TIME_LIMIT","error_description":"blocked"}'}),
    "502": ("status", {"status": 502, "body": "<html>Bad gateway"}),
}


@pytest.fixture
def office(sandbox: Sandbox, sqlite_url: str, redis_url: str) -> Iterator[PatientOffice]:
    running = PatientOffice(sandbox, sqlite_url, redis_url)
    yield running
    running.close()


def new_invoice(office: PatientOffice, name: str, product: int | None = None, company: int | None = None) -> int:
    """An invoice for a customer whom Xero does not know yet."""
    crm = office.sandbox.bitrix24.portals["harbour"]
    like = crm.invoices[sendable(office, 1)[0]]
    company = company or crm.add_item(COMPANY, title=f"Customer of {name} Ltd")
    row = {"productName": "Chair", "price": 115, "quantity": 2, "taxRate": 15, "taxIncluded": "Y"} | ({"productId": product} if product else {})
    return crm.add_invoice([row], title=name, companyId=company, mycompanyId=like["mycompanyId"], currencyId="NZD", stageId=like["stageId"])


def known_customer(office: PatientOffice) -> int:
    crm = office.sandbox.bitrix24.portals["harbour"]
    return int(crm.invoices[sendable(office, 1)[0]]["companyId"])


def go(office: PatientOffice, person: Person, crm_id: int, arm: Callable[[], object], kind: str = "send") -> tuple[str, str | None]:
    """Order, arm the fault once everything was read for the confirmation, confirm, and let time pass until all is done."""
    if kind == "pull":
        arm()
        batch = person.order(crm_id, kind="pull")
    else:
        batch = person.order(crm_id)
        arm()
        person.post(f"/app/batches/{batch}/confirm")
    office.work()
    levers = (office.sandbox.xero.controls, office.sandbox.bitrix24.controls)
    assert any(call.fault for one in levers for call in one.calls), "the fault met no call"
    for one in levers:
        one.faults.clear()
        one.calls.clear()
    return outcomes(office, batch)[0]


def assert_once(office: PatientOffice, crm_id: int, name: str) -> None:
    crm = office.sandbox.bitrix24.portals["harbour"]
    assert copies(office, crm_id) == 1, name
    assert document_of(office, crm_id).total == total_of(crm, crm_id), name
    with office.services.db.reading() as session:
        assert not session.scalars(select(Call.id).where(Call.answered_at.is_(None), Call.operation.in_(("create", "update")))).all(), name
        assert not session.scalars(select(Job.id).where(Job.state != "done")).all(), name


def arm(office: PatientOffice, partner: str, fault: Fault, path: str, method: str) -> Callable[[], object]:
    kind, more = fault
    return lambda: getattr(office.sandbox, partner).controls.fail(kind, path=path, method=method, **more)


@pytest.mark.parametrize("numbers", ["crm", "xero"])
def test_any_fault_of_the_call_that_creates_makes_one_document(office: PatientOffice, numbers: str) -> None:
    alice = office.ready(number_policy=numbers)
    company = known_customer(office)
    for name, fault in XERO.items():
        crm_id = new_invoice(office, name, company=company)
        assert go(office, alice, crm_id, arm(office, "xero", fault, "/Invoices$", "PUT"))[0] == "created", name
        assert_once(office, crm_id, name)


def test_any_fault_of_the_call_that_updates_leaves_it_updated(office: PatientOffice) -> None:
    alice = office.ready()
    crm_id = new_invoice(office, "updated", company=known_customer(office))
    alice.send(crm_id)
    crm = office.sandbox.bitrix24.portals["harbour"]
    for quantity, (name, fault) in enumerate(XERO.items(), start=3):
        change_quantity(crm, crm_id, quantity)
        assert go(office, alice, crm_id, arm(office, "xero", fault, "/Invoices$", "POST"))[0] in ("updated", "unchanged"), name
        assert_once(office, crm_id, name)


def test_an_update_whose_answer_was_lost_is_no_change_of_the_bookkeeper(office: PatientOffice) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    crm_id = new_invoice(office, "lost update", company=known_customer(office))
    alice.send(crm_id)
    change_quantity(crm, crm_id, 5)
    batch = alice.order(crm_id)
    office.sandbox.xero.controls.fail("lost", path="/Invoices$", method="POST")
    alice.post(f"/app/batches/{batch}/confirm")
    one_turn(office)
    change_quantity(crm, crm_id, 8)
    office.pass_time(400)
    office.work()

    assert outcomes(office, batch) == [("updated", None)]
    assert document_of(office, crm_id).total == total_of(crm, crm_id)


def one_turn(office: PatientOffice) -> None:
    """One turn of the conductor; what has to wait keeps waiting."""
    from plugin.sending import conductor

    conductor.conduct(office.services, 1, lambda: False)


def test_any_fault_of_the_call_that_creates_a_contact_makes_one_contact(office: PatientOffice) -> None:
    alice = office.ready()
    for name, fault in XERO.items():
        crm_id = new_invoice(office, name)
        assert go(office, alice, crm_id, arm(office, "xero", fault, "/Contacts$", "PUT"))[0] == "created", name
        assert_once(office, crm_id, name)
        assert len([one for one in office.sandbox.xero.contacts() if one.name == f"Customer of {name} Ltd"]) == 1, name


def test_any_fault_of_the_call_that_creates_an_item_makes_one_item_and_the_line_names_it(office: PatientOffice) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    company = known_customer(office)
    known = {one.code for one in office.sandbox.xero.items()}
    new = [number for number, one in sorted(crm.products.items()) if one.get("code") and one["code"] not in known]
    for (name, fault), product in zip(XERO.items(), new, strict=False):
        crm_id = new_invoice(office, name, product, company)
        assert go(office, alice, crm_id, arm(office, "xero", fault, "/Items$", "PUT"))[0] == "created", name
        assert_once(office, crm_id, name)
        item = office.sandbox.xero.item(crm.products[product]["code"])
        assert [line.item_id for line in document_of(office, crm_id).lines] == [item.id if item else ""], name


@pytest.mark.parametrize("resource", ["Organisation", "Accounts", "TaxRates", "Currencies", "Contacts"])
def test_any_fault_of_a_list_that_is_read_before_sending_only_delays(office: PatientOffice, resource: str) -> None:
    alice = office.ready()
    for name, fault in XERO.items():
        crm_id = new_invoice(office, name)
        office.pass_time(1_000)
        alice = office.open()
        assert go(office, alice, crm_id, arm(office, "xero", fault, f"/{resource}$", "GET"))[0] == "created", name
        assert_once(office, crm_id, name)


def test_any_fault_of_the_reading_back_only_delays(office: PatientOffice) -> None:
    alice = office.ready()
    company = known_customer(office)
    for name, fault in XERO.items():
        crm_id = new_invoice(office, name, company=company)
        alice.send(crm_id)
        office.sandbox.xero.edit(document_of(office, crm_id).id, Status="AUTHORISED")
        office.sandbox.xero.pay(document_of(office, crm_id).id)
        assert go(office, alice, crm_id, arm(office, "xero", fault, "/Invoices", "GET"), kind="pull") == ("updated", None), name
        crm = office.sandbox.bitrix24.portals["harbour"]
        assert crm.invoices[crm_id]["stageId"] == crm.stage_id("P"), name


def test_any_fault_of_the_token_only_delays(office: PatientOffice) -> None:
    alice = office.ready()
    company = known_customer(office)
    for name, fault in XERO.items():
        office.pass_time(2_000)
        alice = office.open()
        crm_id = new_invoice(office, name, company=company)
        assert go(office, alice, crm_id, arm(office, "xero", fault, "/connect/token", "POST"))[0] == "created", name
        assert_once(office, crm_id, name)


@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_any_fault_of_a_request_to_bitrix24_only_delays(office: PatientOffice, skip: int) -> None:
    alice = office.ready()
    company = known_customer(office)
    for name, (kind, more) in BITRIX24.items():
        crm_id = new_invoice(office, name, company=company)
        alice = office.open()
        assert go(office, alice, crm_id, arm(office, "bitrix24", (kind, {**more, "skip": skip}), "/rest/", "POST"))[0] == "created", name
        assert_once(office, crm_id, name)


def test_any_fault_of_bitrix24s_token_only_delays(office: PatientOffice) -> None:
    alice = office.ready()
    company = known_customer(office)
    for name, fault in BITRIX24.items():
        crm_id = new_invoice(office, name, company=company)
        alice = office.open()
        batch = alice.order(crm_id)
        office.pass_time(3_700)
        arm(office, "bitrix24", fault, "/oauth/token", ".*")()
        batch_confirmed = office.open().post(f"/app/batches/{batch}/confirm")
        assert batch_confirmed.status_code == 200
        office.work()
        assert outcomes(office, batch)[0][0] == "created", name
        assert_once(office, crm_id, name)


def test_a_line_in_the_history_is_written_once_though_the_answer_was_lost(office: PatientOffice) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    company = known_customer(office)
    for skip in range(4):
        crm_id = new_invoice(office, f"line {skip}", company=company)
        go(office, alice, crm_id, arm(office, "bitrix24", ("lost", {"skip": skip}), "/rest/batch", "POST"))
        assert len([one for one in crm.timeline_of(crm_id) if one["kind"] == "log"]) == 1, skip
