"""Killed at any instant, or declared dead too early: another conductor takes over, and each document exists exactly once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from launch.tree import child_environment
from plugin import jobs, leases
from plugin.models import Activity, Batch, Call, Connection, Job, Lease, Organisation
from plugin.sending import conductor
from plugin.sending.flight import Flight, Plan
from plugin.talking import books_of
from sandbox.serve import Sandbox
from tests.services import TREE
from tests.stories.main_story import copies, document_of, fields_of, outcomes, sendable, total_of, writes
from tests.stories.office import Office, Person
from tests.stories.patience import PatientOffice
from tests.stories.seen import row, rows

PACE = 20.0


@pytest.fixture
def hasty(sandbox: Sandbox, database_url: str, redis_url: str) -> Iterator[Office]:
    """An office whose leases last three quarters of a second."""
    running = Office(sandbox, database_url, redis_url)
    running.services = replace(running.services, config=replace(running.config, pace=PACE))
    running.app.extensions["tallybridge"] = running.services
    yield running
    running.close()


@pytest.fixture
def patient(sandbox: Sandbox, database_url: str, redis_url: str) -> Iterator[PatientOffice]:
    running = PatientOffice(sandbox, database_url, redis_url)
    yield running
    running.close()


@contextmanager
def worker(office: Office, bell: str) -> Iterator[subprocess.Popen[str]]:
    """A worker's process that has imported everything and waits for the word."""
    config = office.config
    environment = {
        **child_environment(),
        **office.sandbox.settings.app_environment(),
        "SECRET_KEY": config.secret_key,
        "ENCRYPTION_KEYS": ",".join(config.encryption_keys),
        "DATABASE_URL": config.database_url,
        "REDIS_URL": config.redis_url,
        "TALLYBRIDGE_PACE": str(PACE),
        "PYTHONPATH": os.fspath(TREE.root),
    }
    command = [sys.executable, "-m", "tests.stories.doomed", bell]
    with subprocess.Popen(command, cwd=TREE.root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def tell_to_begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def ordered(person: Person, *ids: int) -> int:
    batch = person.order(*ids)
    person.post(f"/app/batches/{batch}/confirm")
    return batch


def assert_each_once(office: Office, batch: int, ids: list[int]) -> None:
    crm = office.sandbox.bitrix24.portals["harbour"]
    found = outcomes(office, batch)
    gone = [crm_id for crm_id, (outcome, _) in zip(ids, found, strict=True) if outcome == "created"]
    assert {one for one, _ in found} <= {"created", "refused"}
    assert len(gone) >= min(3, len(ids))
    for crm_id in gone:
        assert copies(office, crm_id) == 1
        assert document_of(office, crm_id).total == total_of(crm, crm_id)
    names = [one.name for one in office.sandbox.xero.contacts()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("partner", "path", "method"),
    [("bitrix24", "/rest/batch", "POST"), ("xero", "/Contacts$", "PUT"), ("xero", "/Items$", "PUT"), ("xero", "/Invoices$", "PUT")],
)
def test_killed_while_a_partner_works_on_the_call(hasty: Office, partner: str, path: str, method: str) -> None:
    alice = hasty.ready(number_policy="xero")
    ids = sendable(hasty, 15)
    batch = ordered(alice, *ids)
    controls = getattr(hasty.sandbox, partner).controls
    controls.calls.clear()
    controls.fail("slow", path=path, method=method, seconds=1.0)
    with worker(hasty, "organisation:1") as process:
        tell_to_begin(process)
        wait_until_the_fault_was_met(controls)
        process.kill()

    hasty.work()

    assert_each_once(hasty, batch, ids)


def wait_until_the_fault_was_met(controls: object) -> None:
    until = time.monotonic() + 10
    while controls.faults and time.monotonic() < until:  # type: ignore[attr-defined]
        time.sleep(0.005)
    assert not controls.faults  # type: ignore[attr-defined]


@pytest.mark.parametrize("instant", [0.02, 0.06, 0.1, 0.15, 0.21, 0.3])
def test_killed_at_any_instant_of_sending(hasty: Office, instant: float) -> None:
    alice = hasty.ready(number_policy="xero")
    ids = sendable(hasty, 15)
    batch = ordered(alice, *ids)
    with worker(hasty, "organisation:1") as process:
        tell_to_begin(process)
        time.sleep(instant)
        process.kill()

    hasty.work()

    assert_each_once(hasty, batch, ids)


@pytest.mark.parametrize("instant", [0.03, 0.15])
def test_killed_while_results_are_written_back(hasty: Office, instant: float) -> None:
    alice = hasty.ready()
    ids = sendable(hasty, 10)
    batch = ordered(alice, *ids)
    conductor.conduct(hasty.services, 1, lambda: False)
    with worker(hasty, "portal:1") as process:
        tell_to_begin(process)
        time.sleep(instant)
        process.kill()

    hasty.work()

    assert_each_once(hasty, batch, ids)
    crm = hasty.sandbox.bitrix24.portals["harbour"]
    sent = [crm_id for crm_id, (outcome, _) in zip(ids, outcomes(hasty, batch), strict=True) if outcome == "created"]
    assert all(fields_of(crm, crm_id)["NUMBER"] for crm_id in sent)


def test_one_who_lost_the_lease_records_nothing(hasty: Office) -> None:
    alice = hasty.ready()
    ids = sendable(hasty, 3)
    batch = ordered(alice, *ids)
    hasty.sandbox.xero.controls.fail("slow", path="/Invoices$", method="PUT", seconds=1.0)
    old = threading.Thread(target=conductor.conduct, args=(hasty.services, 1, lambda: False))
    old.start()
    wait_until_the_fault_was_met(hasty.sandbox.xero.controls)
    the_lease_runs_out(hasty)

    hasty.work()
    old.join()

    assert_each_once(hasty, batch, ids)
    with hasty.services.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Activity).where(Activity.code == "activity.created")) == len(ids)


def the_lease_runs_out(office: Office) -> None:
    """As if its holder had been frozen for longer than it lasts."""
    with office.services.db.transaction() as tx:
        tx.execute(update(Lease).where(Lease.name == "organisation:1").values(until=office.services.now() - timedelta(seconds=1)))


@pytest.mark.parametrize("numbers", ["crm", "xero"])
@pytest.mark.parametrize("kind", ["lost", "cut"])
def test_after_six_minutes_a_look_finds_what_was_made(patient: PatientOffice, numbers: str, kind: str) -> None:
    alice = patient.ready(number_policy=numbers)
    ids = sendable(patient, 3)
    batch = ordered(alice, *ids)
    patient.sandbox.xero.controls.fail(kind, path="/Invoices$", method="PUT")
    conductor.conduct(patient.services, 1, lambda: False)
    patient.pass_time(400)
    patient.sandbox.xero.controls.calls.clear()

    patient.work()

    assert_each_once(patient, batch, ids)
    assert len([one for one in writes(patient) if one.path.endswith("/Invoices")]) == (0 if kind == "lost" else 1)


def test_an_order_given_again_while_the_first_is_unknown_still_makes_one_document(patient: PatientOffice) -> None:
    alice = patient.ready(number_policy="xero")
    (crm_id,) = sendable(patient, 1)
    first = ordered(alice, crm_id)
    patient.sandbox.xero.controls.fail("lost", path="/Invoices$", method="PUT")
    conductor.conduct(patient.services, 1, lambda: False)
    second = ordered(alice, crm_id)

    patient.work()

    assert copies(patient, crm_id) == 1
    assert [outcomes(patient, one)[0][0] for one in (first, second)] == ["created", "created"]
    with patient.services.db.reading() as session:
        assert not session.scalars(select(Call.id).where(Call.answered_at.is_(None), Call.operation == "create")).all()


def test_one_document_that_xero_stumbles_over_does_not_hold_the_others(patient: PatientOffice) -> None:
    alice = patient.ready()
    patient.sandbox.xero.controls.switches.set("emoji", "crash")
    crm = patient.sandbox.bitrix24.portals["harbour"]
    ids = sendable(patient, 4)
    rows = [dict(row) for row in crm.rows(ids[1])]
    rows[0]["productName"] = "Chair \U0001fa91"
    crm.change_invoice(ids[1], rows=rows)
    batch = ordered(alice, *ids)

    patient.work()

    found = outcomes(patient, batch)
    assert [one for one, _ in found] == ["created", "problem", "created", "created"]
    assert found[1] == ("problem", "xero.server_error")


def test_a_selection_whose_page_died_is_prepared_by_a_worker(patient: PatientOffice) -> None:
    """The page hangs for longer than anybody waits; when it comes to itself after all, the batch is as the worker left it."""
    alice = patient.ready()
    ids = sendable(patient, 2)
    hold = patient.sandbox.bitrix24.controls.fail("hold", path="/rest/batch", seconds=30.0)
    asked: list[int] = []
    page = threading.Thread(target=lambda: asked.append(alice.order(*ids)))
    page.start()
    assert hold.reached.wait(10)
    patient.pass_time(121)

    patient.work()

    with patient.services.db.reading() as session:
        (batch,) = session.scalars(select(Batch).order_by(Batch.id.desc()).limit(1))
    assert (batch.state, batch.prepared) == ("to_confirm", 2)
    hold.released.set()
    page.join(timeout=10)
    assert asked == [batch.id]
    alice.post(f"/app/batches/{batch.id}/confirm")
    patient.work()
    assert_each_once(patient, batch.id, ids)


def test_a_selection_that_bitrix24_did_not_answer_for_is_over_and_says_why(patient: PatientOffice) -> None:
    alice = patient.ready()
    patient.sandbox.bitrix24.controls.fail("cut", path="/rest/", times=5)
    answer = alice.post("/app/batches", {"kind": "send", "id": [str(one) for one in sendable(patient, 2)]})
    patient.sandbox.bitrix24.controls.faults.clear()

    assert answer.status_code == 503
    with patient.services.db.reading() as session:
        (batch,) = session.scalars(select(Batch))
        assert not session.scalars(select(Job.id).where(Job.state != "done")).all()
    assert (batch.state, batch.problem_code) == ("cancelled", "bitrix24.no_answer")
    assert "Preparing" not in alice.get("/app/batches").text


@pytest.fixture
def flight(office: Office) -> Iterator[Flight]:
    """A conductor's flight under a lease that holds."""
    office.ready()
    bell = jobs.organisation_bell(row(office, Organisation).id)
    fence = leases.take(office.services.db, bell, "this test", office.services.now(), 15)
    assert fence is not None
    running = Flight(office.services, books_of(office.services, row(office, Connection), "people"), bell, fence, lambda: False)
    office.sandbox.xero.controls.calls.clear()
    yield running
    running.close()


def plan_for(job_id: int) -> Plan:
    return Plan("create", "PUT", "Invoices", {}, b"{}", [], [job_id], take=pytest.fail, refuse=pytest.fail, without=lambda gone: None)


def test_what_was_erased_while_it_waited_for_its_call_is_not_sent(office: Office, flight: Flight) -> None:
    flight.fly([plan_for(10_000)], "people")  # a job of a portal whose rows are gone

    assert not office.sandbox.xero.controls.calls
    assert rows(office, Call) == []


def test_who_finds_that_another_took_over_keeps_no_slot(office: Office, flight: Flight) -> None:
    """A slot that nobody gives back is renewed for as long as its process lives: one of five is gone, and in an emptied Redis all of them."""
    leases.give_back(office.services.db, flight.lease, flight.fence)
    assert leases.take(office.services.db, flight.lease, "another", office.services.now(), 15) is not None

    with pytest.raises(leases.LeaseLost):
        flight.fly([plan_for(10_000)], "people")

    assert office.services.redis.zcard(office.services.xero_limits._keys(flight.books.tenant_id)[1]) == 0


def test_an_answer_is_handed_on_while_a_later_call_is_still_in_the_air(office: Office, flight: Flight) -> None:
    """A call of bulk is answered while a person's call, begun after it, takes its time: its documents do not wait for that one."""
    office.sandbox.xero.controls.latency[:] = [("/Invoices", "PUT", 0.4), ("/Contacts", "PUT", 1.5)]
    heard: list[str] = []

    def plan(path: str) -> Plan:
        return Plan("create", "PUT", path, {}, b"{}", [], [], take=lambda call, answer: heard.append(path), refuse=lambda call, problem: heard.append(path))

    def between() -> None:
        flight.between = lambda: None
        flight.fly([plan("Contacts")], "people")
        heard.append("the person's round is over")

    flight.between = between
    flight.fly([plan("Invoices")], "people")
    assert heard == ["Invoices", "Contacts", "the person's round is over"]


def test_what_broke_while_it_was_begun_begins_no_more_and_what_is_in_the_air_lands(office: Office, flight: Flight) -> None:
    """Its orders go back to wait: a call that left after that would be a second one for each of them."""
    office.services.redis.hset(f"xero:{flight.books.tenant_id}:state", "born", 0)
    office.sandbox.xero.controls.latency[:] = [("/Invoices", "PUT", 0.4)]
    heard: list[str] = []

    def plan(path: str) -> Plan:
        return Plan("create", "PUT", path, {}, b"{}", [], [], take=lambda call, answer: heard.append(path), refuse=lambda call, problem: heard.append(path))

    def between() -> None:
        flight.between = lambda: None
        raise RuntimeError("a mistake of ours")

    flight.between = between
    with pytest.raises(RuntimeError):
        flight.begin([plan("Invoices") for _ in range(20)])
    flight.fly([plan("Contacts")], "people")
    time.sleep(0.5)
    assert len([one for one in writes(office) if one.path.endswith("/Invoices")]) == 4
    assert heard == ["Contacts"]
    assert flight.planned == 0


def test_a_call_that_breaks_lets_the_others_of_its_run_land(office: Office, flight: Flight) -> None:
    office.services.redis.hset(f"xero:{flight.books.tenant_id}:state", "born", 0)
    office.sandbox.xero.controls.latency[:] = [("/Invoices", "PUT", 0.3), ("/Contacts", "PUT", 0.8)]
    heard: list[str] = []

    def broken(call: Call, answer: object) -> None:
        raise RuntimeError("a mistake of ours")

    first = Plan("create", "PUT", "Invoices", {}, b"{}", [], [], take=broken, refuse=lambda call, problem: broken(call, problem))
    second = Plan("create", "PUT", "Contacts", {}, b"{}", [], [], take=lambda *_: heard.append("took"), refuse=lambda *_: heard.append("refused"))
    with pytest.raises(RuntimeError):
        flight.fly([first, second], "people")
    assert len(heard) == 1
