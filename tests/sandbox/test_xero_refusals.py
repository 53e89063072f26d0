"""One broken rule of the reference a line, and what the Xero stand-in says to it."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.serve import Sandbox
from tests.sandbox.xero_calls import Api


@pytest.fixture
def api(sandbox: Sandbox) -> Api:
    sandbox.xero.controls.switches.set("webhooks", "off")
    sandbox.xero.controls.switches.set("limits", "off")
    return Api(sandbox)


#: What is changed in an invoice that Xero would take, and words of the refusal (X§4.2–4.5, X§9.3).
INVOICES: list[tuple[str, dict[str, Any], str]] = [
    ("Url with the word xero", {"Url": "https://xero.example/1"}, "must not contain"),
    ("Url that is not absolute", {"Url": "/crm/1"}, "valid absolute url"),
    ("number that is not ASCII", {"InvoiceNumber": "Nü-1"}, "invalid characters"),
    ("number of 256", {"InvoiceNumber": "1" * 256}, "255 characters"),
    ("reference of 256", {"Reference": "r" * 256}, "255 characters"),
    ("created as paid", {"Status": "PAID"}, "not of valid status for creation"),
    ("created as a status of its own", {"Status": "APPROVED"}, "not of valid status for creation"),
    ("created as a credit note", {"Type": "ACCRECCREDIT"}, "not of valid type for creation"),
    ("created without a type", {"Type": None}, "not of valid type for creation"),
    ("created for nobody", {"Contact": None}, "A Contact must be specified"),
    ("approved without lines", {"LineItems": []}, "One or more line items"),
    ("LineAmountTypes of quotes", {"LineAmountTypes": "EXCLUSIVE"}, "not a valid LineAmountTypes"),
    ("date of another country", {"Date": "02/11/2026"}, "not a valid date"),
    ("currency that is not subscribed", {"CurrencyCode": "CHF"}, "not subscribed to currency CHF"),
    ("currency in lower case", {"CurrencyCode": "nzd"}, "not subscribed to currency nzd"),
    ("draft that was sent to the contact", {"Status": "DRAFT", "SentToContact": True}, "SentToContact"),
    ("branding theme of nobody", {"BrandingThemeID": "11111111-1111-1111-1111-111111111111"}, "Branding Theme"),
]
LINES: list[tuple[str, dict[str, Any], str]] = [
    ("description of 4001", {"Description": "d" * 4001}, "4000 characters"),
    ("description of nothing", {"Description": ""}, "Description"),
    ("quantity of fourteen", {"Quantity": "123456789.12345"}, "13 characters"),
    ("item code of 31", {"ItemCode": "i" * 31}, "30 characters"),
    ("item that does not exist", {"ItemCode": "NOSUCH"}, "is not valid"),
    ("account code of 11", {"AccountCode": "1" * 11}, "10 characters"),
    ("account that does not exist", {"AccountCode": "999"}, "not a valid code for this document"),
    ("account of the debtors", {"AccountCode": "610"}, "not a valid code for this document"),
    ("tax that does not exist", {"TaxType": "NOPE"}, "TaxType code 'NOPE'"),
    ("purchase tax on an income account", {"TaxType": "INPUT2"}, "cannot be used with account code '200'"),
    ("amount that is not quantity by price", {"LineAmount": 1}, "does not match the expected line total"),
    ("amount beyond ten thousand million", {"UnitAmount": 99999999999}, "9999999999.99"),
    ("both discounts", {"DiscountRate": 5, "DiscountAmount": 1}, "Only one of"),
    ("discount of 101", {"DiscountRate": 101}, "between 0 and 100"),
    ("tracking that does not exist", {"Tracking": [{"Name": "No", "Option": "x"}]}, "tracking option"),
    ("three trackings", {"Tracking": [{"Name": "Region", "Option": "North"}] * 3}, "at most 2"),
    ("total below nothing", {"UnitAmount": -5}, "must not be negative"),
]
CONTACTS: list[tuple[str, dict[str, Any], str]] = [
    ("name of 256", {"Name": "n" * 256}, "255 characters"),
    ("name with a tag", {"Name": "a<b"}, "< or >"),
    ("two addresses in EmailAddress", {"EmailAddress": "a@example.org;b@example.org"}, "Email address must be valid"),
    ("umlaut in EmailAddress", {"EmailAddress": "ü@example.org"}, "Email address must be valid"),
    ("figures in Country", {"Addresses": [{"AddressType": "POBOX", "Country": "NZ 1"}]}, "letters only"),
    ("Country of 51", {"Addresses": [{"AddressType": "POBOX", "Country": "N" * 51}]}, "50 characters"),
    ("address of no type", {"Addresses": [{"AddressType": "HOME"}]}, "not a valid AddressType"),
    ("address line of 501", {"Addresses": [{"AddressType": "POBOX", "AddressLine1": "a" * 501}]}, "500 characters"),
    ("AttentionTo of 256", {"Addresses": [{"AddressType": "POBOX", "AttentionTo": "a" * 256}]}, "255 characters"),
    ("phone of no type", {"Phones": [{"PhoneType": "HOME", "PhoneNumber": "1"}]}, "not a valid PhoneType"),
    ("phone of 51", {"Phones": [{"PhoneType": "DEFAULT", "PhoneNumber": "1" * 51}]}, "50 characters"),
    ("area code of 11", {"Phones": [{"PhoneType": "DEFAULT", "PhoneAreaCode": "1" * 11}]}, "10 characters"),
    ("ContactNumber of 51", {"ContactNumber": "c" * 51}, "50 characters"),
    ("AccountNumber of 51", {"AccountNumber": "c" * 51}, "50 characters"),
    ("TaxNumber of 51", {"TaxNumber": "t" * 51}, "50 characters"),
    ("CompanyNumber of 51", {"CompanyNumber": "c" * 51}, "50 characters"),
    ("six people", {"ContactPersons": [{"FirstName": str(one)} for one in range(6)]}, "at most 5"),
    ("status of no kind", {"ContactStatus": "GONE"}, "not a valid ContactStatus"),
    ("account of nobody", {"SalesDefaultAccountCode": "999"}, "not a valid code"),
    ("currency that is not subscribed", {"DefaultCurrency": "CHF"}, "not subscribed to currency CHF"),
]


@pytest.mark.parametrize(("rule", "change", "words"), INVOICES, ids=[one[0] for one in INVOICES])
def test_an_invoice_with_a_broken_rule_is_refused(api: Api, rule: str, change: dict[str, Any], words: str) -> None:
    wanted = {name: value for name, value in {**api.invoice(), **change}.items() if value is not None}

    assert words in api.refusal("PUT", "Invoices", wanted), rule


@pytest.mark.parametrize(("rule", "change", "words"), LINES, ids=[one[0] for one in LINES])
def test_a_line_with_a_broken_rule_is_refused(api: Api, rule: str, change: dict[str, Any], words: str) -> None:
    wanted = api.invoice()
    wanted["LineItems"][0] |= change

    assert words in api.refusal("PUT", "Invoices", wanted), rule


@pytest.mark.parametrize(("rule", "change", "words"), CONTACTS, ids=[one[0] for one in CONTACTS])
def test_a_contact_with_a_broken_rule_is_refused(api: Api, rule: str, change: dict[str, Any], words: str) -> None:
    assert words in api.refusal("PUT", "Contacts", {"Name": "Kowhai Nursery", **change}), rule


@pytest.mark.parametrize(
    ("verb", "path", "body", "headers", "status"),
    [
        ("GET", "Nope", None, {}, 404),
        ("DELETE", "Invoices/11111111-1111-1111-1111-111111111111", None, {}, 405),
        ("POST", "Organisation", {}, {}, 501),
        ("GET", "Invoices", None, {"If-Modified-Since": "yesterday"}, 412),
        ("PUT", "Contacts", {"Contacts": [{"Name": "A"}]}, {"Idempotency-Key": "k" * 129}, 400),
        ("PUT", "Invoices", {"Invoices": [{"Colour": "blue"}]}, {}, 400),
        ("PUT", "Accounts", {"Accounts": [{"Code": "1", "Name": "A", "Type": "SALES"}] * 2}, {}, 400),
        ("GET", "Organisation", None, {"Xero-Tenant-Id": "11111111-1111-1111-1111-111111111111"}, 403),
        ("GET", "Organisation", None, {"Authorization": "Bearer nothing"}, 401),
    ],
)
def test_a_request_with_a_broken_rule_is_refused_whole(api: Api, verb: str, path: str, body: Any, headers: dict[str, str], status: int) -> None:
    assert api.call(verb, path, body, headers=headers).status_code == status
