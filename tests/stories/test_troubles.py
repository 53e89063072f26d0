"""What ends by itself is noticed, told once, shown in one banner, and goes on by itself when it is over."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from plugin import sweep
from plugin.limits import Bitrix24Limits, XeroLimits, patient_redis
from plugin.models import Connection, Job, Link, Organisation, Portal
from plugin.sending import conductor
from tests.stories.main_story import approve, document_of, fields_of, outcomes, sendable
from tests.stories.office import Person
from tests.stories.patience import PatientOffice
from tests.stories.seen import ring, row, rows, says, words

HOUR = 3600.0


@pytest.fixture
def office(patient_office: PatientOffice) -> PatientOffice:
    patient_office.sandbox.xero.controls.switches.set("webhooks", "off")
    return patient_office


def later(office: PatientOffice, seconds: float) -> None:
    """Time passes, the sweep looks, and every bell is answered once; work that must wait waits."""
    office.pass_time(seconds)
    sweep.look(office.services)
    for organisation in rows(office, Organisation):
        conductor.conduct(office.services, organisation.id, lambda: False)
    ring(office)
    ring(office)


def told(office: PatientOffice, word: str) -> list[int]:
    """Who was notified with this word, and how often."""
    return [int(one["user"]) for one in office.sandbox.bitrix24.portals["harbour"].notifications if word in one["message"]]


def banner(person: Person) -> str:
    """What the page's banner says; there is one at most."""
    html = person.get("/app/dashboard").text
    found = re.findall(r'<div class="banner.*?</div>', html, re.S)
    assert len(found) <= 1, found
    return words(found[0]) if found else ""


def sent(office: PatientOffice) -> tuple[Person, int]:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    approve(office, crm_id)
    later(office, 3 * HOUR)
    return alice, crm_id


def status(office: PatientOffice, crm_id: int) -> str:
    return fields_of(office.sandbox.bitrix24.portals["harbour"], crm_id)["STATUS"]


def test_disconnected_inside_xero_is_told_once_and_mended_by_connecting_again(office: PatientOffice) -> None:
    alice, crm_id = sent(office)
    office.sandbox.xero.pay(document_of(office, crm_id).id)
    office.sandbox.xero.actions.disconnect(office.sandbox.xero.HARBOUR)

    later(office, 3 * HOUR)
    later(office, 3 * HOUR)
    later(office, 3 * HOUR)

    assert row(office, Connection).problem == "xero.disconnected"
    assert told(office, "lost its access to Xero") == [1]
    assert "disconnected in Xero" in banner(alice)
    assert "Reconnect to Xero" in banner(alice)

    alice.connect_xero()
    later(office, 3 * HOUR)
    office.work()

    assert status(office, crm_id) == "Paid"
    assert row(office, Connection, ended_at=None).told_problem is None
    office.sandbox.xero.actions.disconnect(office.sandbox.xero.HARBOUR)
    later(office, 3 * HOUR)
    later(office, 60)
    assert told(office, "lost its access to Xero") == [1]  # the same tag: the newer one replaced the older
    assert row(office, Connection, ended_at=None).told_problem == "xero.disconnected"


def test_a_dead_token_keeps_the_work_until_somebody_connects_again(office: PatientOffice) -> None:
    alice, crm_id = sent(office)
    office.sandbox.xero.pay(document_of(office, crm_id).id)
    office.sandbox.xero.actions.revoke("olivia")
    later(office, 3 * HOUR)
    later(office, 60)

    assert row(office, Connection).problem in ("xero.grant_invalid", "xero.token_invalid")
    later(office, 3 * HOUR)
    assert told(office, "lost its access to Xero") == [1]
    assert "Reconnect to Xero" in banner(alice)
    alice.connect_xero()
    assert banner(alice) == ""
    later(office, 3 * HOUR)
    office.work()
    assert status(office, crm_id) == "Paid"


def told_on_the_page(office: PatientOffice, person: Person) -> None:
    """The page says what stopped the portal, as a banner or instead of all else, and offers nobody to take over: that would not help."""
    page, problem = person.get("/app/dashboard").text, row(office, Portal, id=person.portal_id).service_problem
    assert problem is not None
    assert says(page, problem), words(page)
    assert "Take over" not in words(page)


@pytest.mark.parametrize("trouble", ["not_commercial", "deleted", "overload"])
def test_a_portal_that_stops_us_is_left_alone_and_asked_again(office: PatientOffice, trouble: str) -> None:
    alice, crm_id = sent(office)
    crm = office.sandbox.bitrix24.portals["harbour"]
    crm.troubles.add(trouble)
    office.sandbox.xero.pay(document_of(office, crm_id).id)
    later(office, 3 * HOUR)
    told_on_the_page(office, alice)
    office.sandbox.bitrix24.controls.calls.clear()

    for _ in range(5):
        later(office, 120)
    assert len([one for one in office.sandbox.bitrix24.controls.calls if "/rest/" in one.path]) <= 1

    crm.troubles.clear()
    later(office, 1.1 * HOUR)
    office.work()

    assert status(office, crm_id) == "Paid"
    assert banner(alice) == ""
    assert row(office, Portal, id=alice.portal_id).service_problem is None
    assert rows(office, Job, state="waiting") == []


def test_a_subscription_that_ended_spares_everybodys_login(office: PatientOffice) -> None:
    alice, crm_id = sent(office)
    crm = office.sandbox.bitrix24.portals["harbour"]
    crm.payment_event(expired=True)
    office.sandbox.xero.pay(document_of(office, crm_id).id)
    later(office, 3 * HOUR)
    told_on_the_page(office, alice)

    crm.payment_event(expired=False)
    later(office, 1.1 * HOUR)
    office.work()

    assert status(office, crm_id) == "Paid"


def test_the_service_administrators_end_is_told_to_the_other_administrators(office: PatientOffice) -> None:
    alice, crm_id = sent(office)
    others = [number for number, user in office.sandbox.bitrix24.portals["harbour"].users.items() if user.admin and number != 1]
    assert others, "the demo has a second administrator"
    second = office.open(user=others[0])
    office.sandbox.bitrix24.portals["harbour"].dismiss(1)
    office.sandbox.xero.pay(document_of(office, crm_id).id)
    later(office, 3 * HOUR)
    later(office, 60)

    assert told(office, "can do no background work").count(others[0]) == 1
    assert "Take over" in banner(second)
    second.post("/app/setup/take-over")
    office.work()
    assert status(office, crm_id) == "Paid"
    assert banner(second) == ""
    assert alice.portal_id == second.portal_id


def test_without_redis_everything_is_kept_and_goes_on(office: PatientOffice) -> None:
    alice, _ = sent(office)
    (crm_id,) = [one for one in sendable(office, 2) if document_number(office, one) is None][:1]
    real = office.services
    nobody = patient_redis("unix:///nowhere/redis.sock")
    office.services = replace(real, redis=nobody, xero_limits=XeroLimits(nobody), bitrix24_limits=Bitrix24Limits(nobody))
    office.app.extensions["tallybridge"] = office.services
    batch = alice.order(crm_id)
    assert alice.post(f"/app/batches/{batch}/confirm").status_code == 200
    conductor.conduct(office.services, 1, lambda: False)
    assert "Sending is paused for a moment" in banner(alice)
    assert document_number(office, crm_id) is None

    office.services = real
    office.app.extensions["tallybridge"] = real
    assert banner(alice) == ""
    office.work()

    assert outcomes(office, batch) == [("created", None)]


def document_number(office: PatientOffice, crm_id: int) -> str | None:
    """The number that the document has in Xero, once it is there."""
    link = next(iter(rows(office, Link, crm_kind="invoice", crm_id=crm_id)), None)
    return link.number if link is not None else None
