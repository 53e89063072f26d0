"""Credit notes and their allocations (X§6.10)."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from sandbox.xero import documents, invoices
from sandbox.xero.books import ZERO, Allocation, Books, CreditNote
from sandbox.xero.contacts import contact_for_document, mark_used
from sandbox.xero.desk import Desk
from sandbox.xero.documents import HAS_PAYMENTS, NOT_CREATABLE, NOT_EDITABLE
from sandbox.xero.elements import Element, Fields
from sandbox.xero.errors import Refused
from sandbox.xero.invoices import CLOSED, NEXT, UNAPPROVED
from sandbox.xero.lines import Rules, add_up, check_lines
from sandbox.xero.words import iso_date, ms_date, new_id

SALES_CREDIT = "ACCRECCREDIT"
KINDS = (SALES_CREDIT, "ACCPAYCREDIT")
UNKNOWN = "An existing Credit Note with the specified CreditNoteID could not be found"


class CreditNoteWriter:
    """Creates and changes credit notes of one organisation."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._books = desk.books
        self.warnings: list[str] = []

    def create(self, element: Element) -> CreditNote:
        self.warnings = []
        fields = Fields(element, self._desk, [])
        kind = fields.text("Type", 50)
        if kind not in KINDS:
            raise Refused("Credit Note not of valid type for creation")
        status = fields.text("Status", 50) or "DRAFT"
        if status not in ("DRAFT", "SUBMITTED", "AUTHORISED"):
            raise Refused(NOT_CREATABLE.replace("Invoice", "Credit Note"))
        contact = contact_for_document(self._desk, fields.part("Contact"), kind)
        note = CreditNote(new_id(), kind, "", contact.id, self._desk.today, self._desk.now, by_app=self._desk.by_app)
        self._read(fields, note, status, fresh=True)
        return self._finish(note, status, None)

    def upsert(self, element: Element) -> CreditNote:
        fields = Fields(element, self._desk, [])
        if identifier := fields.identifier("CreditNoteID"):
            found = self._books.credit_notes.get(identifier)
            if found is None:
                raise Refused(UNKNOWN)
            return self.update(found, element)
        holder = self._holder(fields.text("CreditNoteNumber", 255)) if fields.text("Type", 50) != "ACCPAYCREDIT" else None
        return self.create(element) if holder is None else self.update(holder, element)

    def update(self, before: CreditNote, element: Element) -> CreditNote:
        self.warnings = []
        fields = Fields(element, self._desk, [])
        status = fields.text("Status", 50, before.status)
        allowed = status == before.status or status in NEXT[before.status]
        if before.status in CLOSED or not allowed or fields.text("Type", 50, before.type) != before.type:
            raise Refused(NOT_EDITABLE.replace("Invoice", "Credit Note"))
        documents.check_editable_date(self._desk, before)
        if before.settled:
            raise Refused(HAS_PAYMENTS)
        note = replace(before, lines=list(before.lines))
        if status not in CLOSED:
            if fields.part("Contact"):
                note.contact_id = contact_for_document(self._desk, fields.part("Contact"), before.type).id
            self._read(fields, note, status, fresh=False)
        return self._finish(note, status, before)

    def _read(self, fields: Fields, note: CreditNote, status: str, fresh: bool) -> None:
        desk = self._desk
        self._read_number(fields, note)
        note.reference = fields.text("Reference", 255, note.reference) if note.type == SALES_CREDIT else ""
        note.date = fields.day("Date", note.date) or desk.today
        note.theme_id = documents.read_theme(desk, fields, note.theme_id or self._books.themes[0].id)
        documents.read_line_amount_types(desk, fields, note, fresh)
        self.warnings += documents.read_currency(desk, fields, note, self._books.contacts[note.contact_id], fresh)
        approving = status in ("SUBMITTED", "AUTHORISED")
        rules = Rules(note.type, note.line_amount_types, approving=approving, draft=status == "DRAFT")
        parts: dict[tuple[str, int], list[str]] = {}
        try:
            self.warnings += documents.read_lines(desk, fields, note, rules)
            if approving and "LineItems" not in fields.element:
                check_lines(desk, rules, note.lines)
            documents.check_lock(desk, note.date, draft=status in UNAPPROVED)
        except Refused as refused:
            fields.errors += refused.messages
            parts = refused.parts
        if approving and not note.lines:
            fields.errors.append("One or more line items must be specified")
        add_up(note)
        if note.total < 0:
            fields.errors.append("The total of the document must not be negative")
        if fields.errors:
            raise Refused(*dict.fromkeys(fields.errors), parts=parts)

    def _read_number(self, fields: Fields, note: CreditNote) -> None:
        number = fields.text("CreditNoteNumber", 255, note.number)
        documents.check_number(fields, "CreditNoteNumber", number)
        if note.type == SALES_CREDIT:
            number = number or self._books.next_number("CN", lambda one: self._holder(one) is not None)
            holder = self._holder(number)
            if holder is not None and holder.id != note.id:
                fields.errors.append("Credit Note # must be unique.")
        note.number = number

    def _holder(self, number: str) -> CreditNote | None:
        found = self._books.credit_notes.find("number", (SALES_CREDIT, number.casefold()))
        return next((one for one in found if one.status != "DELETED"), None)

    def _finish(self, note: CreditNote, status: str, before: CreditNote | None) -> CreditNote:
        note.status, note.updated = status, self._desk.now
        self._books.credit_notes.save(note)
        mark_used(self._desk, self._books.contacts[note.contact_id], note.type)
        self._desk.note(note.id, "Created" if before is None else status.capitalize() if status != before.status else "Edited")
        tell(self._desk, note, "CREATE" if before is None else "UPDATE")
        return note

    def allocate(self, note: CreditNote, element: Element) -> Allocation:
        """Set part of an approved credit note against an approved invoice of the same side."""
        fields = Fields(element, self._desk, [])
        if note.status != "AUTHORISED":
            raise Refused("The credit note must be Authorised to be allocated")
        wanted = Fields(fields.part("Invoice") or {}, self._desk, fields.errors)
        invoice = self._books.invoices.get(wanted.identifier("InvoiceID"))
        if invoice is None or invoice.type + "CREDIT" != note.type:
            raise Refused("The document with the supplied id was not found for this endpoint.")
        if invoice.status != "AUTHORISED":
            raise Refused("Allocations can only be made against Authorised documents")
        amount = self._desk.cents(fields.number("Amount") or ZERO)
        if amount <= 0 or amount > invoice.due or amount > note.due:
            raise Refused("The allocation amount exceeds the amount outstanding or the remaining credit")
        if invoice.currency != note.currency or invoice.contact_id != note.contact_id:
            raise Refused("The contact and the currency of the credit note and the invoice must match")
        day = fields.day("Date", None) or max(invoice.date, note.date)
        documents.check_lock(self._desk, day, draft=False)
        allocation = Allocation(new_id(), note.id, invoice.id, amount, day)
        self._books.allocations.save(allocation)
        self._resettle(allocation)
        return allocation

    def remove_allocation(self, allocation: Allocation) -> None:
        self._books.allocations.remove(allocation)
        self._resettle(allocation)

    def _resettle(self, allocation: Allocation) -> None:
        settle(self._desk, self._books.credit_notes[allocation.credit_note_id], allocation.date)
        invoices.settle(self._desk, self._books.invoices[allocation.invoice_id], allocation.date)


def tell(desk: Desk, note: CreditNote, type_: str) -> None:
    """CREDITNOTE events carry type and status (X§8.3)."""
    desk.books.tell("CREDITNOTE", type_, note.id, {"Type": note.type, "Status": note.status})


def settle(desk: Desk, note: CreditNote, day: date) -> None:
    """PAID when fully allocated or refunded, AUTHORISED again when that is taken back."""
    books = desk.books
    note = copy(note)
    note.paid = sum((one.amount for one in books.payments_of(note)), ZERO)
    note.credited = sum((one.amount for one in books.allocations_of(note)), ZERO)
    full = note.due <= 0
    note.status, note.paid_on, note.updated = ("PAID", day, desk.now) if full else ("AUTHORISED", None, desk.now)
    books.credit_notes.save(note)
    tell(desk, note, "UPDATE")


def find(books: Books, key: str) -> CreditNote | None:
    """By id or number."""
    found = books.credit_notes.get(key)
    if found is not None:
        return found
    return next((one for kind in KINDS for one in reversed(books.credit_notes.find("number", (kind, key.casefold())))), None)


def render_allocation(allocation: Allocation, number: str) -> dict[str, Any]:
    return {
        "AllocationID": allocation.id,
        "Amount": allocation.amount,
        "Date": ms_date(allocation.date),
        "Invoice": {"InvoiceID": allocation.invoice_id, "InvoiceNumber": number, "HasErrors": False, "LineItems": []},
        "HasErrors": False,
    }


def render(desk: Desk, note: CreditNote, form: str = "full") -> dict[str, Any]:
    """`full`, `page`, or `list` without lines."""
    allocations = desk.books.allocations_of(note)
    shown: dict[str, Any] = {
        "CreditNoteID": note.id,
        "CreditNoteNumber": note.number,
        "Type": note.type,
        "Payments": [documents.render_payment_brief(one) for one in desk.books.payments_of(note)],
        "Allocations": [render_allocation(one, desk.books.invoices[one.invoice_id].number) for one in allocations],
        "RemainingCredit": note.due if note.status not in CLOSED else Decimal(0),
        "AppliedAmount": note.credited,
        "HasAttachments": False,
        "HasErrors": False,
        "Contact": documents.render_contact(desk, note, form == "full"),
        "DateString": iso_date(note.date),
        "Date": ms_date(note.date),
        "BrandingThemeID": note.theme_id,
        "Status": note.status,
        "LineAmountTypes": note.line_amount_types,
        "LineItems": [] if form == "list" else documents.render_lines(desk, note),
        **documents.render_totals(note),
        **documents.render_updated(note),
        "CurrencyCode": note.currency,
        "CurrencyRate": note.rate,
        "SentToContact": note.sent,
    }
    if note.type == SALES_CREDIT:
        shown["Reference"] = note.reference
    if note.paid_on is not None:
        shown["FullyPaidOnDate"] = ms_date(note.paid_on)
    return shown
