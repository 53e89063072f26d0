"""When two documents are stopped by the same cause: the same code, and the same of what a repair would change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Parameters that make another cause of the same code. All others tell documents apart, not causes.
_APART: Mapping[str, tuple[str, ...]] = {
    "send.account_missing": ("account",),
    "send.account_archived": ("account",),
    "send.account_not_allowed": ("account",),
    "send.contact_archived": ("contact",),
    "send.contact_missing": ("customer",),
    "send.contact_several": ("customer",),
    "send.contact_tax_differs": ("contact",),
    "send.currency_missing": ("currency",),
    "send.tax_missing": ("tax",),
    "send.tax_not_for_account": ("tax", "account"),
    "send.tax_rate_differs": ("tax", "rate"),
    "send.tax_unmapped": ("rate",),
    "xero.account_archived": ("account",),
    "xero.account_invalid": ("account",),
    "xero.contact_name_taken": ("name",),
    "xero.currency_missing": ("currency",),
    "xero.item_invalid": ("item",),
    "xero.refused": ("messages",),
    "xero.tax_account_mismatch": ("tax_type", "account"),
    "xero.tax_invalid": ("tax_type",),
}


def cause(code: str, params: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What documents with the same cause have in common."""
    given = params or {}
    return (code, *(str(given.get(name)) for name in _APART.get(code, ())))
