"""Quotes, with the traps that were recorded (X§6.11)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sandbox.xero import documents
from sandbox.xero.books import SALES, Books, Invoice, Quote
from sandbox.xero.contacts import contact_for_document, mark_used
from sandbox.xero.desk import Desk
from sandbox.xero.elements import Element, Fields
from sandbox.xero.errors import Refused
from sandbox.xero.lines import Rules, add_up
from sandbox.xero.words import iso_date, ms_date_bare, ms_time_bare, new_id

STATUSES = ("DRAFT", "SENT", "ACCEPTED", "DECLINED", "INVOICED", "DELETED")
NEXT = {
    "DRAFT": ("SENT", "DELETED"),
    "SENT": ("ACCEPTED", "DECLINED", "DELETED"),
    "DECLINED": ("SENT", "DELETED"),
    "ACCEPTED": ("INVOICED", "SENT", "DELETED"),
    "INVOICED": ("SENT", "DELETED"),
    "DELETED": (),
}
#: Of the others only contact details and notes may change.
EDITABLE = ("DRAFT", "SENT")
#: Quotes speak upper case outside and the invoices' words inside.
LINE_AMOUNT_TYPES = {"EXCLUSIVE": "Exclusive", "INCLUSIVE": "Inclusive", "NOTAX": "NoTax"}


class QuoteWriter:
    """Creates and changes quotes of one organisation."""

    def __init__(self, desk: Desk) -> None:
        self._places = int(desk.switch("quote_unit_places"))
        self._desk = replace(desk, places=self._places)
        self._books = desk.books
        self.warnings: list[str] = []

    def create(self, element: Element) -> Quote:
        fields = Fields(element, self._desk, [])
        status = fields.text("Status", 50) or "DRAFT"
        if status not in (("DRAFT",) if self._desk.is_on("quote_new_status", "draft_only") else ("DRAFT", "SENT")):
            raise Refused("Quote not of valid status for creation")
        if not fields.parts("LineItems"):
            raise Refused("One or more line items must be specified")
        contact = contact_for_document(self._desk, fields.part("Contact"), "QUOTE")
        quote = Quote(new_id(), "QUOTE", "", contact.id, self._desk.today, self._desk.now, by_app=self._desk.by_app)
        return self._write(fields, quote, status, fresh=True)

    def upsert(self, element: Element) -> Quote:
        fields = Fields(element, self._desk, [])
        if identifier := fields.identifier("QuoteID"):
            found = self._books.quotes.get(identifier)
            if found is None:
                raise Refused("The document with the supplied id was not found for this endpoint.")
            return self.update(found, element)
        holder = self._holder(fields.text("QuoteNumber", 255))
        return self.create(element) if holder is None else self.update(holder, element)

    def update(self, before: Quote, element: Element) -> Quote:
        fields = Fields(element, self._desk, [])
        status = fields.text("Status", 50, before.status)
        allowed = NEXT[before.status]
        if before.status == "DRAFT" and self._desk.is_on("quote_draft_to_accepted", "allowed"):
            allowed = (*allowed, "ACCEPTED")
        if before.status == "DELETED" or (status != before.status and status not in allowed):
            raise Refused("Quote status change is invalid")
        contact = contact_for_document(self._desk, fields.part("Contact"), "QUOTE")
        quote = replace(before, contact_id=contact.id, lines=list(before.lines))
        return self._write(fields, quote, status, fresh=False, closed=None if before.status in EDITABLE else before)

    def _write(self, fields: Fields, quote: Quote, status: str, fresh: bool, closed: Quote | None = None) -> Quote:
        """Not patch-like: number, terms, title, summary and LineAmountTypes are reset when they are not sent."""
        desk, errors = self._desk, fields.errors
        if not fields.says("Date"):
            raise Refused("The Date field is mandatory")
        quote.date = fields.day("Date", quote.date) or quote.date
        quote.expiry = fields.day("ExpiryDate", quote.expiry)
        quote.reference = fields.text("Reference", 4000, quote.reference)
        quote.terms, quote.title = fields.text("Terms", 4000), fields.text("Title", 100)
        quote.summary = fields.text("Summary", 3000)
        quote.theme_id = documents.read_theme(desk, fields, quote.theme_id or self._books.themes[0].id)
        types = fields.choice("LineAmountTypes", tuple(LINE_AMOUNT_TYPES), "EXCLUSIVE") or "EXCLUSIVE"
        quote.line_amount_types = LINE_AMOUNT_TYPES.get(types, "Exclusive")
        self._number(fields, quote)
        self.warnings = documents.read_currency(desk, fields, quote, self._books.contacts[quote.contact_id], fresh)
        parts: dict[tuple[str, int], list[str]] = {}
        try:
            self.warnings += documents.read_lines(desk, fields, quote, self._rules(quote))
        except Refused as refused:
            errors += refused.messages
            parts = refused.parts
        add_up(quote)
        if quote.total < 0:
            errors.append("The total of the document must not be negative")
        if errors:
            raise Refused(*dict.fromkeys(errors), parts=parts)
        if closed is not None and ("LineItems" in fields.element or _content(quote) != _content(closed)):
            raise Refused("Quote not of valid status for modification")
        return self._finish(quote, status, fresh)

    def _rules(self, quote: Quote) -> Rules:
        by_name = self._desk.is_on("quote_tracking_by_name", "yes")
        return Rules("QUOTE", quote.line_amount_types, account_gives_tax=False, tracking_by_name=by_name)

    def _number(self, fields: Fields, quote: Quote) -> None:
        number = fields.text("QuoteNumber", 255)
        documents.check_number(fields, "QuoteNumber", number)
        number = number or self._books.next_number("QU", lambda one: self._holder(one) is not None)
        holder = self._holder(number)
        if holder is not None and holder.id != quote.id:
            fields.errors.append("Quote number must be unique")
        quote.number = number

    def _holder(self, number: str) -> Quote | None:
        found = self._books.quotes.find("number", number.casefold()) if number else []
        return next((one for one in found if one.status != "DELETED"), None)

    def _finish(self, quote: Quote, status: str, fresh: bool) -> Quote:
        invoiced = status == "INVOICED" and quote.status != "INVOICED"
        quote.status, quote.updated = status, self._desk.now
        self._books.quotes.save(quote)
        mark_used(self._desk, self._books.contacts[quote.contact_id], "QUOTE")
        self._desk.note(quote.id, "Created" if fresh else status.capitalize())
        if invoiced and self._desk.is_on("quote_invoiced", "creates_invoice"):
            self._invoice(quote)
        return quote

    def _invoice(self, quote: Quote) -> None:
        number = self._books.next_number("INV", lambda one: bool(self._books.invoices.find("number", (SALES, one.casefold()))))
        invoice = Invoice(new_id(), SALES, number, quote.contact_id, self._desk.today, self._desk.now, reference=quote.number)
        for name in ("line_amount_types", "currency", "rate", "theme_id", "sub_total", "total_tax", "total", "total_discount"):
            setattr(invoice, name, getattr(quote, name))
        invoice.lines = [replace(line, id=new_id()) for line in quote.lines]
        self._books.invoices.save(invoice)
        self._books.tell("INVOICE", "CREATE", invoice.id)


def _content(quote: Quote) -> tuple[object, ...]:
    return (quote.number, quote.date, quote.expiry, quote.reference, quote.terms, quote.title, quote.summary, quote.line_amount_types, quote.currency)


def find(books: Books, key: str) -> Quote | None:
    return books.quotes.get(key)


def render(desk: Desk, quote: Quote) -> dict[str, Any]:
    """Dates carry no offset on quotes (X§2.3)."""
    desk = replace(desk, places=int(desk.switch("quote_unit_places")))
    shown: dict[str, Any] = {
        "QuoteID": quote.id,
        "QuoteNumber": quote.number,
        "Reference": quote.reference,
        "Terms": quote.terms,
        "Contact": documents.render_contact(desk, quote, False),
        "LineItems": documents.render_lines(desk, quote),
        "Date": ms_date_bare(quote.date),
        "DateString": iso_date(quote.date),
        "Status": quote.status,
        "CurrencyRate": quote.rate,
        "CurrencyCode": quote.currency,
        **documents.render_totals(quote),
        "TotalDiscount": quote.total_discount,
        "Title": quote.title,
        "Summary": quote.summary,
        "BrandingThemeID": quote.theme_id,
        "UpdatedDateUTC": ms_time_bare(quote.updated),
        "LineAmountTypes": quote.line_amount_types.upper(),
        "StatusAttributeString": "OK",
    }
    if quote.expiry is not None:
        shown |= {"ExpiryDate": ms_date_bare(quote.expiry), "ExpiryDateString": iso_date(quote.expiry)}
    return shown
