"""What failing seeds taught, each as a story without chance."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from launch.tree import child_environment
from plugin import jobs
from plugin.limits import Slot, Wait, XeroLimits, patient_redis
from plugin.models import Call, Job
from sandbox.serve import Sandbox
from tests.services import TREE
from tests.stories.main_story import outcomes, reads, sendable
from tests.stories.office import Office

PACE = 20.0


@pytest.fixture
def office(sandbox: Sandbox, database_url: str, redis_url: str) -> Iterator[Office]:
    running = Office(sandbox, database_url, redis_url)
    yield running
    running.close()


def test_seed_1021_an_order_is_understood_however_often_it_was_prepared(office: Office) -> None:
    """PostgreSQL plans a prepared statement for all values after ten uses; the partial index must be named in plain words."""
    alice = office.install()
    subject = "back:invoice:1"
    for _ in range(20):
        with office.services.db.transaction() as tx:
            jobs.order(tx, jobs.Order(alice.portal_id, jobs.WRITE_BACK, subject, jobs.portal_bell(alice.portal_id)), office.services.now())

    with office.services.db.reading() as session:
        assert len(session.scalars(select(Job.id).where(Job.subject == subject)).all()) == 1


def test_seed_2032_a_call_for_contacts_whose_conductor_was_killed_is_closed_and_contacts_are_read_again(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    with office.services.db.transaction() as tx:
        elements = [{"subject": "company:1", "portal": alice.portal_id, "mark": "x"}]
        left = {"operation": "contacts", "method": "PUT", "path": "Contacts", "key": "k", "body": b"{}", "outcome": ""}
        call = Call(organisation_id=1, elements=elements, sent_at=datetime.now(UTC), **left)
        tx.add(call)
    office.sandbox.xero.controls.calls.clear()

    assert outcomes(office, alice.send(crm_id)) == [("created", None)]

    with office.services.db.reading() as session:
        assert session.scalars(select(Call.id).where(Call.answered_at.is_(None))).all() == []
    assert any(one.path.endswith("/Contacts") for one in reads(office))


_HOLDER = """
import sys, time
from plugin.limits import Slot, XeroLimits, patient_redis
limits = XeroLimits(patient_redis(sys.argv[1]), float(sys.argv[2]))
for _ in range(4):
    limits.give_back(limits.take("books", "people"), minute_left=60, day_left=4000)
for _ in range(4):
    while not isinstance(waits := limits.take("books", "bulk"), Slot):
        time.sleep(waits.seconds)
print("held", flush=True)
time.sleep(60)
"""


def test_slots_of_a_living_process_stay_and_those_of_a_killed_one_come_back(redis_url: str) -> None:
    """Four calls in the air, kill -9: the organisation may not stand still for the two minutes that a slot once lasted."""
    environment = {**child_environment(), "PYTHONPATH": os.fspath(TREE.root)}
    command = [sys.executable, "-c", _HOLDER, redis_url, str(PACE)]
    client = patient_redis(redis_url)
    limits = XeroLimits(client, PACE)
    with subprocess.Popen(command, cwd=TREE.root, env=environment, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        time.sleep(2.5)
        lent = limits.take("books", "bulk")  # the fifth, while no person wants it
        assert isinstance(lent, Slot)
        waits = limits.take("books", "bulk")
        assert isinstance(waits, Wait)
        assert waits.why == "concurrent"
        holder.kill()
    time.sleep(1.0)
    taken = limits.take("books", "bulk")
    assert isinstance(taken, Slot)
    for one in (lent, taken):
        limits.give_back(one, minute_left=None, day_left=None)
    client.close()
