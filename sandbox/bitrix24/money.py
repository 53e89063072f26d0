"""Product rows: the normaliser's arithmetic and the owner's total (B§8.6)."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from sandbox.bitrix24.errors import RestError
from sandbox.bitrix24.fields import plain

CENT, TENTHOUSANDTH = Decimal("0.01"), Decimal("0.0001")
HUNDRED = Decimal(100)


def decimal(value: Any, default: str = "0") -> Decimal:
    try:
        return Decimal(str(value).replace(",", "."))
    except InvalidOperation:
        return Decimal(default)


def cents(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)


def tax_rate(value: Any, float_zero: str) -> Decimal | None:
    """Null is no tax; zero must come as the integer 0 or the string "0", a float 0.0 becomes null."""
    if value is None or value == "":
        return None
    rate = decimal(value)
    if rate == 0 and not (value == "0" or (isinstance(value, int) and not isinstance(value, bool))):
        return Decimal(0) if float_zero == "zero" else None
    return rate


def normalise(row: dict[str, Any], float_zero: str = "null") -> dict[str, Any]:
    """The stored form of a row: `price` is final, tax included, after discount, with two decimals."""
    price = cents(decimal(row.get("price", 0)))
    rate = tax_rate(row.get("taxRate"), float_zero)
    factor = 1 + (rate or Decimal(0)) / HUNDRED
    exclusive = cents(price / factor)
    kind, percent, amount = _discount(row, exclusive)
    netto = exclusive + amount
    return {
        **row,
        "price": price,
        "priceExclusive": exclusive,
        "priceNetto": netto,
        "priceBrutto": cents(netto * factor),
        "quantity": decimal(row.get("quantity", 1), "1").quantize(TENTHOUSANDTH, ROUND_HALF_UP),
        "discountTypeId": kind,
        "discountRate": percent,
        "discountSum": amount,
        "taxRate": rate,
        "taxIncluded": "Y" if row.get("taxIncluded") in ("Y", "1", 1, True) else "N",
    }


def _discount(row: dict[str, Any], exclusive: Decimal) -> tuple[int, Decimal, Decimal]:
    kind_given, rate_given, sum_given = (row.get(key) not in (None, "") for key in ("discountTypeId", "discountRate", "discountSum"))
    kind = int(decimal(row.get("discountTypeId"), "2")) if kind_given else 2
    if kind == 1:
        if not sum_given:
            raise RestError("CRM_PRODUCTROW_NORMALIZATION_DISCOUNT_SUM_REQUIRED", "Discount sum is required", 400)
        amount = cents(decimal(row["discountSum"]))
        before = exclusive + amount
        return 1, (cents(amount / before * HUNDRED) if before else Decimal(0)), amount
    if kind_given and not rate_given:
        raise RestError("CRM_PRODUCTROW_NORMALIZATION_DISCOUNT_RATE_REQUIRED", "Discount rate is required", 400)
    percent = decimal(row.get("discountRate", 0))
    if percent == HUNDRED:
        if not sum_given:
            raise RestError("CRM_PRODUCTROW_NORMALIZATION_DISCOUNT_SUM_REQUIRED", "Discount sum is required", 400)
        return 2, percent, cents(decimal(row["discountSum"]))
    return 2, percent, cents(exclusive * percent / (HUNDRED - percent))


def totals(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """(opportunity, taxValue) of an owner whose total is computed from its rows."""
    total = sum((cents(row["price"] * row["quantity"]) for row in rows), Decimal(0))
    tax = sum((cents(row["price"] * row["quantity"] * rate / (HUNDRED + rate)) for row in rows if (rate := row["taxRate"])), Decimal(0))
    return float(total), float(tax)


def shown(value: Any) -> Any:
    """A stored decimal as JSON prints it."""
    return plain(float(value)) if isinstance(value, Decimal) else value
