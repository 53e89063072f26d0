"""Contacts (X§5): read in pages, found by number or name, created in fifties. A contact is never changed by sending (RULES 14)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from plugin.domain.crm import Address, Customer
from plugin.domain.ledger import Contact, Outcome
from plugin.wire import Answer
from plugin.xero.body import encode, one_line
from plugin.xero.client import PAGE_SIZE, Caller, comma_lists, page_count, rows, segment, single
from plugin.xero.outcomes import UNANSWERED, Element, elements, in_order, judged
from plugin.xero.parse import amount, guid, moment, objects, part, text

#: PUT creates; POST with an existing name would overwrite a stranger's contact (X§5.4).
CREATE_METHOD = "PUT"
CREATE_PATH = "Contacts"
CREATE_PARAMS = {"summarizeErrors": "false"}
CREATE_MOST = 50
#: With the id in every element it changes that contact and only what is named (X§5.4).
UPDATE_METHOD = "POST"

NAME_CHARS = 255
NUMBER_CHARS = 50

#: Kinds of telephone: the CRM's, Xero's (X§5.3). Any other kind is used as the default number where there is no WORK one.
PHONES = {"WORK": "DEFAULT", "MOBILE": "MOBILE", "FAX": "FAX"}
#: Types of CRM address that may become Xero's, the best first (B§8.7). POBOX is what invoices print, so the physical one stands in for it.
ADDRESSES = {"POBOX": (8, 6, 1), "STREET": (1,)}

_EMAIL = re.compile(r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}$")


@dataclass(frozen=True)
class NewContact:
    """A customer to create, under our number (our mark, RULES 11) and the name that was decided on."""

    number: str
    customer: Customer
    name: str


def contacts_page(call: Caller, page: int, modified_since: datetime | None = None, include_archived: bool = True) -> tuple[tuple[Contact, ...], int]:
    """One page of a thousand, and how many pages there are. The summary carries all that `Contact` holds (X§5.2)."""
    params = {"page": str(page), "pageSize": str(PAGE_SIZE), "order": "UpdatedDateUTC ASC", "summaryOnly": "true"}
    if include_archived:
        params["includeArchived"] = "true"
    answer = call("GET", "Contacts", params=params, modified_since=modified_since)
    found = rows(answer, "Contacts")
    return tuple(parse_contact(one) for one in found), page_count(answer, page, len(found))


def contacts_by_ids(call: Caller, ids: Iterable[str]) -> tuple[Contact, ...]:
    """These contacts, archived and merged ones too; unknown ids are absent. Paged, because `MergedToContactID` comes only so."""
    found: list[Contact] = []
    for chunk in comma_lists(ids):
        params = {"IDs": ",".join(chunk), "includeArchived": "true", "page": "1"}
        found += [parse_contact(one) for one in rows(call("GET", "Contacts", params=params), "Contacts")]
    return tuple(found)


@dataclass(frozen=True)
class Card:
    """A contact with what only a full reading tells: what a customer of the CRM is made from."""

    contact: Contact
    phones: tuple[tuple[str, str], ...] = ()  # (WORK | MOBILE | FAX, number), in the CRM's words
    addresses: tuple[Address, ...] = ()
    company_number: str = ""


def cards_by_ids(call: Caller, ids: Iterable[str]) -> tuple[Card, ...]:
    """These contacts in full, archived ones too."""
    found: list[Card] = []
    for chunk in comma_lists(ids):
        params = {"IDs": ",".join(chunk), "includeArchived": "true", "page": "1", "pageSize": str(PAGE_SIZE)}
        found += [_card(one) for one in rows(call("GET", "Contacts", params=params), "Contacts")]
    return tuple(found)


def _card(found: dict[str, Any]) -> Card:
    words = {theirs: ours for ours, theirs in PHONES.items()}
    phones = [(words[kind], number) for one in objects(found.get("Phones")) if (kind := text(one.get("PhoneType"))) in words and (number := _number(one))]
    addresses = [made for one in objects(found.get("Addresses")) if (made := _crm_address(one))]
    return Card(parse_contact(found), tuple(phones), tuple(addresses), text(found.get("CompanyNumber")))


def _number(found: dict[str, Any]) -> str:
    """Country and area code, where Xero keeps them apart (X§5.3), before the number."""
    country, area, number = (text(found.get(name)).strip() for name in ("PhoneCountryCode", "PhoneAreaCode", "PhoneNumber"))
    return " ".join(part for part in (f"+{country.lstrip('+')}" if country else "", area, number) if part) if number else ""


def _crm_address(found: dict[str, Any]) -> Address | None:
    """Xero's POBOX is where post goes, STREET the physical address; its region is the CRM's PROVINCE (B§8.7)."""
    type_id = {"POBOX": 8, "STREET": 1}.get(text(found.get("AddressType")))
    lines = [line for number in range(1, 5) if (line := text(found.get(f"AddressLine{number}")).strip())]
    places = {ours: text(found.get(theirs)).strip() for ours, theirs in _PLACES.items()}
    if type_id is None or not (lines or any(places.values())):
        return None
    return Address(type_id, line1=lines[0] if lines else "", line2=", ".join(lines[1:]), **places)


_PLACES = {"city": "City", "province": "Region", "postal_code": "PostalCode", "country": "Country"}


def owed(call: Caller, contact_id: str) -> tuple[Decimal, Decimal]:
    """What this customer owes and how much of it is overdue, in the organisation's currency; nothing where nothing was ever sold (X§5.2)."""
    found = single(call, f"Contacts/{segment(contact_id)}", "Contacts")
    balances = part(part(found[0].get("Balances")).get("AccountsReceivable")) if found else {}
    return amount(balances.get("Outstanding")), amount(balances.get("Overdue"))


def contact_by_number(call: Caller, number: str) -> Contact | None:
    """The contact that carries our number, or None."""
    found = (parse_contact(one) for one in single(call, f"Contacts/{segment(number)}", "Contacts"))
    return next((one for one in found if one.number == number), None)


def contacts_by_name(call: Caller, name: str) -> tuple[Contact, ...]:
    """All contacts of this name, archived ones too; Xero compares without regard to case and accents (X§5.4)."""
    if '"' not in name and "\\" not in name:
        params = {"where": f'Name=="{name}"', "includeArchived": "true", "page": "1"}
        return tuple(parse_contact(one) for one in rows(call("GET", "Contacts", params=params), "Contacts"))
    # A quote inside a `where` text cannot be written safely (X§2.3), so these names are searched for and compared here.
    params = {"searchTerm": name, "includeArchived": "true", "page": "1", "pageSize": str(PAGE_SIZE)}
    found = (parse_contact(one) for one in rows(call("GET", "Contacts", params=params), "Contacts"))
    return tuple(one for one in found if comparable(one.name) == comparable(name))


def contact_name(name: str) -> str:
    """A name as Xero accepts it: NFC, trimmed, single spaces, no angle brackets, at most 255 (X§5.4)."""
    return one_line(name.replace("<", " ").replace(">", " "), NAME_CHARS)


def comparable(name: str) -> str:
    """A name as Xero compares it: no case, no accents (X§5.4)."""
    apart = unicodedata.normalize("NFKD", contact_name(name).casefold())
    return "".join(char for char in apart if not unicodedata.combining(char))


def email(address: str) -> str:
    """The address if Xero will take it (one, ASCII, at most 255), else nothing: a doubtful one would refuse the whole contact."""
    plain = address.strip()
    return plain if len(plain) <= 255 and _EMAIL.match(plain) else ""


def create_body(wanted: Sequence[NewContact]) -> bytes:
    """The body that creates these contacts."""
    return encode({"Contacts": [element(one) for one in wanted]})


def update_body(changes: Sequence[tuple[str, Mapping[str, Any]]]) -> bytes:
    """The body that changes these fields of these contacts, each by its id."""
    return encode({"Contacts": [{**fields, "ContactID": id_} for id_, fields in changes]})


def outcomes_of_changes(answer: Answer, ids: Sequence[str]) -> tuple[Outcome, ...]:
    """One outcome for each contact changed, in that order."""
    got = elements(answer, "Contacts")
    found = {guid(one.get("ContactID")): _outcome(one, answer.status == 400) for one in got}
    return tuple(found.get(id_, UNANSWERED) for id_ in ids)


def element(new: NewContact) -> dict[str, Any]:
    """One contact with everything that the CRM knows and Xero can hold; what is empty is left out."""
    if len(new.number) > NUMBER_CHARS:
        raise ValueError(f"a contact number has at most {NUMBER_CHARS} characters")
    customer = new.customer
    made = {
        "Name": contact_name(new.name),
        "ContactNumber": new.number,
        "FirstName": one_line(customer.first_name, NAME_CHARS),
        "LastName": one_line(customer.last_name, NAME_CHARS),
        "EmailAddress": email(customer.email),
        "CompanyNumber": _whole(customer.company_number, 50),
        "TaxNumber": _whole(customer.tax_number, 50),
        "Addresses": _addresses(customer.addresses),
        "Phones": _phones(customer.phones),
    }
    return {name: value for name, value in made.items() if value not in ("", [])}


def _whole(value: str, most: int) -> str:
    """A registration number, or nothing if it does not fit: a part of one would be another's."""
    plain = one_line(value, len(value))
    return plain if len(plain) <= most else ""


def _phones(phones: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """One number per kind, whole in `PhoneNumber`: the CRM keeps no parts (X§13.4)."""
    found: dict[str, str] = {}
    for kind, number in phones:
        if kind in PHONES:
            found.setdefault(PHONES[kind], one_line(number, 50))
    for kind, number in phones:
        if kind not in PHONES:
            found.setdefault("DEFAULT", one_line(number, 50))
    return [{"PhoneType": kind, "PhoneNumber": found[kind]} for kind in ("DEFAULT", "MOBILE", "FAX") if found.get(kind)]


def _addresses(addresses: Sequence[Address]) -> list[dict[str, str]]:
    known = {one.type_id: made for one in reversed(addresses) if (made := _address(one))}
    found: list[dict[str, str]] = []
    for kind, types in ADDRESSES.items():
        if best := next((known[one] for one in types if one in known), None):
            found.append({"AddressType": kind, **best})
    return found


def _address(address: Address) -> dict[str, str]:
    """The CRM's PROVINCE is the state and so Xero's region; its REGION, the district, becomes a line beside a state (B§8.7)."""
    district = address.region if address.province else ""
    lines = [line for block in (address.line1, address.line2, district) for part in block.splitlines() if (line := one_line(part, 500))]
    if len(lines) > 4:
        lines = [*lines[:3], one_line(", ".join(lines[3:]), 500)]
    made = {f"AddressLine{index}": line for index, line in enumerate(lines, 1)}
    made["City"] = one_line(address.city, 255)
    made["Region"] = one_line(address.province or address.region, 255)
    made["PostalCode"] = one_line(address.postal_code, 50)
    made["Country"] = _country(address.country)
    return {name: value for name, value in made.items() if value}


def _country(name: str) -> str:
    """Letters A to Z only, at most 50 (X§5.3): accents are dropped, everything else becomes a space; a name in another script is left out."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    if any(char.isalpha() and not char.isascii() for char in plain):
        return ""
    return one_line("".join(char if char.isalpha() else " " for char in plain), 50)


def outcomes(answer: Answer, sent: Sequence[NewContact] = ()) -> tuple[Outcome, ...]:
    """One outcome for each contact sent, in that order; without `sent` in the order of the answer."""
    return in_order(answer, "Contacts", _outcome, [element(one) for one in sent] or None, _marks, _facts)


def _outcome(found: dict[str, Any], refused: bool) -> Outcome:
    outcome = judged(found, "ContactID", refused)
    return Outcome(outcome.ok, outcome.id, outcome.errors, outcome.warnings, contact=parse_contact(found))


def _marks(found: Element) -> tuple[str, ...]:
    return (text(found.get("ContactNumber")), comparable(text(found.get("Name"))))


def _facts(found: Element) -> tuple[str, ...]:
    return (text(found.get("EmailAddress")).casefold(),)


def parse_contact(found: dict[str, Any]) -> Contact:
    """One element of `Contacts`. Never make one from the contact inside a document: that is a part of it (X§13.1)."""
    return Contact(
        id=guid(found.get("ContactID")),
        name=text(found.get("Name")),
        number=text(found.get("ContactNumber")),
        account_number=text(found.get("AccountNumber")),
        tax_number=text(found.get("TaxNumber")),
        email=text(found.get("EmailAddress")),
        first_name=text(found.get("FirstName")),
        last_name=text(found.get("LastName")),
        active=text(found.get("ContactStatus")) in ("", "ACTIVE"),
        merged_to=guid(found.get("MergedToContactID")),
        updated_at=moment(found.get("UpdatedDateUTC")),
    )
