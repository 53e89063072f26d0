"""While changes come again and again, what happens by itself shares a reading of Xero; nothing of the bookkeeper's is overwritten (RULES 19)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from plugin import durations, jobs
from plugin.models import Activity, Followed, Job
from plugin.news import STREAK, STREAK_GAP, NewsMemory
from plugin.sending import conductor
from tests.stories.office import Office
from tests.stories.patience import PatientOffice
from tests.stories.seen import deliver, row, rows
from tests.stories.test_automatic import ROWS, automatic, harbour, in_xero, live, new_invoice
from tests.stories.test_pull import news
from tests.stories.test_sending import writes


@pytest.fixture
def sent(office: Office) -> list[int]:
    """Three invoices that went by themselves, in a time in which run follows run."""
    automatic(office)
    ids = [new_invoice(office) for _ in range(3)]
    live(office)
    for _ in range(STREAK):
        office.services.news.goes_on(office.sandbox.xero.HARBOUR)
    office.sandbox.xero.controls.calls.clear()
    return ids


def edit(office: Office, crm_id: int, quantity: int) -> None:
    harbour(office).change_invoice(crm_id, [{**ROWS[0], "quantity": quantity}])
    live(office)


def readings(office: Office) -> tuple[int, int]:
    """Readings of what changed, and readings by ids."""
    seen = [one for one in office.sandbox.xero.controls.calls if one.method == "GET" and one.path.endswith("/Invoices")]
    by_ids = [one for one in seen if "IDs=" in one.query]
    return len(seen) - len(by_ids), len(by_ids)


def test_changes_one_after_another_share_a_reading(office: Office, sent: list[int]) -> None:
    for crm_id in sent:
        edit(office, crm_id, 3)
    assert [str(in_xero(office, crm_id).total) for crm_id in sent] == ["345.00"] * 3
    assert len(writes(office)) == 3
    assert readings(office) == (1, 0)
    assert len(rows(office, Activity, code="activity.updated_in_xero")) == 3


def test_what_was_changed_in_xero_is_read_by_itself_and_stays(office: Office, sent: list[int]) -> None:
    """The reference is only Xero's: it stays, while the CRM's change goes."""
    office.sandbox.xero.edit(in_xero(office, sent[0]).id, Reference="PO 7")
    edit(office, sent[0], 3)
    assert readings(office) == (1, 1)
    assert (str(in_xero(office, sent[0]).total), in_xero(office, sent[0]).reference) == ("345.00", "PO 7")


def test_what_both_sides_changed_waits_for_a_person(office: Office, sent: list[int]) -> None:
    document = in_xero(office, sent[0])
    office.sandbox.xero.actions.add_line(
        office.sandbox.xero.HARBOUR, document.id, Description="Added by the bookkeeper", Quantity="1", UnitAmount="50", AccountCode="200", TaxType="OUTPUT2"
    )
    edit(office, sent[0], 3)
    assert readings(office) == (1, 1)
    assert len(in_xero(office, sent[0]).lines) == 2
    assert row(office, Followed, crm_id=sent[0]).problem_code == "edit.conflict"


def test_what_xero_has_told_of_meanwhile_is_read_by_itself(office: Office, sent: list[int]) -> None:
    """A payment within the seconds of a shared reading: known from its webhook, it stands against the change."""
    edit(office, sent[0], 3)
    office.sandbox.xero.approve(in_xero(office, sent[1]).id)
    office.sandbox.xero.pay(in_xero(office, sent[1]).id)
    raw, signature = news(office)
    office.client.post("/xero/webhooks", data=raw, headers={"x-xero-signature": signature, "Content-Type": "application/json"})
    live(office)
    edit(office, sent[1], 3)
    assert row(office, Followed, crm_id=sent[1]).problem_code == "edit.paid"
    assert str(in_xero(office, sent[1]).total) == "230.00"


def test_a_change_now_and_then_is_read_for_itself(office: Office) -> None:
    automatic(office)
    crm_id = new_invoice(office)
    live(office)
    office.sandbox.xero.controls.calls.clear()
    edit(office, crm_id, 3)
    edit(office, crm_id, 4)
    assert readings(office) == (0, 2)


def test_what_was_put_off_goes_as_soon_as_there_is_room(patient_office: PatientOffice) -> None:
    """Put off to a moment that turns out to be later than it must: it goes with whatever is due before."""
    office = patient_office
    automatic(office)
    crm_id = new_invoice(office)
    live(office)
    harbour(office).change_invoice(crm_id, [{**ROWS[0], "quantity": 3}])
    deliver(office)
    office.take_in()
    job = row(office, Job, kind=jobs.FOLLOW, state="waiting")
    moment = office.services.now() + timedelta(seconds=300)
    with office.services.db.transaction() as tx:
        tx.get_one(Job, job.id).run_at = moment
        jobs.order(tx, jobs.Order(job.portal_id, jobs.FOLLOW, "invoice:99999", job.bell, job.organisation_id, jobs.EVENTS), office.services.now())
    office.services.news.put_off[office.sandbox.xero.HARBOUR] = moment
    conductor.conduct(office.services, job.organisation_id or 0, lambda: False)
    assert str(in_xero(office, crm_id).total) == "345.00"


def test_a_pause_ends_the_busy_time() -> None:
    now = [100.0]
    shared = NewsMemory(clock=lambda: now[0])
    assert [shared.goes_on("books") for _ in range(STREAK + 1)] == [False] * STREAK + [True]
    assert not shared.goes_on("others")
    now[0] += STREAK_GAP
    assert shared.goes_on("books")
    now[0] += STREAK_GAP + 0.1
    assert not shared.goes_on("books")


def test_a_shared_reading_serves_for_some_seconds() -> None:
    now = [100.0]
    shared = NewsMemory(clock=lambda: now[0])
    assert not shared.is_known("books")
    shared.was_read("books")
    now[0] += durations.SHARED_READING
    assert (shared.is_known("books"), shared.is_known("others")) == (True, False)
    now[0] += 0.1
    assert not shared.is_known("books")
