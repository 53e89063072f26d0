"""Rounding, and the totals that Xero will compute (X§4.9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from plugin.domain.ledger import Line

CENT = Decimal("0.01")
FOUR = Decimal("0.0001")
HUNDRED = Decimal(100)
ZERO = Decimal(0)


def round2(value: Decimal) -> Decimal:
    """Two decimals, half away from zero (X§4.9)."""
    return value.quantize(CENT, ROUND_HALF_UP)


def round4(value: Decimal) -> Decimal:
    """Four decimals, half away from zero: a unit amount with `unitdp=4` (X§2.4)."""
    return value.quantize(FOUR, ROUND_HALF_UP)


def plain(value: Decimal) -> str:
    """A number without trailing zeros and without exponent: 15.00 is "15"."""
    return f"{value.normalize():f}" if value else "0"


@dataclass(frozen=True)
class Totals:
    """What Xero computes for a document; `line_amounts` and `line_taxes` in the order of its lines."""

    sub: Decimal
    tax: Decimal
    total: Decimal
    line_amounts: tuple[Decimal, ...]
    line_taxes: tuple[Decimal, ...]


def line_amount(line: Line) -> Decimal:
    """Quantity times unit amount less discount, rounded once (X§4.9). A discount amount counts only where there is no rate."""
    full = line.quantity * round4(line.unit_amount)
    return round2(full * (HUNDRED - line.discount_rate) / HUNDRED if line.discount_rate else full - line.discount_amount)


def line_tax(amount: Decimal, line_amount_types: str, rate: Decimal) -> Decimal:
    """The tax of one line on its rounded amount (X§4.9)."""
    if line_amount_types == "NoTax" or not rate:
        return ZERO
    if line_amount_types == "Inclusive":
        return round2(amount - amount / (1 + rate / HUNDRED))
    return round2(amount * rate / HUNDRED)


def xero_totals(lines: Iterable[Line], line_amount_types: str, rates: Mapping[str, Decimal]) -> Totals:
    """The totals of a document by Xero's rounding (X§4.9); `rates` gives the effective percent of each tax type."""
    given = tuple(lines)
    amounts = tuple(line_amount(line) for line in given)
    taxes = tuple(line_tax(amount, line_amount_types, _rate(line, line_amount_types, rates)) for amount, line in zip(amounts, given, strict=True))
    tax = sum(taxes, ZERO)
    gross = sum(amounts, ZERO)
    sub = gross - tax if line_amount_types == "Inclusive" else gross
    return Totals(round2(sub), round2(tax), round2(sub + tax), amounts, taxes)


def _rate(line: Line, line_amount_types: str, rates: Mapping[str, Decimal]) -> Decimal:
    return ZERO if line_amount_types == "NoTax" else rates[line.tax_type]
