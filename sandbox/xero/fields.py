"""The fields that `where` and `order` know, by resource and in lower case (X§4.8, X§5.5, X§6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.xero.books import Books, Payment

Getter = Callable[[Any], Any]


def _lower(fields: dict[str, Getter]) -> dict[str, Getter]:
    return {name.lower(): getter for name, getter in fields.items()}


_DOCUMENT: dict[str, Getter] = {
    "Type": lambda one: one.type,
    "Status": lambda one: one.status,
    "Reference": lambda one: one.reference or None,
    "Date": lambda one: one.date,
    "CurrencyCode": lambda one: one.currency,
    "CurrencyRate": lambda one: one.rate,
    "LineAmountTypes": lambda one: one.line_amount_types,
    "SubTotal": lambda one: one.sub_total,
    "TotalTax": lambda one: one.total_tax,
    "Total": lambda one: one.total,
    "UpdatedDateUTC": lambda one: one.updated,
    "BrandingThemeID": lambda one: one.theme_id or None,
    "SentToContact": lambda one: one.sent,
    "FullyPaidOnDate": lambda one: one.paid_on,
    "Contact.ContactID": lambda one: one.contact_id,
}

INVOICE = _lower(
    _DOCUMENT
    | {
        "InvoiceID": lambda one: one.id,
        "InvoiceNumber": lambda one: one.number or None,
        "DueDate": lambda one: one.due_date,
        "AmountDue": lambda one: one.due,
        "AmountPaid": lambda one: one.paid,
        "AmountCredited": lambda one: one.credited,
        "ExpectedPaymentDate": lambda one: one.expected,
        "PlannedPaymentDate": lambda one: one.planned,
        "HasAttachments": lambda one: False,
        "Url": lambda one: one.url or None,
    }
)

CREDIT_NOTE = _lower(
    _DOCUMENT
    | {
        "CreditNoteID": lambda one: one.id,
        "CreditNoteNumber": lambda one: one.number or None,
        "RemainingCredit": lambda one: one.due,
        "AppliedAmount": lambda one: one.credited,
    }
)

QUOTE = _lower(_DOCUMENT | {"QuoteID": lambda one: one.id, "QuoteNumber": lambda one: one.number, "ExpiryDate": lambda one: one.expiry})


def _text(name: str) -> Getter:
    return lambda one: one.texts.get(name)


_CONTACT_TEXTS = ("ContactNumber", "AccountNumber", "FirstName", "LastName", "CompanyNumber", "EmailAddress", "TaxNumber", "DefaultCurrency")

CONTACT = _lower(
    {
        "ContactID": lambda one: one.id,
        "Name": lambda one: one.name,
        "ContactStatus": lambda one: one.status,
        "IsCustomer": lambda one: one.is_customer,
        "IsSupplier": lambda one: one.is_supplier,
        "UpdatedDateUTC": lambda one: one.updated,
        **{key: _text(key) for key in _CONTACT_TEXTS},
    }
)

ITEM = _lower(
    {
        "ItemID": lambda one: one.id,
        "Code": lambda one: one.code,
        "Name": lambda one: one.name or None,
        "Description": lambda one: one.description or None,
        "IsSold": lambda one: one.sold,
        "IsPurchased": lambda one: one.purchased,
        "IsTrackedAsInventory": lambda one: one.tracked,
        "SalesDetails.UnitPrice": lambda one: one.sales.unit,
        "UpdatedDateUTC": lambda one: one.updated,
    }
)

LEDGER = {
    "Account": _lower(
        {
            "AccountID": lambda one: one.id,
            "Code": lambda one: one.code or None,
            "Name": lambda one: one.name,
            "Type": lambda one: one.type,
            "Class": lambda one: one.classification,
            "Status": lambda one: one.status,
            "TaxType": lambda one: one.tax_type,
            "SystemAccount": lambda one: one.system or None,
            "EnablePaymentsToAccount": lambda one: one.payments,
            "UpdatedDateUTC": lambda one: one.updated,
        }
    ),
    "TaxRate": _lower(
        {
            "Name": lambda one: one.name,
            "TaxType": lambda one: one.type,
            "Status": lambda one: one.status,
            "EffectiveRate": lambda one: one.rate,
            "DisplayTaxRate": lambda one: one.rate,
        }
    ),
}


def with_contact(books: Books, fields: dict[str, Getter]) -> dict[str, Getter]:
    """A document's fields and those of its contact."""
    return fields | {
        "contact.name": lambda one: books.contacts[one.contact_id].name,
        "contact.contactnumber": lambda one: books.contacts[one.contact_id].number or None,
    }


def _document_of(books: Books, payment: Payment) -> Any:
    return books.invoices.get(payment.document_id) or books.credit_notes[payment.document_id]


#: Payments need the books beside the row, for the document they belong to.
PAYMENT: dict[str, Callable[[Books, Payment], Any]] = {
    "paymentid": lambda books, one: one.id,
    "status": lambda books, one: one.status,
    "paymenttype": lambda books, one: one.kind,
    "date": lambda books, one: one.date,
    "amount": lambda books, one: one.amount,
    "reference": lambda books, one: one.reference or None,
    "isreconciled": lambda books, one: one.reconciled,
    "updateddateutc": lambda books, one: one.updated,
    "invoice.invoiceid": lambda books, one: one.document_id,
    "invoice.invoicenumber": lambda books, one: _document_of(books, one).number,
    "creditnote.creditnoteid": lambda books, one: one.document_id,
    "account.accountid": lambda books, one: one.account_id,
    "account.code": lambda books, one: books.accounts[one.account_id].code,
}
