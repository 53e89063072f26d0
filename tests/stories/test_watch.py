"""Nothing depends on an event that may never come: sweeps, the night's check and the portal's own queue find what happened."""

from __future__ import annotations

import pytest

from plugin.bitrix24 import offline
from plugin.models import Activity, Job, Link, Watch
from plugin.sentences import sentence
from plugin.usecases import watch
from sandbox.bitrix24 import fields
from tests.stories.office import Office
from tests.stories.patience import PatientOffice
from tests.stories.seen import deliver, row, rows, says, words
from tests.stories.test_automatic import ROWS, automatic, harbour, in_xero, live, new_invoice
from tests.stories.test_sending import writes


def sweep(office: Office) -> None:
    """The sweeper comes by, and what it orders is done."""
    watch.order_due(office.services)
    office.work()


def watched(office: Office, **more: str) -> None:
    """Something runs by itself, and the first sweep is behind us."""
    automatic(office, **more)
    sweep(office)
    sweep(office)
    deliver(office)
    office.sandbox.xero.controls.calls.clear()


def lose(office: Office) -> None:
    """Everything that the portal has told so far is lost."""
    assert office.sandbox.bitrix24.delivery.flush()
    office.sandbox.bitrix24.delivery.log.clear()


def test_what_no_event_announced_is_found_by_the_sweep(patient_office: PatientOffice) -> None:
    office = patient_office
    watched(office)
    made, changed = new_invoice(office), new_invoice(office)
    live(office, 6)
    unseen = new_invoice(office)
    harbour(office).change_invoice(changed, [{**ROWS[0], "quantity": 4}])
    lose(office)
    office.work()
    assert in_xero(office, unseen) is None
    office.pass_time(61)
    sweep(office)

    assert in_xero(office, made) is not None
    assert str(in_xero(office, unseen).total) == "230.00"
    assert str(in_xero(office, changed).total) == "460.00"
    lose(office)
    sent = len(writes(office))
    office.pass_time(61)
    sweep(office)
    assert len(writes(office)) == sent
    assert rows(office, Activity, code="activity.created")[-1].cause == "sweep"


def test_an_idle_sweep_costs_little(patient_office: PatientOffice) -> None:
    office = patient_office
    watched(office)
    office.pass_time(400)
    office.sandbox.bitrix24.controls.calls.clear()
    office.sandbox.xero.controls.calls.clear()
    sweep(office)

    assert len([one for one in office.sandbox.bitrix24.controls.calls if "/rest/" in one.path]) <= 2
    assert list(office.sandbox.xero.controls.calls) == []


def test_nothing_is_swept_where_nothing_runs_by_itself(patient_office: PatientOffice) -> None:
    office = patient_office
    watched(office, mode="off")
    lost = new_invoice(office)
    lose(office)
    before = office.services.now()
    office.pass_time(61)
    sweep(office)

    assert in_xero(office, lost) is None
    assert rows(office, Job, kind="crm_sweep") == []
    # What changed meanwhile is not made up for when it is switched on later.
    assert row(office, Watch).swept_until > before


@pytest.mark.parametrize(("extended", "data"), [("Y", "fields"), ("N", "fields"), ("Y", "false")])
def test_the_portals_own_queue_tells_what_was_lost(patient_office: PatientOffice, extended: str, data: str) -> None:
    office = patient_office
    office.sandbox.bitrix24.controls.switches.set("offline_extended", extended)
    office.sandbox.bitrix24.controls.switches.set("offline_event_data", data)
    watched(office)
    alice = office.open()
    office.work()
    assert row(office, Watch, portal_id=alice.portal_id).offline == (offline.RESERVE if extended == "Y" else offline.TAKE)
    deleted = new_invoice(office)
    live(office, 8)
    harbour(office).delete_invoice(deleted)
    made = new_invoice(office)
    lose(office)
    office.pass_time(61)
    sweep(office)
    office.work()

    assert in_xero(office, made) is not None
    assert row(office, Link, crm_kind="invoice", crm_id=deleted).crm_gone_at is not None

    # What is left in the queue is the echo of our own writing back: the next sweep takes it, and nothing follows from it.
    sent = len(writes(office))
    for _ in range(2):
        office.pass_time(61)
        sweep(office)
    assert harbour(office).offline_queue == []
    assert len(writes(office)) == sent


@pytest.mark.parametrize("extended", ["Y", "N"])
def test_the_queue_s_own_event_makes_it_known_at_once(patient_office: PatientOffice, extended: str) -> None:
    """The events themselves are lost; that the queue holds something is told, and no sweep has to come by."""
    office = patient_office
    office.sandbox.bitrix24.controls.switches.set("offline_extended", extended)
    watched(office)
    office.open()
    office.work()
    deleted = new_invoice(office)
    live(office, 8)
    made = new_invoice(office)
    harbour(office).delete_invoice(deleted)
    assert deliver(office, "ONOFFLINEEVENT")
    office.work()

    assert in_xero(office, made) is not None
    assert row(office, Link, crm_kind="invoice", crm_id=deleted).crm_gone_at is not None


def test_handlers_that_vanished_are_bound_again_in_the_night_and_at_the_door(patient_office: PatientOffice) -> None:
    office = patient_office
    watched(office)
    app = harbour(office).installation
    assert app is not None
    office.open()
    office.work()
    bound = {(one.event, one.offline) for one in app.handlers}
    assert {"ONCRMDYNAMICITEMUPDATE_31", "ONCRMQUOTEADD", "ONCRMREQUISITEUPDATE", "CATALOG.PRICE.ON.UPDATE", "ONCRMCURRENCYADD"} <= {one for one, _ in bound}
    for again in (lambda: office.pass_time(86_400), lambda: (office.pass_time(3_700), office.open())):
        app.handlers.clear()
        again()
        sweep(office)
        assert {(one.event, one.offline) for one in app.handlers} == bound
    assert len(rows(office, Activity, code="activity.handlers_repaired")) == 2


def test_the_night_finds_rows_that_changed_without_a_word(patient_office: PatientOffice) -> None:
    office = patient_office
    office.sandbox.bitrix24.controls.switches.set("rows_fire_update", "never")
    watched(office)
    crm_id = new_invoice(office)
    live(office, 6)
    harbour(office).change_invoice(crm_id, [{**ROWS[0], "quantity": 5}])
    lose(office)
    office.pass_time(86_400)
    sweep(office)

    assert str(in_xero(office, crm_id).total) == "575.00"


def gone(office: PatientOffice, **more: str) -> int:
    """An invoice that is in Xero as a draft, deleted in the CRM; the event was lost, the night has found it."""
    watched(office, **more)
    crm_id = new_invoice(office)
    live(office, 6)
    harbour(office).delete_invoice(crm_id)
    lose(office)
    office.pass_time(86_400)
    sweep(office)
    assert row(office, Link, crm_kind="invoice", crm_id=crm_id).crm_gone_at is not None
    return crm_id


def document_of(office: Office, crm_id: int) -> object:
    link = rows(office, Link, crm_kind="invoice", crm_id=crm_id)[-1]
    return office.sandbox.xero.invoice(link.xero_id)


def test_a_deletion_is_a_question_and_the_answer_is_done(patient_office: PatientOffice) -> None:
    office = patient_office
    crm_id = gone(office)
    alice = office.open()
    link = row(office, Link, crm_kind="invoice", crm_id=crm_id)
    asked = "1 document was deleted in Bitrix24 and is still in Xero. Decide"
    pages = ("/app/invoices", "/app/activity", "/app/setup")
    assert [page for page in pages if asked not in words(alice.get(page).text)] == []
    assert asked not in words(office.open(user=2).get("/app/activity").text)
    assert link.number in words(alice.get("/app/setup/deleted").text)
    assert office.open(user=2).get("/app/setup/deleted").status_code == 403
    stranger = office.ready("stranger", number_prefix="S-")
    assert stranger.post(f"/app/setup/deleted/{link.id}", {"keep": "no"}).status_code == 404
    assert link.number not in words(stranger.get("/app/setup/deleted").text)
    assert document_of(office, crm_id).status == "DRAFT"  # type: ignore[attr-defined]

    alice.post(f"/app/setup/deleted/{link.id}", {"keep": "no"})
    office.work()
    assert document_of(office, crm_id).status == "DELETED"  # type: ignore[attr-defined]
    assert "When something is, it stands here" in words(alice.get("/app/setup/deleted").text)
    assert [page for page in pages if asked in words(alice.get(page).text)] == []
    assert says(alice.get("/app/activity").text, "activity.removed_in_xero", number=link.number)
    assert sentence("deleted.decided", {"number": link.number}) in words(alice.post(f"/app/setup/deleted/{link.id}", {"keep": "yes"}).text)


def test_kept_in_xero_it_stays_and_is_never_asked_again(patient_office: PatientOffice) -> None:
    office = patient_office
    crm_id = gone(office)
    alice = office.open()
    alice.post(f"/app/setup/deleted/{row(office, Link, crm_kind='invoice', crm_id=crm_id).id}", {"keep": "yes"})
    office.pass_time(86_400)
    sweep(office)

    assert document_of(office, crm_id).status == "DRAFT"  # type: ignore[attr-defined]
    assert "Nothing left to decide" in words(alice.get("/app/setup/deleted").text)


def test_where_the_portal_chose_so_a_draft_goes_after_a_day_and_not_before(patient_office: PatientOffice) -> None:
    office = patient_office
    crm_id = gone(office, when_deleted="delete")
    assert document_of(office, crm_id).status == "DRAFT"  # type: ignore[attr-defined]
    office.pass_time(86_500)
    sweep(office)

    assert document_of(office, crm_id).status == "DELETED"  # type: ignore[attr-defined]


def test_what_came_back_from_the_recycle_bin_is_not_deleted(patient_office: PatientOffice) -> None:
    office = patient_office
    crm_id = gone(office, when_deleted="delete")
    table = harbour(office).crm.tables[fields.INVOICE]
    copy = dict(next(iter(table.by_id.values())))
    table.insert(copy, crm_id)
    office.pass_time(86_500)
    sweep(office)

    assert document_of(office, crm_id).status == "DRAFT"  # type: ignore[attr-defined]
    assert row(office, Link, crm_kind="invoice", crm_id=crm_id).crm_gone_at is None


def test_an_approved_document_is_only_ever_asked_about(patient_office: PatientOffice) -> None:
    office = patient_office
    watched(office, when_deleted="delete")
    crm_id = new_invoice(office)
    live(office, 6)
    harbour(office).set_stage(crm_id, "S")
    live(office, 6)
    assert document_of(office, crm_id).status == "AUTHORISED"  # type: ignore[attr-defined]
    harbour(office).delete_invoice(crm_id)
    live(office, 6)
    for _ in range(2):
        office.pass_time(86_500)
        sweep(office)
    assert document_of(office, crm_id).status == "AUTHORISED"  # type: ignore[attr-defined]
    alice = office.open()
    assert "Void in Xero" in words(alice.get("/app/setup/deleted").text)
    alice.post(f"/app/setup/deleted/{row(office, Link, crm_kind='invoice', crm_id=crm_id).id}", {"keep": "no"})
    office.work()

    assert document_of(office, crm_id).status == "VOIDED"  # type: ignore[attr-defined]
