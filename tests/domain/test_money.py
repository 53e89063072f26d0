from decimal import Decimal

import pytest

from plugin.domain.money import line_amount, plain, round2, round4, xero_totals
from tests.domain.build import D, line

RATES = {"OUTPUT2": D(15), "NONE": D(0)}


@pytest.mark.parametrize(("value", "cents"), [("0.005", "0.01"), ("-0.005", "-0.01"), ("1.004", "1.00"), ("2.675", "2.68"), ("-2.674", "-2.67")])
def test_cents_are_rounded_half_away_from_zero(value: str, cents: str) -> None:
    assert round2(D(value)) == D(cents)


def test_unit_amounts_are_rounded_to_four_decimals() -> None:
    assert (round4(D("0.00005")), round4(D("-0.00005")), round4(D("1.00004"))) == (D("0.0001"), D("-0.0001"), D("1.0000"))


def test_exclusive_tax_is_added_per_rounded_line() -> None:
    totals = xero_totals([line(unit="33.33"), line(unit="33.33")], "Exclusive", RATES)
    assert (totals.sub, totals.tax, totals.total) == (D("66.66"), D("10.00"), D("76.66"))
    assert totals.line_taxes == (D("5.00"), D("5.00"))


def test_inclusive_tax_is_taken_out_of_the_line_and_the_total_is_the_sum_of_lines() -> None:
    totals = xero_totals([line(unit="115"), line(unit="9.99")], "Inclusive", RATES)
    assert (totals.sub, totals.tax, totals.total) == (D("108.69"), D("16.30"), D("124.99"))


def test_a_document_without_tax_needs_no_rates() -> None:
    assert xero_totals([line(unit="10", tax_type="WHATEVER")], "NoTax", {}).total == D("10.00")


def test_a_line_is_rounded_once_after_quantity_and_discount() -> None:
    assert line_amount(line(unit="9.99", quantity="3", discount_rate=D("12.5"))) == D("26.22")


def test_a_discount_amount_set_in_xero_is_taken_off_the_line() -> None:
    assert line_amount(line(unit="100", discount_amount=D("12.34"))) == D("87.66")


def test_negative_lines_lower_the_total() -> None:
    assert xero_totals([line(unit="100"), line(unit="-20.01")], "Exclusive", RATES).total == D("91.99")


@pytest.mark.parametrize(("value", "text"), [("15.0000", "15"), ("12.50", "12.5"), ("0.00", "0"), ("100", "100"), ("1E+2", "100")])
def test_numbers_are_written_plainly(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text
