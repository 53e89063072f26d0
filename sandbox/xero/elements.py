"""Reading what callers send: bodies, element names, texts, numbers and dates (X§2.2 to X§2.4, X§2.7, X§3.3)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from flask import Response

from sandbox.xero.desk import Desk
from sandbox.xero.errors import Halt, bad_body
from sandbox.xero.words import from_json, is_id, parse_date, parse_number

Element = dict[str, Any]

_OUTCOME = "StatusAttributeString HasErrors HasValidationErrors ValidationErrors Warnings HasAttachments Attachments"
_TIMES = "UpdatedDateUTC UpdatedDateUTCString"

#: The element names of each kind; `Name:Kind` names the kind inside (X§4.2, X§4.3, X§5.2, X§6).
_NAMES = {
    "Invoice": f"""Type Contact:Contact LineItems:LineItem Date DateString DueDate DueDateString LineAmountTypes InvoiceNumber Reference
        BrandingThemeID Url CurrencyCode CurrencyRate Status SentToContact ExpectedPaymentDate ExpectedPaymentDateString PlannedPaymentDate
        PlannedPaymentDateString CISDeduction CISRate SubTotal TotalTax Total TotalDiscount InvoiceID RepeatingInvoiceID IsDiscounted
        Payments:Payment Prepayments Overpayments AmountDue AmountPaid FullyPaidOnDate AmountCredited CreditNotes:CreditNote
        InvoiceAddresses {_OUTCOME} {_TIMES}""",
    "LineItem": """LineItemID Description Quantity UnitAmount ItemCode AccountCode AccountID AccountId TaxType TaxAmount Item:Item LineAmount
        Tracking:LineTracking DiscountRate DiscountAmount RepeatingInvoiceID Taxability SalesTaxCodeId TaxBreakdown ValidationErrors""",
    "LineTracking": "TrackingCategoryID TrackingOptionID Name Option ValidationErrors",
    "Contact": f"""ContactID MergedToContactID ContactNumber AccountNumber ContactStatus Name FirstName LastName CompanyNumber EmailAddress
        ContactPersons:ContactPerson BankAccountDetails TaxNumber TaxNumberType AccountsReceivableTaxType AccountsPayableTaxType
        Addresses:Address Phones:Phone IsSupplier IsCustomer SalesDefaultLineAmountType PurchasesDefaultLineAmountType DefaultCurrency
        XeroNetworkKey SalesDefaultAccountCode PurchasesDefaultAccountCode SalesTrackingCategories:ContactTracking
        PurchasesTrackingCategories:ContactTracking TrackingCategoryName TrackingCategoryOption PaymentTerms:PaymentTerms ContactGroups
        Website BrandingTheme:Theme BatchPayments:BatchPayments Discount Balances {_OUTCOME} {_TIMES}""",
    "ContactPerson": "FirstName LastName EmailAddress IncludeInEmails",
    "ContactTracking": "TrackingCategoryName TrackingOptionName TrackingCategoryOption",
    "PaymentTerms": "Bills:Term Sales:Term",
    "Term": "Day Type",
    "Theme": "BrandingThemeID Name LogoUrl Type SortOrder CreatedDateUTC",
    "BatchPayments": "BankAccountNumber BankAccountName Details Code Reference",
    "Address": "AddressType AddressLine1 AddressLine2 AddressLine3 AddressLine4 City Region PostalCode Country AttentionTo",
    "Phone": "PhoneType PhoneNumber PhoneAreaCode PhoneCountryCode",
    "Item": f"""Code InventoryAssetAccountCode Name IsSold IsPurchased Description PurchaseDescription PurchaseDetails:Price SalesDetails:Price
        IsTrackedAsInventory TotalCostPool QuantityOnHand QuantityAvailable QuantityOnBackOrder ItemID {_OUTCOME} {_TIMES}""",
    "Price": "UnitPrice AccountCode COGSAccountCode TaxType",
    "Payment": f"""Invoice:Invoice CreditNote:CreditNote Prepayment Overpayment InvoiceNumber CreditNoteNumber BatchPayment Account:Account Code
        Date DateString CurrencyRate Amount BankAmount Reference IsReconciled Status PaymentType PaymentID BatchPaymentID BankAccountNumber
        Particulars Details HasAccount {_OUTCOME} {_TIMES}""",
    "Account": f"""Code Name AccountID Type BankAccountNumber Status Description BankAccountType CurrencyCode TaxType EnablePaymentsToAccount
        ShowInExpenseClaims Class SystemAccount ReportingCode ReportingCodeName AddToWatchlist {_OUTCOME} {_TIMES}""",
    "CreditNote": f"""Type Contact:Contact Date DateString DueDate DueDateString Status LineAmountTypes LineItems:LineItem SubTotal TotalTax Total
        CISDeduction CISRate CurrencyCode FullyPaidOnDate CreditNoteID CreditNoteNumber Reference SentToContact CurrencyRate RemainingCredit
        Allocations:Allocation AppliedAmount Payments:Payment BrandingThemeID InvoiceAddresses {_OUTCOME} {_TIMES}""",
    "Allocation": "AllocationID Invoice:Invoice CreditNote Overpayment Prepayment Amount Date IsDeleted StatusAttributeString ValidationErrors",
    "Quote": f"""QuoteID QuoteNumber Reference Terms Contact:Contact LineItems:LineItem Date DateString ExpiryDate ExpiryDateString Status
        CurrencyCode CurrencyRate SubTotal TotalTax Total TotalDiscount Title Summary BrandingThemeID LineAmountTypes {_OUTCOME} {_TIMES}""",
    "HistoryRecord": "Details Changes User DateUTC DateUTCString",
    "Currency": "Code Description",
}


def _table(names: str) -> dict[str, tuple[str, str]]:
    pairs = (name.partition(":") for name in names.split())
    return {name.lower(): (name, kind) for name, _, kind in pairs}


_TABLES = {kind: _table(names) for kind, names in _NAMES.items()}


class _Reader:
    """Brings one body into the documented spelling."""

    def __init__(self, desk: Desk) -> None:
        self._tolerant = desk.is_on("request_keys", "tolerant")
        self._ignores = desk.is_on("unknown_elements", "ignored")
        self._strips = desk.is_on("control_characters", "stripped")
        self._emoji = desk.switch("emoji")

    def element(self, kind: str, given: object) -> Element:
        if not isinstance(given, dict):
            raise bad_body(f"A {kind} must be an object")
        table, result = _TABLES[kind], {}
        for key, value in given.items():
            name, inner = table.get(key.lower(), ("", ""))
            if not name or (key != name and not self._tolerant):
                if self._ignores:
                    continue
                raise bad_body(f"The element '{key}' is not known in {kind}")
            result[name] = self._value(inner, value)
        return result

    def _value(self, kind: str, value: object) -> object:
        if isinstance(value, str):
            return self._text(value)
        if kind and isinstance(value, list):
            return [self.element(kind, one) for one in value]
        if kind and isinstance(value, dict):
            return self.element(kind, value)
        return value

    def _text(self, text: str) -> str:
        if any(one < " " and one not in "\n\t" for one in text):
            if not self._strips:
                raise bad_body("The text contains a control character, which is not valid")
            text = "".join(one for one in text if one >= " " or one in "\n\t")
        if self._emoji != "accepted" and any(ord(one) > 0xFFFF for one in text):
            if self._emoji == "crash":
                raise Halt(Response('{"Message":"An error occurred"}', 500, mimetype="application/json"))
            raise bad_body("The text contains a character that is not supported")
        return text


def read_elements(desk: Desk, raw: bytes, plural: str, kind: str) -> list[Element]:
    """The elements of a body: wrapped array, one object, or a bare array (X§2.2)."""
    try:
        given = from_json(raw)
    except ValueError:
        raise bad_body("The request body could not be read as JSON") from None
    reader = _Reader(desk)
    if isinstance(given, list):
        if not desk.is_on("bare_array", "accepted"):
            raise bad_body("The request body must be an object")
        return [reader.element(kind, one) for one in given]
    if not isinstance(given, dict):
        raise bad_body("The request body must be an object")
    tolerant = desk.is_on("request_keys", "tolerant")
    wrapped = next((key for key in given if key == plural or (tolerant and key.lower() == plural.lower())), None)
    if wrapped is None:
        return [reader.element(kind, given)]
    if not isinstance(given[wrapped], list):
        raise bad_body(f"{plural} must be an array")
    return [reader.element(kind, one) for one in given[wrapped]]


class Fields:
    """The fields of one element, against what stands now; complaints are collected in `errors`."""

    def __init__(self, element: Element, desk: Desk, errors: list[str]) -> None:
        self.element = element
        self.errors = errors
        self._null_clears = desk.is_on("null_values", "clears")
        self._empty_clears = desk.is_on("empty_string", "clears")

    def says(self, name: str) -> bool:
        """Whether the element changes this field at all: absent, and null where it is kept, do not (X§2.7)."""
        if name not in self.element:
            return False
        value = self.element[name]
        return not (value is None and not self._null_clears) and not (value == "" and not self._empty_clears)

    def text(self, name: str, limit: int, current: str = "") -> str:
        if not self.says(name):
            return current
        value = self.element[name]
        if isinstance(value, (dict, list, bool)):
            raise bad_body(f"{name} must be a text")
        text = "" if value is None else str(value)
        if len(text) > limit:
            self.errors.append(f"The {name} field must not exceed {limit} characters")
            return current
        return text

    def choice(self, name: str, allowed: tuple[str, ...], current: str = "") -> str:
        text = self.text(name, 255, current)
        if text and text not in allowed:
            self.errors.append(f"'{text}' is not a valid {name}")
            return current
        return text

    def flag(self, name: str, current: bool) -> bool:
        value = self.element.get(name)
        if value is None:
            return current
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise bad_body(f"{name} must be true or false")
        return value

    def day(self, name: str, current: date | None) -> date | None:
        if not self.says(name):
            return current
        value = self.element[name]
        if value in (None, ""):
            return None
        day = parse_date(value)
        if day is None:
            self.errors.append(f"{name} is not a valid date")
            return current
        return day

    def number(self, name: str, current: Decimal | None = None) -> Decimal | None:
        value = self.element.get(name)
        if value is None or value == "":
            return current
        number = parse_number(value)
        if number is None:
            raise bad_body(f"{name} must be a number")
        return number

    def identifier(self, name: str) -> str:
        """A GUID, or nothing."""
        value = self.element.get(name)
        if value in (None, ""):
            return ""
        if not is_id(value):
            raise bad_body(f"{name} must be a GUID")
        return str(value).lower()

    def part(self, name: str) -> Element | None:
        """An object inside the element."""
        value = self.element.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise bad_body(f"{name} must be an object")
        return value

    def parts(self, name: str) -> list[Element] | None:
        """A list of objects inside the element; None when it is not there."""
        value = self.element.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise bad_body(f"{name} must be an array")
        return value
