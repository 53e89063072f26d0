"""The main job from end to end, told once, so that it can be lived under any open fact and any fault."""

from __future__ import annotations

import re
from decimal import Decimal

from sqlalchemy import select

from plugin.models import BatchDocument
from sandbox.bitrix24.portal import Portal
from sandbox.controls import SeenCall
from sandbox.xero.books import Invoice
from tests.stories.office import Office, Person

Outcomes = list[tuple[str, str | None]]


def tell(office: Office, **set_up: str) -> Person:
    """Install, connect, set up, send a new one beside one that cannot go, send it changed beside another new one, see it paid.

    Totals agree to the cent, each document exists exactly once, and sending again writes nothing.
    """
    alice = office.ready(**set_up)
    crm = office.sandbox.bitrix24.portals["harbour"]
    first, second = sendable(office, 2)
    refused = without_customer(crm)

    assert outcomes(office, alice.send(first, refused)) == [("created", None), ("refused", "send.no_customer")]
    change_quantity(crm, first, 7)
    assert outcomes(office, alice.send(first, second)) == [("updated", None), ("created", None)]
    for crm_id in (first, second):
        assert document_of(office, crm_id).total == total_of(crm, crm_id)
    assert any("2 of 2 invoices exported" in one["message"] for one in crm.notifications)

    approve(office, first)
    office.sandbox.xero.pay(document_of(office, first).id)
    assert outcomes(office, alice.fetch(first)) == [("updated", None)]
    assert crm.invoices[first]["stageId"] == crm.stage_id("P")
    assert fields_of(crm, first)["STATUS"] == "Paid"

    office.sandbox.xero.controls.calls.clear()
    assert outcomes(office, alice.send(first, second)) == [("unchanged", None), ("unchanged", None)]
    assert writes(office) == []
    assert copies(office, first) == copies(office, second) == 1
    return alice


def sendable(office: Office, count: int = 3, portal: str = "harbour", currency: str = "NZD") -> list[int]:
    """Invoices of the demo in their first stages that have a customer and rows that add up, and are not in Xero yet."""
    crm = office.sandbox.bitrix24.portals[portal]
    taken = {one.number for one in office.sandbox.xero.invoices()}
    found = [
        number
        for number, one in sorted(crm.invoices.items())
        if one.get("companyId") in crm.companies
        and crm.rows(number)
        and one.get("isManualOpportunity") != "Y"
        and one["accountNumber"] not in taken
        and one["stageId"] in (crm.stage_id("N"), crm.stage_id("S"))
        and one["currencyId"] == currency
    ]
    assert len(found) >= count, f"the demo has only {len(found)} such invoices"
    return found[:count]


def without_customer(crm: Portal) -> int:
    """An invoice that has neither company nor contact."""
    return next(number for number, one in sorted(crm.invoices.items()) if not one.get("companyId") and not one.get("contactId"))


def change_quantity(crm: Portal, crm_id: int, quantity: int) -> None:
    """Somebody changes the quantity of the first row."""
    rows = [dict(row) for row in crm.rows(crm_id)]
    rows[0]["quantity"] = quantity
    crm.change_invoice(crm_id, rows=rows)


def fields_of(crm: Portal, crm_id: int) -> dict[str, str]:
    """Our fields of an invoice by the last part of their names: NUMBER, STATUS, URL, …"""
    return {name.rpartition("XERO_")[2]: str(value) for name, value in crm.user_field_values(crm_id).items() if "_XERO_" in name}


def total_of(crm: Portal, crm_id: int) -> Decimal:
    return Decimal(str(crm.invoices[crm_id]["opportunity"]))


def document_of(office: Office, crm_id: int, portal: str = "harbour") -> Invoice:
    """The document in Xero that the invoice's own field names."""
    document = office.sandbox.xero.invoice(fields_of(office.sandbox.bitrix24.portals[portal], crm_id)["ID"])
    assert document is not None
    return document


def copies(office: Office, crm_id: int) -> int:
    """How many documents in Xero point to this invoice of the CRM, or carry its number."""
    crm = office.sandbox.bitrix24.portals["harbour"]
    number, place = crm.invoices[crm_id]["accountNumber"], f"{crm.url}/crm/type/31/details/{crm_id}/"
    return len([one for one in office.sandbox.xero.invoices() if one.number == number or one.url == place])


def approve(office: Office, crm_id: int) -> None:
    """Somebody approves it in Xero, if its stage has not done so already."""
    document = document_of(office, crm_id)
    if document.status in ("DRAFT", "SUBMITTED"):
        office.sandbox.xero.approve(document.id)


def outcomes(office: Office, batch: int) -> Outcomes:
    """What became of each document of a batch: outcome and problem code."""
    with office.services.db.reading() as session:
        rows = session.scalars(select(BatchDocument).where(BatchDocument.batch_id == batch).order_by(BatchDocument.id))
        return [(one.outcome, one.problem_code) for one in rows]


def problem_of(office: Office, batch: int, crm_id: int) -> dict[str, object]:
    """The parameters of a document's problem."""
    with office.services.db.reading() as session:
        found = session.scalars(select(BatchDocument).where(BatchDocument.batch_id == batch, BatchDocument.crm_id == crm_id)).one()
        return found.problem_params or {}


def notes_of(office: Office, batch: int) -> list[str]:
    """The codes of all notes of a batch."""
    with office.services.db.reading() as session:
        rows = session.scalars(select(BatchDocument).where(BatchDocument.batch_id == batch).order_by(BatchDocument.id))
        return [note["code"] for one in rows for note in one.notes or ()]


def writes(office: Office) -> list[SeenCall]:
    """Calls of the Accounting API that write."""
    return [one for one in office.sandbox.xero.controls.calls if one.path.startswith("/api.xro") and one.method in ("PUT", "POST", "DELETE")]


def reads(office: Office) -> list[SeenCall]:
    """Calls of the Accounting API that read."""
    return [one for one in office.sandbox.xero.controls.calls if one.path.startswith("/api.xro") and one.method == "GET"]


def words(person: Person, batch: int) -> str:
    """The text of a batch's page."""
    return re.sub(r"<[^>]+>|\s+", " ", person.get(f"/app/batches/{batch}").text)
