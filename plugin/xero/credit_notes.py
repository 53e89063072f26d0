"""Credit notes (X§6.10) as far as they change what is due on invoices. The list knows no ids and no summary, so it is read by time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from plugin.xero.client import PAGE_SIZE, Caller, page_count, rows
from plugin.xero.parse import guid, moment, objects, part


@dataclass(frozen=True)
class CreditNote:
    """A credit note and the invoices that it is set against."""

    id: str
    updated_at: datetime | None
    invoice_ids: tuple[str, ...]


def modified(call: Caller, since: datetime | None, page: int) -> tuple[tuple[CreditNote, ...], int]:
    """One page of what was created or modified since, oldest first, and how many pages there are."""
    params = {"page": str(page), "pageSize": str(PAGE_SIZE), "order": "UpdatedDateUTC ASC"}
    answer = call("GET", "CreditNotes", params=params, modified_since=since)
    found = rows(answer, "CreditNotes")
    return tuple(_parse(one) for one in found), page_count(answer, page, len(found))


def _parse(found: dict[str, object]) -> CreditNote:
    invoices = (guid(part(one.get("Invoice")).get("InvoiceID")) for one in objects(found.get("Allocations")))
    return CreditNote(guid(found.get("CreditNoteID")), moment(found.get("UpdatedDateUTC")), tuple(one for one in invoices if one))
