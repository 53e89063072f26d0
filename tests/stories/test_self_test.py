"""The self-test: seven real questions, each with its time and its repair; by a button and every night; nothing is written to Xero."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from plugin import durations, sweep
from plugin.models import Job, Organisation, SelfTest
from sandbox.bitrix24.delivery import Parcel
from sandbox.bitrix24.php import flatten
from tests.stories.main_story import writes
from tests.stories.office import Office, Person
from tests.stories.patience import PatientOffice
from tests.stories.seen import says


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "TEST_EVENT", 0.6)


def deliver_events(office: Office, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The portal's queue reaches the app as its own address would."""
    names: list[str] = []
    portal = office.sandbox.bitrix24.portals["harbour"]

    def put(parcel: Parcel) -> None:
        names.append(parcel.name)
        office.app.test_client().post("/bitrix24/events", data=dict(flatten(parcel.body)))

    monkeypatch.setattr(portal.delivery, "put", put)
    return names


def run(office: Office, person: Person) -> dict[str, str]:
    """Press the button, let the worker work; each step's name and state."""
    answer = person.post("/app/self-test")
    assert answer.status_code == 200, answer.text
    assert "Running" in answer.text
    office.work()
    return states(person)


def states(person: Person) -> dict[str, str]:
    page = person.get("/app/self-test").text
    found = re.findall(r"<li><span class=\"chip[^>]*>.*?</svg>([^<]*)</span> <span class=\"strong\">([^<]*)</span>", page, re.S)
    return {name: state for state, name in found}


def test_everything_is_fine_and_nothing_is_written(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = office.ready()
    deliver_events(office, monkeypatch)
    office.sandbox.xero.controls.calls.clear()
    found = run(office, alice)
    assert set(found.values()) == {"Fine"}, found
    assert len(found) == 7
    page = alice.get("/app/self-test").text
    assert "Everything is fine" in page
    assert len(re.findall(r"\d+ ms", page)) == 7
    assert writes(office) == []
    assert not any(call.path.endswith("/connect/token") for call in office.sandbox.xero.controls.calls)


def test_each_fault_is_named_with_its_repair(patient_office: PatientOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    office = patient_office
    alice = office.ready()
    found = run(office, alice)
    assert found["A test message arrives"] == "Fault"
    portal = office.sandbox.bitrix24.portals["harbour"]
    app = portal.installation
    assert app is not None
    kept = [one for one in app.handlers if "UPDATE" not in one.event]
    app.handlers[:] = kept
    with office.services.db.transaction() as tx:
        tx.execute(update(Organisation).values(unheard=3))
    found = run(office, alice)
    page = alice.get("/app/self-test").text
    assert found["Messages of Bitrix24 are bound"] == "Fault"
    assert "ONCRM" in page
    assert found["Messages from Xero arrive in time"] == "Fault"
    assert "Xero did not announce 3 changes" in page
    alice.post("/app/setup/connection/disconnect")
    found = run(office, alice)
    assert found["Xero answers"] == "Fault"
    assert found["The organisation is connected"] == "Left out"
    assert "Connect to Xero" in alice.get("/app/self-test").text


def test_permissions_that_it_needs_are_a_fault_and_the_one_for_rules_a_remark(patient_office: PatientOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    office = patient_office
    alice = office.ready()
    deliver_events(office, monkeypatch)
    app = office.sandbox.bitrix24.portals["harbour"].installation
    assert app is not None
    app.scopes = tuple(one for one in app.scopes if one != "bizproc")
    assert set(run(office, alice).values()) == {"Fine"}
    page = alice.get("/app/self-test").text
    assert "Everything is fine" in page
    assert says(page, "robot.scope_missing")
    app.scopes = tuple(one for one in app.scopes if one != "im")
    assert run(office, alice)["Rights and permissions are complete"] == "Fault"
    page = alice.get("/app/self-test").text
    assert says(page, "selftest.scopes", scopes="im")
    assert not says(page, "robot.scope_missing")


def test_the_night_s_fault_is_one_banner_until_it_is_fine_again(patient_office: PatientOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    office = patient_office
    alice = office.ready()
    sam = office.open(user=2)
    sweep.daily(office.services)
    office.work()
    banner = alice.get("/app/batches").text
    assert "The nightly self-test found 1 fault." in banner
    assert banner.count('class="banner') == 1
    assert "nightly self-test" not in sam.get("/app/batches").text
    deliver_events(office, monkeypatch)
    run(office, alice)
    assert "nightly self-test" not in alice.get("/app/batches").text
    assert "Nightly run" in alice.get("/app/self-test").text


def test_only_administrators_and_only_their_own_portal(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.ready()
    run(office, alice)
    sam = office.open(user=2)
    assert sam.get("/app/self-test").status_code == sam.post("/app/self-test").status_code == 403
    stranger = office.install("stranger")
    assert states(stranger) == {}
    assert office.client.get("/app/self-test").status_code == 401
    with office.services.db.reading() as session:
        assert not session.scalars(select(Job.id).where(Job.portal_id == stranger.portal_id, Job.kind == "self_test")).all()


def test_a_run_that_died_does_not_run_for_ever_and_few_are_kept(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.ready()
    now = office.now()
    with office.services.db.transaction() as tx:
        for days in range(40):
            at = now - timedelta(days=40 - days)
            tx.add(SelfTest(portal_id=alice.portal_id, steps=[{"name": "portal", "state": "running"}], started_at=at, finished_at=at if days < 39 else None))
    run(office, alice)
    with office.services.db.reading() as session:
        rows = session.scalars(select(SelfTest)).all()
    assert len(rows) == 30
    assert all(one.finished_at for one in rows)
