"""What is made in Xero appears in the CRM once, also when Bitrix24's answer is lost, or its work goes on after our worker died."""

from __future__ import annotations

import threading
from dataclasses import replace

from sqlalchemy import select

from plugin import portal_work
from plugin.domain.settings import Settings
from plugin.models import Arrival, Job, SettingsVersion
from plugin.sending import conductor
from plugin.usecases import take_webhooks
from sandbox.xero.books import Invoice
from tests.stories.patience import PatientOffice
from tests.stories.seen import row, rows
from tests.stories.test_webhooks import event, told

#: More requests than bringing one document takes.
STEPS = 9


def ready(office: PatientOffice) -> None:
    """An office that wants what is made in Xero."""
    office.ready()
    with office.services.db.transaction() as tx:
        held = tx.scalars(select(SettingsVersion).order_by(SettingsVersion.number.desc()).limit(1)).one()
        body = replace(Settings.from_json(held.body), bring_documents=True).to_json()
        given = {"portal_id": held.portal_id, "organisation_id": held.organisation_id, "created_by": held.created_by}
        tx.add(SettingsVersion(number=held.number + 1, body=body, created_at=office.now(), **given))


def written(office: PatientOffice, name: str) -> Invoice:
    """The bookkeeper writes an invoice to a new customer; the webhook has come, the conductor has looked, the portal's worker has not."""
    xero = office.sandbox.xero
    day = xero.controls.clock.now().date().isoformat()
    line = {"Description": "Advice", "Quantity": 2, "UnitAmount": 50, "AccountCode": "200"}
    xero.actions.create_contact(xero.HARBOUR, {"Name": name})
    element = {"Type": "ACCREC", "Contact": {"Name": name}, "Date": day, "DueDate": day, "LineItems": [line], "Status": "AUTHORISED"}
    document = xero.actions.create_invoice(xero.HARBOUR, element)
    assert told(office, event(office, document.id, eventType="CREATE")) == 200
    for _ in range(3):
        take_webhooks.drain(office.services, 1, lambda: False)
        office.pass_time(5)
        conductor.conduct(office.services, 1, lambda: False)
    assert row(office, Arrival, xero_id=document.id).state == "wanted"
    return document


def work(office: PatientOffice) -> None:
    portal_work.work(office.services, 1, lambda: False)


def assert_once(office: PatientOffice, document: Invoice, name: str) -> None:
    crm = office.sandbox.bitrix24.portals["harbour"]
    found = [number for number, one in crm.invoices.items() if str(one.get("xmlId") or "").lower() == document.id]
    arrival = row(office, Arrival, xero_id=document.id)
    assert ([arrival.crm_id], arrival.state) == (found, "made"), name
    assert f"{float(crm.invoices[found[0]]['opportunity']):.2f}" == f"{document.total:.2f}", name
    assert [one["title"] for one in crm.companies.values()].count(name) == 1


def test_any_answer_may_be_lost(patient_office: PatientOffice) -> None:
    office = patient_office
    ready(office)
    controls = office.sandbox.bitrix24.controls
    waited = 0
    for step in range(STEPS):
        name = f"Lost {step} Ltd"
        document = written(office, name)
        controls.fail("lost", path="/rest/", skip=step)
        work(office)
        controls.faults.clear()
        office.pass_time(10)
        work(office)
        waited += sum(one.problem_code == "bring.in_flight" for one in rows(office, Job, kind="bring", state="waiting"))
        office.work()
        assert_once(office, document, name)
    assert waited >= 3


def test_the_portal_may_work_on_after_another_worker_took_over(patient_office: PatientOffice) -> None:
    """It is slow; the worker's lease runs out meanwhile, and another one comes before the portal is done."""
    office = patient_office
    ready(office)
    controls = office.sandbox.bitrix24.controls
    held = 0
    for step in range(STEPS):
        name = f"Slow {step} Ltd"
        document = written(office, name)
        hold = controls.fail("hold", path="/rest/", skip=step, seconds=60.0)
        first = threading.Thread(target=work, args=(office,))
        first.start()
        while first.is_alive() and not hold.reached.wait(0.05):
            pass
        held += hold.reached.is_set()
        office.pass_time(16)  # the lease has run out
        work(office)
        hold.released.set()
        first.join(timeout=60)
        controls.faults.clear()
        office.work()
        assert_once(office, document, name)
    assert held >= 3


def test_seed_50270_a_worker_that_was_frozen_before_it_announced_leaves_the_work_to_the_one_that_took_over(patient_office: PatientOffice) -> None:
    office = patient_office
    ready(office)
    controls = office.sandbox.bitrix24.controls
    held = 0
    for step in range(STEPS):
        name = f"Frozen {step} Ltd"
        document = written(office, name)
        frozen = office.sandbox.xero.controls.fail("hold", path="/Invoices", seconds=60.0)
        hold = controls.fail("hold", path="/rest/", skip=step, seconds=60.0)
        first, second = threading.Thread(target=work, args=(office,)), threading.Thread(target=work, args=(office,))
        first.start()
        assert frozen.reached.wait(30)
        office.pass_time(16)  # the lease has run out
        second.start()
        while second.is_alive() and not hold.reached.wait(0.05):
            pass
        held += hold.reached.is_set()
        frozen.released.set()
        first.join(timeout=60)
        hold.released.set()
        second.join(timeout=60)
        controls.faults.clear()
        office.work()
        assert_once(office, document, name)
    assert held >= 3
