from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin.domain.numbers import contact_number, document_number, item_code, shorten
from plugin.domain.settings import Settings
from tests.domain.build import invoice, product

PREFIXED = Settings(number_prefix="B24-")


def test_the_crms_number_goes_with_the_prefix() -> None:
    assert document_number(invoice(), PREFIXED) == "B24-INV-7"


@pytest.mark.parametrize(("suffix", "number"), [(0, "INV-7"), (1, "INV-7"), (2, "INV-7-2"), (3, "INV-7-3")])
def test_sent_as_new_after_a_void_gets_the_next_suffix(suffix: int, number: str) -> None:
    assert document_number(invoice(), Settings(), suffix) == number


@pytest.mark.parametrize("number", ["Счёт 7", "", "   ", "7" * 256, "A\t7"])
def test_a_number_that_xero_cannot_hold_falls_to_xeros_numbering(number: str) -> None:
    assert document_number(invoice(number=number), Settings()) == ""


def test_a_portal_may_leave_numbers_to_xero() -> None:
    assert document_number(invoice(), replace(PREFIXED, number_policy="xero")) == ""


def test_an_item_takes_the_products_code_else_its_parents_else_its_id() -> None:
    variation = product(5, code=" A  1 ")
    assert item_code(variation, "code") == "A 1"
    assert item_code(replace(variation, code=""), "code", product(4, code="PARENT")) == "PARENT"
    assert item_code(replace(variation, code=""), "xmlId", product(4)) == "B24-5"
    assert item_code(variation, "id", product(4, code="PARENT")) == "B24-5"


@given(st.text(min_size=1), st.text(min_size=1))
def test_codes_stay_within_thirty_and_different_ones_stay_different(one: str, other: str) -> None:
    assert len(shorten(one, 30)) <= 30
    assert shorten(one, 30) == shorten(one, 30)
    assert (one == other) == (shorten(one, 30) == shorten(other, 30))


def test_a_long_code_keeps_its_beginning() -> None:
    code = item_code(product(5, code="SKU-" + "9" * 40), "code")
    assert (len(code), code[:21]) == (30, "SKU-" + "9" * 17)


def test_contact_numbers_name_portal_kind_and_id() -> None:
    assert contact_number("A223C6B3710f85df22e9377d6c4f7553", "company", 123) == "B24-a223c6b3-CO123"
    assert contact_number("a223c6b3710f85df22e9377d6c4f7553", "contact", 45) == "B24-a223c6b3-C45"
    assert len(contact_number("a" * 64, "company", 10**18)) <= 50
