"""Who is who: customers and contacts, CRM invoices and Xero documents (RULES 10, 14, X§5.4)."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import SequenceMatcher
from typing import Literal, TypeVar

from plugin.domain.crm import Customer
from plugin.domain.ledger import Contact, Document

NAME_LENGTH = 255
SIMILAR = 0.82
LOWEST_SCORE = 50
COMMON_WORD = 50  # a word or beginning shared by more contacts than this finds nobody

P = TypeVar("P")

MatchKind = Literal["linked_number", "single_name", "none", "several", "archived", "tax_differs"]


def normalise_name(name: str) -> str:
    """A name for comparison: case, accents and extra spaces do not matter; the legal form (Ltd) does (X§5.4)."""
    if name.isascii():
        return " ".join(name.casefold().split())
    letters = (char for char in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(char))
    return " ".join(unicodedata.normalize("NFC", "".join(letters)).casefold().split())


def clean_name(name: str) -> str:
    """A name as it may be sent to Xero: NFC, single spaces, no `<>` or control characters, at most 255 (X§5.4)."""
    if name.isascii() and name.isprintable() and "<" not in name and ">" not in name:
        return " ".join(name.split())[:NAME_LENGTH].rstrip()
    printable = "".join(char if char.isprintable() and char not in "<>" else " " for char in unicodedata.normalize("NFC", name))
    return " ".join(printable.split())[:NAME_LENGTH].rstrip()


def person_name(customer: Customer, order: Literal["first_last", "last_first"]) -> str:
    """A person as the portal prefers it (FEATURES 10); a company, or a person without parts, keeps its name."""
    parts = (customer.first_name, customer.last_name) if order == "first_last" else (customer.last_name, customer.first_name)
    joined = " ".join(part.strip() for part in parts if part.strip())
    return joined if customer.kind == "contact" and joined else customer.name


def tax_digits(number: str) -> str:
    """A tax number for comparison: letters and digits only."""
    return re.sub(r"[\W_]", "", number).casefold()


@dataclass(frozen=True)
class ContactMatch:
    """What the look-up found: one contact to link, none to create, or candidates for a person to choose from."""

    kind: MatchKind
    contacts: tuple[Contact, ...] = ()


class Candidates:
    """Contacts among which customers are looked for, by number and by name: a run has hundreds of both."""

    def __init__(self, contacts: Iterable[Contact]) -> None:
        self.by_id: dict[str, Contact] = {}
        self.by_number: dict[str, list[Contact]] = {}
        self.by_name: dict[str, list[Contact]] = {}
        for contact in contacts:
            self.by_id[contact.id] = contact
            self.by_number.setdefault(contact.number, []).append(contact)
            self.by_name.setdefault(normalise_name(contact.name), []).append(contact)


def match_contact(customer: Customer, our_number: str, candidates: Candidates) -> ContactMatch:
    """Our ContactNumber; then exactly one active contact of equal name without a different tax number (RULES 14).

    Merged contacts are followed to the one that took them in, where it is among the candidates.
    """
    numbered = _followed(candidates.by_number.get(our_number, ()) if our_number else (), candidates.by_id)
    if numbered:
        return _numbered(numbered)
    name = normalise_name(clean_name(customer.name))
    named = _followed(candidates.by_name.get(name, ()) if name else (), candidates.by_id)
    active = tuple(each for each in named if each.active)
    if not active:
        return ContactMatch("archived", named) if named else ContactMatch("none")
    if len(active) > 1:
        return ContactMatch("several", active)
    return ContactMatch("tax_differs" if tax_differs(customer, active[0]) else "single_name", active)


def tax_differs(customer: Customer, contact: Contact) -> bool:
    """Whether both carry a tax number and the numbers are not the same."""
    ours, theirs = tax_digits(customer.tax_number), tax_digits(contact.tax_number)
    return bool(ours and theirs and ours != theirs)


def _numbered(found: tuple[Contact, ...]) -> ContactMatch:
    active = tuple(each for each in found if each.active)
    if len(active) == 1:
        return ContactMatch("linked_number", active)
    return ContactMatch("several", active) if active else ContactMatch("archived", found)


def _followed(contacts: Iterable[Contact], by_id: Mapping[str, Contact]) -> tuple[Contact, ...]:
    found = {}
    for contact in contacts:
        last = follow_merge(contact, by_id)
        found[last.id] = last
    return tuple(found.values())


def follow_merge(contact: Contact, by_id: Mapping[str, Contact]) -> Contact:
    """The contact that a merged one became, as far as it is known (X§5.4)."""
    seen = {contact.id}
    while contact.merged_to and contact.merged_to in by_id and contact.merged_to not in seen:
        contact = by_id[contact.merged_to]
        seen.add(contact.id)
    return contact


@dataclass(frozen=True)
class Pair:
    """A customer and a contact that may be the same; `score` 0–100, `reasons` among number, tax, name, similar_name, email, tax_differs."""

    customer: Customer
    contact: Contact
    score: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Pairs:
    """Certain pairs may be linked at once; doubtful ones are listed for a person, best first."""

    certain: tuple[Pair, ...]
    doubtful: tuple[Pair, ...]


def match_pairs(customers: Sequence[Customer], contacts: Sequence[Contact], number_of: Callable[[Customer], str] | None = None) -> Pairs:
    """First synchronisation: scored matches between customers and active contacts (FEATURES 48).

    Certain: our number, equal tax number, or equal name, never with a different tax number, and no rival on either side. Our own number outranks the rest.
    """
    active = [contact for contact in contacts if contact.active and not contact.merged_to]
    index = _Index(active)
    number = number_of or (lambda customer: "")
    pairs = [_score(customer, contact, number(customer)) for customer in customers for contact in index.near(customer, number(customer))]
    certain: list[Pair] = []
    for proofs in ({"number"}, {"tax", "name"}):
        strong = [pair for pair in _left_over(pairs, certain) if proofs.intersection(pair.reasons) and "tax_differs" not in pair.reasons]
        certain += _unrivalled(strong, lambda pair: pair.customer.subject, lambda pair: pair.contact.id)
    rest = [pair for pair in _left_over(pairs, certain) if pair.score >= LOWEST_SCORE]
    return Pairs(tuple(certain), tuple(sorted(rest, key=lambda pair: (-pair.score, pair.customer.subject, pair.contact.id))))


def _left_over(pairs: Iterable[Pair], certain: Iterable[Pair]) -> list[Pair]:
    customers = {pair.customer.subject for pair in certain}
    contacts = {pair.contact.id for pair in certain}
    return [pair for pair in pairs if pair.customer.subject not in customers and pair.contact.id not in contacts]


def _score(customer: Customer, contact: Contact, number: str) -> Pair:
    """Number 100, tax number 95, equal name 90, similar name up to 80, e-mail 60; each further reason adds 5, a different tax number takes 40."""
    ours, theirs = normalise_name(clean_name(customer.name)), normalise_name(contact.name)
    likeness = _likeness(ours, theirs)
    points = {
        "number": 100 if number and contact.number == number else 0,
        "tax": 95 if tax_digits(customer.tax_number) and tax_digits(customer.tax_number) == tax_digits(contact.tax_number) else 0,
        "name": 90 if ours and ours == theirs else 0,
        "similar_name": round(80 * likeness) if ours != theirs and likeness >= SIMILAR else 0,
        "email": 60 if customer.email and customer.email.casefold() == contact.email.casefold() else 0,
    }
    reasons = [reason for reason, value in points.items() if value]
    score = max(points.values()) + 5 * max(len(reasons) - 1, 0)
    if tax_differs(customer, contact):
        reasons.append("tax_differs")
        score -= 40
    return Pair(customer, contact, max(0, min(score, 100)), tuple(reasons))


def _likeness(one: str, other: str) -> float:
    """How similar two names are; what the quick upper bounds rule out counts as nothing."""
    matcher = SequenceMatcher(None, one, other)
    return matcher.ratio() if min(matcher.real_quick_ratio(), matcher.quick_ratio()) >= SIMILAR else 0.0


class _Index:
    """Contacts by what a customer may share with them, so that thousands need not be compared with thousands."""

    def __init__(self, contacts: Sequence[Contact]) -> None:
        self._found: dict[tuple[str, str], list[Contact]] = defaultdict(list)
        for contact in contacts:
            for key in _keys(contact.name, contact.email, contact.tax_number, contact.number):
                self._found[key].append(contact)

    def near(self, customer: Customer, number: str) -> list[Contact]:
        """The contacts that share a key with a customer; a word or beginning that too many share does not count."""
        near: dict[str, Contact] = {}
        for key in _keys(clean_name(customer.name), customer.email, customer.tax_number, number):
            found = self._found.get(key, [])
            if key[0] not in ("word", "start") or len(found) <= COMMON_WORD:
                near.update((contact.id, contact) for contact in found)
        return list(near.values())


def _keys(name: str, email: str, tax_number: str, number: str) -> set[tuple[str, str]]:
    normal = normalise_name(name)
    keys = {("name", normal), ("email", email.casefold()), ("tax", tax_digits(tax_number)), ("number", number), ("start", normal[:6])}
    keys.update(("word", word) for word in re.findall(r"\w{3,}", normal))
    return {key for key in keys if key[1]}


def _unrivalled(pairs: Sequence[P], left: Callable[[P], Hashable], right: Callable[[P], Hashable]) -> list[P]:
    """The pairs whose both sides are in no other pair."""
    lefts, rights = _counts(map(left, pairs)), _counts(map(right, pairs))
    return [pair for pair in pairs if lefts[left(pair)] == 1 and rights[right(pair)] == 1]


def _counts(keys: Iterable[Hashable]) -> dict[Hashable, int]:
    counts: dict[Hashable, int] = defaultdict(int)
    for key in keys:
        counts[key] += 1
    return counts


@dataclass(frozen=True)
class Listed:
    """What the CRM's listing tells of an invoice, and what we would give it in Xero. `contact_id` where its customer is linked already."""

    id: int
    number: str
    customer_name: str
    total: Decimal
    currency: str
    date: date | None
    url: str = ""
    contact_id: str = ""
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class DocumentPair:
    """A CRM invoice and a Xero document; `reasons` say what agrees: url, number, reference, customer, total, currency, date."""

    listed: Listed
    document: Document
    score: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class DocumentPairs:
    """Certain pairs are linked; doubtful ones are listed for a person, best first (RULES 10)."""

    certain: tuple[DocumentPair, ...]
    doubtful: tuple[DocumentPair, ...]


_POINTS = {"url": 40, "number": 30, "reference": 15, "customer": 15, "total": 15, "currency": 5, "date": 10}


def agreement(listed: Listed, document: Document) -> tuple[str, ...]:
    """What agrees between a CRM invoice and a Xero document."""
    same_contact = bool(listed.contact_id) and listed.contact_id == document.contact_id
    wanted = {text.casefold() for text in (listed.number, *listed.references) if text}
    facts = {
        "url": bool(listed.url) and listed.url == document.url,
        "number": bool(listed.number) and listed.number.casefold() == document.number.casefold(),
        "reference": document.reference.strip().casefold() in wanted if document.reference.strip() else False,
        "customer": same_contact or _same_name(listed, document),
        "total": listed.total == document.total,
        "currency": listed.currency == document.currency,
        "date": listed.date is not None and listed.date == document.date,
    }
    return tuple(name for name, true in facts.items() if true)


def may_link(listed: Listed, document: Document) -> bool:
    """A send that meets a taken number links if customer, total and currency agree; otherwise it is a problem (RULES 10)."""
    return {"customer", "total", "currency"} <= set(agreement(listed, document))


def _same_name(listed: Listed, document: Document) -> bool:
    """By name only where the customer is not linked to another contact."""
    name = normalise_name(listed.customer_name)
    return not listed.contact_id and bool(name) and name == normalise_name(document.contact_name)


def match_documents(listed: Sequence[Listed], documents: Sequence[Document]) -> DocumentPairs:
    """Existing Xero documents for CRM invoices, before the first send (RULES 10).

    Certain: number or Url, and customer, total and currency, and no rival on either side. Doubtful: number, Url or reference, or the same customer
    with the same total and currency. Voided and deleted documents are never meant.
    """
    index = _DocumentIndex(document for document in documents if document.status not in ("VOIDED", "DELETED"))
    pairs = [_document_pair(each, document) for each in listed for document in index.near(each)]
    certain = _unrivalled([pair for pair in pairs if _is_certain(pair)], lambda pair: pair.listed.id, lambda pair: pair.document.id)
    taken = {pair.listed.id for pair in certain}, {pair.document.id for pair in certain}
    rest = [pair for pair in pairs if pair.listed.id not in taken[0] and pair.document.id not in taken[1] and _is_doubtful(pair)]
    return DocumentPairs(tuple(certain), tuple(sorted(rest, key=lambda pair: (-pair.score, pair.listed.id, pair.document.id))))


class _DocumentIndex:
    """Documents by what an invoice may share with them."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._found: dict[tuple[str, ...], list[Document]] = defaultdict(list)
        for document in documents:
            texts = (document.number, document.reference.strip())
            for key in _document_keys(texts, document.url, str(document.total.normalize()), document.currency):
                self._found[key].append(document)

    def near(self, listed: Listed) -> list[Document]:
        texts = (listed.number, *listed.references)
        keys = _document_keys(texts, listed.url, str(listed.total.normalize()), listed.currency)
        return list({document.id: document for key in keys for document in self._found.get(key, [])}.values())


def _document_keys(texts: Iterable[str], url: str, total: str, currency: str) -> set[tuple[str, ...]]:
    keys: set[tuple[str, ...]] = {("text", text.casefold()) for text in texts if text}
    return keys | {("amount", total, currency)} | ({("url", url)} if url else set())


def _document_pair(listed: Listed, document: Document) -> DocumentPair:
    reasons = agreement(listed, document)
    return DocumentPair(listed, document, min(100, sum(_POINTS[reason] for reason in reasons)), reasons)


def _is_certain(pair: DocumentPair) -> bool:
    return bool({"url", "number"}.intersection(pair.reasons)) and {"customer", "total", "currency"} <= set(pair.reasons)


def _is_doubtful(pair: DocumentPair) -> bool:
    return bool({"url", "number", "reference"}.intersection(pair.reasons)) or {"customer", "total", "currency"} <= set(pair.reasons)
