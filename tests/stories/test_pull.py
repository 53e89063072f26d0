"""Update from Xero: what Xero authors comes back, and what has not changed costs no write."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import select, update

from plugin import jobs
from plugin.kinds import INVOICE
from plugin.models import Activity, Job, Watermark
from plugin.sending import conductor, pull
from plugin.xero import documents
from sandbox.bitrix24.portal import Portal
from tests.stories.main_story import approve, document_of, fields_of, outcomes, reads, sendable, total_of
from tests.stories.office import Office, Person
from tests.stories.seen import rows


def sent(office: Office) -> tuple[Person, Portal, int]:
    """One invoice in Xero, approved."""
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    approve(office, crm_id)
    return alice, office.sandbox.bitrix24.portals["harbour"], crm_id


def updates(office: Office) -> int:
    """How many updates of invoices Bitrix24 was asked for."""
    return sum(call.body.count(b"crm.item.update") for call in office.sandbox.bitrix24.controls.calls)


def test_a_part_payment_shows_its_amounts_and_leaves_the_stage(office: Office) -> None:
    alice, crm, crm_id = sent(office)
    office.sandbox.xero.pay(document_of(office, crm_id).id, "10.00")

    alice.fetch(crm_id)

    fields = fields_of(crm, crm_id)
    assert fields["STATUS"] == "Part paid"
    assert fields["PAID"] == "10|NZD" or fields["PAID"] == "10.00|NZD"
    assert Decimal(fields["DUE"].partition("|")[0]) == total_of(crm, crm_id) - 10


def test_a_full_payment_moves_the_stage_and_shows_the_day(office: Office) -> None:
    alice, crm, crm_id = sent(office)
    payment = office.sandbox.xero.pay(document_of(office, crm_id).id)

    alice.fetch(crm_id)

    assert crm.invoices[crm_id]["stageId"] == crm.stage_id("P")
    assert fields_of(crm, crm_id)["PAID_ON"].startswith(payment.date.isoformat())


def test_a_removed_payment_takes_the_stage_back(office: Office) -> None:
    alice, crm, crm_id = sent(office)
    payment = office.sandbox.xero.pay(document_of(office, crm_id).id)
    alice.fetch(crm_id)
    office.sandbox.xero.actions.unpay(office.sandbox.xero.HARBOUR, payment.id)

    alice.fetch(crm_id)

    assert crm.invoices[crm_id]["stageId"] != crm.stage_id("P")
    assert fields_of(crm, crm_id)["STATUS"] in ("Awaiting payment", "Overdue")
    assert fields_of(crm, crm_id)["PAID_ON"] in ("", "None")


def test_voided_and_deleted_documents_are_shown_and_move_to_the_losing_stage(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    voided, deleted = sendable(office, 2)
    alice.send(voided, deleted)
    approve(office, voided)
    office.sandbox.xero.void(document_of(office, voided).id)
    office.sandbox.xero.delete(document_of(office, deleted).id)

    alice.fetch(voided, deleted)

    assert [fields_of(crm, one)["STATUS"] for one in (voided, deleted)] == ["Voided", "Deleted"]
    assert {crm.invoices[one]["stageId"] for one in (voided, deleted)} == {crm.stage_id("D")}


def test_what_has_not_changed_costs_no_write(office: Office) -> None:
    alice, _, crm_id = sent(office)
    alice.fetch(crm_id)
    ordered = len(rows(office, Job, kind=jobs.WRITE_BACK))
    office.sandbox.bitrix24.controls.calls.clear()

    batch = alice.fetch(crm_id)

    assert outcomes(office, batch) == [("unchanged", None)]
    assert updates(office) == 0
    assert len(rows(office, Job, kind=jobs.WRITE_BACK)) == ordered


def test_what_was_never_sent_is_told(office: Office) -> None:
    alice = office.ready()

    assert outcomes(office, alice.fetch(*sendable(office, 1))) == [("refused", "pull.not_linked")]


def test_a_webhook_brings_the_stage_without_anybody_asking(office: Office) -> None:
    _, crm, crm_id = sent(office)
    office.sandbox.xero.controls.switches.set("webhooks", "held")
    office.sandbox.xero.pay(document_of(office, crm_id).id)

    raw, signature = news(office)
    answer = office.client.post("/xero/webhooks", data=raw, headers={"x-xero-signature": signature, "Content-Type": "application/json"})
    office.work()

    assert answer.status_code == 200
    assert crm.invoices[crm_id]["stageId"] == crm.stage_id("P")


def news(office: Office) -> tuple[bytes, str]:
    """The delivery that Xero would make now, signed."""
    import base64
    import hashlib
    import hmac
    import json

    tenant = office.sandbox.xero.HARBOUR
    found = office.sandbox.xero.invoices()
    events = [{"resourceId": one.id, "eventCategory": "INVOICE", "eventType": "UPDATE", "tenantId": tenant, "tenantType": "ORGANISATION"} for one in found]
    raw = json.dumps({"events": events, "firstEventSequence": 1, "lastEventSequence": len(events), "entropy": "x"}).encode()
    key = office.sandbox.settings.xero_webhook_key.encode()
    return raw, base64.b64encode(hmac.new(key, raw, hashlib.sha256).digest()).decode()


def test_more_than_two_hundred_come_in_one_pass(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    link_many(office, alice, 230)
    office.sandbox.xero.controls.calls.clear()

    answer = alice.post("/app/batches", {"kind": "pull", "all_linked": "1"})
    assert answer.status_code == 200, answer.text
    office.work()

    passes = [one for one in reads(office) if "/Invoices" in one.path]
    assert len(passes) == 1
    crm = office.sandbox.bitrix24.portals["harbour"]
    assert fields_of(crm, crm_id)["STATUS"] == "Draft"


def test_what_we_have_just_sent_ourselves_is_not_all_read_again_and_the_sweep_still_looks_back(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents.invoices_modified, "__defaults__", (True, False, 40))  # forty a page
    monkeypatch.setattr(pull, "BY_IDS_CALLS", 2)
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    link_many(office, alice, 150)
    office.sandbox.xero.controls.clock.advance(60)
    approve(office, crm_id)
    controls = office.sandbox.xero.controls
    for expected in (1 + 4, 1):  # the first one finds four pages, and moves the watermark
        controls.calls.clear()
        alice.post("/app/batches", {"kind": "pull", "all_linked": "1"})
        office.work()
        assert len([one for one in reads(office) if one.path.endswith("/Invoices")]) == expected
    mark = next(one.modified_since for one in rows(office, Watermark) if one.resource == INVOICE.watermark)
    with office.services.db.transaction() as tx:
        tx.execute(update(Watermark).where(Watermark.resource == INVOICE.watermark).values(due_at=office.services.now(), read_at=None))

    controls.calls.clear()
    conductor.conduct(office.services, 1, lambda: False)

    assert len([one for one in reads(office) if one.path.endswith("/Invoices")]) == 4
    assert next(one.modified_since for one in rows(office, Watermark) if one.resource == INVOICE.watermark) == mark


def link_many(office: Office, person: Person, count: int) -> None:
    """So many further invoices of the CRM, each linked to a document in Xero."""
    from plugin.models import Link

    crm = office.sandbox.bitrix24.portals["harbour"]
    made = office.sandbox.xero.actions.fill(office.sandbox.xero.HARBOUR, count)
    now = office.services.now()
    ids = [crm.add_invoice(None, title=f"Many {number}") for number in range(count)]
    with office.services.db.transaction() as tx:
        for crm_id, xero_id in zip(ids, made, strict=True):
            tx.add(Link(portal_id=person.portal_id, organisation_id=1, crm_kind="invoice", crm_id=crm_id, xero_kind="invoice", xero_id=xero_id, created_at=now))


def test_the_history_tells_what_changed(office: Office) -> None:
    alice, _, crm_id = sent(office)
    office.sandbox.xero.pay(document_of(office, crm_id).id)
    alice.fetch(crm_id)

    with office.services.db.reading() as session:
        told = session.scalars(select(Activity).where(Activity.code == "activity.status_changed")).all()
    assert [(one.params["after"], one.user_name != "") for one in told][-1:] == [("paid", True)]
    due = {one["field"]: one for one in told[-1].params["changes"]}["amount_due"]
    assert (due["before"], due["after"]) == (f"{total_of(alice.portal, crm_id):.2f}", "0.00")
    assert "Paid" in alice.get("/app/activity").text
