"""Which parameters a call may carry in its address, and what they may hold (X§2.4–2.6, X§4.1, X§4.8, X§5.1, X§6).

Nothing says what Xero does with a name that it does not document. Whoever sends one relies on something that may not happen: it is refused.
"""

from __future__ import annotations

import re

from flask import request

from sandbox.xero.errors import bad_query
from sandbox.xero.words import is_id

_LISTED = ("where", "order")
_PAGES = ("page", "pageSize")
_WRITE = ("summarizeErrors",)
#: What may be sent by verb and path; a path of two parts stands for every document of that kind.
_ALLOWED: dict[tuple[str, str], tuple[str, ...]] = {
    ("GET", "Invoices"): (
        *_LISTED,
        *_PAGES,
        "IDs",
        "InvoiceNumbers",
        "ContactIDs",
        "Statuses",
        "includeArchived",
        "createdByMyApp",
        "unitdp",
        "summaryOnly",
        "searchTerm",
    ),
    ("PUT", "Invoices"): (*_WRITE, "unitdp", "allowBackorders"),
    ("POST", "Invoices"): (*_WRITE, "unitdp", "allowBackorders"),
    ("GET", "Invoices/*"): ("unitdp",),
    ("POST", "Invoices/*"): ("unitdp",),
    ("GET", "Contacts"): (*_LISTED, *_PAGES, "IDs", "includeArchived", "summaryOnly", "searchTerm"),
    ("PUT", "Contacts"): _WRITE,
    ("POST", "Contacts"): _WRITE,
    ("GET", "Items"): (*_LISTED, "unitdp"),
    ("PUT", "Items"): (*_WRITE, "unitdp"),
    ("POST", "Items"): (*_WRITE, "unitdp"),
    ("GET", "Items/*"): ("unitdp",),
    ("POST", "Items/*"): ("unitdp",),
    ("GET", "CreditNotes"): (*_LISTED, *_PAGES, "unitdp"),
    ("PUT", "CreditNotes"): (*_WRITE, "unitdp"),
    ("POST", "CreditNotes"): (*_WRITE, "unitdp"),
    ("GET", "CreditNotes/*"): ("unitdp",),
    ("POST", "CreditNotes/*"): ("unitdp",),
    # `pageSize` of quotes is an open fact (X§2.2).
    ("GET", "Quotes"): ("DateFrom", "DateTo", "ExpiryDateFrom", "ExpiryDateTo", "ContactID", "Status", "QuoteNumber", "order", *_PAGES),
    ("PUT", "Quotes"): _WRITE,
    ("POST", "Quotes"): _WRITE,
    ("GET", "Payments"): (*_LISTED, *_PAGES),
    ("PUT", "Payments"): _WRITE,
    ("GET", "Accounts"): _LISTED,
    ("GET", "TaxRates"): _LISTED,
    ("GET", "Currencies"): _LISTED,
    ("GET", "Users"): _LISTED,
    ("GET", "TrackingCategories"): (*_LISTED, "includeArchived"),
}
_FLAGS = ("summarizeErrors", "includeArchived", "createdByMyApp", "summaryOnly", "allowBackorders")
_GUIDS = ("IDs", "ContactIDs", "ContactID")


def check(path: str, quote_pages_have_sizes: bool) -> None:
    """Refuse an undocumented name, a name given twice, and a value of the wrong kind. `path` is what follows the base."""
    parts = path.strip("/").split("/")
    if len(parts) > 2:
        return  # attachments, history and the like have rules of their own
    allowed = _ALLOWED.get((request.method, parts[0] if len(parts) == 1 else f"{parts[0]}/*"), ())
    if parts[0] == "Quotes" and not quote_pages_have_sizes:
        allowed = tuple(one for one in allowed if one != "pageSize")
    for name, values in request.args.lists():
        if name not in allowed:
            raise bad_query(f"The parameter '{name}' is not known for {request.method} /{path}")
        if len(values) > 1:
            raise bad_query(f"The parameter '{name}' was given {len(values)} times; lists are separated by commas")
        if not _fits(name, values[0]):
            raise bad_query(f"'{values[0]}' is not a valid value for the parameter '{name}'")


def _fits(name: str, value: str) -> bool:
    if name in _FLAGS:
        return value.lower() in ("true", "false")
    if name in _PAGES:
        return re.fullmatch(r"\d+", value) is not None
    if name == "unitdp":
        return value in ("2", "4")
    if name in _GUIDS:
        return all(is_id(one.strip()) for one in value.split(","))
    return True
