"""The Accounting API over HTTP: paths, answers and envelopes (X§2, X§4 to X§6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from sandbox.xero import batches, contacts, credit_notes, invoices, items, ledgers, payments, quotes, reading
from sandbox.xero.batches import Writing
from sandbox.xero.books import Books, Contact, Invoice
from sandbox.xero.desk import Desk
from sandbox.xero.elements import Element, Fields, read_elements
from sandbox.xero.errors import NOT_FOUND_TEXT, Halt, Refused, not_found, validation, wants_json
from sandbox.xero.fields import CONTACT, CREDIT_NOTE, INVOICE, ITEM, LEDGER, PAYMENT, QUOTE, with_contact
from sandbox.xero.gate import API
from sandbox.xero.idempotency import Entry
from sandbox.xero.pdf import page
from sandbox.xero.words import is_id, iso_date, ms_time, ms_time_bare, new_id, parse_date, to_json, to_xml

if TYPE_CHECKING:
    from sandbox.xero.world import World

Work = Callable[[Desk], Response]


def envelope(desk: Desk, key: str, rows: list[Any], pagination: dict[str, int] | None = None, **more: object) -> Response:
    """The frame of every answer (X§2.2)."""
    body: dict[str, object] = {"Id": new_id(), "Status": "OK", "ProviderName": "Tallybridge", "DateTimeUTC": ms_time_bare(desk.now), **more}
    if pagination is not None:
        body["pagination"] = pagination
    body[key] = rows
    if wants_json():
        return Response(to_json(body), 200, mimetype="application/json")
    return Response(to_xml("Response", body), 200, mimetype="text/xml")


def _nothing_new(desk: Desk, rows: list[Any]) -> bool:
    return not rows and "If-Modified-Since" in request.headers and desk.is_on("ims_empty", "304")


@dataclass
class Listing:
    """How a resource is listed."""

    key: str
    kind: str
    fields: Mapping[str, reading.Getter]
    paged: bool = True


def list_rows(desk: Desk, listing: Listing, rows: list[Any], page_: reading.Page, render: Callable[[Any], Any], volume: int) -> Response:
    """Filter, order, cut and show (X§2.6)."""
    if clause := request.args.get("where"):
        test = reading.where(clause, listing.fields, listing.kind)
        rows = [row for row in rows if test(row)]
    reading.guard_volume(len(rows), volume)
    default = f"UpdatedDateUTC ASC, {listing.kind}ID ASC" if listing.paged else ""
    rows = reading.ordered(rows, request.args.get("order") or default, listing.fields, listing.kind)
    if _nothing_new(desk, rows):
        return Response(b"", 304)
    shown = [render(row) for row in page_.cut(rows)]
    return envelope(desk, listing.key, shown, page_.block(len(rows)))


class Api:
    """The routes. Each call has passed the gate and works under the lock."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.blueprint = Blueprint("accounting", __name__, url_prefix=API.rstrip("/"))
        self._errors()
        for route in (self._organisation, self._lists, self._items, self._contacts, self._invoices, self._payments, self._credit_notes, self._quotes):
            route()

    def _errors(self) -> None:
        @self.blueprint.errorhandler(Halt)
        def halted(halt: Halt) -> Response:
            return halt.response

    def on(self, path: str, verb: str, work: Callable[..., Response]) -> None:
        """Let `work(desk, **parts)` answer this verb of this path."""

        def answer(**parts: str) -> Response:
            return self._once(lambda: self._at_desk(work, parts))

        self.blueprint.add_url_rule(path, f"{verb} {path}".replace(".", "_"), answer, methods=[verb], provide_automatic_options=False)

    def _once(self, work: Callable[[], Response]) -> Response:
        """Under an Idempotency-Key the work is done once in six minutes (X§10)."""
        entry: Entry | None = g.get("idempotent")
        if entry is None:
            return work()
        if not g.idempotent_first:
            entry.done.wait(60)
            if entry.answered:
                g.seen_detail = {"replayed": True}
                return entry.replay()
        try:
            response = work()
        except Halt as halt:
            response = halt.response
        self._world.idempotency.keep(entry, response)
        return response

    def _at_desk(self, work: Callable[..., Response], parts: dict[str, str]) -> Response:
        membership = g.membership
        with self._world.lock:
            desk = Desk(
                g.books,
                self._world.controls,
                user="Tallybridge",
                by_app=True,
                places=4 if request.args.get("unitdp") == "4" else 2,
                back_orders=reading.flag(request.args, "allowBackorders"),
                bank_admin=membership.bank_admin,
            )
            try:
                return work(desk, **parts)
            finally:
                self._world.settle(g.books)

    def _elements(self, desk: Desk, plural: str, kind: str) -> list[Element]:
        elements = read_elements(desk, request.get_data(cache=True), plural, kind)
        g.seen_detail = {"operation": f"{request.method} {plural}", "elements": len(elements)}
        return elements

    def _single(self, desk: Desk, plural: str, kind: str) -> Element:
        """The one element of a POST to one resource, where `summarizeErrors` does not exist (X§2.5)."""
        elements = self._elements(desk, plural, kind)
        if len(elements) != 1:
            raise validation(f"Exactly one element of {plural} must be sent")
        return elements[0]

    def _batch(self, plural: str, kind: str, writing: Callable[[Desk], Writing], most: int | None = None) -> Work:
        def work(desk: Desk) -> Response:
            elements = self._elements(desk, plural, kind)
            if not elements:
                raise validation(f"At least one element of {plural} must be sent")
            if most is not None and len(elements) > most:
                raise validation(f"A maximum of {most} {plural} can be sent in a request")
            rows = batches.write_all(desk, elements, writing(desk))
            more = {"SummarizeErrors": batches.summarizes()} if plural == "Quotes" else {}
            return envelope(desk, plural, rows, None, **more)

        return work

    def _history(self, path: str, find: Callable[[Books, str], Any]) -> None:
        """GET and PUT of `/{id}/History` (X§4.11)."""

        def show(desk: Desk, key: str) -> Response:
            return envelope(desk, "HistoryRecords", [_render_note(one) for one in desk.books.notes.get(_need(find(desk.books, key)).id, [])])

        def add(desk: Desk, key: str) -> Response:
            row = _need(find(desk.books, key))
            shown = []
            for element in self._elements(desk, "HistoryRecords", "HistoryRecord"):
                fields = Fields(element, desk, [])
                details = fields.text("Details", 2500)
                if fields.errors or not details:
                    raise validation(fields.errors[0] if fields.errors else "The Details field is mandatory")
                desk.note(row.id, "Note", details)
                shown.append(_render_note(desk.books.notes[row.id][-1]))
            return envelope(desk, "HistoryRecords", shown)

        self.on(f"{path}/<path:key>/History", "GET", show)
        self.on(f"{path}/<path:key>/History", "PUT", add)

    # Organisation and lists.

    def _organisation(self) -> None:
        self.on("/Organisation", "GET", lambda desk: envelope(desk, "Organisations", [ledgers.render_organisation(desk)]))
        self.on("/Organisation/Actions", "GET", lambda desk: envelope(desk, "Actions", ledgers.render_actions(desk)))
        for verb in ("POST", "PUT", "DELETE"):
            self.on("/Organisation", verb, lambda desk: Response("Not Implemented", 501, mimetype="text/html"))

    def _lists(self) -> None:
        self.on("/TaxRates", "GET", self._list_of("TaxRates", "TaxRate", lambda books: list(books.tax_rates.values()), ledgers.render_tax_rate))
        self.on("/TaxRates/<key>", "GET", lambda desk, key: envelope(desk, "TaxRates", [ledgers.render_tax_rate(_need(desk.books.tax_rates.get(key)))]))
        self.on("/TrackingCategories", "GET", self._tracking)
        self.on("/Currencies", "GET", lambda desk: envelope(desk, "Currencies", ledgers.render_currencies(desk.books)))
        self.on("/Currencies", "PUT", self._add_currency)
        self.on("/BrandingThemes", "GET", lambda desk: envelope(desk, "BrandingThemes", [ledgers.render_theme(one) for one in desk.books.themes]))
        self.on("/Users", "GET", self._users)
        self.on("/Accounts", "GET", self._list_of("Accounts", "Account", lambda books: list(books.accounts), ledgers.render_account))
        self.on("/Accounts", "PUT", self._put_account)
        self.on("/Accounts/<key>", "GET", lambda desk, key: envelope(desk, "Accounts", [ledgers.render_account(_need(desk.books.accounts.get(key)))]))
        self.on("/Accounts/<key>", "POST", self._post_account)
        self.on("/Accounts/<key>", "DELETE", self._delete_account)

    def _list_of(self, key: str, kind: str, rows: Callable[[Books], list[Any]], render: Callable[[Any], Any]) -> Work:
        def work(desk: Desk) -> Response:
            found = rows(desk.books)
            if kind == "Account":
                found = reading.modified(found, reading.since(request.headers.get("If-Modified-Since")))
            listing = Listing(key, kind, LEDGER[kind], paged=False)
            return list_rows(desk, listing, found, reading.Page(0, 100), render, self._world.high_volume)

        return work

    def _tracking(self, desk: Desk) -> Response:
        archived = reading.flag(request.args, "includeArchived")
        return envelope(desk, "TrackingCategories", [ledgers.render_tracking(one) for one in desk.books.tracking if archived or one.status == "ACTIVE"])

    def _add_currency(self, desk: Desk) -> Response:
        for element in self._elements(desk, "Currencies", "Currency"):
            _refuse_plainly(partial(ledgers.add_currency, desk, element))
        return envelope(desk, "Currencies", ledgers.render_currencies(desk.books))

    def _users(self, desk: Desk) -> Response:
        members = [one for one in self._world.identity.memberships if one.tenant_id == desk.books.tenant_id]
        return envelope(desk, "Users", [ledgers.render_member(one) for one in members])

    def _put_account(self, desk: Desk) -> Response:
        element = self._single(desk, "Accounts", "Account")
        account = _refuse_plainly(lambda: ledgers.AccountWriter(desk).create(element))
        return envelope(desk, "Accounts", [ledgers.render_account(account)])

    def _post_account(self, desk: Desk, key: str) -> Response:
        account, element = _need(desk.books.accounts.get(key)), self._single(desk, "Accounts", "Account")
        changed = _refuse_plainly(lambda: ledgers.AccountWriter(desk).update(account, element))
        return envelope(desk, "Accounts", [ledgers.render_account(changed)])

    def _delete_account(self, desk: Desk, key: str) -> Response:
        account = _need(desk.books.accounts.get(key))
        return envelope(desk, "Accounts", [ledgers.render_account(_refuse_plainly(lambda: ledgers.AccountWriter(desk).delete(account)))])

    # Items.

    def _items(self) -> None:
        def writing(desk: Desk, upsert: bool) -> Writing:
            writer = items.ItemWriter(desk)
            return Writing("ItemID", writer.upsert if upsert else writer.create, lambda one: items.render(desk, one))

        def find(books: Books, key: str) -> Any:
            return books.items.get(key) or next(iter(books.items.find("folded", key.casefold())), None)

        self.on("/Items", "GET", self._list_items)
        self.on("/Items", "PUT", self._batch("Items", "Item", lambda desk: writing(desk, False), most=500))
        self.on("/Items", "POST", self._batch("Items", "Item", lambda desk: writing(desk, True), most=500))
        self._history("/Items", find)
        self.on("/Items/<path:key>", "GET", lambda desk, key: envelope(desk, "Items", [items.render(desk, _need(find(desk.books, key)))]))
        self.on("/Items/<key>", "POST", self._post_item)
        self.on("/Items/<key>", "DELETE", self._delete_item)

    def _list_items(self, desk: Desk) -> Response:
        rows = reading.modified(desk.books.items, reading.since(request.headers.get("If-Modified-Since")))
        listing = Listing("Items", "Item", ITEM, paged=False)
        return list_rows(desk, listing, rows, reading.Page(0, 100), lambda one: items.render(desk, one), self._world.high_volume)

    def _post_item(self, desk: Desk, key: str) -> Response:
        item, element = _need(desk.books.items.get(key)), self._single(desk, "Items", "Item")
        writing = Writing("ItemID", lambda one: items.ItemWriter(desk).update(item, one), lambda one: items.render(desk, one))
        return envelope(desk, "Items", batches.write_one(desk, element, writing))

    def _delete_item(self, desk: Desk, key: str) -> Response:
        item = _need(desk.books.items.get(key))
        _refuse_plainly(lambda: items.ItemWriter(desk).delete(item))
        return Response("", 204)

    # Contacts.

    def _contacts(self) -> None:
        def writing(desk: Desk, upsert: bool) -> Writing:
            writer = contacts.ContactWriter(desk)
            return Writing("ContactID", writer.upsert if upsert else writer.create, lambda one: contacts.render(desk, one), errors_key="HasValidationErrors")

        self.on("/Contacts", "GET", self._list_contacts)
        self.on("/Contacts", "PUT", self._batch("Contacts", "Contact", lambda desk: writing(desk, False)))
        self.on("/Contacts", "POST", self._batch("Contacts", "Contact", lambda desk: writing(desk, True)))
        self._history("/Contacts", _contact)
        self.on("/Contacts/<path:key>", "GET", lambda desk, key: envelope(desk, "Contacts", [contacts.render(desk, _need(_contact(desk.books, key)))]))
        self.on("/Contacts/<key>", "POST", self._post_contact)

    def _list_contacts(self, desk: Desk) -> Response:
        args = request.args
        summary = reading.flag(args, "summaryOnly")
        page_ = reading.Page.asked(args, forced=summary)
        moment = reading.since(request.headers.get("If-Modified-Since"))
        ids = {one.lower() for one in reading.comma(args, "IDs")}
        rows: list[Contact] = [found for one in ids if (found := desk.books.contacts.get(one))] if ids else list(desk.books.contacts)
        rows = reading.modified(rows, moment)
        shows_archived = moment is not None and desk.is_on("archive_needs_flag", "no")
        if not reading.flag(args, "includeArchived") and not shows_archived:
            rows = [one for one in rows if one.status == "ACTIVE"]
        if term := args.get("searchTerm"):
            rows = [one for one in rows if _mentions(one, term)]
        form = "summary" if summary else "full" if page_.number else "light"
        return list_rows(desk, Listing("Contacts", "Contact", CONTACT), rows, page_, lambda one: contacts.render(desk, one, form), self._world.high_volume)

    def _post_contact(self, desk: Desk, key: str) -> Response:
        contact, element = _need(desk.books.contacts.get(key)), self._single(desk, "Contacts", "Contact")
        writer = contacts.ContactWriter(desk)
        writing = Writing("ContactID", lambda one: writer.update(contact, one), lambda one: contacts.render(desk, one), errors_key="HasValidationErrors")
        return envelope(desk, "Contacts", batches.write_one(desk, element, writing))

    # Invoices.

    def _invoices(self) -> None:
        def writing(desk: Desk, upsert: bool) -> Writing:
            writer = invoices.InvoiceWriter(desk)
            return Writing("InvoiceID", writer.upsert if upsert else writer.create, lambda one: invoices.render(desk, one), lambda: writer.warnings)

        self.on("/Invoices", "GET", self._list_invoices)
        self.on("/Invoices", "PUT", self._batch("Invoices", "Invoice", lambda desk: writing(desk, False)))
        self.on("/Invoices", "POST", self._batch("Invoices", "Invoice", lambda desk: writing(desk, True)))
        self._history("/Invoices", _invoice)
        self.on("/Invoices/<path:key>/OnlineInvoice", "GET", self._online)
        self.on("/Invoices/<path:key>/Email", "POST", self._email)
        self.on("/Invoices/<path:key>/pdf", "GET", lambda desk, key: _pdf(_need(_invoice(desk.books, key))))
        self.on("/Invoices/<path:key>", "GET", self._get_invoice)
        self.on("/Invoices/<path:key>", "POST", self._post_invoice)

    def _list_invoices(self, desk: Desk) -> Response:
        args = request.args
        summary, statuses = reading.flag(args, "summaryOnly"), reading.comma(args, "Statuses")
        page_ = reading.Page.asked(args, forced=summary or bool(statuses))
        rows = self._chosen_invoices(desk, statuses)
        form = "summary" if summary else "page" if page_.number else "list"
        fields = with_contact(desk.books, INVOICE)
        if summary:
            del fields["hasattachments"]
        return list_rows(desk, Listing("Invoices", "Invoice", fields), rows, page_, lambda one: invoices.render(desk, one, form), self._world.high_volume)

    def _chosen_invoices(self, desk: Desk, statuses: list[str]) -> list[Invoice]:
        """The list parameters, which combine freely (X§4.8)."""
        args, table = request.args, desk.books.invoices
        ids = [one.lower() for one in reading.comma(args, "IDs")]
        numbers = {one.casefold() for one in reading.comma(args, "InvoiceNumbers")}
        of_contacts = [one.lower() for one in reading.comma(args, "ContactIDs")]
        if ids:
            rows = [found for one in dict.fromkeys(ids) if (found := table.get(one))]
        elif numbers:
            rows = [one for kind in ("ACCREC", "ACCPAY") for number in numbers for one in table.find("number", (kind, number))]
        elif of_contacts:
            rows = [one for id_ in dict.fromkeys(of_contacts) for one in table.find("contact", id_)]
        else:
            rows = list(table)
        rows = reading.modified(rows, reading.since(request.headers.get("If-Modified-Since")))
        if numbers:
            rows = [one for one in rows if one.number.casefold() in numbers]
        if of_contacts:
            rows = [one for one in rows if one.contact_id in of_contacts]
        if statuses:
            rows = [one for one in rows if one.status in statuses]
        if reading.flag(args, "createdByMyApp"):
            rows = [one for one in rows if one.by_app]
        if term := args.get("searchTerm", "").casefold():
            rows = [one for one in rows if term in one.number.casefold() or term in one.reference.casefold()]
        return rows

    def _get_invoice(self, desk: Desk, key: str) -> Response:
        invoice = _need(_invoice(desk.books, key))
        if "application/pdf" in request.headers.get("Accept", ""):
            return _pdf(invoice)
        return envelope(desk, "Invoices", [invoices.render(desk, invoice)])

    def _post_invoice(self, desk: Desk, key: str) -> Response:
        invoice, element = _need(_invoice(desk.books, key)), self._single(desk, "Invoices", "Invoice")
        writer = invoices.InvoiceWriter(desk)
        writing = Writing("InvoiceID", lambda one: writer.update(invoice, one), lambda one: invoices.render(desk, one), lambda: writer.warnings)
        return envelope(desk, "Invoices", batches.write_one(desk, element, writing))

    def _online(self, desk: Desk, key: str) -> Response:
        """Sales invoices that are no drafts (X§4.11)."""
        invoice = _need(_invoice(desk.books, key))
        if invoice.type != "ACCREC" or invoice.status in ("DRAFT", "DELETED"):
            raise validation("An online invoice is only available for sales invoices that are not in draft")
        url = f"https://in.xero.com/{invoice.id.replace('-', '')[:24]}"
        return envelope(desk, "OnlineInvoices", [{"OnlineInvoiceUrl": url}])

    def _email(self, desk: Desk, key: str) -> Response:
        invoice = _need(_invoice(desk.books, key))
        if invoice.type != "ACCREC" or invoice.status not in ("SUBMITTED", "AUTHORISED", "PAID"):
            raise validation("Invoice not of valid status for emailing")
        if desk.books.organisation.is_demo:
            raise validation("The daily limit of emails for this organisation has been reached")
        if not desk.books.contacts[invoice.contact_id].texts.get("EmailAddress"):
            raise validation("The contact does not have a valid email address")
        invoices.mark_emailed(desk, invoice)
        return Response("", 204)

    # Payments.

    def _payments(self) -> None:
        def writing(desk: Desk) -> Writing:
            writer = payments.PaymentWriter(desk)
            return Writing("PaymentID", writer.create, lambda one: payments.render(desk, one), errors_key="HasValidationErrors")

        self.on("/Payments", "GET", self._list_payments)
        self.on("/Payments", "PUT", self._batch("Payments", "Payment", writing))
        self.on("/Payments", "POST", self._post_payments)
        self._history("/Payments", lambda books, key: books.payments.get(key))
        self.on("/Payments/<key>", "GET", lambda desk, key: envelope(desk, "Payments", [payments.render(desk, _need(desk.books.payments.get(key)))]))
        self.on("/Payments/<key>", "POST", self._delete_payment)

    def _list_payments(self, desk: Desk) -> Response:
        rows = reading.modified(desk.books.payments, reading.since(request.headers.get("If-Modified-Since")))
        page_ = reading.Page.asked(request.args)
        books = desk.books
        fields = {name: partial(getter, books) for name, getter in PAYMENT.items()}
        return list_rows(desk, Listing("Payments", "Payment", fields), rows, page_, lambda one: payments.render(desk, one, False), self._world.high_volume)

    def _post_payments(self, desk: Desk) -> Response:
        """POST /Payments takes one payment (X§6.12)."""
        element = self._single(desk, "Payments", "Payment")
        writer = payments.PaymentWriter(desk)
        writing = Writing("PaymentID", writer.create, lambda one: payments.render(desk, one), errors_key="HasValidationErrors")
        return envelope(desk, "Payments", batches.write_one(desk, element, writing))

    def _delete_payment(self, desk: Desk, key: str) -> Response:
        payment, element = _need(desk.books.payments.get(key)), self._single(desk, "Payments", "Payment")
        writer = payments.PaymentWriter(desk)
        writing = Writing("PaymentID", lambda one: writer.delete(payment, one), lambda one: payments.render(desk, one), errors_key="HasValidationErrors")
        return envelope(desk, "Payments", batches.write_one(desk, element, writing))

    # Credit notes.

    def _credit_notes(self) -> None:
        def writing(desk: Desk, upsert: bool) -> Writing:
            writer = credit_notes.CreditNoteWriter(desk)
            return Writing("CreditNoteID", writer.upsert if upsert else writer.create, lambda one: credit_notes.render(desk, one), lambda: writer.warnings)

        self.on("/CreditNotes", "GET", self._list_credit_notes)
        self.on("/CreditNotes", "PUT", self._batch("CreditNotes", "CreditNote", lambda desk: writing(desk, False)))
        self.on("/CreditNotes", "POST", self._batch("CreditNotes", "CreditNote", lambda desk: writing(desk, True)))
        self._history("/CreditNotes", credit_notes.find)
        self.on("/CreditNotes/<path:key>/pdf", "GET", lambda desk, key: _pdf(_need(credit_notes.find(desk.books, key))))
        self.on("/CreditNotes/<path:key>/Allocations", "PUT", self._allocate)
        self.on("/CreditNotes/<key>/Allocations/<allocation>", "DELETE", self._unallocate)
        self.on(
            "/CreditNotes/<path:key>", "GET",
            lambda desk, key: envelope(desk, "CreditNotes", [credit_notes.render(desk, _need(credit_notes.find(desk.books, key)))]),
        )  # fmt: skip
        self.on("/CreditNotes/<path:key>", "POST", self._post_credit_note)

    def _list_credit_notes(self, desk: Desk) -> Response:
        rows = reading.modified(desk.books.credit_notes, reading.since(request.headers.get("If-Modified-Since")))
        page_ = reading.Page.asked(request.args)
        form = "page" if page_.number else "list"
        return list_rows(
            desk,
            Listing("CreditNotes", "CreditNote", with_contact(desk.books, CREDIT_NOTE)),
            rows,
            page_,
            lambda one: credit_notes.render(desk, one, form),
            self._world.high_volume,
        )

    def _post_credit_note(self, desk: Desk, key: str) -> Response:
        note, element = _need(credit_notes.find(desk.books, key)), self._single(desk, "CreditNotes", "CreditNote")
        writer = credit_notes.CreditNoteWriter(desk)
        writing = Writing("CreditNoteID", lambda one: writer.update(note, one), lambda one: credit_notes.render(desk, one), lambda: writer.warnings)
        return envelope(desk, "CreditNotes", batches.write_one(desk, element, writing))

    def _allocate(self, desk: Desk, key: str) -> Response:
        note = _need(credit_notes.find(desk.books, key))
        writer = credit_notes.CreditNoteWriter(desk)

        def render(one: Any) -> dict[str, Any]:
            return credit_notes.render_allocation(one, desk.books.invoices[one.invoice_id].number)

        writing = Writing("AllocationID", lambda one: writer.allocate(desk.books.credit_notes[note.id], one), render)
        elements = self._elements(desk, "Allocations", "Allocation")
        return envelope(desk, "Allocations", batches.write_all(desk, elements, writing))

    def _unallocate(self, desk: Desk, key: str, allocation: str) -> Response:
        note, found = _need(credit_notes.find(desk.books, key)), _need(desk.books.allocations.get(allocation))
        if found.credit_note_id != note.id:
            raise not_found()
        credit_notes.CreditNoteWriter(desk).remove_allocation(found)
        return envelope(desk, "Allocations", [{"AllocationID": found.id, "IsDeleted": True}])

    # Quotes.

    def _quotes(self) -> None:
        def writing(desk: Desk, upsert: bool) -> Writing:
            writer = quotes.QuoteWriter(desk)
            return Writing("QuoteID", writer.upsert if upsert else writer.create, lambda one: quotes.render(desk, one), lambda: writer.warnings)

        self.on("/Quotes", "GET", self._list_quotes)
        self.on("/Quotes", "PUT", self._batch("Quotes", "Quote", lambda desk: writing(desk, False)))
        self.on("/Quotes", "POST", self._batch("Quotes", "Quote", lambda desk: writing(desk, True)))
        self._history("/Quotes", quotes.find)
        self.on("/Quotes/<key>/pdf", "GET", lambda desk, key: _pdf(_need(quotes.find(desk.books, key))))
        self.on("/Quotes/<key>", "GET", lambda desk, key: envelope(desk, "Quotes", [quotes.render(desk, _need(quotes.find(desk.books, key)))]))
        self.on("/Quotes/<key>", "POST", self._post_quote)

    def _list_quotes(self, desk: Desk) -> Response:
        """Own filters, always paged, no pagination block (X§2.2, X§6.11)."""
        args = request.args
        rows = reading.modified(desk.books.quotes, reading.since(request.headers.get("If-Modified-Since")))
        for name, get, after in _QUOTE_DATES:
            day = parse_date(args.get(name))
            if day is not None:
                rows = [one for one in rows if (value := get(one)) is not None and (value >= day if after else value <= day)]
        if contact := args.get("ContactID"):
            rows = [one for one in rows if one.contact_id == contact.lower()]
        if status := args.get("Status"):
            rows = [one for one in rows if one.status == status]
        if number := args.get("QuoteNumber"):
            rows = [one for one in rows if number.casefold() in one.number.casefold()]
        rows = reading.ordered(rows, args.get("order") or "UpdatedDateUTC ASC", QUOTE, "Quote")
        if _nothing_new(desk, rows):
            return Response(b"", 304)
        page_ = reading.Page.asked(args, forced=True)
        if desk.is_on("quote_page_size", "ignored"):
            page_ = reading.Page(page_.number, 100)
        return envelope(desk, "Quotes", [quotes.render(desk, one) for one in page_.cut(rows)], None, SummarizeErrors=False)

    def _post_quote(self, desk: Desk, key: str) -> Response:
        quote, element = _need(quotes.find(desk.books, key)), self._single(desk, "Quotes", "Quote")
        writer = quotes.QuoteWriter(desk)
        writing = Writing("QuoteID", lambda one: writer.update(quote, one), lambda one: quotes.render(desk, one), lambda: writer.warnings)
        return envelope(desk, "Quotes", batches.write_one(desk, element, writing))


_QUOTE_DATES: tuple[tuple[str, Callable[[Any], Any], bool], ...] = (
    ("DateFrom", lambda one: one.date, True),
    ("DateTo", lambda one: one.date, False),
    ("ExpiryDateFrom", lambda one: one.expiry, True),
    ("ExpiryDateTo", lambda one: one.expiry, False),
)


def unknown_path(world: World, error: HTTPException) -> Response:
    """404 and 405 of paths the API does not have (X§9.1)."""
    if isinstance(error, MethodNotAllowed) and world.switch("wrong_verb") == "405":
        return Response("Method Not Allowed", 405, mimetype="text/html")
    return Response(NOT_FOUND_TEXT, 404, mimetype="text/html")


def _need(row: Any) -> Any:
    if row is None:
        raise not_found()
    return row


def _refuse_plainly(work: Callable[[], Any]) -> Any:
    """For resources without per-element outcomes: a refusal is a 400."""
    try:
        return work()
    except Refused as refused:
        raise validation(refused.messages[0]) from None


def _invoice(books: Books, key: str) -> Invoice | None:
    return books.invoices.get(key) if is_id(key) else invoices.by_number(books, key)


def _contact(books: Books, key: str) -> Contact | None:
    return books.contacts.get(key) if is_id(key) else next(iter(books.contacts.find("number", key)), None)


def _mentions(contact: Contact, term: str) -> bool:
    texts = (contact.name, *(contact.texts.get(key, "") for key in ("FirstName", "LastName", "ContactNumber", "CompanyNumber", "EmailAddress")))
    return any(term.casefold() in text.casefold() for text in texts)


def _render_note(note: Any) -> dict[str, str]:
    return {
        "Changes": note.changes,
        "DateUTCString": note.at.strftime("%Y-%m-%dT%H:%M:%S"),
        "DateUTC": ms_time(note.at),
        "User": note.user,
        "Details": note.details,
    }


def _pdf(document: Any) -> Response:
    lines = [f"{document.number}", f"Date {iso_date(document.date)[:10]}", f"Total {document.total} {document.currency}", document.status]
    return Response(page(lines), 200, mimetype="application/pdf")
