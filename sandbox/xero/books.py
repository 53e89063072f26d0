"""The books of one organisation: what it holds, and the indexes that keep answers fast.

Every change goes through a method that notes how to take it back, so that a refused element leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from sandbox.xero.words import plain_name

ZERO = Decimal(0)
#: A calendar date, where a field is called `date` itself.
Day = date
SALES = "ACCREC"
BILL = "ACCPAY"


@dataclass
class Account:
    """A ledger account (X§6.2)."""

    id: str
    code: str
    name: str
    type: str
    tax_type: str
    updated: datetime
    description: str = ""
    status: str = "ACTIVE"
    system: str = ""
    payments: bool = False
    bank_number: str = ""
    currency: str = ""

    @property
    def classification(self) -> str:
        return CLASS_OF_TYPE[self.type]


CLASS_OF_TYPE = {
    **dict.fromkeys(("SALES", "REVENUE", "OTHERINCOME"), "REVENUE"),
    **dict.fromkeys(("EXPENSE", "DIRECTCOSTS", "OVERHEADS", "DEPRECIATN"), "EXPENSE"),
    **dict.fromkeys(("BANK", "CURRENT", "FIXED", "INVENTORY", "NONCURRENT", "PREPAYMENT"), "ASSET"),
    **dict.fromkeys(("CURRLIAB", "LIABILITY", "TERMLIAB", "PAYG"), "LIABILITY"),
    "EQUITY": "EQUITY",
}


@dataclass
class TaxRate:
    """A tax rate and the classes of account it may be used with (X§6.3)."""

    name: str
    type: str
    rate: Decimal
    classes: frozenset[str]
    status: str = "ACTIVE"
    report_type: str = "NONE"


@dataclass
class TrackingOption:
    id: str
    name: str
    status: str = "ACTIVE"


@dataclass
class TrackingCategory:
    """X§6.4."""

    id: str
    name: str
    options: list[TrackingOption]
    status: str = "ACTIVE"


@dataclass
class Theme:
    id: str
    name: str
    order: int
    created: datetime


@dataclass
class Note:
    """A line of a document's history (X§4.11)."""

    at: datetime
    changes: str
    details: str
    user: str


@dataclass
class ContactPerson:
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    in_emails: bool = False


@dataclass
class Contact:
    """A customer or supplier (X§5.2). `texts` holds the plain fields by Xero's name."""

    id: str
    name: str
    updated: datetime
    status: str = "ACTIVE"
    texts: dict[str, str] = field(default_factory=dict)
    phones: dict[str, dict[str, str]] = field(default_factory=dict)
    addresses: dict[str, dict[str, str]] = field(default_factory=dict)
    people: list[ContactPerson] = field(default_factory=list)
    terms: dict[str, dict[str, object]] = field(default_factory=dict)
    tracking: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    is_customer: bool = False
    is_supplier: bool = False
    theme_id: str = ""
    batch_payments: dict[str, str] = field(default_factory=dict)
    merged_to: str = ""

    @property
    def number(self) -> str:
        return self.texts.get("ContactNumber", "")


@dataclass
class Price:
    """Sales or purchase details of an item."""

    unit: Decimal | None = None
    account: str = ""
    cogs_account: str = ""
    tax_type: str = ""


@dataclass
class Item:
    """X§6.1."""

    id: str
    code: str
    updated: datetime
    name: str = ""
    sold: bool = True
    purchased: bool = True
    description: str = ""
    purchase_description: str = ""
    sales: Price = field(default_factory=Price)
    purchase: Price = field(default_factory=Price)
    inventory_account: str = ""
    on_hand: Decimal = ZERO
    cost_pool: Decimal = ZERO

    @property
    def tracked(self) -> bool:
        return bool(self.inventory_account)


@dataclass
class Line:
    """A line item (X§4.3). A text line has a description and nothing else."""

    id: str
    description: str = ""
    quantity: Decimal | None = None
    unit_amount: Decimal | None = None
    line_amount: Decimal = ZERO
    item_id: str = ""
    account_id: str = ""
    tax_type: str = ""
    tax_amount: Decimal = ZERO
    tax_given: bool = False
    discount_rate: Decimal | None = None
    discount_amount: Decimal | None = None
    tracking: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_text(self) -> bool:
        return self.quantity is None and self.unit_amount is None and not self.line_amount


@dataclass
class Payment:
    """A payment or refund (X§6.12)."""

    id: str
    kind: str
    document_id: str
    account_id: str
    date: date
    amount: Decimal
    rate: Decimal
    reference: str
    updated: datetime
    status: str = "AUTHORISED"
    reconciled: bool = False
    by_app: bool = False


@dataclass
class Allocation:
    """Part of a credit note, set against an invoice (X§6.10)."""

    id: str
    credit_note_id: str
    invoice_id: str
    amount: Decimal
    date: date


@dataclass
class Document:
    """What invoices, credit notes and quotes have in common."""

    id: str
    type: str
    number: str
    contact_id: str
    date: date
    updated: datetime
    status: str = "DRAFT"
    line_amount_types: str = "Exclusive"
    currency: str = ""
    rate: Decimal = Decimal(1)
    reference: str = ""
    theme_id: str = ""
    lines: list[Line] = field(default_factory=list)
    sub_total: Decimal = ZERO
    total_tax: Decimal = ZERO
    total: Decimal = ZERO
    total_discount: Decimal = ZERO
    sent: bool = False
    by_app: bool = False
    paid_on: Day | None = None
    paid: Decimal = ZERO
    credited: Decimal = ZERO

    @property
    def due(self) -> Decimal:
        """What is outstanding on an invoice, or left of a credit note."""
        return self.total - self.paid - self.credited

    @property
    def settled(self) -> bool:
        return bool(self.paid or self.credited)


@dataclass
class Invoice(Document):
    """A sales invoice or a bill (X§4.2)."""

    due_date: Day | None = None
    expected: Day | None = None
    planned: Day | None = None
    url: str = ""


@dataclass
class CreditNote(Document):
    """X§6.10: `paid` is refunded, `credited` is allocated."""


@dataclass
class Quote(Document):
    """X§6.11."""

    title: str = ""
    summary: str = ""
    terms: str = ""
    expiry: Day | None = None


@dataclass
class Organisation:
    """X§6.7."""

    id: str
    name: str
    legal_name: str
    short_code: str
    country: str
    base_currency: str
    timezone: str
    zone: str
    created: datetime
    tax_number: str = ""
    registration: str = ""
    is_demo: bool = False
    plan: str = "STANDARD"
    pays_tax: bool = True
    default_sales_tax: str = "Tax Exclusive"
    period_lock: date | None = None
    year_lock: date | None = None
    multicurrency: bool = True
    #: When customers pay, and when suppliers are paid, unless the contact says otherwise.
    sales_terms: dict[str, object] = field(default_factory=dict)
    bill_terms: dict[str, object] = field(default_factory=dict)
    #: Approved sales invoices and bills a month on the smallest plans (X§6.8); None: no limit.
    approvals: int | None = None
    bill_approvals: int | None = None
    #: The organisation is away for maintenance (X§9.1).
    offline: bool = False


class Journal:
    """How to take back what was done since a mark."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def note(self, undo: Callable[[], object]) -> None:
        self._undo.append(undo)

    def mark(self) -> int:
        return len(self._undo)

    def back_to(self, mark: int) -> None:
        while len(self._undo) > mark:
            self._undo.pop()()

    def clear(self) -> None:
        self._undo.clear()


class Row(Protocol):
    """Anything with an id that it keeps."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Row)


class Table(Generic[R]):
    """Rows by id, with indexes by further keys. Rows are replaced, never changed in place."""

    def __init__(self, journal: Journal, **keys: Callable[[R], Hashable | None]) -> None:
        self._journal = journal
        self._rows: dict[str, R] = {}
        self._keys = keys
        self._index: dict[str, dict[Hashable, dict[str, None]]] = {name: {} for name in keys}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[R]:
        return iter(self._rows.values())

    def get(self, id_: str) -> R | None:
        return self._rows.get(id_.lower())

    def __getitem__(self, id_: str) -> R:
        return self._rows[id_]

    def find(self, index: str, key: Hashable) -> list[R]:
        """The rows of this key, in the order they came."""
        return [self._rows[one] for one in self._index[index].get(key, ())]

    def save(self, row: R) -> None:
        """Add the row, or put it in the place of the one with its id."""
        old = self._rows.get(row.id)
        self._put(row, old)
        self._journal.note((lambda: self._put(old, row)) if old is not None else (lambda: self._take(row)))

    def remove(self, row: R) -> None:
        self._take(row)
        self._journal.note(lambda: self._put(row, None))

    def _put(self, row: R, old: R | None) -> None:
        if old is not None:
            self._take(old)
        self._rows[row.id] = row
        for name, key in self._keys.items():
            if (value := key(row)) is not None:
                self._index[name].setdefault(value, {})[row.id] = None

    def _take(self, row: R) -> None:
        del self._rows[row.id]
        for name, key in self._keys.items():
            if (value := key(row)) is not None:
                ids = self._index[name][value]
                del ids[row.id]
                if not ids:
                    del self._index[name][value]


@dataclass(frozen=True)
class Event:
    """News for the webhook: what changed, and how."""

    category: str
    type: str
    resource_id: str
    data: dict[str, str] | None = None


class Books:
    """Everything one organisation holds."""

    def __init__(self, organisation: Organisation) -> None:
        self.organisation = organisation
        self.journal = Journal()
        self.accounts: Table[Account] = Table(self.journal, code=lambda one: one.code or None)
        self.tax_rates: dict[str, TaxRate] = {}
        self.tracking: list[TrackingCategory] = []
        self.currencies: dict[str, str] = {}
        self.themes: list[Theme] = []
        self.items: Table[Item] = Table(self.journal, code=lambda one: one.code, folded=lambda one: one.code.casefold())
        self.contacts: Table[Contact] = Table(
            self.journal,
            name=lambda one: (plain_name(one.name), one.status == "ACTIVE"),
            number=lambda one: one.number or None,
            account_number=lambda one: one.texts.get("AccountNumber") or None,
        )
        self.invoices: Table[Invoice] = Table(
            self.journal, number=lambda one: (one.type, one.number.casefold()) if one.number else None, contact=lambda one: one.contact_id
        )
        self.credit_notes: Table[CreditNote] = Table(
            self.journal, number=lambda one: (one.type, one.number.casefold()) if one.number else None, contact=lambda one: one.contact_id
        )
        self.quotes: Table[Quote] = Table(self.journal, number=lambda one: one.number.casefold())
        self.payments: Table[Payment] = Table(self.journal, document=lambda one: one.document_id)
        self.allocations: Table[Allocation] = Table(self.journal, invoice=lambda one: one.invoice_id, credit_note=lambda one: one.credit_note_id)
        self.notes: dict[str, list[Note]] = {}
        self.events: list[Event] = []
        self.counters = {"INV": 0, "QU": 0, "CN": 0}

    @property
    def tenant_id(self) -> str:
        return self.organisation.id

    def account(self, code: str) -> Account | None:
        """The account of this code, archived ones included."""
        return next(iter(self.accounts.find("code", code)), None)

    def system_account(self, system: str) -> Account | None:
        return next((one for one in self.accounts if one.system == system), None)

    def active_contact(self, name: str) -> Contact | None:
        """The active contact whose name compares equal (X§5.4)."""
        return next(iter(self.contacts.find("name", (plain_name(name), True))), None)

    def archived_contact(self, name: str) -> Contact | None:
        return next(iter(self.contacts.find("name", (plain_name(name), False))), None)

    def note(self, document_id: str, note: Note) -> None:
        """Add to a document's history."""
        notes = self.notes.setdefault(document_id, [])
        notes.append(note)
        self.journal.note(notes.pop)

    def tell(self, category: str, type_: str, resource_id: str, data: dict[str, str] | None = None) -> None:
        """Order a webhook event; it is sent when the change stands."""
        self.events.append(Event(category, type_, resource_id, data))
        self.journal.note(self.events.pop)

    def next_number(self, prefix: str, taken: Callable[[str], bool]) -> str:
        """Xero's own numbering: INV-0001, INV-0002 and on (X§4.2)."""
        before = self.counters[prefix]
        self.journal.note(lambda: self.counters.__setitem__(prefix, before))
        while True:
            self.counters[prefix] += 1
            number = f"{prefix}-{self.counters[prefix]:04d}"
            if not taken(number):
                return number

    def allocations_of(self, document: Document) -> list[Allocation]:
        index = "credit_note" if isinstance(document, CreditNote) else "invoice"
        return self.allocations.find(index, document.id)

    def payments_of(self, document: Document) -> list[Payment]:
        """Its payments, deleted ones excepted."""
        return [one for one in self.payments.find("document", document.id) if one.status != "DELETED"]

    def locked_until(self) -> tuple[date, str] | None:
        """The later of the two lock dates, and which it is."""
        locks = [(self.organisation.period_lock, "period"), (self.organisation.year_lock, "end of year")]
        given = [(day, kind) for day, kind in locks if day is not None]
        return max(given) if given else None
