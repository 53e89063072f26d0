"""The automation rule "Create / Edit on Xero" and the trigger "Invoice paid in Xero": from a stage in the CRM to the rule behind, and never twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from launch.tree import child_environment
from plugin.bitrix24.robots import ROBOT, TRIGGER
from plugin.models import Job, RobotCall
from plugin.sentences import sentence
from sandbox.bitrix24.automation import Binding, Run
from sandbox.bitrix24.fields import INVOICE, QUOTE
from sandbox.bitrix24.php import flatten
from sandbox.bitrix24.portal import Portal
from sandbox.serve import Sandbox
from tests.services import TREE
from tests.stories.main_story import approve, copies, document_of, sendable, without_customer
from tests.stories.office import Office
from tests.stories.quote_story import document_of as quote_of
from tests.stories.quote_story import quotes_in
from tests.stories.seen import deliver, portal_row, ring, row, rows, says

COMMENT = "{{number}}|{{status}}|{{link}}|{{problem}}"


@pytest.fixture
def office(sandbox: Sandbox, sqlite_url: str, redis_url: str) -> Iterator[Office]:
    """On SQLite; the rows and indexes that rules depend on are told on both by the first story."""
    running = Office(sandbox, sqlite_url, redis_url)
    yield running
    running.close()


@pytest.fixture
def on_each(sandbox: Sandbox, database_url: str, redis_url: str) -> Iterator[Office]:
    running = Office(sandbox, database_url, redis_url)
    yield running
    running.close()


def crm_of(office: Office, portal: str = "harbour") -> Portal:
    return office.sandbox.bitrix24.portals[portal]


def rules_on(crm: Portal, stage: str = "Sent to customer") -> None:
    """An administrator puts our rule on a stage, and a comment with its results behind it."""
    crm.automation.add_rule(INVOICE, crm.stage_id(stage), ROBOT)
    crm.automation.add_rule(INVOICE, crm.stage_id(stage), comment=COMMENT)


def reach(office: Office, crm_id: int) -> Run:
    """The invoice reaches the stage; the rule has called."""
    crm = crm_of(office)
    office.sandbox.bitrix24.delivery.flush()
    office.sandbox.bitrix24.delivery.log.clear()
    crm.set_stage(crm_id, "New")
    crm.set_stage(crm_id, "Sent to customer")
    assert deliver(office, f"robot:{ROBOT}") in ([200], [200, 200])
    return crm.automation.runs[-1]


def comments(crm: Portal, crm_id: int) -> list[list[str]]:
    return [one["text"].split("|") for one in crm.timeline_of(crm_id) if one["kind"] == "comment"]


def test_an_invoice_that_reaches_the_stage_is_in_xero_and_the_next_rule_knows_its_number(on_each: Office) -> None:
    office = on_each
    office.ready()
    crm, (crm_id,) = crm_of(office), sendable(office, 1)
    rules_on(crm)

    run = reach(office, crm_id)
    assert run.state == "waiting"
    office.work()

    document = document_of(office, crm_id)
    assert (run.state, run.results["number"], run.results["problem"]) == ("done", document.number, "")
    assert comments(crm, crm_id) == [[document.number, run.results["status"], run.results["link"], ""]]
    assert document.id in run.results["link"]
    assert run.log == [f"In Xero as {document.number}: {run.results['status']}."]
    assert copies(office, crm_id) == 1


def test_a_rule_hears_why_an_invoice_cannot_go_and_that_nothing_was_to_do(office: Office) -> None:
    alice = office.ready()
    crm, (crm_id,) = crm_of(office), sendable(office, 1)
    rules_on(crm)

    refused = reach(office, without_customer(crm))
    office.work()
    assert refused.state == "done"
    assert (refused.results["number"], refused.results["problem"]) == ("", sentence("send.no_customer", {}, "en"))

    alice.send(crm_id)
    unchanged = reach(office, crm_id)
    office.work()
    assert (unchanged.state, unchanged.results["number"]) == ("done", document_of(office, crm_id).number)


def test_a_quote_goes_by_a_rule_and_the_next_rule_knows_its_number(office: Office) -> None:
    office.ready()
    crm, (crm_id,) = crm_of(office), quotes_in(office, "DRAFT")
    crm.automation.add_rule(QUOTE, "SENT", ROBOT)
    office.sandbox.bitrix24.delivery.flush()
    office.sandbox.bitrix24.delivery.log.clear()
    crm.change_item(QUOTE, crm_id, stageId="SENT")
    assert deliver(office, f"robot:{ROBOT}") == [200]
    run = crm.automation.runs[-1]
    assert run.state == "waiting"
    office.work()

    quote = quote_of(office, crm_id)
    assert quote.status == "SENT"
    assert (run.state, run.results["number"], run.results["problem"]) == ("done", quote.number, "")
    assert run.results["status"] == "Sent to customer"
    assert quote.id in run.results["link"]


def test_delivered_twice_it_is_one_transfer_and_one_answer(office: Office) -> None:
    office.ready()
    crm, (crm_id,) = crm_of(office), sendable(office, 1)
    rules_on(crm)
    office.sandbox.bitrix24.controls.switches.set("robot_delivery", "twice")

    run = reach(office, crm_id)
    assert len(rows(office, RobotCall)) == 1
    office.work()

    assert (run.state, copies(office, crm_id), len(comments(crm, crm_id))) == ("done", 1, 1)


def test_an_answer_that_was_lost_is_repeated_and_counts_once(office: Office) -> None:
    office.ready()
    crm, (crm_id,) = crm_of(office), sendable(office, 1)
    rules_on(crm)
    run = reach(office, crm_id)
    office.sandbox.bitrix24.controls.fail("lost", path="/rest/bizproc.event.send", method="POST")

    office.work()

    assert (run.state, len(comments(crm, crm_id))) == ("done", 1)
    assert row(office, RobotCall).state == "answered"


def test_nobody_waits_any_more(office: Office) -> None:
    office.ready()
    crm, (crm_id,) = crm_of(office), sendable(office, 1)
    rules_on(crm)
    run = reach(office, crm_id)
    crm.set_stage(crm_id, "Check with sales")

    office.work()

    assert run.state == "stopped"
    assert (row(office, RobotCall).state, office.waiting()) == ("answered", [])


def test_a_worker_killed_before_its_answer(office: Office) -> None:
    office.services = replace(office.services, config=replace(office.config, pace=20.0))
    office.app.extensions["tallybridge"] = office.services
    office.ready()
    crm, (crm_id,) = crm_of(office), sendable(office, 1)
    rules_on(crm)
    run = reach(office, crm_id)
    ring(office)
    while not rows(office, Job, kind="answer", state="waiting"):
        ring(office)
    held = office.sandbox.bitrix24.controls.fail("hold_after", path="/rest/bizproc.event.send", method="POST", seconds=10)
    with doomed(office, f"portal:{portal_row(office).id}") as process:
        assert held.reached.wait(30)
        process.kill()
    held.released.set()
    assert row(office, Job, kind="answer").state == "running"

    office.work()

    assert (run.state, len(comments(crm, crm_id)), copies(office, crm_id)) == ("done", 1, 1)
    assert row(office, RobotCall).state == "answered"


@contextmanager
def doomed(office: Office, bell: str) -> Iterator[subprocess.Popen[str]]:
    """A worker of its own that answers this bell."""
    config = office.config
    environment = {
        **child_environment(),
        **office.sandbox.settings.app_environment(),
        "SECRET_KEY": config.secret_key,
        "ENCRYPTION_KEYS": ",".join(config.encryption_keys),
        "DATABASE_URL": config.database_url,
        "REDIS_URL": config.redis_url,
        "TALLYBRIDGE_PACE": "20",
        "PYTHONPATH": os.fspath(TREE.root),
    }
    command = [sys.executable, "-m", "tests.stories.doomed", bell]
    with subprocess.Popen(command, cwd=TREE.root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("\n")
        process.stdin.flush()
        yield process


def call_of(office: Office, crm_id: int) -> dict[str, Any]:
    """The pairs of a real call, to be forged."""
    delivery = office.sandbox.bitrix24.delivery
    delivery.flush()
    delivery.log.clear()
    crm_of(office).call_robot(ROBOT, INVOICE, crm_id)
    assert delivery.flush()
    return dict(flatten(delivery.log[-1].parcel.body))


def test_a_forged_call_does_nothing(office: Office) -> None:
    office.install()
    office.install("stranger")
    call = call_of(office, sendable(office, 1)[0])
    stranger = crm_of(office, "stranger").installation
    assert stranger is not None
    forgeries = [
        {"auth[application_token]": "guessed"},
        {"auth[application_token]": ""},
        {"auth[application_token]": stranger.application_token},
        {"auth[member_id]": "0" * 32},
        {"code": "another_robot"},
        {"event_token": ""},
        {"document_id[2]": "SMART_INVOICE_"},
    ]

    assert [office.client.post("/bitrix24/robot", data=call | one).status_code for one in forgeries] == [403] * len(forgeries)
    assert rows(office, RobotCall) == []
    assert office.client.post("/bitrix24/robot", data=call).status_code == 200


def test_a_portal_that_has_left_is_nobody(office: Office) -> None:
    office.ready()
    crm, (crm_id, other) = crm_of(office), sendable(office, 2)
    rules_on(crm)
    reach(office, crm_id)
    call = call_of(office, other)
    crm.uninstall()
    deliver(office, "ONAPPUNINSTALL")

    assert office.client.post("/bitrix24/robot", data=call).status_code == 403
    assert (rows(office, RobotCall), office.waiting()) == ([], [])


def test_without_xero_the_rule_is_told_at_once(office: Office) -> None:
    office.install()
    crm, (crm_id,) = crm_of(office), sendable(office, 1)
    rules_on(crm)

    run = reach(office, crm_id)
    office.work()

    assert (run.state, run.results["problem"]) == ("done", "Xero is not connected. Connect it first.")


def test_a_person_cannot_cancel_what_a_rule_waits_for(office: Office) -> None:
    alice = office.ready()
    crm, (crm_id,) = crm_of(office), sendable(office, 1)
    rules_on(crm)
    batch = alice.order(crm_id)
    alice.post(f"/app/batches/{batch}/confirm")
    run = reach(office, crm_id)

    alice.post(f"/app/batches/{batch}/cancel")
    office.work()

    assert (run.state, run.results["problem"], copies(office, crm_id)) == ("done", "", 1)


def test_the_event_token_is_sealed_and_forgotten(office: Office) -> None:
    office.ready()
    crm, (crm_id,) = crm_of(office), sendable(office, 1)
    rules_on(crm)
    run = reach(office, crm_id)
    with office.services.db.engine.connect() as connection:
        raw = bytes(connection.exec_driver_sql("SELECT event_token FROM robot_call").scalar_one())
    assert run.token.encode() not in raw
    office.work()

    assert row(office, RobotCall).event_token is None


def test_without_the_scope_everything_else_goes_on(office: Office) -> None:
    crm = crm_of(office)
    crm.install(1, scopes=("crm", "catalog", "placement", "userfieldconfig", "user_brief", "im"))
    opening = crm.open_app(1)
    page = office.client.post(opening.url.partition("://")[2].partition("/")[2].join(("/", "")), data=opening.fields).text
    crm.finish_install(1)

    assert says(page, "robot.scope_missing")
    assert crm.installation is not None
    assert (crm.installation.robots, list(crm.installation.triggers)) == ({}, [TRIGGER])
    assert len(crm.installation.placements) == 6


def test_paid_in_xero_fires_the_trigger_once(office: Office) -> None:
    alice = office.ready()
    crm, (crm_id,) = crm_of(office), sendable(office, 1)
    crm.automation.bindings.append(Binding(TRIGGER, INVOICE, crm.stage_id("P")))
    alice.send(crm_id)
    approve(office, crm_id)
    alice.fetch(crm_id)
    assert crm.automation.fired == []
    office.sandbox.xero.pay(document_of(office, crm_id).id)
    # Of the requests of this exchange the one that tells automation is the second after the order: where it stands; what it gets, and that it is paid.
    alice.order(crm_id, kind="pull")
    office.sandbox.bitrix24.controls.fail("status", path="/rest/batch", method="POST", status=503, skip=1)
    office.work()
    assert office.sandbox.bitrix24.controls.faults == []
    alice.fetch(crm_id)

    assert crm.automation.fired == [(TRIGGER, INVOICE, crm_id)]
    assert crm.invoices[crm_id]["stageId"] == crm.stage_id("P")


def test_workers_answer_within_a_moment(office: Office) -> None:
    """Whoever ends the job rings the portal's bell; no sweep is needed."""
    office.ready()
    crm, (crm_id,) = crm_of(office), sendable(office, 1)
    rules_on(crm)
    rung: list[str] = []
    office.services.db.ringer = rung.append
    reach(office, crm_id)
    assert [one.partition(":")[0] for one in rung] == ["organisation"]
    started = time.monotonic()
    office.work()
    assert any(one.startswith("portal:") for one in rung)
    assert time.monotonic() - started < 10
