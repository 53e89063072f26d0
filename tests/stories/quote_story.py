"""Quotes of the demo as stories use them."""

from __future__ import annotations

from decimal import Decimal

from sandbox.bitrix24.crm import Actor
from sandbox.bitrix24.fields import QUOTE
from sandbox.bitrix24.portal import Portal
from sandbox.xero.books import Quote
from tests.stories.office import Office, Person


def harbour(office: Office) -> Portal:
    return office.sandbox.bitrix24.portals["harbour"]


def quotes_in(office: Office, stage: str, count: int = 1) -> list[int]:
    """Quotes of the demo that stand in this stage."""
    found = [number for number, one in sorted(harbour(office).quotes.items()) if one["stageId"] == stage]
    assert len(found) >= count, f"the demo has only {len(found)} quotes in {stage}"
    return found[:count]


def send(person: Person, *crm_ids: int, **more: str) -> int:
    """Create / Edit on Xero for these quotes, confirmed, and the work done."""
    return person.send(*crm_ids, document="quote", **more)


def fetch(person: Person, *crm_ids: int) -> int:
    """Update from Xero for these quotes, and the work done."""
    batch = person.order(*crm_ids, kind="pull", document="quote")
    person.office.work()
    return batch


def change(office: Office, crm_id: int, rows: list[dict[str, object]] | None = None, **fields: object) -> None:
    """Somebody edits a quote in the CRM."""
    harbour(office).change_item(QUOTE, crm_id, rows, **fields)


def change_quantity(office: Office, crm_id: int, quantity: float) -> None:
    rows = [dict(row) for row in harbour(office).rows(crm_id, QUOTE)]
    rows[0]["quantity"] = quantity
    change(office, crm_id, rows)


def fields_of(office: Office, crm_id: int) -> dict[str, str]:
    """Our fields of a quote by the last part of their names: ID, NUMBER, STATUS, …"""
    item = harbour(office).quotes[crm_id]
    return {name.rpartition("XERO_")[2]: str(value) for name, value in item.items() if name.startswith("UF_CRM_QUOTE_XERO_")}


def total_of(office: Office, crm_id: int) -> Decimal:
    return Decimal(str(harbour(office).quotes[crm_id]["opportunity"]))


def held(office: Office) -> list[Quote]:
    """All quotes of the harbour's organisation in Xero."""
    books = next(one for one in office.sandbox.xero.organisations.values() if one.organisation.name.startswith("Harbour"))
    return list(books.quotes)


def document_of(office: Office, crm_id: int) -> Quote:
    """The quote in Xero that the CRM's own field names."""
    (found,) = (one for one in held(office) if one.id == fields_of(office, crm_id)["ID"])
    return found


def ordered(person: Person, *crm_ids: int) -> int:
    """Confirmed, and left to a worker."""
    batch = person.order(*crm_ids, document="quote")
    assert person.post(f"/app/batches/{batch}/confirm").status_code == 200
    return batch


def make_quotes(office: Office, count: int, stage: str) -> list[int]:
    """So many alike quotes more in the CRM."""
    crm = harbour(office)
    pattern = next(one for one in crm.quotes.values() if one["companyId"])
    rows = [dict(one) for one in crm.rows(pattern["id"], QUOTE)]
    made = []
    with crm.lock:
        for number in range(count):
            values = {"title": f"Office fit-out {number}", "stageId": stage, "companyId": pattern["companyId"], "mycompanyId": pattern["mycompanyId"]}
            item = crm.crm.create(QUOTE, values, Actor(1), importing=True)
            crm.crm.set_rows(QUOTE, item["id"], rows, Actor(1))
            made.append(int(item["id"]))
    return made
