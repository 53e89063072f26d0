"""The CRM's side of a document, as plain values: what Bitrix24 was asked for and answered, already parsed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

Day = date  # the type, inside classes that have a field of that name


@dataclass(frozen=True)
class Row:
    """A product row. `price` is final: after discount, tax included, two decimals (B§8.6)."""

    id: int
    product_id: int
    name: str
    price: Decimal
    quantity: Decimal
    price_exclusive: Decimal
    price_netto: Decimal
    price_brutto: Decimal
    discount_type: int = 2
    discount_rate: Decimal = Decimal(0)
    discount_sum: Decimal = Decimal(0)
    tax_rate: Decimal | None = None
    tax_included: bool = False
    measure: str = ""
    sort: int = 0


@dataclass(frozen=True)
class Address:
    """A postal or street address in the CRM's fields (B§8.7: PROVINCE is the state, REGION the district)."""

    type_id: int
    line1: str = ""
    line2: str = ""
    city: str = ""
    region: str = ""
    province: str = ""
    postal_code: str = ""
    country: str = ""


@dataclass(frozen=True)
class Customer:
    """A company or a person of the CRM with everything a new Xero contact can hold."""

    kind: Literal["company", "contact"]
    id: int
    name: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    phones: tuple[tuple[str, str], ...] = ()  # (WORK | MOBILE | FAX | ..., number)
    addresses: tuple[Address, ...] = ()
    tax_number: str = ""
    company_number: str = ""

    @property
    def subject(self) -> str:
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True)
class Product:
    """A catalogue product as far as lines need it. `code` is what the portal chose as item code, or empty."""

    id: int
    name: str
    code: str = ""
    section_id: int | None = None
    parent_id: int | None = None
    price: Decimal | None = None
    description: str = ""


@dataclass(frozen=True)
class Invoice:
    """An invoice of the CRM, or another document of its kind. Times are UTC; dates are calendar dates, already decoded by B§8.0."""

    id: int
    number: str
    title: str
    stage_id: str
    currency: str
    total: Decimal
    tax_total: Decimal
    manual_total: bool
    date: Day | None
    due_date: Day | None
    company_id: int | None
    contact_id: int | None
    seller_id: int | None
    assigned_by: int | None
    created_at: datetime
    updated_at: datetime
    rows: tuple[Row, ...] = ()
    rows_read: bool = False
    category_id: int | None = None
    kind: str = "invoice"
    summary: str = ""  # what a quote offers, and on which terms
    terms: str = ""
    quote_id: int | None = None  # the quote that an invoice was made from
    fields: dict[str, str] = field(default_factory=dict)  # our own user fields, by short name: xero_id, xero_number, ...

    @property
    def customer_ref(self) -> tuple[Literal["company", "contact"], int] | None:
        """Company if the invoice has one, else contact (FEATURES: Customer as)."""
        if self.company_id:
            return ("company", self.company_id)
        return ("contact", self.contact_id) if self.contact_id else None


@dataclass(frozen=True)
class Stage:
    """A stage of an invoice pipeline. `semantics` is "S" (success), "F" (failure) or "" (in progress)."""

    id: str
    name: str
    color: str
    semantics: str
    sort: int
    category_id: int
    category_name: str = ""
    system: bool = False
    kind: str = "invoice"  # of the documents that stand in it


@dataclass(frozen=True)
class Visitor:
    """The person in the iframe, confirmed by the authorisation server."""

    portal_id: int
    member_id: str
    domain: str
    user_id: int
    name: str
    admin: bool
    lang: str
    timezone: str = ""
