"""Xero's side, as plain values. Ids are GUID strings in lower case; times are UTC; money is Decimal."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

Day = date  # the type, inside classes that have a field of that name

ZERO_GUID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Organisation:
    """A Xero company (X§6.7)."""

    tenant_id: str
    name: str
    country: str
    base_currency: str
    short_code: str
    timezone: str
    version: str
    pays_tax: bool
    period_lock: Day | None
    year_lock: Day | None
    is_demo: bool = False
    edition: str = ""
    actions: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Account:
    """A ledger account (X§6.2). `klass` is REVENUE, EXPENSE, ASSET, LIABILITY or EQUITY."""

    id: str
    code: str
    name: str
    type: str
    klass: str
    tax_type: str
    active: bool
    system: str = ""
    payments: bool = False


@dataclass(frozen=True)
class TaxRate:
    """A tax rate (X§6.3). `rate` is the effective percent."""

    tax_type: str
    name: str
    rate: Decimal
    active: bool
    revenue: bool
    expenses: bool


@dataclass(frozen=True)
class Item:
    """An item of the price list (X§6.1)."""

    id: str
    code: str
    name: str
    description: str = ""
    unit_price: Decimal | None = None
    account_code: str = ""
    tax_type: str = ""
    is_sold: bool = True
    tracked: bool = False
    updated_at: datetime | None = None


@dataclass(frozen=True)
class Contact:
    """A contact (X§5.2)."""

    id: str
    name: str
    number: str = ""
    account_number: str = ""
    tax_number: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    active: bool = True
    merged_to: str = ""
    updated_at: datetime | None = None


@dataclass(frozen=True)
class Tracking:
    """One tracking option on a line (X§4.3): at most two a line."""

    category_id: str
    option_id: str
    category: str = ""
    option: str = ""


@dataclass(frozen=True)
class TrackingOption:
    """A value of a tracking category (X§6.4)."""

    id: str
    name: str
    active: bool = True


@dataclass(frozen=True)
class TrackingCategory:
    """A tracking category with its options (X§6.4)."""

    id: str
    name: str
    options: tuple[TrackingOption, ...] = ()
    active: bool = True


@dataclass(frozen=True)
class Line:
    """A line item, of a document that we are about to send (`id` empty) or that Xero holds."""

    description: str
    quantity: Decimal
    unit_amount: Decimal
    account_code: str
    tax_type: str
    item_code: str = ""
    discount_rate: Decimal = Decimal(0)
    id: str = ""
    line_amount: Decimal | None = None
    tax_amount: Decimal | None = None
    row_id: int = 0  # the CRM row it came from; never sent
    item_id: str = ""
    # What a bookkeeper may have set and a rewritten line must carry back, or Xero drops it (X§4.6):
    tracking: tuple[Tracking, ...] = ()
    discount_amount: Decimal = Decimal(0)
    account_id: str = ""  # for accounts without a code


@dataclass(frozen=True)
class Draft:
    """A document as we want Xero to hold it. `total` is what Xero will compute: equal to the CRM's to the cent."""

    contact_id: str
    date: Day
    due_date: Day | None  # of a quote: valid until, where it says so
    currency: str
    line_amount_types: str  # Exclusive | Inclusive | NoTax
    lines: tuple[Line, ...]
    total: Decimal
    status: str = "DRAFT"
    number: str = ""  # empty: Xero's own numbering
    reference: str = ""
    url: str = ""
    kind: str = "invoice"
    title: str = ""
    summary: str = ""
    terms: str = ""
    mark: str = ""  # in the reference of a document that has neither our number nor a Url (RULES 11)


@dataclass(frozen=True)
class Document:
    """A sales invoice, bill or quote (type QUOTE, due: valid until) as Xero holds it. `lines` is None where the answer carried none (X§4.8)."""

    id: str
    type: str
    number: str
    status: str
    contact_id: str
    contact_name: str
    date: Day | None
    due_date: Day | None
    currency: str
    line_amount_types: str
    reference: str
    url: str
    total: Decimal
    tax_total: Decimal
    amount_due: Decimal
    amount_paid: Decimal
    amount_credited: Decimal
    fully_paid_on: Day | None
    sent: bool
    updated_at: datetime | None
    lines: tuple[Line, ...] | None = None
    title: str = ""
    summary: str = ""
    terms: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one element of a collection write (X§2.5): judged by itself, whatever the HTTP status."""

    ok: bool
    id: str
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    document: Document | None = None
    contact: Contact | None = None
    item: Item | None = None
