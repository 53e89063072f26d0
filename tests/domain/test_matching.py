from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin.domain.ledger import Contact
from plugin.domain.matching import Candidates, Listed, clean_name, match_contact, match_documents, match_pairs, may_link, normalise_name, person_name
from tests.domain.build import DAY, D, contact, customer, held, invoice, send

NUMBER = "B24-portal-CO1"


class TestNames:
    @pytest.mark.parametrize("other", ["ACME LTD", "  Acme   Ltd ", "Ácme Ltd", "A\u0301cme Ltd"])
    def test_case_accents_and_spaces_do_not_matter(self, other: str) -> None:
        assert normalise_name(other) == normalise_name("Acme Ltd")

    def test_the_legal_form_matters(self) -> None:
        assert normalise_name("Acme Ltd") != normalise_name("Acme")

    def test_names_are_cleaned_for_xero(self) -> None:
        assert clean_name(" <b>Acme\t\u0007 & Co  ") == "b Acme & Co"
        assert len(clean_name("x" * 300)) == 255

    @given(st.text())
    def test_a_clean_name_is_stable_and_single_spaced(self, name: str) -> None:
        clean = clean_name(name)
        assert clean == " ".join(clean.split())
        assert not {"<", ">"}.intersection(clean)
        assert normalise_name(normalise_name(name)) == normalise_name(name)

    def test_a_person_is_named_as_the_portal_prefers(self) -> None:
        ada = customer("Ada L.", kind="contact", first_name="Ada", last_name="Lovelace")
        assert (person_name(ada, "first_last"), person_name(ada, "last_first")) == ("Ada Lovelace", "Lovelace Ada")
        assert person_name(replace(ada, first_name="", last_name=""), "last_first") == "Ada L."
        assert person_name(customer("Acme Ltd", first_name="Ada"), "first_last") == "Acme Ltd"


class TestOneCustomer:
    """RULES 14."""

    @pytest.mark.parametrize(
        ("candidates", "kind", "found"),
        [
            ([], "none", []),
            ([contact("Other")], "none", []),
            ([contact("Renamed", number=NUMBER), contact(contact_id="c2")], "linked_number", ["c1"]),
            ([contact("ÁCME  ltd")], "single_name", ["c1"]),
            ([contact(), contact(contact_id="c2")], "several", ["c1", "c2"]),
            ([contact(active=False)], "archived", ["c1"]),
            ([contact(active=False), contact(contact_id="c2")], "single_name", ["c2"]),
            ([contact(number=NUMBER, active=False)], "archived", ["c1"]),
            ([contact(tax_number="NZ 999")], "tax_differs", ["c1"]),
            ([contact(tax_number="nz-123")], "single_name", ["c1"]),
            ([contact(active=False, merged_to="c2"), contact("Acme Group", contact_id="c2")], "single_name", ["c2"]),
            ([contact(number=NUMBER, active=False, merged_to="c2"), contact("Acme Group", contact_id="c2")], "linked_number", ["c2"]),
        ],
    )
    def test_the_look_up_finds_one_none_or_candidates(self, candidates: list[Contact], kind: str, found: list[str]) -> None:
        match = match_contact(customer(tax_number="NZ123"), NUMBER, Candidates(candidates))
        assert (match.kind, [each.id for each in match.contacts]) == (kind, found)

    def test_contacts_merged_in_a_circle_do_not_hang(self) -> None:
        circle = [contact(active=False, merged_to="c2"), contact(contact_id="c2", active=False, merged_to="c1")]
        assert match_contact(customer(), NUMBER, Candidates(circle)).kind == "archived"

    def test_a_customer_without_name_matches_nobody(self) -> None:
        assert match_contact(customer(""), "", Candidates([contact("")])).kind == "none"


class TestFirstSynchronisation:
    def test_equal_names_tax_numbers_and_our_numbers_are_certain(self) -> None:
        customers = [customer(), customer("Beta", 2, tax_number="1-2-3"), customer("Gamma", 3)]
        contacts = [contact(), contact("Beta Limited", "c2", tax_number="123"), contact("Renamed", "c3", number="N3")]
        pairs = match_pairs(customers, contacts, lambda each: f"N{each.id}")
        assert {(each.customer.id, each.contact.id, each.reasons[0]) for each in pairs.certain} == {(1, "c1", "name"), (2, "c2", "tax"), (3, "c3", "number")}
        assert pairs.doubtful == ()

    def test_two_companies_of_one_name_are_doubtful(self) -> None:
        pairs = match_pairs([customer(), customer(crm_id=2)], [contact()])
        assert (pairs.certain, len(pairs.doubtful)) == ((), 2)

    def test_our_number_decides_between_two_companies_of_one_name(self) -> None:
        pairs = match_pairs([customer(), customer(crm_id=2)], [contact(number="N2")], lambda each: f"N{each.id}")
        assert [(each.customer.id, each.score) for each in pairs.certain] == [(2, 100)]

    def test_similar_names_and_equal_addresses_are_doubtful_best_first(self) -> None:
        customers = [customer("Acme Limited", email="a@acme.nz"), customer("Zed", 2, email="Z@Zed.nz")]
        contacts = [contact("Acme Limited NZ", email="a@acme.nz"), contact("Other name", "c2", email="z@zed.nz")]
        pairs = match_pairs(customers, contacts)
        assert pairs.certain == ()
        assert [each.reasons for each in pairs.doubtful] == [("similar_name", "email"), ("email",)]
        assert pairs.doubtful[0].score > pairs.doubtful[1].score == 60

    def test_a_different_tax_number_makes_an_equal_name_doubtful(self) -> None:
        pairs = match_pairs([customer(tax_number="1")], [contact(tax_number="2")])
        assert pairs.certain == ()
        assert [(each.score, each.reasons) for each in pairs.doubtful] == [(50, ("name", "tax_differs"))]

    def test_archived_and_merged_contacts_are_not_offered(self) -> None:
        pairs = match_pairs([customer()], [contact(active=False), contact(contact_id="c2", merged_to="c3")])
        assert (pairs.certain, pairs.doubtful) == ((), ())

    def test_thousands_are_matched_in_a_moment(self) -> None:
        customers = [customer(f"Company {number} Ltd", number) for number in range(2000)]
        contacts = [contact(f"Company {number} Ltd", f"c{number}") for number in range(2000)]
        assert len(match_pairs(customers, contacts).certain) == 2000


def listed(**more: Any) -> Listed:
    values: dict[str, Any] = {"id": 7, "number": "INV-7", "customer_name": "ACME ltd", "total": D("115.00"), "currency": "NZD", "date": DAY}
    return Listed(**(values | more))


class TestDocuments:
    """RULES 10."""

    def test_number_customer_total_and_currency_make_a_certain_pair(self) -> None:
        pairs = match_documents([listed()], [held(send(invoice()))])
        assert [(each.listed.id, each.document.id) for each in pairs.certain] == [(7, "doc-1")]

    def test_our_address_with_another_number_is_certain_too(self) -> None:
        document = held(send(invoice()), number="INV-0001")
        assert match_documents([listed(url=document.url)], [document]).certain

    @pytest.mark.parametrize("differs", [{"total": D(1)}, {"currency": "USD"}, {"customer_name": "Beta"}, {"contact_id": "another"}])
    def test_a_taken_number_with_anything_different_is_doubtful(self, differs: dict[str, Any]) -> None:
        document = held(send(invoice()))
        pairs = match_documents([listed(**differs)], [document])
        assert (pairs.certain, len(pairs.doubtful)) == ((), 1)
        assert not may_link(listed(**differs), document)

    def test_a_taken_number_links_if_customer_total_and_currency_agree(self) -> None:
        assert may_link(listed(contact_id="contact-1", customer_name="Anything"), held(send(invoice())))

    def test_without_number_the_same_customer_total_and_currency_are_doubtful(self) -> None:
        document = held(send(invoice()), number="X-1", url="", reference="")
        pairs = match_documents([listed(date=date(2026, 1, 1))], [document])
        assert [each.reasons for each in pairs.doubtful] == [("customer", "total", "currency")]

    def test_our_number_in_the_reference_is_doubtful(self) -> None:
        document = held(send(invoice()), number="X-1", url="", reference="inv-7", total=D(1))
        assert match_documents([listed()], [document]).doubtful[0].reasons == ("reference", "customer", "currency", "date")

    def test_the_same_amount_alone_is_nothing(self) -> None:
        document = held(send(invoice()), number="X-1", url="", contact_name="Beta", contact_id="c9")
        assert match_documents([listed()], [document]).doubtful == ()

    def test_voided_and_deleted_documents_are_never_meant(self) -> None:
        for status in ("VOIDED", "DELETED"):
            assert match_documents([listed()], [held(send(invoice()), status=status)]).certain == ()

    def test_two_invoices_of_one_number_are_doubtful(self) -> None:
        pairs = match_documents([listed(), listed(id=8)], [held(send(invoice()))])
        assert (pairs.certain, len(pairs.doubtful)) == ((), 2)
