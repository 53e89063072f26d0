"""Items: named by their code where Xero has them or may get them."""

from __future__ import annotations

from tests.stories.main_story import change_quantity, document_of, notes_of, outcomes, sendable
from tests.stories.office import Office


def with_product(office: Office, in_xero: bool) -> tuple[int, str]:
    """An invoice whose only row is a product that Xero has, or has not; and the product's code."""
    crm = office.sandbox.bitrix24.portals["harbour"]
    known = {one.code for one in office.sandbox.xero.items()}
    product = next(number for number, one in sorted(crm.products.items()) if one.get("code") and (one["code"] in known) == in_xero)
    (crm_id,) = sendable(office, 1)
    row = {"productId": product, "productName": "A thing", "price": 115, "quantity": 1, "taxRate": 15, "taxIncluded": "Y"}
    crm.change_invoice(crm_id, rows=[row])
    return crm_id, str(crm.products[product]["code"])


def test_an_item_that_xero_has_is_named(office: Office) -> None:
    alice = office.ready()
    crm_id, code = with_product(office, in_xero=True)

    alice.send(crm_id)

    item = office.sandbox.xero.item(code)
    assert item is not None
    assert [line.item_id for line in document_of(office, crm_id).lines] == [item.id]


def test_a_missing_item_is_created_once(office: Office) -> None:
    alice = office.ready()
    crm_id, code = with_product(office, in_xero=False)

    alice.send(crm_id)
    alice.send(crm_id)

    assert len([one for one in office.sandbox.xero.items() if one.code == code]) == 1
    assert [line.item_id for line in document_of(office, crm_id).lines] == [office.sandbox.xero.item(code).id]  # type: ignore[union-attr]


def test_where_creating_items_is_switched_off_the_line_goes_without_one(office: Office) -> None:
    alice = office.ready(create_items=[])
    crm_id, code = with_product(office, in_xero=False)

    assert outcomes(office, alice.send(crm_id)) == [("created", None)]
    assert office.sandbox.xero.item(code) is None
    assert [line.item_id for line in document_of(office, crm_id).lines] == [""]


def test_where_xero_does_not_let_items_be_created_the_line_goes_without_one_and_the_result_says_so(office: Office) -> None:
    office.sandbox.xero.controls.switches.set("items_scope", "settings")
    alice = office.ready()
    crm_id, code = with_product(office, in_xero=False)

    batch = alice.send(crm_id)

    assert outcomes(office, batch) == [("created", None)]
    assert office.sandbox.xero.item(code) is None
    assert "note.items_left_out" in notes_of(office, batch)


def test_what_xero_did_not_let_happen_is_asked_for_and_then_happens(office: Office) -> None:
    office.sandbox.xero.controls.switches.set("items_scope", "settings")
    alice = office.ready()
    crm_id, code = with_product(office, in_xero=False)
    assert "accounting.settings" not in alice.get("/app/setup").text.replace("accounting.settings.read", "")

    alice.send(crm_id)
    page = alice.get("/app/setup").text
    assert "Allow in Xero" in page
    assert "accounting.settings" in page

    alice.connect_xero()
    assert "Allow in Xero" not in alice.get("/app/setup").text
    change_quantity(office.sandbox.bitrix24.portals["harbour"], crm_id, 9)
    assert outcomes(office, alice.send(crm_id)) == [("updated", None)]
    assert office.sandbox.xero.item(code) is not None
