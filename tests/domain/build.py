"""Builders for the domain's tests: an organisation like New Zealand's, and invoices by the CRM's own arithmetic (B§8.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from plugin.domain.crm import Customer, Invoice, Product, Row
from plugin.domain.ledger import Account, Contact, Document, Draft, Line, Organisation, TaxRate
from plugin.domain.money import HUNDRED, ZERO, round2
from plugin.domain.settings import Settings
from plugin.domain.translate import translate

D = Decimal
DAY = date(2026, 9, 10)

ORGANISATION = Organisation("org", "Demo", "NZ", "NZD", "!demo", "NEWZEALANDSTANDARDTIME", "NZ", True, date(2026, 3, 31), None)


def account(code: str, klass: str = "REVENUE", **more: Any) -> Account:
    given: dict[str, Any] = {"name": f"Account {code}", "type": {"REVENUE": "REVENUE", "EXPENSE": "EXPENSE"}.get(klass, "CURRENT"), "active": True} | more
    return Account(id=f"id-{code}", code=code, klass=klass, tax_type="OUTPUT2", **given)


def tax(tax_type: str, rate: str, *, active: bool = True, revenue: bool = True, expenses: bool = False) -> TaxRate:
    return TaxRate(tax_type, f"Tax {tax_type}", D(rate), active, revenue, expenses)


ACCOUNTS: Mapping[str, Account] = {
    each.code: each
    for each in (
        account("200", name="Sales", type="SALES"),
        account("260"),
        account("300", "EXPENSE", name="Purchases", type="DIRECTCOSTS"),
        account("400", "EXPENSE"),
        account("830", "LIABILITY"),
        account("610", "ASSET", system="DEBTORS"),
        account("090", "ASSET", type="BANK"),
        account("299", active=False),
    )
}
TAX_RATES: Mapping[str, TaxRate] = {
    each.tax_type: each
    for each in (
        tax("OUTPUT2", "15.0000"),
        tax("INPUT2", "15", revenue=False, expenses=True),
        tax("ZERORATED", "0"),
        tax("EXEMPTOUTPUT", "0"),
        tax("NONE", "0", expenses=True),
        tax("OUTPUT", "12.5", active=False),
        *(tax(f"TAX{number:03}", rate) for number, rate in enumerate(("5", "7.7", "8.25", "10", "19", "20", "22", "25"))),
    )
}
TAXES = {"none": "NONE", "0": "ZERORATED", "15": "OUTPUT2"} | {
    f"{rate.rate.normalize():f}": name for name, rate in TAX_RATES.items() if name.startswith("TAX0")
}
STAGES = {"DT31_1:N": "DRAFT", "DT31_1:S": "AUTHORISED", "DT31_1:P": "AUTHORISED", "DT31_1:D": "", "DT31_1:V": "VOIDED"}
SETTINGS = Settings(start_date=date(2026, 1, 1), income_account="200", expense_account="300", taxes=TAXES, stage_to_status=STAGES)


def row(
    price: str = "115.00",
    quantity: str = "1",
    tax_rate: str | None = "15",
    *,
    discount: str = "0",
    absolute: bool = False,
    row_id: int = 1,
    name: str = "Consulting",
    product_id: int = 0,
) -> Row:
    """A row as the CRM completes it from a final price (B§8.6): `discount` is a percent, or an absolute sum without tax."""
    final = D(price)
    rate = D(tax_rate or 0)
    exclusive = round2(final / (1 + rate / HUNDRED))
    percent, amount = D(discount), ZERO
    if absolute:
        amount = D(discount)
        percent = round2(amount / (exclusive + amount) * HUNDRED) if exclusive + amount else ZERO
    elif percent:
        amount = round2(exclusive * percent / (HUNDRED - percent))
    netto = exclusive + amount
    return Row(
        id=row_id,
        product_id=product_id,
        name=name,
        price=final,
        quantity=D(quantity),
        price_exclusive=exclusive,
        price_netto=netto,
        price_brutto=round2(netto * (1 + rate / HUNDRED)),
        discount_type=1 if absolute else 2,
        discount_rate=percent,
        discount_sum=amount,
        tax_rate=None if tax_rate is None else rate,
        sort=row_id * 10,
    )


def crm_total(rows: tuple[Row, ...]) -> Decimal:
    return sum((round2(each.price * each.quantity) for each in rows), ZERO)


def invoice(*rows: Row, **more: Any) -> Invoice:
    given = rows or (row(),)
    values: dict[str, Any] = {
        "id": 7,
        "number": "INV-7",
        "title": "Website",
        "stage_id": "DT31_1:N",
        "currency": "NZD",
        "total": crm_total(given),
        "tax_total": ZERO,
        "manual_total": False,
        "date": DAY,
        "due_date": date(2026, 9, 24),
        "company_id": 3,
        "contact_id": None,
        "seller_id": 1,
        "assigned_by": 1,
        "created_at": datetime(2026, 9, 9, 8, tzinfo=UTC),
        "updated_at": datetime(2026, 9, 9, 9, tzinfo=UTC),
        "rows": given,
        "rows_read": True,
    }
    return Invoice(**(values | more))


def send(given: Invoice, settings: Settings = SETTINGS, **more: Any) -> Draft:
    values: dict[str, Any] = {
        "organisation": ORGANISATION,
        "accounts": ACCOUNTS,
        "tax_rates": TAX_RATES,
        "currencies": {"NZD", "USD"},
        "contact_id": "contact-1",
        "url": "https://portal.bitrix24.com/invoice/7",
        "number": "INV-7",
    }
    return translate(given, settings=settings, **(values | more))


def product(product_id: int, **more: Any) -> Product:
    return Product(product_id, f"Product {product_id}", **more)


def customer(name: str = "Acme Ltd", crm_id: int = 1, **more: Any) -> Customer:
    values: dict[str, Any] = {"kind": "company", "id": crm_id, "name": name}
    return Customer(**(values | more))


def contact(name: str = "Acme Ltd", contact_id: str = "c1", **more: Any) -> Contact:
    return Contact(id=contact_id, name=name, **more)


def line(description: str = "Consulting", unit: str = "100", quantity: str = "1", **more: Any) -> Line:
    return Line(description, D(quantity), D(unit), **({"account_code": "200", "tax_type": "OUTPUT2"} | more))


def held(draft: Draft, **more: Any) -> Document:
    """Xero's copy of a draft, with ids on its lines."""
    lines = tuple(replace(each, id=f"line-{position}", row_id=0) for position, each in enumerate(draft.lines))
    values: dict[str, Any] = {
        "id": "doc-1",
        "type": "ACCREC",
        "number": draft.number,
        "status": draft.status,
        "contact_id": draft.contact_id,
        "contact_name": "Acme Ltd",
        "date": draft.date,
        "due_date": draft.due_date,
        "currency": draft.currency,
        "line_amount_types": draft.line_amount_types,
        "reference": draft.reference,
        "url": draft.url,
        "total": draft.total,
        "tax_total": ZERO,
        "amount_due": draft.total,
        "amount_paid": ZERO,
        "amount_credited": ZERO,
        "fully_paid_on": None,
        "sent": False,
        "updated_at": None,
        "lines": lines,
    }
    return Document(**(values | more))
