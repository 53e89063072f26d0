"""What sending must do and must not do, seen from both partners."""

from __future__ import annotations

import re
from decimal import Decimal

from sandbox.controls import SeenCall
from tests.stories.office import Office, Person


def sendable(office: Office, count: int = 3) -> list[int]:
    """Invoices of the demo that have a customer and rows that add up, and are not in Xero yet."""
    portal = office.sandbox.bitrix24.portals["harbour"]
    taken = {one.number for one in office.sandbox.xero.invoices()}
    found = [
        number
        for number, one in sorted(portal.invoices.items())
        if one.get("companyId") in portal.companies
        and portal.rows(number)
        and one.get("isManualOpportunity") != "Y"
        and one["accountNumber"] not in taken
        and one["stageId"] in (portal.stage_id("N"), portal.stage_id("S"))
        and one["currencyId"] == "NZD"
    ]
    return found[:count]


def writes(office: Office) -> list[SeenCall]:
    return [one for one in office.sandbox.xero.controls.calls if one.path.startswith("/api.xro") and one.method in ("PUT", "POST")]


def reads(office: Office) -> list[SeenCall]:
    return [one for one in office.sandbox.xero.controls.calls if one.path.startswith("/api.xro") and one.method == "GET"]


def words(person: Person, batch: int) -> str:
    return re.sub(r"<[^>]+>|\s+", " ", person.get(f"/app/batches/{batch}").text)


def number_of(office: Office, crm_id: int) -> str:
    return str(office.sandbox.bitrix24.portals["harbour"].invoices[crm_id]["accountNumber"])


def test_sending_again_what_has_not_changed_writes_nothing(office: Office) -> None:
    alice = office.ready()
    ids = sendable(office)
    alice.send(*ids)
    office.sandbox.xero.controls.calls.clear()

    alice.send(*ids)

    assert writes(office) == []
    assert len(reads(office)) <= 3


def test_a_changed_row_changes_the_line_and_keeps_its_id(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    before = office.sandbox.xero.invoice(number_of(office, crm_id))
    line_ids = [line.id for line in before.lines]
    rows = [dict(row) for row in crm.rows(crm_id)]
    rows[0]["quantity"] = 7
    crm.change_invoice(crm_id, rows=rows)

    alice.send(crm_id)

    after = office.sandbox.xero.invoice(number_of(office, crm_id))
    assert after.total == Decimal(str(crm.invoices[crm_id]["opportunity"]))
    assert [line.id for line in after.lines] == line_ids
    assert len(office.sandbox.xero.invoices()) == len({one.id for one in office.sandbox.xero.invoices()})


def test_a_paid_invoice_is_explained_and_not_touched(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    office.sandbox.xero.approve(number_of(office, crm_id))
    office.sandbox.xero.pay(number_of(office, crm_id))
    rows = [dict(row) for row in crm.rows(crm_id)]
    rows[0]["quantity"] = 9
    crm.change_invoice(crm_id, rows=rows)
    office.sandbox.xero.controls.calls.clear()

    batch = alice.send(crm_id)

    assert writes(office) == []
    assert outcome(office, batch) == [("refused", "edit.paid")]


def outcome(office: Office, batch: int) -> list[tuple[str, str | None]]:
    from sqlalchemy import select

    from plugin.models import BatchDocument

    with office.services.db.reading() as session:
        return [
            (one.outcome, one.problem_code) for one in session.scalars(select(BatchDocument).where(BatchDocument.batch_id == batch).order_by(BatchDocument.id))
        ]


def test_what_the_bookkeeper_changed_is_not_overwritten(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    office.sandbox.xero.edit(number_of(office, crm_id), Reference="PO 4711")
    crm.change_invoice(crm_id, closedate="2027-01-31")

    alice.send(crm_id)

    document = office.sandbox.xero.invoice(number_of(office, crm_id))
    assert document.reference == "PO 4711"
    assert str(document.due_date) == "2027-01-31"


def test_a_lost_answer_makes_no_second_document(office: Office) -> None:
    alice = office.ready()
    ids = sendable(office)
    office.sandbox.xero.controls.fail("lost", path="/api.xro/2.0/Invoices", method="PUT")

    batch = alice.send(*ids)

    for crm_id in ids:
        assert len([one for one in office.sandbox.xero.invoices() if one.number == number_of(office, crm_id)]) == 1
    assert {one for one, _ in outcome(office, batch)} == {"created"}


def test_a_500_after_the_work_was_done_makes_no_second_document(office: Office) -> None:
    alice = office.ready()
    ids = sendable(office)
    office.sandbox.xero.controls.fail("lost500", path="/api.xro/2.0/Invoices", method="PUT")

    batch = alice.send(*ids)

    assert {one for one, _ in outcome(office, batch)} == {"created"}
    assert len([one for one in office.sandbox.xero.invoices() if one.number == number_of(office, ids[0])]) == 1


def test_the_same_click_twice_makes_one_document(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    first, second = alice.order(crm_id), alice.order(crm_id)
    alice.post(f"/app/batches/{first}/confirm")
    alice.post(f"/app/batches/{first}/confirm")
    alice.post(f"/app/batches/{second}/confirm")
    office.work()

    assert len([one for one in office.sandbox.xero.invoices() if one.number == number_of(office, crm_id)]) == 1
    assert outcome(office, first)[0][0] == "created"
    assert outcome(office, second)[0][0] in ("created", "unchanged")


def test_one_bad_invoice_does_not_stop_the_others(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    good = sendable(office, 2)
    bad = next(number for number, one in crm.invoices.items() if not one.get("companyId") and not one.get("contactId"))

    batch = alice.send(*good, bad)

    assert sorted(outcome(office, batch)) == [("created", None), ("created", None), ("refused", "send.no_customer")]


def test_a_sales_person_sends_own_invoices_and_no_others(office: Office) -> None:
    office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    sam = office.open(user=2)
    ids = sendable(office, 60)
    own = [one for one in ids if crm.invoices[one]["assignedById"] == 2][:1]
    others = [one for one in ids if crm.invoices[one]["assignedById"] != 2][:1]
    assert own
    assert others

    batch = sam.send(*own, *others)

    assert outcome(office, batch) == [("created", None), ("refused", "send.may_not_see")]
    assert office.sandbox.xero.invoice(number_of(office, others[0])) is None


def test_one_who_may_see_but_not_edit_sends_nothing(office: Office) -> None:
    office.ready()
    vera = office.open(user=3)
    (crm_id,) = sendable(office, 1)

    batch = vera.send(crm_id)

    assert outcome(office, batch) == [("problem", "send.may_not_edit")]
    assert office.sandbox.xero.invoice(number_of(office, crm_id)) is None


def test_a_taken_number_of_somebody_else_is_a_problem_and_changes_nothing(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)
    theirs = office.sandbox.xero.invoices()[0]
    before = (theirs.total, theirs.contact.id if hasattr(theirs, "contact") else theirs.contact_id)
    crm.invoices[crm_id]["accountNumber"] = theirs.number

    batch = alice.send(crm_id)

    assert outcome(office, batch) == [("problem", "send.number_taken")]
    after = office.sandbox.xero.invoice(theirs.number)
    assert (after.total, after.contact.id if hasattr(after, "contact") else after.contact_id) == before


def test_a_stranger_sees_nothing_of_another_portal(office: Office) -> None:
    alice = office.ready()
    batch = alice.send(*sendable(office))
    bob = office.install("stranger")

    assert bob.get(f"/app/batches/{batch}").status_code == 404
    assert bob.post(f"/app/batches/{batch}/confirm").status_code == 404
    assert bob.post(f"/app/batches/{batch}/cancel").status_code == 404
    page = bob.get("/app/invoices").text + bob.get("/app/activity").text + bob.get("/app/batches").text
    for crm_id in sendable(office):
        assert number_of(office, crm_id) not in page


def test_changed_on_both_sides_a_person_keeps_xeros_or_overwrites_it(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    kept, pushed = sendable(office, 2)
    alice.send(kept, pushed)
    for crm_id in (kept, pushed):
        office.sandbox.xero.edit(number_of(office, crm_id), DueDate="2027-02-02")
        crm.change_invoice(crm_id, closedate="2027-01-31")

    both = alice.order(kept, pushed)
    assert {problem for _, problem in outcome(office, both)} == {"edit.conflict"}
    alice.send(kept, keep="1")
    alice.send(pushed, push="1")

    assert str(office.sandbox.xero.invoice(number_of(office, kept)).due_date) == "2027-02-02"
    assert str(office.sandbox.xero.invoice(number_of(office, pushed)).due_date) == "2027-01-31"
    office.sandbox.xero.controls.calls.clear()
    alice.send(kept, pushed)
    assert writes(office) == []
