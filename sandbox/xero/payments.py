"""Payments on invoices and refunds of credit notes (X§6.12)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sandbox.xero import credit_notes, documents, invoices, ledgers
from sandbox.xero.books import SALES, Account, CreditNote, Invoice, Payment
from sandbox.xero.desk import Desk
from sandbox.xero.elements import Element, Fields
from sandbox.xero.errors import Refused
from sandbox.xero.words import iso_date, iso_z, ms_date, ms_time, new_id

NOT_AUTHORISED = "Payments can only be made against Authorised documents"
TOO_MUCH = "Payment amount exceeds the amount outstanding on this document"

_TYPES = {"ACCREC": "ACCRECPAYMENT", "ACCPAY": "ACCPAYPAYMENT", "ACCRECCREDIT": "ARCREDITPAYMENT", "ACCPAYCREDIT": "APCREDITPAYMENT"}


class PaymentWriter:
    """Applies and removes payments in one organisation."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._books = desk.books

    def create(self, element: Element) -> Payment:
        fields = Fields(element, self._desk, [])
        document = self._document(fields)
        if document.status != "AUTHORISED":
            raise Refused(NOT_AUTHORISED)
        account = self._account(fields, document)
        amount = fields.number("Amount")
        if amount is None or amount <= 0:
            raise Refused("Payment amount must be greater than zero")
        amount = self._desk.cents(amount)
        if amount > document.due:
            raise Refused(TOO_MUCH)
        day = fields.day("Date", None) or self._desk.today
        documents.check_lock(self._desk, day, draft=False)
        rate = fields.number("CurrencyRate", document.rate) or document.rate
        reference = fields.text("Reference", 255)
        if fields.errors:
            raise Refused(*fields.errors)
        payment = Payment(
            new_id(), _TYPES[document.type], document.id, account.id, day, amount, rate, reference, self._desk.now,
            reconciled=fields.flag("IsReconciled", False), by_app=self._desk.by_app,
        )  # fmt: skip
        self._books.payments.save(payment)
        self._settle(document, payment)
        self._desk.note(document.id, "Payment", f"Payment of {amount} {document.currency} on {day.isoformat()}. {reference}".strip())
        return payment

    def delete(self, payment: Payment, element: Element) -> Payment:
        """The only change a payment knows (X§6.12)."""
        fields = Fields(element, self._desk, [])
        if fields.text("Status", 50) != "DELETED":
            raise Refused("Payments cannot be changed; Status must be DELETED")
        if payment.status == "DELETED":
            raise Refused("Payment not of valid status for modification")
        if payment.reconciled:
            raise Refused("The payment cannot be deleted because it is reconciled")
        documents.check_lock(self._desk, payment.date, draft=False)
        deleted = replace(payment, status="DELETED", updated=self._desk.now)
        self._books.payments.save(deleted)
        document = self._books.invoices.get(payment.document_id) or self._books.credit_notes[payment.document_id]
        self._settle(document, deleted)
        self._desk.note(document.id, "Payment deleted", f"{payment.amount} {document.currency}")
        return deleted

    def _document(self, fields: Fields) -> Invoice | CreditNote:
        if wanted := fields.part("CreditNote"):
            return self._credit_note(wanted)
        if number := fields.text("CreditNoteNumber", 255):
            return self._credit_note({"CreditNoteNumber": number})
        wanted = fields.part("Invoice") or {"InvoiceNumber": fields.text("InvoiceNumber", 255)}
        one = Fields(wanted, self._desk, fields.errors)
        identifier, number = one.identifier("InvoiceID"), one.text("InvoiceNumber", 255)
        found = self._books.invoices.get(identifier) if identifier else invoices.by_number(self._books, number) if number else None
        if found is None:
            raise Refused("An existing Invoice with the specified InvoiceID could not be found" if identifier or number else "A document must be specified")
        return found

    def _credit_note(self, wanted: Element) -> CreditNote:
        one = Fields(wanted, self._desk, [])
        found = credit_notes.find(self._books, one.identifier("CreditNoteID") or one.text("CreditNoteNumber", 255))
        if found is None:
            raise Refused("An existing Credit Note with the specified CreditNoteID could not be found")
        return found

    def _account(self, fields: Fields, document: Invoice | CreditNote) -> Account:
        one = Fields(fields.part("Account") or {"Code": fields.element.get("Code")}, self._desk, fields.errors)
        code, identifier = one.text("Code", 10), one.identifier("AccountID")
        if not code and not identifier:
            raise Refused("Account must be valid")
        account = self._books.account(code) if code else self._books.accounts.get(identifier)
        if account is None or not (account.type == "BANK" or account.payments):
            raise Refused("Account must be valid")
        if account.status != "ACTIVE":
            raise Refused(f"The {account.name} bank account is archived and cannot be used")
        base = self._books.organisation.base_currency
        if self._desk.is_on("payment_currency", "checked") and (account.currency or base) not in (document.currency, base):
            raise Refused("The currency of the account must match the currency of the document or the base currency")
        return account

    def _settle(self, document: Invoice | CreditNote, payment: Payment) -> None:
        if isinstance(document, CreditNote):
            credit_notes.settle(self._desk, document, payment.date)
        else:
            invoices.settle(self._desk, document, payment.date, bump=self._desk.is_on("payment_bumps_updated", "yes"))


def render(desk: Desk, payment: Payment, full: bool = True) -> dict[str, Any]:
    """A payment with the document it belongs to."""
    books = desk.books
    account = books.accounts[payment.account_id]
    document = books.invoices.get(payment.document_id) or books.credit_notes[payment.document_id]
    contact = books.contacts[document.contact_id]
    in_base = (account.currency or books.organisation.base_currency) == books.organisation.base_currency
    shown: dict[str, Any] = {
        "PaymentID": payment.id,
        "Date": ms_date(payment.date),
        "DateString": iso_date(payment.date),
        "BankAmount": desk.cents(payment.amount / payment.rate) if in_base else payment.amount,
        "Amount": payment.amount,
        "Reference": payment.reference,
        "CurrencyRate": payment.rate,
        "PaymentType": payment.kind,
        "Status": payment.status,
        "UpdatedDateUTC": ms_time(payment.updated),
        "UpdatedDateUTCString": iso_z(payment.updated),
        "HasAccount": True,
        "IsReconciled": payment.reconciled,
        "Account": ledgers.render_account(account) if full else {"AccountID": account.id, "Code": account.code},
    }
    nested = {"Type": document.type, "CurrencyCode": document.currency, "HasErrors": False}
    nested["Contact"] = {"ContactID": contact.id, "Name": contact.name}
    if isinstance(document, CreditNote):
        shown["CreditNote"] = {"CreditNoteID": document.id, "CreditNoteNumber": document.number, **nested}
    else:
        shown["Invoice"] = {"InvoiceID": document.id, "InvoiceNumber": document.number, "IsDiscounted": bool(document.total_discount), **nested}
        shown["Invoice"] |= {"LineItems": []} if document.type == SALES else {}
    return shown | {"HasValidationErrors": False}
