import json
from datetime import UTC, datetime
from typing import Any

import pytest
import responses
from responses import matchers

from plugin.domain.crm import Address, Customer
from plugin.domain.ledger import Contact
from plugin.domain.problems import Problem
from plugin.xero import contacts
from plugin.xero.contacts import NewContact
from plugin.xero.errors import problem_of
from tests.adapters.xero_calls import API, Call, answer

ID = "c0c0c0c0-0000-4000-8000-00000000000{}"
ZERO = "00000000-0000-0000-0000-000000000000"


def make_new(number: str = "B24-1-C7", name: str = "Tidewater Café Group Ltd", **changes: Any) -> NewContact:
    customer = {"kind": "company", "id": 7, "name": name, "email": "accounts@tidewater-cafe.example", **changes}
    return NewContact(number, Customer(**customer), name)


@responses.activate
def test_a_page_of_contacts_is_asked_for_in_summary_with_archived_ones() -> None:
    row = {
        "ContactID": ID.format("A"),
        "ContactNumber": "B24-1-C7",
        "AccountNumber": "ACC-1",
        "ContactStatus": "ARCHIVED",
        "Name": "Tidewater",
        "FirstName": "Mere",
        "LastName": "Tidewell",
        "EmailAddress": "a@b.example",
        "TaxNumber": "000-001-037",
        "MergedToContactID": ID.format("B"),
        "UpdatedDateUTC": "/Date(1789257600000+0000)/",
    }
    responses.get(f"{API}/Contacts", json={"pagination": {"page": 3, "pageCount": 4}, "Contacts": [row]})
    found, pages = contacts.contacts_page(Call(), 3, datetime(2026, 9, 1, tzinfo=UTC))
    assert pages == 4
    assert found == (
        Contact(
            ID.format("a"),
            "Tidewater",
            "B24-1-C7",
            "ACC-1",
            "000-001-037",
            "a@b.example",
            "Mere",
            "Tidewell",
            False,
            ID.format("b"),
            datetime(2026, 9, 13, tzinfo=UTC),
        ),
    )
    assert responses.calls[0].request.url == f"{API}/Contacts?page=3&pageSize=1000&order=UpdatedDateUTC%20ASC&summaryOnly=true&includeArchived=true"


@responses.activate
def test_nothing_modified_is_no_rows_and_no_pages() -> None:
    responses.get(f"{API}/Contacts", status=304)
    assert contacts.contacts_page(Call(), 1, datetime(2026, 9, 1, tzinfo=UTC), include_archived=False) == ((), 0)


@responses.activate
def test_contacts_are_read_by_fifty_ids_a_call() -> None:
    responses.get(f"{API}/Contacts", json={"Contacts": [{"ContactID": ID.format(1), "Name": "One"}]})
    ids = [f"{number:08d}-0000-0000-0000-000000000000" for number in range(60)]
    assert len(contacts.contacts_by_ids(Call(), ids)) == 2
    assert f"IDs={','.join(ids[:50])}&includeArchived=true&page=1" in str(responses.calls[0].request.url)


@responses.activate
def test_our_number_finds_its_contact_or_nothing() -> None:
    responses.get(f"{API}/Contacts/B24-1-C7", json={"Contacts": [{"ContactID": ID.format(1), "ContactNumber": "B24-1-C7"}]})
    responses.get(f"{API}/Contacts/B24%2F1", body="The resource you're looking for cannot be found", status=404)
    found = contacts.contact_by_number(Call(), "B24-1-C7")
    assert found is not None
    assert found.id == ID.format(1)
    assert contacts.contact_by_number(Call(), "B24/1") is None


def test_a_caller_that_raises_not_found_is_understood_too() -> None:
    def call(*_: Any, **__: Any) -> Any:
        raise problem_of(answer(404))

    assert contacts.contact_by_number(call, "B24-1-C7") is None


def test_other_problems_of_a_caller_pass_through() -> None:
    def call(*_: Any, **__: Any) -> Any:
        raise problem_of(answer(429))

    with pytest.raises(Problem):
        contacts.contact_by_number(call, "B24-1-C7")


@responses.activate
def test_a_name_is_looked_up_exactly() -> None:
    query = {"where": 'Name=="Tui & Thyme #1"', "includeArchived": "true", "page": "1"}
    responses.get(f"{API}/Contacts", json={"Contacts": [{"ContactID": ID.format(1), "Name": "TUI & THYME #1"}]}, match=[matchers.query_param_matcher(query)])
    assert [one.id for one in contacts.contacts_by_name(Call(), "Tui & Thyme #1")] == [ID.format(1)]


@responses.activate
def test_a_name_with_a_quote_is_searched_for_and_compared_here() -> None:
    query = {"searchTerm": 'The "Kettle"', "includeArchived": "true", "page": "1", "pageSize": "1000"}
    rows = [{"ContactID": ID.format(1), "Name": 'the "Kéttle"'}, {"ContactID": ID.format(2), "Name": 'The "Kettle" Too'}]
    responses.get(f"{API}/Contacts", json={"Contacts": rows}, match=[matchers.query_param_matcher(query)])
    assert [one.id for one in contacts.contacts_by_name(Call(), 'The "Kettle"')] == [ID.format(1)]


def test_a_company_is_written_with_everything_that_xero_can_hold() -> None:
    new = make_new(
        first_name="Mere",
        last_name="Tidewell",
        tax_number="000-001-037",
        company_number="9429000000001",
        phones=(("WORK", "+64 9 555 0101"), ("WORK", "+64 9 555 0999"), ("MOBILE", "+64 21 555 0101"), ("FAX", "+64 9 555 0102")),
        addresses=(
            Address(1, "14 Shelly Wharf Lane", "Floor 2", "Auckland", "Harbourside", "Auckland Region", "1010", "New Zealand"),
            Address(6, "PO Box 90101", "", "Auckland", "Auckland", "", "1142", "New Zealand"),
        ),
    )
    assert json.loads(contacts.create_body([new]))["Contacts"] == [
        {
            "Name": "Tidewater Café Group Ltd",
            "ContactNumber": "B24-1-C7",
            "FirstName": "Mere",
            "LastName": "Tidewell",
            "EmailAddress": "accounts@tidewater-cafe.example",
            "CompanyNumber": "9429000000001",
            "TaxNumber": "000-001-037",
            "Addresses": [
                {
                    "AddressType": "POBOX",
                    "AddressLine1": "PO Box 90101",
                    "City": "Auckland",
                    "Region": "Auckland",
                    "PostalCode": "1142",
                    "Country": "New Zealand",
                },
                {
                    "AddressType": "STREET",
                    "AddressLine1": "14 Shelly Wharf Lane",
                    "AddressLine2": "Floor 2",
                    "AddressLine3": "Harbourside",
                    "City": "Auckland",
                    "Region": "Auckland Region",
                    "PostalCode": "1010",
                    "Country": "New Zealand",
                },
            ],
            "Phones": [
                {"PhoneType": "DEFAULT", "PhoneNumber": "+64 9 555 0101"},
                {"PhoneType": "MOBILE", "PhoneNumber": "+64 21 555 0101"},
                {"PhoneType": "FAX", "PhoneNumber": "+64 9 555 0102"},
            ],
        }
    ]


def test_what_is_empty_is_left_out() -> None:
    assert contacts.element(make_new(email="", addresses=(Address(1),), phones=(("WORK", " "),))) == {
        "Name": "Tidewater Café Group Ltd",
        "ContactNumber": "B24-1-C7",
    }


def test_the_physical_address_is_printed_where_there_is_no_postal_one() -> None:
    made = contacts.element(make_new(addresses=(Address(1, "82 Old Sawmill Road\nWest wing"),)))["Addresses"]
    lines = {"AddressLine1": "82 Old Sawmill Road", "AddressLine2": "West wing"}
    assert made == [{"AddressType": "POBOX", **lines}, {"AddressType": "STREET", **lines}]


def test_correspondence_comes_before_legal_and_other_types_are_no_addresses_of_invoices() -> None:
    made = contacts.element(make_new(addresses=(Address(6, "Legal"), Address(8, "Postal"), Address(11, "Warehouse"))))["Addresses"]
    assert made == [{"AddressType": "POBOX", "AddressLine1": "Postal"}]


def test_five_lines_become_four() -> None:
    made = contacts.element(make_new(addresses=(Address(8, "a\nb\nc\nd\ne"),)))["Addresses"][0]
    assert made == {"AddressType": "POBOX", "AddressLine1": "a", "AddressLine2": "b", "AddressLine3": "c", "AddressLine4": "d, e"}


@pytest.mark.parametrize(
    ("country", "expected"),
    [("New Zealand", "New Zealand"), ("Côte d'Ivoire", "Cote d Ivoire"), ("NZ 64", "NZ"), ("Россия", ""), ("x" * 60, "x" * 50), ("", "")],
)
def test_a_country_has_letters_only(country: str, expected: str) -> None:
    made = contacts.element(make_new(addresses=(Address(8, "a", country=country),)))["Addresses"][0]
    assert made.get("Country", "") == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (" a.b+c@sub.example.co ", "a.b+c@sub.example.co"),
        ("müller@firma.example", ""),
        ("a@b", ""),
        ("a@@b.example", ""),
        (".a@b.example", ""),
        ("a..b@c.example", ""),
        ("a@-b.example", ""),
        ("a@b.example; c@d.example", ""),
        ("a@b.example\nBcc: x", ""),
        ("x" * 250 + "@b.example", ""),
        ("", ""),
    ],
)
def test_an_address_that_would_refuse_the_contact_is_dropped(given: str, expected: str) -> None:
    assert contacts.email(given) == expected


def test_names_are_normalised() -> None:
    assert contacts.contact_name("  Acme\t <b>Ltd</b>\n ") == "Acme b Ltd /b"
    assert contacts.contact_name("x" * 300) == "x" * 255
    assert contacts.contact_name("Cafe\u0301") == "Café"
    assert contacts.comparable("  ACME  Ltd ") == contacts.comparable("Acmé ltd")


def test_numbers_that_do_not_fit_are_left_out_and_telephones_cut() -> None:
    made = contacts.element(make_new(tax_number="9" * 51, company_number="8" * 51, phones=(("OTHER", "7" * 60),)))
    assert not {"TaxNumber", "CompanyNumber"} & set(made)
    assert made["Phones"] == [{"PhoneType": "DEFAULT", "PhoneNumber": "7" * 50}]


def test_a_number_of_ours_that_does_not_fit_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="50"):
        contacts.create_body([make_new("x" * 51)])


def test_outcomes_are_told_apart_by_number_then_name() -> None:
    rows = [
        {"ContactID": ID.format(2), "Name": "Two", "ContactNumber": "B24-1-C2", "HasValidationErrors": False},
        {
            "ContactID": ZERO,
            "Name": "One",
            "HasValidationErrors": True,
            "ValidationErrors": [{"Message": "Email address must be valid."}],
        },
    ]
    found = contacts.outcomes(answer(200, {"Contacts": rows}), [make_new("B24-1-C1", "One"), make_new("B24-1-C2", "Two")])
    assert [(one.ok, one.id, one.errors) for one in found] == [(False, "", ("Email address must be valid.",)), (True, ID.format(2), ())]
    assert found[1].contact is not None
    assert found[1].contact.number == "B24-1-C2"
    assert [one.ok for one in contacts.outcomes(answer(200, {"Contacts": rows}))] == [True, False]
