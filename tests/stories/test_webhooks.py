"""Xero's webhooks: believed by their signature alone, answered at once, and never more than a bell."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from plugin.models import Callback, Job, Link
from tests.stories.office import Office
from tests.stories.seen import row, rows
from tests.stories.test_sending import sendable


def event(office: Office, document: str, **more: Any) -> dict[str, Any]:
    said = {"resourceId": document, "tenantId": office.sandbox.xero.HARBOUR, "tenantType": "ORGANISATION", "eventCategory": "INVOICE", "eventType": "UPDATE"}
    return {**said, "eventDateUtc": "2026-11-20T01:15:39.902", **more}


def post(office: Office, body: bytes, key: str | None = None) -> int:
    key = office.config.xero_webhook_keys[0] if key is None else key
    signature = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest()).decode()
    return office.client.post("/xero/webhooks", data=body, headers={"x-xero-signature": signature}, content_type="application/json").status_code


def told(office: Office, *events: dict[str, Any]) -> int:
    return post(office, json.dumps({"events": list(events), "firstEventSequence": 1, "lastEventSequence": len(events), "entropy": "x"}).encode())


def sent(office: Office) -> tuple[int, str]:
    """An invoice in Xero, and its document there."""
    (crm_id,) = sendable(office, 1)
    office.ready().send(crm_id)
    return crm_id, row(office, Link, crm_kind="invoice", crm_id=crm_id).xero_id


def test_the_handshake_is_passed_right_and_wrong(office: Office) -> None:
    handshake = b'{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3r4Nd0mt3xt"}'

    assert post(office, handshake) == 200
    assert post(office, handshake, key="wrong") == 401
    assert office.client.post("/xero/webhooks", data=handshake).status_code == 401
    answer = office.client.post("/xero/webhooks", data=b"{}")
    assert (answer.data, "Set-Cookie" in answer.headers) == (b"", False)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"events": 7}', b'{"events": [null, 3, {"tenantId": []}]}', b"\xff\xfe", b"[" * 5000])
def test_signed_nonsense_is_acknowledged_and_does_nothing(office: Office, body: bytes) -> None:
    assert post(office, body) == 200
    assert rows(office, Callback) == []


def test_a_payment_in_xero_comes_back_as_the_paid_stage(office: Office) -> None:
    crm_id, document = sent(office)
    if office.sandbox.xero.invoice(document).status != "AUTHORISED":  # type: ignore[union-attr]
        office.sandbox.xero.approve(document)
    office.sandbox.xero.pay(document)

    assert told(office, event(office, document)) == 200
    office.work()

    crm = office.sandbox.bitrix24.portals["harbour"]
    assert crm.invoices[crm_id]["stageId"] == crm.stage_id("P")


def test_the_same_news_often_is_one_look(office: Office) -> None:
    _, document = sent(office)
    for _ in range(3):
        assert told(office, event(office, document), event(office, document)) == 200

    office.take_in()
    assert len(rows(office, Job, kind="pull", state="waiting")) == 1


def test_the_letter_is_not_believed_only_the_bell(office: Office) -> None:
    crm_id, document = sent(office)
    before = office.sandbox.bitrix24.portals["harbour"].invoices[crm_id]["stageId"]

    told(office, event(office, document, status="PAID", eventType="Update"))
    office.work()

    assert office.sandbox.bitrix24.portals["harbour"].invoices[crm_id]["stageId"] == before


def test_what_is_not_linked_or_of_an_organisation_that_nobody_has_is_dropped(office: Office) -> None:
    sent(office)
    unlinked = next(one for one in office.sandbox.xero.invoices() if one.number == "INV-0002")

    assert told(office, event(office, unlinked.id), event(office, unlinked.id, tenantId=office.sandbox.xero.BOB)) == 200
    office.take_in()

    assert rows(office, Job, kind="pull", state="waiting") == []


def test_after_disconnecting_news_order_nothing(office: Office) -> None:
    _, document = sent(office)
    office.open().post("/app/setup/connection/disconnect")

    assert told(office, event(office, document)) == 200
    office.take_in()

    assert rows(office, Job, state="waiting") == []


def test_a_stored_message_holds_ids_and_nothing_else(office: Office) -> None:
    _, document = sent(office)

    told(office, event(office, document, resourceUrl="https://api.xero.com/secret", contact="Somebody"))

    (kept,) = rows(office, Callback)
    assert kept.body == {"ids": [document]}


def test_either_key_is_believed_while_keys_rotate(office: Office) -> None:
    from dataclasses import replace

    office.app.extensions["tallybridge"] = replace(office.services, config=replace(office.config, xero_webhook_keys=("new", "old")))

    assert [post(office, b'{"events":[]}', key=key) for key in ("new", "old", office.config.xero_webhook_keys[0])] == [200, 200, 401]


def test_both_portals_on_one_organisation_hear_of_their_own_documents_only(office: Office) -> None:
    _, document = sent(office)
    bob = office.install("stranger")
    bob.connect_xero()
    bob.set_up(number_prefix="BOB-")
    office.work()

    told(office, event(office, document))
    office.take_in()

    (job,) = rows(office, Job, kind="pull", state="waiting")
    assert job.portal_id == row(office, Link, crm_kind="invoice", xero_id=document).portal_id != bob.portal_id
