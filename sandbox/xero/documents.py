"""What invoices, credit notes and quotes share: header fields, lock dates, numbers, lines and how they are shown (X§4, X§6.10)."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from sandbox.xero import contacts
from sandbox.xero.books import ZERO, Contact, Document, Line, Payment
from sandbox.xero.desk import Desk
from sandbox.xero.elements import Fields
from sandbox.xero.errors import Refused
from sandbox.xero.lines import LineReader, Rules, recomputed
from sandbox.xero.words import iso_date, iso_z, ms_date, ms_time

HAS_PAYMENTS = "This document cannot be edited as it has a payment or credit note allocated to it."
NOT_EDITABLE = "Invoice not of valid status for modification"
NOT_CREATABLE = "Invoice not of valid status for creation"

D = TypeVar("D", bound=Document)

#: What one unit of base currency buys: stands for the day rates Xero takes from its provider (X§4.2).
DAY_RATES = {
    "NZD": {"NZD": Decimal(1), "AUD": Decimal("0.919200"), "USD": Decimal("0.598100"), "GBP": Decimal("0.447500"), "EUR": Decimal("0.512300")},
    "AUD": {"AUD": Decimal(1), "NZD": Decimal("1.087900"), "USD": Decimal("0.650700"), "GBP": Decimal("0.486800"), "EUR": Decimal("0.557300")},
}


def check_lock(desk: Desk, day: date, draft: bool) -> None:
    """A date on or before a lock date is refused (X§6.7, X§9.3)."""
    if draft and desk.is_on("lock_date_drafts", "allowed"):
        return
    lock = desk.books.locked_until()
    if lock is not None and day <= lock[0]:
        raise Refused(f"The document date cannot be before the {lock[1]} lock date, currently set at {lock[0]:%d/%m/%Y}")


def check_editable_date(desk: Desk, document: Document) -> None:
    """A document of the ledger that is dated in a locked period cannot be changed (X§4.5)."""
    lock = desk.books.locked_until()
    if lock is not None and document.status in ("AUTHORISED", "PAID") and document.date <= lock[0]:
        raise Refused(f"The document cannot be edited as it is currently dated before the {lock[1]} lock date, currently set at {lock[0]:%d/%m/%Y}")


def read_currency(desk: Desk, fields: Fields, document: Document, contact: Contact, fresh: bool) -> list[str]:
    """Currency and rate; returns warnings."""
    base = desk.books.organisation.base_currency
    default = base if fresh else document.currency
    code = fields.text("CurrencyCode", 3, default) or default
    if code not in desk.books.currencies:
        fields.errors.append(f"Organisation is not subscribed to currency {code}")
        code = default
    day_rate = DAY_RATES.get(base, {}).get(code, Decimal(1))
    rate = fields.number("CurrencyRate", day_rate if fresh or code != document.currency else document.rate) or day_rate
    if code == base:
        rate = Decimal(1)
    whole, _, fraction = f"{rate.normalize():f}".partition(".")
    if len(whole) > 18 or len(fraction) > 6 or rate <= 0:
        fields.errors.append("The CurrencyRate must have at most 18 digits before and 6 after the decimal point")
        rate = day_rate
    document.currency, document.rate = code, rate
    unlikely = not day_rate / 2 <= rate <= day_rate * 2
    warns = unlikely and "CurrencyRate" in fields.element and desk.is_on("rate_warning", "warns")
    return [f"The currency rate {rate} for {code} is unlikely. Please check that it is correct."] if warns else []


def read_theme(desk: Desk, fields: Fields, current: str) -> str:
    identifier = fields.identifier("BrandingThemeID")
    if not identifier:
        return current
    if all(one.id != identifier for one in desk.books.themes):
        fields.errors.append("The Branding Theme with the specified BrandingThemeID could not be found")
        return current
    return identifier


def read_url(fields: Fields, current: str) -> str:
    """An absolute address, without the partner's own name in it (X§4.2)."""
    url = fields.text("Url", 2083, current)
    if url and not re.fullmatch(r"https?://[^\s/?#]+([/?#]\S*)?", url):
        fields.errors.append("Url must be a valid absolute url")
        return current
    if "xero" in url.lower():
        fields.errors.append("Url must not contain the word 'xero'")
        return current
    return url


def read_lines(desk: Desk, fields: Fields, document: Document, rules: Rules) -> list[str]:
    """Replace the set of lines where `LineItems` is sent (X§4.6); returns warnings."""
    given = fields.parts("LineItems")
    if given is None:
        return []
    reader = LineReader(desk, rules, document.lines)
    document.lines = reader.read(given)
    return reader.warnings


def read_line_amount_types(desk: Desk, fields: Fields, document: Document, fresh: bool) -> None:
    """A change of LineAmountTypes alone taxes the lines anew."""
    before = document.line_amount_types
    document.line_amount_types = fields.choice("LineAmountTypes", ("Exclusive", "Inclusive", "NoTax"), before) or before
    if not fresh and document.line_amount_types != before and "LineItems" not in fields.element:
        document.lines = recomputed(desk, document.line_amount_types, document.lines)


def check_number(fields: Fields, name: str, number: str) -> None:
    """Printable ASCII (X§4.2)."""
    if any(not " " <= one <= "~" for one in number):
        fields.errors.append(f"{name} contains invalid characters")


def due_by_terms(day: date, term: dict[str, Any]) -> date:
    """The due date under payment terms (X§5.2)."""
    number, type_ = int(term["Day"]), term["Type"]
    if type_ == "DAYSAFTERBILLDATE":
        return day + timedelta(days=number)
    if type_ == "DAYSAFTERBILLMONTH":
        return _in_month(day, 0, 31) + timedelta(days=number)
    return _in_month(day, 0 if type_ == "OFCURRENTMONTH" else 1, number)


def _in_month(day: date, later: int, number: int) -> date:
    month = day.month - 1 + later
    year, month = day.year + month // 12, month % 12 + 1
    return date(year, month, max(1, min(number, monthrange(year, month)[1])))


def same_amounts(before: Sequence[Line], after: Sequence[Line]) -> bool:
    """Whether only descriptions, accounts and tracking of lines differ (X§4.5)."""

    def amounts(lines: Sequence[Line]) -> list[tuple[object, ...]]:
        return [
            (one.id, one.quantity, one.unit_amount, one.line_amount, one.item_id, one.tax_type, one.tax_amount, one.discount_rate, one.discount_amount)
            for one in lines
        ]

    return amounts(before) == amounts(after)


# How documents are shown.


def render_contact(desk: Desk, document: Document, full: bool) -> dict[str, Any]:
    contact = desk.books.contacts[document.contact_id]
    return contacts.render(desk, contact, "light") if full else contacts.brief(contact)


def render_line(desk: Desk, line: Line, places: int) -> dict[str, Any]:
    """A line; prices are rounded to two places unless the reader asked for four (X§2.4)."""
    shown: dict[str, Any] = {"LineItemID": line.id, "Description": line.description}
    item = desk.books.items.get(line.item_id) if line.item_id else None
    account = desk.books.accounts.get(line.account_id) if line.account_id else None
    if item is not None:
        shown |= {"ItemCode": item.code, "Item": {"ItemID": item.id, "Name": item.name, "Code": item.code}}
    if line.unit_amount is not None:
        shown["UnitAmount"] = desk.rounding.to(line.unit_amount, places)
    if line.tax_type:
        shown["TaxType"] = line.tax_type
    shown |= {"TaxAmount": line.tax_amount, "LineAmount": line.line_amount}
    if account is not None:
        shown |= {"AccountCode": account.code, "AccountID": account.id} if account.code else {"AccountID": account.id}
    shown["Tracking"] = [_render_tracking(desk, *pair) for pair in line.tracking]
    if line.quantity is not None:
        shown["Quantity"] = line.quantity
    if line.discount_rate is not None:
        shown["DiscountRate"] = line.discount_rate
    if line.discount_amount is not None:
        shown["DiscountAmount"] = line.discount_amount
    return shown


def _render_tracking(desk: Desk, category_id: str, option_id: str) -> dict[str, str]:
    category = next(one for one in desk.books.tracking if one.id == category_id)
    option = next(one for one in category.options if one.id == option_id)
    return {"TrackingCategoryID": category.id, "TrackingOptionID": option.id, "Name": category.name, "Option": option.name}


def render_lines(desk: Desk, document: Document) -> list[dict[str, Any]]:
    lines = document.lines if desk.is_on("line_order", "kept") else document.lines[::-1]
    return [render_line(desk, line, desk.places) for line in lines]


def render_payment_brief(payment: Payment) -> dict[str, Any]:
    """A payment inside its document."""
    return {
        "PaymentID": payment.id,
        "Date": ms_date(payment.date),
        "Amount": payment.amount,
        "Reference": payment.reference,
        "CurrencyRate": payment.rate,
        "HasAccount": False,
        "HasValidationErrors": False,
    }


def render_dates(**days: date | None) -> dict[str, str]:
    """Each date twice, as text and as Microsoft wrote dates (X§2.3)."""
    shown: dict[str, str] = {}
    for name, day in days.items():
        if day is not None:
            shown |= {f"{name}String": iso_date(day), name: ms_date(day)}
    return shown


def render_totals(document: Document) -> dict[str, Decimal]:
    return {"SubTotal": document.sub_total, "TotalTax": document.total_tax, "Total": document.total}


def render_updated(document: Document) -> dict[str, str]:
    return {"UpdatedDateUTC": ms_time(document.updated), "UpdatedDateUTCString": iso_z(document.updated)}


def settled_by_nothing(document: Document) -> bool:
    return document.paid == ZERO and document.credited == ZERO
