"""Xero's webhooks (X§8): who sent it, and which objects to read again. The message itself is never believed further than that."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from plugin.xero.parse import guid, moment, objects, part, text


@dataclass(frozen=True)
class WebhookEvent:
    """A bell: this object of this organisation was created or changed. Categories and types are in upper case."""

    tenant_id: str
    category: str  # INVOICE, CONTACT, CREDITNOTE, ...
    resource_id: str
    type: str  # CREATE, UPDATE
    at: datetime | None


def verify(raw: bytes, signature: str | None, keys: Sequence[str]) -> bool:
    """Is this the signature of these very bytes under one of the keys (several while keys rotate)? In constant time."""
    given = (signature or "").strip().encode()
    known = [hmac.compare_digest(given, base64.b64encode(hmac.new(key.encode(), raw, hashlib.sha256).digest())) for key in keys if key]
    return any(known)


def events(raw: bytes) -> tuple[WebhookEvent, ...]:
    """The events about organisations; an intent-to-receive message has none, and what is malformed is left out."""
    try:
        body = part(json.loads(raw))
    except (ValueError, RecursionError):
        return ()
    found = (_event(one) for one in objects(body.get("events")) if text(one.get("tenantType")).upper() in ("", "ORGANISATION"))
    return tuple(one for one in found if one.tenant_id and one.resource_id and one.category)


def _event(found: dict[str, Any]) -> WebhookEvent:
    return WebhookEvent(
        tenant_id=guid(found.get("tenantId")),
        category=text(found.get("eventCategory")).upper(),
        resource_id=guid(found.get("resourceId")),
        type=text(found.get("eventType")).upper(),
        at=moment(found.get("eventDateUtc")),
    )
