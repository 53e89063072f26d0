"""Sales invoices and bills: creating, changing, approving, voiding, and how they are shown (X§4)."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from sandbox.xero import documents, items
from sandbox.xero.books import BILL, SALES, ZERO, Books, Contact, Invoice
from sandbox.xero.contacts import contact_for_document, mark_used
from sandbox.xero.desk import Desk
from sandbox.xero.documents import HAS_PAYMENTS, NOT_CREATABLE, NOT_EDITABLE
from sandbox.xero.elements import Element, Fields
from sandbox.xero.errors import Refused
from sandbox.xero.lines import Rules, add_up, check_lines
from sandbox.xero.words import iso_date, ms_date, new_id

#: What a status may become through the API (X§4.5).
NEXT = {
    "DRAFT": ("DRAFT", "SUBMITTED", "AUTHORISED", "DELETED"),
    "SUBMITTED": ("SUBMITTED", "AUTHORISED", "DRAFT", "DELETED"),
    "AUTHORISED": ("AUTHORISED", "VOIDED"),
    "PAID": (),
    "VOIDED": (),
    "DELETED": (),
}
CLOSED = ("VOIDED", "DELETED")
UNAPPROVED = ("DRAFT", "SUBMITTED")
NOT_UNIQUE = "Invoice # must be unique."
APPROVAL_LIMIT = "You have reached the limit of invoices you can approve"
NOT_FOUND = "The document with the supplied id was not found for this endpoint."

#: What a part-paid or paid invoice still lets be changed (X§4.5); SentToContact is named by X§4.8.
LATE_FIELDS = ("reference", "due_date", "number", "theme_id", "url", "contact_id", "sent", "planned", "updated", "lines", "total_discount")
#: Changes that leave UpdatedDateUTC as it is on a part-paid invoice (X§4.8).
SILENT_FIELDS = {"due_date", "sent"}


class InvoiceWriter:
    """Creates and changes invoices of one organisation. `warnings` belongs to the element last written."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._books = desk.books
        self.warnings: list[str] = []

    def create(self, element: Element) -> Invoice:
        """PUT: create only (X§4.6)."""
        self.warnings = []
        fields = Fields(element, self._desk, [])
        kind = fields.text("Type", 50)
        if kind not in (SALES, BILL):
            raise Refused("Invoice not of valid type for creation")
        status = fields.text("Status", 50) or "DRAFT"
        if status not in ("DRAFT", "SUBMITTED", "AUTHORISED"):
            raise Refused(NOT_CREATABLE)
        contact = contact_for_document(self._desk, fields.part("Contact"), kind)
        invoice = Invoice(new_id(), kind, "", contact.id, self._desk.today, self._desk.now, by_app=self._desk.by_app)
        self._read(fields, invoice, contact, status, fresh=True)
        self._settle_status(invoice, None, status)
        self._finish(fields, invoice, contact, None)
        return self._books.invoices[invoice.id]

    def upsert(self, element: Element) -> Invoice:
        """POST: by InvoiceID, else by number: silently the existing one (X§4.6)."""
        fields = Fields(element, self._desk, [])
        if identifier := fields.identifier("InvoiceID"):
            found = self._books.invoices.get(identifier)
            if found is None:
                raise Refused(NOT_FOUND)
            return self.update(found, element)
        kind, number = fields.text("Type", 50), fields.text("InvoiceNumber", 255)
        if number and (kind != BILL or self._desk.is_on("post_matches_bills", "yes")):
            holder = self._holder(kind or SALES, number)
            if holder is not None:
                return self.update(holder, element)
        return self.create(element)

    def update(self, before: Invoice, element: Element) -> Invoice:
        """Change what is sent, as far as the state allows (X§4.5)."""
        self.warnings = []
        fields = Fields(element, self._desk, [])
        if before.status in CLOSED:
            raise Refused(NOT_EDITABLE)
        if fields.text("Type", 50, before.type) != before.type:
            raise Refused("Invoice not of valid type for modification")
        status = fields.text("Status", 50, before.status)
        if status != before.status and status not in NEXT[before.status]:
            self._refuse_step(before, status)
        documents.check_editable_date(self._desk, before)
        if status in CLOSED:
            return self._close(before, status)
        contact = self._books.contacts[before.contact_id]
        if fields.part("Contact"):
            contact = contact_for_document(self._desk, fields.part("Contact"), before.type)
        invoice = replace(before, contact_id=contact.id, lines=list(before.lines))
        self._read(fields, invoice, contact, status, fresh=False)
        if before.settled:
            self._check_late_edit(before, invoice)
        self._settle_status(invoice, before, status)
        self._finish(fields, invoice, contact, before)
        return self._books.invoices[invoice.id]

    def _refuse_step(self, before: Invoice, status: str) -> None:
        if status == "VOIDED" and before.settled:
            if self._desk.is_on("void_paid_message", "document"):
                raise Refused(HAS_PAYMENTS)
            raise Refused(f"The status {status} cannot be applied to the invoice because it has payments or credit notes allocated to it.")
        raise Refused(NOT_EDITABLE)

    def _close(self, before: Invoice, status: str) -> Invoice:
        if status == "VOIDED" and before.settled:
            self._refuse_step(before, status)
        if before.status == "AUTHORISED":
            self._move_stock(before, -1)
        self._books.invoices.save(replace(before, status=status, updated=self._desk.now))
        self._desk.note(before.id, status.capitalize())
        if self._desk.is_on("webhook_void_event", "update"):
            self._books.tell("INVOICE", "UPDATE", before.id)
        return self._books.invoices[before.id]

    def _read(self, fields: Fields, invoice: Invoice, contact: Contact, status: str, fresh: bool) -> None:
        """Header and lines of the element, onto the invoice; raises `Refused` with everything that is wrong."""
        desk = self._desk
        self._read_texts(fields, invoice, fresh)
        invoice.date = fields.day("Date", invoice.date) or desk.today
        invoice.due_date = fields.day("DueDate", invoice.due_date)
        invoice.expected = fields.day("ExpectedPaymentDate", invoice.expected) if invoice.type == SALES else None
        invoice.planned = fields.day("PlannedPaymentDate", invoice.planned) if invoice.type == BILL else None
        documents.read_line_amount_types(desk, fields, invoice, fresh)
        self.warnings += documents.read_currency(desk, fields, invoice, contact, fresh)
        approving = status in ("SUBMITTED", "AUTHORISED", "PAID")
        rules = Rules(invoice.type, invoice.line_amount_types, approving=approving, draft=status == "DRAFT")
        parts: dict[tuple[str, int], list[str]] = {}
        try:
            self.warnings += documents.read_lines(desk, fields, invoice, rules)
            if approving and "LineItems" not in fields.element and invoice.status in UNAPPROVED:
                check_lines(desk, rules, invoice.lines)
        except Refused as refused:
            fields.errors += refused.messages
            parts = refused.parts
        self._check(fields, invoice, status)
        if fields.errors:
            raise Refused(*dict.fromkeys(fields.errors), parts=parts)

    def _read_texts(self, fields: Fields, invoice: Invoice, fresh: bool) -> None:
        number = fields.text("InvoiceNumber", 255, invoice.number)
        if invoice.type == SALES:
            documents.check_number(fields, "InvoiceNumber", number)
            invoice.reference = fields.text("Reference", 255, invoice.reference)
            number = number or invoice.number or self._books.next_number("INV", lambda one: self._holder(SALES, one) is not None)
            holder = self._holder(SALES, number)
            if holder is not None and holder.id != invoice.id:
                fields.errors.append(NOT_UNIQUE)
        invoice.number = number
        invoice.theme_id = documents.read_theme(self._desk, fields, invoice.theme_id or self._books.themes[0].id)
        invoice.url = documents.read_url(fields, invoice.url)
        sent = fields.flag("SentToContact", invoice.sent)
        if sent and not invoice.sent and fields.text("Status", 50, invoice.status) in UNAPPROVED:
            fields.errors.append("SentToContact can only be set on approved invoices")
        invoice.sent = sent

    def _check(self, fields: Fields, invoice: Invoice, status: str) -> None:
        errors = fields.errors
        if status != "DRAFT" and not invoice.lines:
            errors.append("One or more line items must be specified")
        if status in ("AUTHORISED", "SUBMITTED") and invoice.due_date is None:
            self._default_due_date(fields, invoice)
        try:
            documents.check_lock(self._desk, invoice.date, draft=status in UNAPPROVED)
        except Refused as refused:
            errors += refused.messages
        if not any(True for _ in errors):
            add_up(invoice)
            if invoice.total < 0:
                errors.append("The total of the document must not be negative")

    def _default_due_date(self, fields: Fields, invoice: Invoice) -> None:
        contact = self._books.contacts[invoice.contact_id]
        organisation = self._books.organisation
        terms = contact.terms.get("Sales") or organisation.sales_terms if invoice.type == SALES else contact.terms.get("Bills") or organisation.bill_terms
        if terms and self._desk.is_on("due_date_on_approval", "terms"):
            invoice.due_date = documents.due_by_terms(invoice.date, terms)
        else:
            fields.errors.append("The DueDate field is mandatory")

    def _holder(self, kind: str, number: str) -> Invoice | None:
        """The sales invoice or bill that has this number, as far as its status keeps it (X§4.2)."""
        for one in self._books.invoices.find("number", (kind, number.casefold())):
            free = {"DELETED": "number_of_deleted", "VOIDED": "number_of_voided"}.get(one.status)
            if free is None or self._desk.is_on(free, "taken"):
                return one
        return None

    def _check_late_edit(self, before: Invoice, after: Invoice) -> None:
        """What payments and credits lock (X§4.5)."""
        changed = changed_fields(before, after)
        credited_contact = "contact_id" in changed and before.credited
        if changed - set(LATE_FIELDS) or credited_contact or not documents.same_amounts(before.lines, after.lines):
            raise Refused(HAS_PAYMENTS)

    def _settle_status(self, invoice: Invoice, before: Invoice | None, status: str) -> None:
        approves = status == "AUTHORISED" and (before is None or before.status in UNAPPROVED)
        if approves:
            self._check_approvals(invoice)
            self._check_stock(invoice)
            self._move_stock(invoice, 1)
        elif before is not None and before.status == "AUTHORISED":
            self._move_stock(before, -1)
            self._move_stock(invoice, 1)
        invoice.status = status
        if status == "AUTHORISED" and invoice.total == ZERO and not invoice.settled and self._desk.is_on("zero_total", "paid"):
            invoice.status, invoice.paid_on = "PAID", invoice.date

    def _check_approvals(self, invoice: Invoice) -> None:
        """The smallest plans approve a number of invoices and bills a month (X§6.8)."""
        if approvals_left(self._books, invoice.type, self._desk.today) == 0:
            raise Refused(APPROVAL_LIMIT)

    def _check_stock(self, invoice: Invoice) -> None:
        if invoice.type != SALES or self._desk.back_orders:
            return
        for line in invoice.lines:
            item = self._books.items.get(line.item_id) if line.item_id else None
            if item is not None and item.tracked and item.on_hand < (line.quantity or ZERO):
                raise Refused("Insufficient stock. Items are eligible for backorder.")

    def _move_stock(self, invoice: Invoice, sign: int) -> None:
        quantities = [(line.item_id, line.quantity or ZERO) for line in invoice.lines if line.item_id]
        items.move_stock(self._desk, quantities, -sign if invoice.type == SALES else sign)

    def _finish(self, fields: Fields, invoice: Invoice, contact: Contact, before: Invoice | None) -> None:
        changed = changed_fields(before, invoice) if before is not None else set()
        silent = before is not None and before.settled and bool(changed) and changed <= SILENT_FIELDS
        if not silent:
            invoice.updated = self._desk.now
        self._books.invoices.save(invoice)
        mark_used(self._desk, contact, invoice.type)
        approved = invoice.status in ("AUTHORISED", "PAID") and (before is None or before.status in UNAPPROVED)
        self._desk.note(invoice.id, "Approved" if approved and before else "Created" if before is None else "Edited", _story(invoice, contact))
        if not silent:
            self._books.tell("INVOICE", "CREATE" if before is None else "UPDATE", invoice.id)


def _story(invoice: Invoice, contact: Contact) -> str:
    return f"{invoice.number or 'Bill'} for {contact.name}, {invoice.total} {invoice.currency}, dated {invoice.date.isoformat()}"


def changed_fields(before: Invoice, after: Invoice) -> set[str]:
    return {name for name in vars(before) if name != "updated" and getattr(before, name) != getattr(after, name)}


def approvals_left(books: Books, kind: str, today: date) -> int | None:
    """How many more of this kind the plan lets be approved this month; None: any number."""
    limit = books.organisation.approvals if kind == SALES else books.organisation.bill_approvals
    if limit is None:
        return None
    used = sum(
        1
        for one in books.invoices
        if one.type == kind and one.status in ("AUTHORISED", "PAID") and (one.updated.year, one.updated.month) == (today.year, today.month)
    )
    return max(0, limit - used)


def settle(desk: Desk, invoice: Invoice, day: date, bump: bool = True) -> None:
    """After payments or allocations changed: sums, PAID or AUTHORISED again, news (X§4.5, X§8.4)."""
    books = desk.books
    paid = sum((one.amount for one in books.payments_of(invoice)), ZERO)
    credited = sum((one.amount for one in books.allocations_of(invoice)), ZERO)
    invoice = copy(invoice)
    invoice.paid, invoice.credited = paid, credited
    if invoice.status in ("AUTHORISED", "PAID"):
        full = invoice.due <= 0
        invoice.status, invoice.paid_on = ("PAID", day) if full else ("AUTHORISED", None)
    if bump:
        invoice.updated = desk.now
        books.tell("INVOICE", "UPDATE", invoice.id)
    books.invoices.save(invoice)


# How invoices are shown.


def render(desk: Desk, invoice: Invoice, form: str = "full") -> dict[str, Any]:
    """`full`: one invoice; `page`: in a paged list; `list`: in an unpaged list, without lines; `summary`: summaryOnly (X§4.8)."""
    shown: dict[str, Any] = {"Type": invoice.type, "InvoiceID": invoice.id, "InvoiceNumber": invoice.number}
    if invoice.type == SALES:
        shown["Reference"] = invoice.reference
    if form != "summary":
        shown["Payments"] = [documents.render_payment_brief(one) for one in desk.books.payments_of(invoice)]
        shown["CreditNotes"] = [_render_allocation(desk, one.credit_note_id, one.amount, one.date) for one in desk.books.allocations_of(invoice)]
        shown |= {"Prepayments": [], "Overpayments": []}
    zeroed = invoice.status == "VOIDED" and desk.is_on("void_in_reply", "amounts_zero")
    shown |= {"AmountDue": ZERO if zeroed else invoice.due, "AmountPaid": invoice.paid, "AmountCredited": invoice.credited}
    shown |= {"CurrencyRate": invoice.rate, "IsDiscounted": bool(invoice.total_discount)}
    if form != "summary":
        shown["HasAttachments"] = False
    shown |= {"HasErrors": False, "Contact": documents.render_contact(desk, invoice, form == "full")}
    shown |= documents.render_dates(Date=invoice.date, DueDate=invoice.due_date)
    for name, day in (("ExpectedPaymentDate", invoice.expected), ("PlannedPaymentDate", invoice.planned), ("FullyPaidOnDate", invoice.paid_on)):
        if day is not None:
            shown[name] = ms_date(day)
    shown |= {"BrandingThemeID": invoice.theme_id, "Status": invoice.status, "LineAmountTypes": invoice.line_amount_types}
    if form != "summary":
        shown["LineItems"] = [] if form == "list" else documents.render_lines(desk, invoice)
    shown |= documents.render_totals(invoice)
    if invoice.total_discount:
        shown["TotalDiscount"] = invoice.total_discount
    shown |= documents.render_updated(invoice)
    shown |= {"CurrencyCode": invoice.currency, "SentToContact": invoice.sent}
    if invoice.url:
        shown["Url"] = invoice.url
    return shown


def _render_allocation(desk: Desk, credit_note_id: str, amount: Decimal, day: date) -> dict[str, Any]:
    note = desk.books.credit_notes[credit_note_id]
    return {
        "CreditNoteID": note.id,
        "CreditNoteNumber": note.number,
        "ID": note.id,
        "HasErrors": False,
        "AppliedAmount": amount,
        "DateString": iso_date(day),
        "Date": ms_date(day),
        "LineItems": [],
        "Total": note.total,
    }


def by_number(books: Books, number: str, kinds: Iterable[str] = (SALES, BILL)) -> Invoice | None:
    """The newest invoice with this number, as a single GET finds it."""
    found = [one for kind in kinds for one in books.invoices.find("number", (kind, number.casefold()))]
    return next((one for one in reversed(found) if one.status not in CLOSED), found[-1] if found else None)


def mark_emailed(desk: Desk, invoice: Invoice) -> None:
    """An e-mail went out (X§4.11)."""
    if desk.is_on("email_sets_sent", "yes"):
        desk.books.invoices.save(replace(invoice, sent=True))
    desk.note(invoice.id, "Sent", f"Invoice {invoice.number} was emailed to {desk.books.contacts[invoice.contact_id].texts.get('EmailAddress', '')}")
