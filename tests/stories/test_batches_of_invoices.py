"""Batches: for ticked rows, for a filter, for everything; cancelled, sent again, as new, pushed, kept."""

from __future__ import annotations

import re
import threading
import time

from plugin import jobs
from plugin.kinds import INVOICE
from plugin.models import Job
from plugin.sending import conductor
from plugin.usecases import batches, open_app, send_to_xero
from plugin.usecases.shown import InvoiceFilter
from tests.stories.main_story import (
    approve,
    change_quantity,
    copies,
    document_of,
    fields_of,
    outcomes,
    problem_of,
    sendable,
    total_of,
    without_customer,
    words,
    writes,
)
from tests.stories.office import Office, Person
from tests.stories.seen import rows


def prepared(office: Office, person: Person, *ids: int, **how: bool) -> int:
    """A batch prepared with a choice that the page offers beside a problem."""
    with office.app.test_request_context():
        visitor = open_app.visitor(office.services, person.portal_id, person.user, "en")
        return send_to_xero.prepare(office.services, visitor, INVOICE, kind="send", ids=ids, **how)  # type: ignore[arg-type]


def send_so(office: Office, person: Person, *ids: int, **how: bool) -> int:
    batch = prepared(office, person, *ids, **how)
    person.post(f"/app/batches/{batch}/confirm")
    office.work()
    return batch


def test_more_than_two_hundred_in_a_filter_are_prepared_by_a_worker_and_shown_as_counts(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    like = crm.invoices[sendable(office, 1)[0]]
    row = {"productName": "Chair", "price": 115, "quantity": 1, "taxRate": 15, "taxIncluded": "Y"}
    for _ in range(220):
        crm.add_invoice([row], title="Bulk order", companyId=like["companyId"], mycompanyId=like["mycompanyId"], currencyId="NZD", stageId=like["stageId"])
    with office.app.test_request_context():
        visitor = open_app.visitor(office.services, alice.portal_id, 1, "en")
        batch = send_to_xero.prepare(office.services, visitor, INVOICE, kind="send", ids=None, filter=InvoiceFilter(search="Bulk order"))
        assert batches.shown(office.services, visitor, batch).state == "preparing"
        office.work()
        shown = batches.shown(office.services, visitor, batch)
    assert (shown.state, shown.total, shown.prepared, shown.new, shown.listed) == ("to_confirm", 220, 220, 220, False)

    alice.post(f"/app/batches/{batch}/confirm")
    office.work()

    assert {one for one, _ in outcomes(office, batch)} == {"created"}
    assert len([one for one in writes(office) if one.path.endswith("/Invoices")]) == 5


def test_cancelling_stops_what_was_not_sent_yet(office: Office) -> None:
    alice = office.ready()
    ids = sendable(office, 3)
    batch = alice.order(*ids)
    alice.post(f"/app/batches/{batch}/confirm")
    alice.post(f"/app/batches/{batch}/cancel")
    office.work()

    assert {one for one, _ in outcomes(office, batch)} == {"cancelled"}
    assert all(office.sandbox.xero.invoice(office.sandbox.bitrix24.portals["harbour"].invoices[one]["accountNumber"]) is None for one in ids)


def test_cancelling_stops_what_a_worker_has_in_hand_and_no_other_batch_wants(office: Office) -> None:
    alice = office.ready()
    mine, both, other = sendable(office, 3)
    batch, another = alice.order(mine, both), alice.order(both, other)
    for one in (batch, another):
        alice.post(f"/app/batches/{one}/confirm")
    office.sandbox.bitrix24.controls.latency.append(("/rest/.*batch", "POST", 1.5))
    worker = threading.Thread(target=office.work)
    worker.start()
    while not rows(office, Job, kind=jobs.SEND, state="running"):
        time.sleep(0.02)
    alice.post(f"/app/batches/{batch}/cancel")
    assert {one for one, _ in outcomes(office, batch)} == {"cancelled"}
    worker.join()

    crm = office.sandbox.bitrix24.portals["harbour"]
    held = {one: office.sandbox.xero.invoice(crm.invoices[one]["accountNumber"]) is not None for one in (mine, both, other)}
    assert held == {mine: False, both: True, other: True}
    assert {one for one, _ in outcomes(office, batch)} == {"cancelled"}
    assert {one for one, _ in outcomes(office, another)} == {"created"}
    assert [one.kind for one in rows(office, Job) if one.state != "done"] == []

    alice.send(mine)
    assert office.sandbox.xero.invoice(crm.invoices[mine]["accountNumber"]) is not None


def test_the_failed_ones_are_sent_again_by_themselves(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (good,) = sendable(office, 1)
    bad = without_customer(crm)
    batch = alice.send(good, bad)
    crm.change_invoice(bad, companyId=crm.invoices[good]["companyId"])
    with office.app.test_request_context():
        visitor = open_app.visitor(office.services, alice.portal_id, 1, "en")
        again = send_to_xero.send_again(office.services, visitor, batch)

    alice.post(f"/app/batches/{again}/confirm")
    office.work()

    assert len(outcomes(office, again)) == 1
    assert outcomes(office, again)[0][0] in ("created", "refused")
    assert outcomes(office, again)[0][1] != "send.no_customer"


def test_a_voided_document_is_sent_as_new_once_with_another_number(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    approve(office, crm_id)
    office.sandbox.xero.void(document_of(office, crm_id).id)
    change_quantity(crm, crm_id, 4)
    assert outcomes(office, alice.send(crm_id)) == [("refused", "edit.gone")]
    crm.set_stage(crm_id, "S")

    first = send_so(office, alice, crm_id, as_new=True)
    second = send_so(office, alice, crm_id, as_new=True)

    assert outcomes(office, first) == [("created", None)]
    assert outcomes(office, second) == [("unchanged", None)]
    number = crm.invoices[crm_id]["accountNumber"]
    assert document_of(office, crm_id).number == f"{number}-2"
    assert office.sandbox.xero.invoice(f"{number}-3") is None
    assert document_of(office, crm_id).total == total_of(crm, crm_id)


def in_conflict(office: Office, alice: Person) -> int:
    """The same field was changed here and in Xero."""
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    office.sandbox.xero.edit(document_of(office, crm_id).id, DueDate="2027-05-05")
    office.sandbox.bitrix24.portals["harbour"].change_invoice(crm_id, closedate="2027-06-06")
    return crm_id


def test_a_change_on_both_sides_is_shown_with_both_values_before_anything_is_sent(office: Office) -> None:
    alice = office.ready()
    crm_id = in_conflict(office, alice)
    office.sandbox.xero.controls.calls.clear()

    batch = alice.order(crm_id)

    assert outcomes(office, batch) == [("refused", "edit.conflict")]
    (difference,) = problem_of(office, batch, crm_id)["differences"]  # type: ignore[misc]
    assert (difference["field"], difference["crm"], difference["xero"]) == ("due_date", "2027-06-06", "2027-05-05")
    assert writes(office) == []
    assert len(office.sandbox.xero.controls.calls) <= 4
    assert "2027-05-05" in words(alice, batch) or "5 May 2027" in words(alice, batch) or "May 5, 2027" in words(alice, batch)


def test_pushing_lets_the_crms_side_win(office: Office) -> None:
    alice = office.ready()
    crm_id = in_conflict(office, alice)

    assert outcomes(office, send_so(office, alice, crm_id, push=True)) == [("updated", None)]
    assert str(document_of(office, crm_id).due_date) == "2027-06-06"


def test_keeping_leaves_xeros_side_and_the_conflict_is_over(office: Office) -> None:
    alice = office.ready()
    crm_id = in_conflict(office, alice)

    assert outcomes(office, send_so(office, alice, crm_id, keep=True)) == [("unchanged", None)]
    assert outcomes(office, alice.send(crm_id)) == [("unchanged", None)]
    assert str(document_of(office, crm_id).due_date) == "2027-05-05"


def test_a_small_batch_leaves_a_line_in_the_history_and_a_notification(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)

    batch = alice.send(crm_id)

    (line,) = [one for one in crm.timeline_of(crm_id) if one["kind"] == "log"]
    assert fields_of(crm, crm_id)["NUMBER"] in line["text"]
    assert [one["user"] for one in crm.notifications if "1 of 1 invoices exported" in one["message"]] == [1]
    assert "1 of 1 invoices exported" in words(alice, batch) or "1 of 1 invoice" in words(alice, batch)


def test_an_error_shown_in_the_invoice_is_cleared_when_it_goes(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    batch = alice.order(crm_id)
    kept = [dict(row) for row in crm.rows(crm_id)]
    crm.change_invoice(crm_id, rows=[])
    alice.post(f"/app/batches/{batch}/confirm")
    office.work()
    assert fields_of(crm, crm_id)["ERROR"] != ""

    crm.change_invoice(crm_id, rows=kept)
    assert outcomes(office, alice.send(crm_id)) == [("unchanged", None)]

    assert fields_of(crm, crm_id)["ERROR"] in ("", "None")
    assert copies(office, crm_id) == 1


def test_an_order_waits_while_its_conductor_is_asked_to_stop_and_goes_later(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    batch = alice.order(crm_id)
    alice.post(f"/app/batches/{batch}/confirm")
    conductor.conduct(office.services, 1, lambda: True)
    assert outcomes(office, batch) == [("waiting", None)]

    office.work()

    assert outcomes(office, batch) == [("created", None)]


def test_the_list_of_batches_says_when_who_what_became_of_it_and_how_long_it_took(office: Office) -> None:
    alice = office.ready()
    (good,), bad = sendable(office, 1), without_customer(office.sandbox.bitrix24.portals["harbour"])
    batch = alice.send(good, bad)

    html = alice.get("/app/batches").text
    found = re.search(r"<tr role=\"row\">\s*<td(?:(?!</tr>).)*</tr>", html, re.S)
    assert found
    cells = dict(re.findall(r'<td role="cell" data-label="([^"]+)">(.*?)</td>', found[0], re.S))
    assert list(cells) == ["Number", "When", "What", "Who", "State", "Result", "Took"]
    told = {name: " ".join(re.sub(r"<[^>]+>", " ", cell).split()) for name, cell in cells.items()}
    assert (told["Number"], told["State"]) == ("Batch 1", "Done")
    assert told["Who"] == "Alice Administrator"
    assert told["Result"] == "1 of 2"
    assert "<svg" in cells["State"]
    assert re.search(r"\d", told["Took"])
    assert f"/app/batches/{batch}" in cells["Number"]
    assert document_of(office, good).number in alice.get(f"/app/batches/{batch}").text
