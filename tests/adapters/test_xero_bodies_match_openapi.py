"""Every body that we send, against Xero's own description, where a copy of it stands beside the project."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from plugin.domain.crm import Address, Customer
from plugin.domain.ledger import Item, Line, Tracking
from plugin.xero import contacts, items
from plugin.xero.documents import INVOICES
from plugin.xero.quotes import QUOTES, parse_quote
from plugin.xero.resource import Change
from tests.adapters.test_xero_documents import CONTACT, ID, LINE_ID, make_draft, make_line

SPEC = Path(__file__).parents[3] / "shared" / "reference" / "openapi" / "xero_accounting.yaml"

CUSTOMER = Customer(
    "company",
    7,
    "Tidewater",
    "Mere",
    "Tidewell",
    "a@b.example",
    (("WORK", "+64 9 555 0101"), ("MOBILE", "5"), ("FAX", "6")),
    (Address(1, "a", "b", "c", "d", "e", "f", "g"),),
    "t",
    "n",
)
LINE = make_line(id=LINE_ID.format(1), item_code="CONS", discount_rate=Decimal(5), tracking=(Tracking(LINE_ID.format(2), LINE_ID.format(3)),))
TEXT_LINE = Line("Thank you", Decimal(0), Decimal(0), "", "", id=LINE_ID.format(4))
FIELDS: dict[str, object] = {
    "contact_id": CONTACT,
    "number": "HV-1",
    "reference": "",
    "date": date(2026, 9, 13),
    "due_date": date(2026, 9, 27),
    "line_amount_types": "NoTax",
    "currency": "AUD",
    "url": "https://crm.example/1",
    "status": "SUBMITTED",
}

HELD = parse_quote(
    {"QuoteID": ID.format(1), "QuoteNumber": "Q-1", "Status": "DRAFT", "Contact": {"ContactID": CONTACT}, "DateString": "2026-09-13T00:00:00"}
    | {"LineAmountTypes": "EXCLUSIVE", "CurrencyCode": "NZD"}
)

BODIES: dict[str, tuple[str, bytes]] = {
    "new invoices": ("Invoices", INVOICES.parcel([make_draft(lines=(make_line(), LINE, TEXT_LINE)), make_draft("", url="", status="AUTHORISED")]).body),
    "changed invoices": (
        "Invoices",
        INVOICES.parcel([Change(ID.format(1), FIELDS, (LINE, TEXT_LINE)), Change(ID.format(2), {"status": "VOIDED"})]).body,
    ),
    "new quotes": ("Quotes", QUOTES.parcel([replace(make_draft(), kind="quote", title="T", summary="S", terms="Net 30"), make_draft("")]).body),
    "changed quotes": (
        "Quotes",
        QUOTES.parcel(
            [Change(ID.format(1), {**{name: FIELDS[name] for name in FIELDS if name not in ("number", "url")}, "status": "SENT"}, (LINE, TEXT_LINE), HELD)]
        ).body,
    ),
    "new contacts": ("Contacts", contacts.create_body([contacts.NewContact("B24-1-C7", CUSTOMER, "Tidewater")])),
    "new items": ("Items", items.create_body([Item("", "CONS", "Consulting", "By the hour", Decimal("95.1234"), "200", "OUTPUT2"), Item("", "B24-7", "Bare")])),
}


def one_collection(name: str, raw: bytes) -> None:
    """Without the description: a wrapped array under the plural key, no empty element, and no null anywhere (X§2.2, §2.7)."""
    body = json.loads(raw)
    assert list(body) == [name]
    assert all(body[name])
    assert b"null" not in raw


def as_described(name: str, raw: bytes) -> None:
    """With it: types, lengths and enumerations, and no property that it does not know."""
    jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": strict_components()}).validate(json.loads(raw))


@cache
def strict_components() -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    components: dict[str, Any] = yaml.load(SPEC.read_text(), loader)["components"]
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return {"schemas": components["schemas"]}


CHECKS: list[Callable[[str, bytes], None]] = [one_collection, *([as_described] if SPEC.exists() else [])]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("body", list(BODIES))
def test_a_body_is_as_xero_describes_it(body: str, check: Callable[[str, bytes], None]) -> None:
    check(*BODIES[body])
