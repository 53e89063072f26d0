"""Contacts: writing, matching, archiving and merging, and how they are shown (X§5)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sandbox.xero.books import SALES, ZERO, Contact, ContactPerson
from sandbox.xero.desk import Desk
from sandbox.xero.elements import Element, Fields
from sandbox.xero.errors import Refused, forbidden, not_found
from sandbox.xero.words import ms_time, new_id, plain_name

ARCHIVED = "The specified contact details matched an archived contact. Archived contacts cannot currently be edited via the API."
NO_IDENTIFIER = "The Contact must contain at least 1 of the following elements to identify the contact: Name, ContactID, ContactNumber"

#: Plain texts and their lengths (X§5.2).
TEXTS = {
    "ContactNumber": 50,
    "AccountNumber": 50,
    "FirstName": 255,
    "LastName": 255,
    "CompanyNumber": 50,
    "EmailAddress": 255,
    "BankAccountDetails": 255,
    "TaxNumber": 50,
    "TaxNumberType": 4,
    "AccountsReceivableTaxType": 50,
    "AccountsPayableTaxType": 50,
    "DefaultCurrency": 3,
    "XeroNetworkKey": 255,
    "SalesDefaultAccountCode": 10,
    "PurchasesDefaultAccountCode": 10,
    "SalesDefaultLineAmountType": 9,
    "PurchasesDefaultLineAmountType": 9,
}
CHOICES = {
    "TaxNumberType": ("SSN", "EIN", "ITIN", "ATIN"),
    "SalesDefaultLineAmountType": ("INCLUSIVE", "EXCLUSIVE", "NONE"),
    "PurchasesDefaultLineAmountType": ("INCLUSIVE", "EXCLUSIVE", "NONE"),
}
ADDRESS = {
    **{f"AddressLine{number}": 500 for number in range(1, 5)},
    "City": 255,
    "Region": 255,
    "PostalCode": 50,
    "Country": 50,
    "AttentionTo": 255,
}
BATCH_PAYMENTS = {"BankAccountNumber": 50, "BankAccountName": 255, "Details": 255, "Code": 12, "Reference": 12}
PHONE = {"PhoneNumber": 50, "PhoneAreaCode": 10, "PhoneCountryCode": 20}
ADDRESS_TYPES = ("POBOX", "STREET")
PHONE_TYPES = ("DDI", "DEFAULT", "FAX", "MOBILE")
TERM_TYPES = ("DAYSAFTERBILLDATE", "DAYSAFTERBILLMONTH", "OFCURRENTMONTH", "OFFOLLOWINGMONTH")
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_IDENTIFIERS = {"ContactID", "ContactNumber", "Name"}


def valid_email(address: str) -> bool:
    """One address, plain ASCII (X§5.2)."""
    return bool(_EMAIL.fullmatch(address))


class ContactWriter:
    """Creates and changes contacts of one organisation."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._books = desk.books

    def create(self, element: Element) -> Contact:
        """PUT: create only (X§5.1)."""
        errors: list[str] = []
        fields = Fields(element, self._desk, errors)
        name = self._clean_name(fields)
        if not name:
            raise Refused(NO_IDENTIFIER)
        if self._books.active_contact(name) is not None:
            raise Refused(_taken(name))
        if self._books.archived_contact(name) is not None and self._desk.is_on("archived_name_put", "refused"):
            raise Refused(ARCHIVED)
        number = fields.text("ContactNumber", 50)
        if number and self._books.contacts.find("number", number):
            raise Refused(f"The contact number {number} is already assigned to another contact.")
        return self._create(fields, name)

    def upsert(self, element: Element) -> Contact:
        """POST: by ContactID, else ContactNumber, else Name: silently the existing one (X§5.1, X§5.4)."""
        found = self.match(element)
        if found is None:
            errors: list[str] = []
            fields = Fields(element, self._desk, errors)
            name = self._clean_name(fields)
            if not name:
                raise Refused(NO_IDENTIFIER)
            return self._create(fields, name)
        return self.update(found, element)

    def match(self, element: Element) -> Contact | None:
        """The contact that a POST means."""
        fields = Fields(element, self._desk, [])
        if identifier := fields.identifier("ContactID"):
            found = self._books.contacts.get(identifier)
            if found is None:
                raise self.unknown()
            return found
        number, name = fields.text("ContactNumber", 50), self._clean_name(fields)
        if not number and not name:
            raise Refused(NO_IDENTIFIER)
        by_number = self._books.contacts.find("number", number) if number else []
        if by_number:
            return by_number[0]
        found = self._books.active_contact(name) if name else None
        if found is None and name and self._desk.is_on("archived_name_post", "refused"):
            found = self._books.archived_contact(name)
        return found

    def unknown(self) -> Exception:
        """An unknown ContactID inside a batch (X§5.4)."""
        if self._desk.is_on("unknown_contact_in_batch", "404"):
            return not_found()
        return Refused("An existing Contact with the specified ContactID could not be found")

    def update(self, contact: Contact, element: Element) -> Contact:
        """Change what is sent; the rest stays (X§2.7)."""
        errors: list[str] = []
        fields = Fields(element, self._desk, errors)
        status = fields.choice("ContactStatus", ("ACTIVE", "ARCHIVED", "GDPRREQUEST"), contact.status)
        if contact.status != "ACTIVE":
            wakes = status == "ACTIVE" and fields.says("ContactStatus") and not contact.merged_to
            if not wakes or self._desk.is_on("reactivate_archived", "refused"):
                raise Refused(ARCHIVED)
        name = self._clean_name(fields) or contact.name
        self._check_name(name, contact)
        changed = self._filled(fields, replace(contact, name=name, status=status))
        self._raise(errors)
        changed.updated = self._desk.now
        self._books.contacts.save(changed)
        archived = status != contact.status and status == "ARCHIVED"
        self._desk.note(contact.id, "Archived" if archived else "Edited")
        self._books.tell("CONTACT", "UPDATE", contact.id)
        return changed

    def _create(self, fields: Fields, name: str) -> Contact:
        contact = self._filled(fields, Contact(new_id(), name, self._desk.now))
        contact.status = fields.choice("ContactStatus", ("ACTIVE", "ARCHIVED", "GDPRREQUEST"), "ACTIVE")
        self._check_name(name, contact)
        self._raise(fields.errors)
        self._books.contacts.save(contact)
        self._desk.note(contact.id, "Created")
        self._books.tell("CONTACT", "CREATE", contact.id)
        return contact

    @staticmethod
    def _raise(errors: list[str]) -> None:
        if errors:
            raise Refused(*dict.fromkeys(errors))

    def _clean_name(self, fields: Fields) -> str:
        given = fields.text("Name", 255)
        name = " ".join(given.split())
        if name != given and self._desk.is_on("name_spaces", "refused"):
            raise Refused("The contact name cannot contain leading, trailing or repeated spaces.")
        if "<" in name or ">" in name:
            raise Refused("The contact name cannot contain the characters < or >.")
        if fields.errors:
            raise Refused(*fields.errors)
        return name

    def _check_name(self, name: str, contact: Contact) -> None:
        holder = self._books.active_contact(name)
        if contact.status == "ACTIVE" and holder is not None and holder.id != contact.id:
            raise Refused(_taken(name))

    def _filled(self, fields: Fields, contact: Contact) -> Contact:
        contact = deepcopy(contact)
        self._check_bank(fields)
        for key, limit in TEXTS.items():
            current = contact.texts.get(key, "")
            value = fields.choice(key, CHOICES[key], current) if key in CHOICES else fields.text(key, limit, current)
            if value:
                contact.texts[key] = value
            else:
                contact.texts.pop(key, None)
        self._check_texts(fields, contact)
        self._people(fields, contact)
        contact.addresses = self._typed(fields, "Addresses", "AddressType", ADDRESS_TYPES, ADDRESS, contact.addresses)
        contact.phones = self._typed(fields, "Phones", "PhoneType", (*PHONE_TYPES, "OFFICE"), PHONE, contact.phones)
        if any(re.search(r"\d", one.get("Country", "")) for one in contact.addresses.values()):
            fields.errors.append("Country must contain letters only")
        self._terms(fields, contact)
        for key in ("SalesTrackingCategories", "PurchasesTrackingCategories"):
            if (given := fields.parts(key)) is not None:
                contact.tracking[key] = [{name: str(value) for name, value in one.items()} for one in given]
        if batch := fields.part("BatchPayments"):
            one = Fields(batch, self._desk, fields.errors)
            contact.batch_payments |= {key: one.text(key, limit, contact.batch_payments.get(key, "")) for key, limit in BATCH_PAYMENTS.items()}
        if theme := fields.part("BrandingTheme"):
            contact.theme_id = Fields(theme, self._desk, fields.errors).identifier("BrandingThemeID")
        return contact

    def _check_bank(self, fields: Fields) -> None:
        """Bank details need a permission of their own (X§1.8)."""
        if (fields.element.get("BankAccountDetails") or fields.element.get("BatchPayments")) and not self._desk.bank_admin:
            raise forbidden("AuthorizationUnsuccessful")

    def _check_texts(self, fields: Fields, contact: Contact) -> None:
        texts, errors = contact.texts, fields.errors
        if texts.get("EmailAddress") and not valid_email(texts["EmailAddress"]):
            errors.append("Email address must be valid.")
        currency = texts.get("DefaultCurrency")
        if currency and currency not in self._books.currencies:
            errors.append(f"Organisation is not subscribed to currency {currency}")
        for key in ("AccountsReceivableTaxType", "AccountsPayableTaxType"):
            rate = self._books.tax_rates.get(texts.get(key, ""))
            if key in texts and (rate is None or rate.status != "ACTIVE"):
                errors.append(f"The TaxType code '{texts[key]}' does not exist or cannot be used")
        for key in ("SalesDefaultAccountCode", "PurchasesDefaultAccountCode"):
            account = self._books.account(texts.get(key, ""))
            if key in texts and (account is None or account.status != "ACTIVE"):
                errors.append(f"Account code '{texts[key]}' is not a valid code for this document.")
        self._check_numbers(contact, errors)

    def _check_numbers(self, contact: Contact, errors: list[str]) -> None:
        if contact.number and any(one.id != contact.id for one in self._books.contacts.find("number", contact.number)):
            errors.append(f"The contact number {contact.number} is already assigned to another contact.")
        account_number = contact.texts.get("AccountNumber", "")
        holders = self._books.contacts.find("account_number", account_number) if account_number else []
        if self._desk.is_on("account_number_unique", "yes") and any(one.id != contact.id for one in holders):
            errors.append(f"The account number {account_number} is already assigned to another contact.")

    def _people(self, fields: Fields, contact: Contact) -> None:
        """The list replaces the old one (X§2.7)."""
        given = fields.parts("ContactPersons")
        if given is None:
            return
        if len(given) > 5:
            fields.errors.append("A contact can have at most 5 additional people")
        people = []
        for element in given:
            one = Fields(element, self._desk, fields.errors)
            email = one.text("EmailAddress", 255)
            if email and not valid_email(email):
                fields.errors.append("Email address must be valid.")
            people.append(ContactPerson(one.text("FirstName", 255), one.text("LastName", 255), email, one.flag("IncludeInEmails", False)))
        contact.people = people

    def _typed(
        self, fields: Fields, name: str, type_key: str, types: tuple[str, ...], limits: dict[str, int], current: dict[str, dict[str, str]]
    ) -> dict[str, dict[str, str]]:
        """Addresses or phones by their type (X§5.3)."""
        given = fields.parts(name)
        if given is None:
            return current
        kept = dict(current) if self._desk.is_on("phones_update", "merged") else {}
        for element in given:
            one = Fields(element, self._desk, fields.errors)
            type_ = one.choice(type_key, types)
            before = kept.get(type_, {}) if self._desk.is_on("phones_update", "merged") else {}
            kept[type_] = {key: text for key, limit in limits.items() if (text := one.text(key, limit, before.get(key, "")))}
        kept.pop("", None)
        return kept

    def _terms(self, fields: Fields, contact: Contact) -> None:
        given = fields.part("PaymentTerms")
        if given is None:
            return
        for side in ("Bills", "Sales"):
            term = given.get(side)
            if not isinstance(term, dict):
                continue
            day, type_ = term.get("Day"), term.get("Type")
            if not isinstance(day, int) or not 0 <= day <= 31 or type_ not in TERM_TYPES:
                fields.errors.append("The payment terms are not valid")
                continue
            contact.terms[side] = {"Day": day, "Type": type_}


def _taken(name: str) -> str:
    return f"The contact name {name} is already assigned to another contact. The contact name must be unique across all active contacts."


def contact_for_document(desk: Desk, element: Element | None, kind: str) -> Contact:
    """The contact a document names: by id, number or name; other fields sent with it change the contact (X§4.2)."""
    if not element:
        raise Refused("A Contact must be specified for this type of transaction")
    writer = ContactWriter(desk)
    if not _IDENTIFIERS & element.keys():
        raise Refused(NO_IDENTIFIER)
    found = writer.match(element)
    if found is None:
        return writer.upsert(element)
    if found.status != "ACTIVE":
        raise Refused(ARCHIVED)
    names = {key for key, value in element.items() if value not in (None, "", [], {})}
    read_only = {"ContactID", "IsCustomer", "IsSupplier", "UpdatedDateUTC", "HasValidationErrors", "HasAttachments", "Balances", "ContactStatus"}
    beyond = names - read_only - {"Name"} - ({"ContactNumber"} if found.number == element.get("ContactNumber") else set())
    renames = bool(element.get("Name")) and plain_name(str(element["Name"])) != plain_name(found.name)
    if not beyond and not renames:
        return found
    return writer.update(found, {"ContactPersons": [], **element})


def mark_used(desk: Desk, contact: Contact, kind: str) -> None:
    """Customer after the first sales document, supplier after the first bill; no date moves (X§5.2, X§5.5)."""
    sales = kind in (SALES, "ACCRECCREDIT", "QUOTE")
    if (sales and not contact.is_customer) or (not sales and not contact.is_supplier):
        desk.books.contacts.save(replace(contact, is_customer=contact.is_customer or sales, is_supplier=contact.is_supplier or not sales))


def merge(desk: Desk, loser: Contact, winner: Contact) -> None:
    """What the web page does: documents move, the loser stays readable, its UpdatedDateUTC does not move (X§5.4)."""
    books = desk.books
    for invoice in books.invoices.find("contact", loser.id):
        books.invoices.save(replace(invoice, contact_id=winner.id))
    for note in books.credit_notes.find("contact", loser.id):
        books.credit_notes.save(replace(note, contact_id=winner.id))
    for quote in [one for one in books.quotes if one.contact_id == loser.id]:
        books.quotes.save(replace(quote, contact_id=winner.id))
    books.contacts.save(replace(loser, status="ARCHIVED", merged_to=winner.id))
    customer, supplier = winner.is_customer or loser.is_customer, winner.is_supplier or loser.is_supplier
    books.contacts.save(replace(winner, is_customer=customer, is_supplier=supplier, updated=desk.now))
    desk.note(winner.id, "Merged", f"Merged with {loser.name}")
    books.tell("CONTACT", "UPDATE", winner.id)


# How contacts are shown.


def brief(contact: Contact) -> dict[str, Any]:
    """Inside a document of a list (X§13.1)."""
    return {
        "ContactID": contact.id,
        "Name": contact.name,
        "Addresses": [],
        "Phones": [],
        "ContactGroups": [],
        "ContactPersons": [],
        "HasValidationErrors": False,
    }


def render(desk: Desk, contact: Contact, form: str = "full") -> dict[str, Any]:
    """`full`: one contact or a page; `light`: an unpaged list; `summary`: summaryOnly (X§5.2)."""
    shown: dict[str, Any] = {"ContactID": contact.id}
    if contact.merged_to:
        shown["MergedToContactID"] = contact.merged_to
    shown |= {"ContactStatus": contact.status, "Name": contact.name}
    texts = contact.texts
    light = ("ContactNumber", "AccountNumber", "FirstName", "LastName", "CompanyNumber", "EmailAddress", "TaxNumber")
    shown |= {key: texts[key] for key in light if key in texts}
    shown.setdefault("EmailAddress", "")
    shown["BankAccountDetails"] = texts.get("BankAccountDetails", "")
    shown |= {key: texts[key] for key in ("DefaultCurrency", "AccountsReceivableTaxType", "AccountsPayableTaxType") if key in texts}
    if form != "summary":
        shown |= {"Addresses": _addresses(desk, contact), "Phones": _phones(desk, contact)}
        shown |= {"IsSupplier": contact.is_supplier, "IsCustomer": contact.is_customer, "ContactGroups": []}
    else:
        shown |= {"Phones": _phones(desk, contact)}
    if form == "full":
        shown |= _details(desk, contact)
    return shown | {
        "UpdatedDateUTC": ms_time(contact.updated),
        "HasAttachments": False,
        "HasValidationErrors": False,
    }


def _addresses(desk: Desk, contact: Contact) -> list[dict[str, str]]:
    slots: Iterable[str] = ("STREET", "POBOX") if desk.is_on("phone_slots", "all") else contact.addresses
    empty = dict.fromkeys(("City", "Region", "PostalCode", "Country"), "")
    return [{"AddressType": type_, **empty, **contact.addresses.get(type_, {})} for type_ in slots]


def _phones(desk: Desk, contact: Contact) -> list[dict[str, str]]:
    slots: Iterable[str] = (*PHONE_TYPES, *(set(contact.phones) - set(PHONE_TYPES))) if desk.is_on("phone_slots", "all") else contact.phones
    empty = dict.fromkeys(PHONE, "")
    return [{"PhoneType": type_, **empty, **contact.phones.get(type_, {})} for type_ in slots]


def _details(desk: Desk, contact: Contact) -> dict[str, Any]:
    people = [{"FirstName": one.first_name, "LastName": one.last_name, "EmailAddress": one.email, "IncludeInEmails": one.in_emails} for one in contact.people]
    texts = contact.texts
    more = (
        "TaxNumberType", "XeroNetworkKey", "SalesDefaultAccountCode", "PurchasesDefaultAccountCode",
        "SalesDefaultLineAmountType", "PurchasesDefaultLineAmountType",
    )  # fmt: skip
    shown: dict[str, Any] = {"ContactPersons": people, **{key: texts[key] for key in more if key in texts}}
    for key in ("SalesTrackingCategories", "PurchasesTrackingCategories"):
        shown[key] = contact.tracking.get(key, [])
    if contact.terms:
        shown["PaymentTerms"] = contact.terms
    if contact.batch_payments:
        shown["BatchPayments"] = contact.batch_payments
    theme = next((one for one in desk.books.themes if one.id == contact.theme_id), None)
    if theme is not None:
        shown["BrandingTheme"] = {"BrandingThemeID": theme.id, "Name": theme.name}
    if contact.is_customer or contact.is_supplier:
        shown["Balances"] = balances(desk, contact)
    return shown


def balances(desk: Desk, contact: Contact) -> dict[str, dict[str, Decimal]]:
    """What is outstanding and overdue, in base currency (X§5.2)."""
    sums = {"AccountsReceivable": {"Outstanding": ZERO, "Overdue": ZERO}, "AccountsPayable": {"Outstanding": ZERO, "Overdue": ZERO}}
    for invoice in desk.books.invoices.find("contact", contact.id):
        if invoice.status != "AUTHORISED":
            continue
        side = sums["AccountsReceivable" if invoice.type == SALES else "AccountsPayable"]
        due = desk.cents(invoice.due / invoice.rate)
        side["Outstanding"] += due
        if invoice.due_date is not None and invoice.due_date < desk.today:
            side["Overdue"] += due
    return sums
