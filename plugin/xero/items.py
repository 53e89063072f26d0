"""Items of Xero's price list (X§6.1): read all at once, created in hundreds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from plugin.domain.ledger import Item, Outcome
from plugin.wire import Answer
from plugin.xero.body import decimals, encode, many_lines, one_line
from plugin.xero.client import WRITE_PARAMS, Caller, rows
from plugin.xero.outcomes import Element, in_order, judged
from plugin.xero.parse import flag, guid, moment, optional_amount, part, text

#: PUT here creates and never changes an item that exists; POST would (X§6.1).
CREATE_METHOD = "PUT"
CREATE_PATH = "Items"
CREATE_PARAMS = WRITE_PARAMS
CREATE_MOST = 100

CODE_CHARS = 30
NAME_CHARS = 50
DESCRIPTION_CHARS = 4000
_HASH_CHARS = 8


def items(call: Caller, modified_since: datetime | None = None) -> tuple[Item, ...]:
    """All items, or those created or modified since; the list has no pages."""
    return tuple(parse_item(one) for one in rows(call("GET", "Items", params={"unitdp": "4"}, modified_since=modified_since), "Items"))


def fits_code(code: str) -> str:
    """The code as an item code: at most 30 characters; a longer one is shortened with a hash, always to the same (RULES 15)."""
    plain = one_line(code, len(code))
    if len(plain) <= CODE_CHARS:
        return plain
    return f"{plain[: CODE_CHARS - _HASH_CHARS - 1]}-{hashlib.sha256(plain.encode()).hexdigest()[:_HASH_CHARS]}"


def item_name(name: str) -> str:
    """The name as an item name, at most 50 characters; the whole name goes into the description."""
    return one_line(name, NAME_CHARS)


def create_body(wanted: Sequence[Item]) -> bytes:
    """The body that creates these items."""
    return encode({"Items": [element(one) for one in wanted]})


def element(item: Item) -> dict[str, Any]:
    """One item to sell, as Xero wants it."""
    details = {
        "UnitPrice": None if item.unit_price is None else decimals(item.unit_price, 4),
        "AccountCode": item.account_code,
        "TaxType": item.tax_type,
    }
    made = {
        "Code": fits_code(item.code),
        "Name": item_name(item.name),
        "Description": many_lines(item.description or item.name, DESCRIPTION_CHARS),
        "IsSold": item.is_sold,
        "SalesDetails": {name: value for name, value in details.items() if value not in (None, "")},
    }
    return {name: value for name, value in made.items() if value not in ("", {})}


def outcomes(answer: Answer, sent: Sequence[Item] = ()) -> tuple[Outcome, ...]:
    """One outcome for each item sent, in that order; without `sent` in the order of the answer."""
    return in_order(answer, "Items", _outcome, [element(one) for one in sent] or None, _marks, _facts)


def _outcome(found: dict[str, Any], refused: bool) -> Outcome:
    outcome = judged(found, "ItemID", refused)
    return Outcome(outcome.ok, outcome.id, outcome.errors, outcome.warnings, item=parse_item(found))


def _marks(found: Element) -> tuple[str, ...]:
    return (text(found.get("Code")).casefold(),)


def _facts(found: Element) -> tuple[str, ...]:
    return (text(found.get("Name")),)


def parse_item(found: dict[str, Any]) -> Item:
    """One element of `Items`."""
    sales = part(found.get("SalesDetails"))
    return Item(
        id=guid(found.get("ItemID")),
        code=text(found.get("Code")),
        name=text(found.get("Name")),
        description=text(found.get("Description")),
        unit_price=optional_amount(sales.get("UnitPrice")),
        account_code=text(sales.get("AccountCode")),
        tax_type=text(sales.get("TaxType")),
        is_sold=flag(found.get("IsSold", True)),
        tracked=flag(found.get("IsTrackedAsInventory")),
        updated_at=moment(found.get("UpdatedDateUTC")),
    )
