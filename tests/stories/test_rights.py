"""People see and send what Bitrix24 lets them see and edit, and nothing else (RULES 24, 25)."""

from __future__ import annotations

from tests.stories.main_story import change_quantity, document_of, fields_of, outcomes, sendable
from tests.stories.office import Office
from tests.stories.test_list import listed


def own_of(office: Office, user: int) -> int:
    crm = office.sandbox.bitrix24.portals["harbour"]
    return next(one for one in sendable(office, 15) if crm.invoices[one]["assignedById"] == user)


def test_a_sales_person_lists_only_own_invoices(office: Office) -> None:
    office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    sam = office.open(user=2)

    rows = listed(office, sam, size=50).rows

    assert rows
    assert {crm.invoices[row.id]["assignedById"] for row in rows} == {2}


def test_the_trial_of_the_right_leaves_nothing_behind(office: Office) -> None:
    office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    sam = office.open(user=2)
    crm_id = own_of(office, 2)

    sam.send(crm_id)
    assert fields_of(crm, crm_id)["SENDING"] in ("", "None")
    assert outcomes(office, sam.send(crm_id)) == [("unchanged", None)]

    assert fields_of(crm, crm_id)["SENDING"] in ("", "None")


def test_what_a_sales_person_may_not_change_in_xero_is_foreseen_as_for_everybody(office: Office) -> None:
    office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    sam = office.open(user=2)
    crm_id = own_of(office, 2)
    sam.send(crm_id)
    office.sandbox.xero.edit(document_of(office, crm_id).id, Status="AUTHORISED")
    office.sandbox.xero.pay(document_of(office, crm_id).id)
    assert outcomes(office, sam.order(crm_id) and sam.send(crm_id)) == [("unchanged", None)]
    change_quantity(crm, crm_id, 12)

    assert outcomes(office, sam.send(crm_id)) == [("refused", "edit.paid")]


def test_another_persons_batch_is_not_here(office: Office) -> None:
    alice = office.ready()
    sam = office.open(user=2)
    batch = alice.send(*sendable(office, 1))

    assert sam.get(f"/app/batches/{batch}").status_code == 404
    assert sam.post(f"/app/batches/{batch}/again").status_code == 404
    assert "was ordered" not in sam.get("/app/activity").text
