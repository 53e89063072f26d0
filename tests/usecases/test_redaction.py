"""What the call log keeps: shapes, ids, states, dates and amounts; no keys, no people."""

from __future__ import annotations

import json

import pytest

from plugin import redaction
from plugin.bitrix24.client import pack

PERSONAL = (
    "Harbour Café Ltd",
    "Jane",
    "Miller",
    "jane.miller@harbour.example",
    "+61 400 123 456",
    "0400123456",
    "12 Quay Street",
    "98-765-432",
    "12 3456 7890123 00",
    "Delivered to Jane's boat",
)
SECRET = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghijklmnopqrstuvwxyz0123456789"


def test_what_no_database_keeps_is_left_out() -> None:
    assert json.loads(redaction.body(b'{"Status": "a\\ud83d", "Total": 1}'))["Total"] == 1
    for kept in (redaction.body(b'{"Status": "a\\ud83d\\u0000"}'), redaction.address("https://x.example/a%00b%ed%a0%bd")):
        kept.encode()
        assert "\0" not in kept


def xero_invoice() -> dict[str, object]:
    return {
        "InvoiceID": "8694c9c5-7097-4449-a708-b8c1982921a4",
        "InvoiceNumber": "HV-1004",
        "Reference": "Order of Jane Miller",
        "Status": "AUTHORISED",
        "Date": "/Date(1766016000000+0000)/",
        "DueDateString": "2026-01-07T00:00:00",
        "Total": 230.0,
        "CurrencyCode": "NZD",
        "Contact": {
            "ContactID": "3e776c4b-ea9e-4bb1-96be-6b0c7a71a37f",
            "Name": "Harbour Café Ltd",
            "FirstName": "Jane",
            "LastName": "Miller",
            "EmailAddress": "jane.miller@harbour.example",
            "TaxNumber": "98-765-432",
            "BankAccountDetails": "12 3456 7890123 00",
            "Phones": [{"PhoneType": "MOBILE", "PhoneNumber": "0400123456"}, {"PhoneNumber": "+61 400 123 456"}],
            "Addresses": [{"AddressLine1": "12 Quay Street"}],
        },
        "LineItems": [{"Description": "Delivered to Jane's boat", "UnitAmount": "115.0000", "AccountCode": "200", "LineItemID": "a"}] * 9,
        "ValidationErrors": [
            {"Message": "The contact name Harbour Café Ltd is already assigned to another contact. The contact name must be unique."},
            {"Message": "Email address jane.miller@harbour.example must be valid, call +61 400 123 456."},
        ],
    }


def test_people_are_left_out_and_what_explains_stays() -> None:
    kept = redaction.body(json.dumps({"Invoices": [xero_invoice()]}).encode())
    assert [one for one in PERSONAL if one in kept] == []
    for word in ("8694c9c5-7097-4449-a708-b8c1982921a4", "HV-1004", "AUTHORISED", "230.0", "115.0000", "NZD", "2026-01-07", '"200"', "… 6 more"):
        assert word in kept, word
    assert "is already assigned to another contact" in kept
    assert "must be valid" in kept


def test_keys_are_left_out_wherever_they_stand() -> None:
    commands = {"a": ("crm.item.get", {"entityTypeId": 31, "id": 12, "auth": SECRET}), "b": ("user.get", {"filter": {"EMAIL": "jane.miller@harbour.example"}})}
    raw = json.dumps(pack(commands) | {"auth": SECRET, "refresh_token": SECRET, "application_token": "abc", "CLIENT_ID": "app.123", "unknown": SECRET}).encode()
    kept = redaction.body(raw)
    for word in (SECRET, "abc", "app.123", "jane"):
        assert word not in kept, kept
    assert "crm.item.get?entityTypeId=31&id=12&auth=…" in kept
    assert SECRET not in redaction.sentence(f"the token {SECRET} is bad")
    assert redaction.body(b"grant_type=refresh_token&refresh_token=" + SECRET.encode()) == f"({39 + len(SECRET)} bytes that are no JSON)"
    asked = redaction.address(f"https://oauth.example/oauth/token/?grant_type=refresh_token&refresh_token={SECRET}")
    assert SECRET not in asked
    found = redaction.address("https://api.example/api.xro/2.0/Contacts?page=2&where=Name%3D%22Jane%20Miller%22&IDs=a,b")
    assert found == "/api.xro/2.0/Contacts?page=2&where=…&IDs=a,b"


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[" * 5000, b'"x"', b"null", b"\xff\xfe", b"{}"])
def test_whatever_comes_is_survived(raw: bytes) -> None:
    assert len(redaction.body(raw)) <= redaction.LONGEST
    assert redaction.documents("https://x/?", raw) == ()


def test_a_request_names_its_documents() -> None:
    xero = redaction.documents("https://api.example/api.xro/2.0/Invoices?IDs=8694C9C5-7097-4449-a708-b8c1982921a4", b"")
    assert xero == ("8694c9c5-7097-4449-a708-b8c1982921a4",)
    commands = {
        "a": ("crm.item.get", {"entityTypeId": 31, "id": 12}),
        "b": ("crm.item.list", {"entityTypeId": 7, "filter": {"@id": [5, 6]}}),
        "c": ("crm.item.productrow.list", {"filter": {"=ownerType": "SI", "=ownerId": 13}}),
        "d": ("crm.company.get", {"id": 99}),
    }
    named = redaction.documents("https://portal.example/rest/batch", json.dumps(pack(commands) | {"auth": "x"}).encode())
    assert named == ("invoice:12", "quote:5", "quote:6", "invoice:13")
    alone = redaction.documents("https://portal.example/rest/crm.item.update", json.dumps({"entityTypeId": 31, "id": 4, "auth": "x"}).encode())
    assert alone == ("invoice:4",)
