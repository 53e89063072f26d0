"""Drafts as stored JSON, and fingerprints: equal content gives equal fingerprints (RULES 22)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import date
from decimal import Decimal
from typing import Any

from plugin.domain.crm import Invoice, Row
from plugin.domain.ledger import Document, Draft, Line, Tracking
from plugin.domain.money import plain

_ADDED = ("kind", "title", "summary", "terms", "mark")
_NOT_CONTENT = ("id", "row_id", "item_id", "line_amount", "tax_amount")
_NAMES: dict[type[Any], tuple[str, ...]] = {kind: tuple(each.name for each in fields(kind)) for kind in (Draft, Line)}
_LINE_MONEY = ("quantity", "unit_amount", "discount_rate", "line_amount", "tax_amount", "discount_amount")


def draft_to_json(draft: Draft) -> dict[str, Any]:
    """Plain JSON values; money as text with every digit."""
    return _json(draft, str)


def draft_from_json(stored: Mapping[str, Any]) -> Draft:
    """The draft that `draft_to_json` wrote; keys that it did not know yet take their default."""
    given = _known(Draft, stored)
    given |= {name: date.fromisoformat(given[name]) for name in ("date", "due_date") if given[name]}
    return Draft(**(given | {"total": Decimal(given["total"]), "lines": tuple(_line(each) for each in given["lines"])}))


def as_draft(document: Document) -> Draft:
    """What Xero holds, in the form of a draft: the base for "push", where the CRM's side wins everything (RULES 19)."""
    day = document.date or date.min
    return Draft(
        contact_id=document.contact_id,
        date=day,
        due_date=document.due_date or (None if document.type == "QUOTE" else day),
        currency=document.currency,
        line_amount_types=document.line_amount_types,
        lines=document.lines or (),
        total=document.total,
        status=document.status,
        number=document.number,
        reference=document.reference,
        url=document.url,
        kind="quote" if document.type == "QUOTE" else "invoice",
        title=document.title,
        summary=document.summary,
        terms=document.terms,
    )


def fingerprint(draft: Draft) -> str:
    """A stable hash of a draft's content: ids of lines and rows, and the writing of a number (2 or 2.00), do not matter."""
    content = _json(draft, plain)
    # What later versions added counts where it says something: fingerprints that are kept stay equal.
    content = {name: value for name, value in content.items() if name not in _ADDED or value not in ("", "invoice")}
    content["lines"] = [{key: value for key, value in line.items() if key not in _NOT_CONTENT} for line in content["lines"]]
    return _hash(content)


def invoice_fingerprint(invoice: Invoice) -> str:
    """A stable hash of what matters for sending. Our own user fields, times and row ids do not: what we write back is no change.

    The stage is not in it, for we move that ourselves: who compares documents compares it apart.
    """
    return _hash(
        {
            "id": invoice.id,
            "number": invoice.number,
            "title": invoice.title,
            "currency": invoice.currency,
            "total": plain(invoice.total),
            "manual": invoice.manual_total,
            "date": str(invoice.date or ""),
            "due": str(invoice.due_date or ""),
            "company": invoice.company_id or 0,
            "contact": invoice.contact_id or 0,
            "seller": invoice.seller_id or 0,
            **({"summary": invoice.summary, "terms": invoice.terms} if invoice.kind == "quote" else {}),
            "rows": [_row(row) for row in sorted(invoice.rows, key=lambda row: (row.sort, row.id))],
        }
    )


def _row(row: Row) -> list[Any]:
    money = (row.price, row.quantity, row.price_exclusive, row.price_netto, row.price_brutto, row.discount_rate, row.discount_sum)
    tax = None if row.tax_rate is None else plain(row.tax_rate)
    return [row.product_id, row.name, *(plain(value) for value in money), row.discount_type, tax, row.tax_included]


def _known(kind: type[Draft | Line], stored: Mapping[str, Any]) -> dict[str, Any]:
    names = _NAMES[kind]
    return {name: value for name, value in stored.items() if name in names}


def _line(stored: Mapping[str, Any]) -> Line:
    given = _known(Line, stored)
    given |= {name: Decimal(given[name]) for name in _LINE_MONEY if given.get(name) is not None}
    return Line(**(given | {"tracking": tuple(Tracking(**each) for each in given.get("tracking", ()))}))


def _json(value: Draft, write: Callable[[Decimal], str]) -> dict[str, Any]:
    """Written out, without `asdict`, which copies everything deeply: this runs several times for every document."""
    given = vars(value) | {"date": value.date.isoformat(), "total": write(value.total)}
    given["due_date"] = value.due_date.isoformat() if value.due_date else None
    given["lines"] = [_line_json(each, write) for each in value.lines]
    return given


def _line_json(line: Line, write: Callable[[Decimal], str]) -> dict[str, Any]:
    given = dict(vars(line))
    for name in _LINE_MONEY:
        if given[name] is not None:
            given[name] = write(given[name])
    given["tracking"] = [dict(vars(each)) for each in line.tracking]
    return given


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
