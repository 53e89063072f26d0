import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest

from plugin.xero.webhooks import WebhookEvent, events, verify

EVENT = {
    "resourceUrl": "https://api.xero.com/api.xro/2.0/Invoices/717F2BFC-c6d4-41fd-b238-3f2f0c0cf777",
    "resourceId": "717F2BFC-c6d4-41fd-b238-3f2f0c0cf777",
    "tenantId": "C2CC9B6E-9458-4c7d-93cc-f02b81b0594f",
    "tenantType": "ORGANISATION",
    "eventCategory": "INVOICE",
    "eventType": "Update",
    "eventDateUtc": "2026-06-21T01:15:39.902",
}


def signed(raw: bytes, key: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), raw, hashlib.sha256).digest()).decode()


def test_a_signature_over_the_raw_bytes_is_accepted_under_any_of_our_keys() -> None:
    raw = b'{"events": [] }'
    assert verify(raw, signed(raw, "new"), ("old", "new"))
    assert verify(raw, signed(raw, "old"), ("old", "new"))


@pytest.mark.parametrize("signature", [None, "", "wrong", "ümlaut", signed(b"other", "key"), signed(b"raw", "another key")])
def test_anything_else_is_refused(signature: str | None) -> None:
    assert not verify(b"raw", signature, ("key",))


def test_without_a_key_nothing_is_believed() -> None:
    assert not verify(b"raw", signed(b"raw", ""), ())
    assert not verify(b"raw", signed(b"raw", ""), ("",))


def test_events_become_bells_with_ids_in_lower_case() -> None:
    found = events(json.dumps({"events": [EVENT], "firstEventSequence": 76, "lastEventSequence": 76, "entropy": "X"}).encode())
    at = datetime(2026, 6, 21, 1, 15, 39, 902000, tzinfo=UTC)
    assert found == (WebhookEvent("c2cc9b6e-9458-4c7d-93cc-f02b81b0594f", "INVOICE", "717f2bfc-c6d4-41fd-b238-3f2f0c0cf777", "UPDATE", at),)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"events": null}',
        b'{"events": [1, null, "x", {}]}',
        json.dumps({"events": [], "firstEventSequence": 0, "lastEventSequence": 0, "entropy": "ITR"}).encode(),
        json.dumps({"events": [{**EVENT, "tenantType": "APPLICATION"}]}).encode(),
        json.dumps({"events": [{**EVENT, "resourceId": None}]}).encode(),
    ],
)
def test_intent_to_receive_and_malformed_messages_have_no_events(raw: bytes) -> None:
    assert events(raw) == ()
