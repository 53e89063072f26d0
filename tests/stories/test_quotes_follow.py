"""Quotes that are in Xero follow the CRM by themselves: content, stages, deletions; nobody presses a button twice."""

from __future__ import annotations

from plugin.models import Activity, Followed, Link
from plugin.usecases import watch
from sandbox.bitrix24.fields import QUOTE
from tests.stories.office import Office, Person
from tests.stories.patience import PatientOffice
from tests.stories.quote_story import change, change_quantity, document_of, harbour, held, quotes_in, send, total_of
from tests.stories.seen import deliver, row, rows, words
from tests.stories.test_automatic import automatic, live
from tests.stories.test_sending import writes


def sent_quote(office: Office, stage: str = "DRAFT", mode: str = "new") -> tuple[Person, int]:
    """Something runs by itself, and this quote was sent by a person."""
    alice = automatic(office, mode)
    (crm_id,) = quotes_in(office, stage)
    change(office, crm_id, begindate=office.services.now().date().isoformat())  # nothing older than the start date follows (RULES 9)
    send(alice, crm_id)
    live(office)
    office.sandbox.xero.controls.calls.clear()
    return alice, crm_id


def test_an_edit_and_a_stage_follow_and_our_own_writing_does_not(office: Office) -> None:
    _, crm_id = sent_quote(office)
    change_quantity(office, crm_id, 8)
    live(office)
    assert document_of(office, crm_id).total == total_of(office, crm_id)

    for stage, status in (("SENT", "SENT"), ("APPROVED", "ACCEPTED"), ("SENT", "SENT"), ("DECLAINED", "DECLINED")):
        change(office, crm_id, stageId=stage)
        live(office)
        assert document_of(office, crm_id).status == status
        assert harbour(office).quotes[crm_id]["stageId"] == stage
    said = rows(office, Activity, code="activity.updated_in_xero", subject=f"quote:{crm_id}")
    assert {one.cause for one in said} == {"automatic"}

    office.sandbox.xero.controls.calls.clear()
    change(office, crm_id, comments="Nothing that Xero knows of")
    live(office)
    assert list(office.sandbox.xero.controls.calls) == []


def test_a_new_quote_waits_for_a_person_and_off_means_off(office: Office) -> None:
    alice, crm_id = sent_quote(office)
    before = len(held(office))
    (other,) = quotes_in(office, "SENT")
    change_quantity(office, other, 5)
    live(office)
    assert len(held(office)) == before
    assert rows(office, Followed) == []

    alice.post("/app/setup/automatic", {"automatic": "off"})
    change(office, crm_id, stageId="APPROVED")
    live(office)
    assert document_of(office, crm_id).status == "DRAFT"
    assert writes(office) == []


def test_what_xero_forbids_is_said_on_the_quote_and_tried_again_when_it_changes(office: Office) -> None:
    _, crm_id = sent_quote(office, "SENT")
    change(office, crm_id, stageId="DRAFT")
    live(office)
    assert document_of(office, crm_id).status == "SENT"
    assert "from Sent to customer to Draft" in str(harbour(office).quotes[crm_id]["UF_CRM_QUOTE_XERO_ERROR"])
    assert row(office, Followed, crm_kind="quote", crm_id=crm_id).problem_code == "quote.move_refused"

    change(office, crm_id, stageId="APPROVED")
    live(office)
    assert document_of(office, crm_id).status == "ACCEPTED"
    assert rows(office, Followed) == []
    assert harbour(office).quotes[crm_id]["UF_CRM_QUOTE_XERO_ERROR"] in ("", None)


def test_lost_events_of_a_quote_are_found_by_the_sweep_and_its_deletion_in_the_night(patient_office: PatientOffice) -> None:
    office = patient_office
    alice, crm_id = sent_quote(office)
    for seconds in (61, 61):
        office.pass_time(seconds)
        watch.order_due(office.services)
        office.work()
    change(office, crm_id, stageId="SENT")
    lose(office)
    office.pass_time(61)
    watch.order_due(office.services)
    office.work()
    assert document_of(office, crm_id).status == "SENT"

    quote = document_of(office, crm_id)
    harbour(office).delete_item(QUOTE, crm_id)
    lose(office)
    office.pass_time(86_400)
    watch.order_due(office.services)
    office.work()
    link = row(office, Link, crm_kind="quote", crm_id=crm_id)
    assert link.crm_gone_at is not None
    assert "1 document was deleted in Bitrix24 and is still in Xero." in words(office.open().get("/app/invoices").text)

    alice = office.open()
    assert "Delete in Xero" in alice.get("/app/setup/deleted").text
    alice.post(f"/app/setup/deleted/{link.id}", {"keep": "no"})
    office.work()
    assert next(one for one in held(office) if one.id == quote.id).status == "DELETED"
    assert row(office, Link, id=link.id).ended_reason == "deleted_in_crm"


def lose(office: Office) -> None:
    """Everything that the portal has told so far is lost."""
    assert office.sandbox.bitrix24.delivery.flush()
    office.sandbox.bitrix24.delivery.log.clear()
    assert not deliver(office)
