"""Bulk goes in runs: the next one is made ready, and begins, while calls of the one before are in the air."""

from __future__ import annotations

from typing import Any

import pytest

from plugin.models import Organisation
from plugin.sending import conductor
from plugin.usecases import batches
from tests.stories import quote_story
from tests.stories.main_story import copies, document_of, outcomes, sendable, total_of, writes
from tests.stories.office import Office, Person
from tests.stories.seen import row


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two documents a run, and everything counts as bulk."""
    monkeypatch.setattr(batches, "PEOPLE_MOST", 0)
    monkeypatch.setattr(conductor, "SEND_MOST", 2)
    monkeypatch.setattr(conductor, "FOLLOW_MOST", 2)


def ready(office: Office) -> Person:
    """Set up, and Xero's limits known for long."""
    alice = office.ready()
    office.services.redis.hset(f"xero:{row(office, Organisation).tenant_id}:state", "born", 0)
    return alice


def slow(office: Office, method: str, path: str, seconds: float) -> None:
    office.sandbox.xero.controls.latency[:] = [(path, method, seconds)]
    office.sandbox.xero.controls.calls.clear()


def begun_and_answered(office: Office, path: str) -> list[tuple[float, float]]:
    return sorted((one.at - one.seconds, one.at) for one in writes(office) if one.path.endswith(path))


def test_a_run_begins_while_the_one_before_it_is_in_the_air(office: Office, small_runs: None) -> None:
    alice = ready(office)
    ids = sendable(office, 6)
    slow(office, "PUT", "/Invoices$", 1.0)

    assert {one for one, _ in outcomes(office, alice.send(*ids))} == {"created"}

    calls = begun_and_answered(office, "/Invoices")
    assert len(calls) == 3
    assert calls[2][0] < calls[0][1]
    assert all(copies(office, one) == 1 and document_of(office, one).total == total_of(office.sandbox.bitrix24.portals["harbour"], one) for one in ids)


def test_a_run_whose_answer_is_lost_holds_no_other_and_is_settled(office: Office, small_runs: None) -> None:
    alice = ready(office)
    ids = sendable(office, 6)
    slow(office, "PUT", "/Invoices$", 0.5)
    office.sandbox.xero.controls.fail("lost", path="/Invoices$", method="PUT")

    assert {one for one, _ in outcomes(office, alice.send(*ids))} == {"created"}

    assert [copies(office, one) for one in ids] == [1] * 6


def test_what_breaks_a_run_in_the_air_breaks_no_other(office: Office, small_runs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its documents wait again with their call kept, and are looked for before anything is sent."""
    alice = ready(office)
    ids = sendable(office, 6)
    slow(office, "PUT", "/Invoices$", 0.5)
    judge, broken = conductor.send._judge, []

    def once(*given: Any) -> None:
        if not broken:
            broken.append(True)
            raise RuntimeError("a mistake of ours")
        judge(*given)

    monkeypatch.setattr(conductor.send, "_judge", once)

    assert {one for one, _ in outcomes(office, alice.send(*ids))} == {"created"}

    assert broken
    assert [copies(office, one) for one in ids] == [1] * 6


def test_an_invoice_waits_for_its_quote_that_is_in_the_air(office: Office, small_runs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductor, "SEND_MOST", 1)
    monkeypatch.setattr(conductor, "FOLLOW_MOST", 1)
    alice = ready(office)
    crm = office.sandbox.bitrix24.portals["harbour"]
    (quote_id,) = quote_story.quotes_in(office, "SENT")
    (invoice_id,) = sendable(office, 1)
    crm.change_invoice(invoice_id, parentId7=quote_id)
    batch = quote_story.ordered(alice, quote_id)
    invoice_batch = alice.order(invoice_id)
    slow(office, "PUT", "/Quotes$", 1.0)
    alice.post(f"/app/batches/{invoice_batch}/confirm")
    office.work()

    assert outcomes(office, batch) == outcomes(office, invoice_batch) == [("created", None)]
    assert document_of(office, invoice_id).reference.endswith(f" / {quote_story.document_of(office, quote_id).number}")
    assert quote_story.document_of(office, quote_id).status == "INVOICED"
