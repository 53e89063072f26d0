"""Our numbers and codes in Xero (RULES 11, 13, 15). All are deterministic: the same record always gets the same."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

from plugin.domain.crm import Invoice, Product
from plugin.domain.settings import Settings

NUMBER_LENGTH = 255
ITEM_CODE_LENGTH = 30


def document_number(invoice: Invoice, settings: Settings, suffix: int = 0) -> str:
    """The number to send, or "" for Xero's own numbering: by choice, or because Xero cannot hold it (RULES 13).

    `suffix` 2 and above gives "-2", "-3" for a document sent as new after a void or deletion; 0 and 1 give none.
    """
    number = invoice.number.strip()
    if settings.number_policy == "xero" or not number:
        return ""
    full = f"{settings.number_prefix}{number}{f'-{suffix}' if suffix > 1 else ''}".strip()
    return full if full.isascii() and full.isprintable() and len(full) <= NUMBER_LENGTH else ""


def reference_mark(member_id: str, document: Invoice) -> str:
    """What marks a document in its reference, where Xero numbers it and holds no Url of it: `B24-<portal>-Q12` (RULES 11)."""
    return f"{OURS}{_portal(member_id)}-{document.kind[:1].upper()}{document.id}"


def item_code(product: Product, source: Literal["code", "xmlId", "id"], parent: Product | None = None) -> str:
    """A product's item code: its own, a variation's else its parent's, else `B24-<id>` (RULES 15); never longer than Xero holds."""
    own = "" if source == "id" else " ".join(product.code.split())
    inherited = "" if source == "id" or own or not parent else " ".join(parent.code.split())
    return shorten(own or inherited or f"B24-{product.id}", ITEM_CODE_LENGTH)


def shorten(text: str, length: int) -> str:
    """The text, or its beginning with a hash of the whole, so that two long ones stay different."""
    if len(text) <= length:
        return text
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[: length - len(mark) - 1].rstrip()}-{mark}"


#: How every ContactNumber of ours begins, of whichever portal.
OURS = "B24-"


def contact_number(member_id: str, kind: Literal["company", "contact"], crm_id: int) -> str:
    """The ContactNumber of a CRM company or contact: `B24-<portal>-CO123` or `…-C45` (X§5.2)."""
    return f"{OURS}{_portal(member_id)}-{'CO' if kind == 'company' else 'C'}{crm_id}"


def _portal(member_id: str) -> str:
    return re.sub(r"[^0-9a-z]", "", member_id.lower())[:8]
