# mypy: disable-error-code="comparison-overlap"
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin.domain.crm import Invoice, Row
from plugin.domain.ledger import Draft, Tracking
from plugin.domain.money import round2, xero_totals
from plugin.domain.problems import Problem
from plugin.domain.translate import ItemChoice, account_for, discount_rate
from tests.domain.build import DAY, ORGANISATION, SETTINGS, TAX_RATES, D, crm_total, invoice, product, row, send, tax

RATES = {each.tax_type: each.rate for each in TAX_RATES.values()}


def refusal(given: Invoice, **more: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        send(given, **more)
    return caught.value


def total_in_xero(draft: Draft) -> Decimal:
    return xero_totals(draft.lines, draft.line_amount_types, RATES).total


class TestForms:
    """RULES 17: the first form that reproduces the CRM's total."""

    def test_a_plain_invoice_goes_exclusive_with_net_prices(self) -> None:
        draft = send(invoice(row("115.00", "2"), row("23.00", "1", row_id=2)))
        assert draft.line_amount_types == "Exclusive"
        assert [(line.unit_amount, line.quantity, line.discount_rate) for line in draft.lines] == [(100, 2, 0), (20, 1, 0)]
        assert draft.total == total_in_xero(draft) == D("253.00")

    def test_a_percent_discount_goes_as_discount_rate_on_the_price_before_it(self) -> None:
        line = send(invoice(row("103.50", discount="10"))).lines[0]
        assert (line.unit_amount, line.discount_rate, line.description) == (100, 10, "Consulting")

    def test_an_absolute_discount_becomes_a_derived_rate(self) -> None:
        line = send(invoice(row("92.00", discount="20", absolute=True))).lines[0]
        assert (line.unit_amount, line.discount_rate) == (100, 20)

    def test_the_references_own_example_with_a_cent_of_rounding_keeps_its_total(self) -> None:
        draft = send(invoice(row("80000.00", tax_rate="20", discount="20")))
        assert draft.total == total_in_xero(draft) == D("80000.00")
        assert draft.lines[0].discount_rate == 20

    def test_four_decimals_are_used_only_where_two_do_not_give_the_amount(self) -> None:
        draft = send(invoice(row("9.99", "7"), row("115.00", row_id=2)))
        assert [str(line.unit_amount) for line in draft.lines] == ["8.6870", "100.0000"]
        assert draft.total == total_in_xero(draft) == D("184.93")

    def test_where_a_discounted_net_price_does_not_fit_the_price_after_it_goes_and_the_discount_is_named(self) -> None:
        named = next(draft for cents in range(1, 400) if "Discount" in (draft := send(invoice(row(f"{cents}.37", "613", discount="7")))).lines[0].description)
        assert named.lines[0].discount_rate == 0
        assert named.total == total_in_xero(named)

    def test_the_last_form_is_the_crms_own_price_with_tax_included(self) -> None:
        draft = send(invoice(row("19.99", "9999", discount="12.34")))
        assert draft.line_amount_types == "Inclusive"
        assert draft.lines[0].unit_amount == D("19.99")
        assert draft.lines[0].description == "Consulting\nDiscount 12.34 %: 19.99 instead of 22.80"
        assert draft.total == total_in_xero(draft) == D("199880.01")

    def test_the_text_of_a_discount_comes_from_the_caller(self) -> None:
        line = send(invoice(row("19.99", "9999", discount="12.34")), describe_discount=lambda rate, price, before: f"Rabatt {rate} {price} {before}").lines[0]
        assert line.description.endswith("\nRabatt 12.34 19.99 22.80")

    def test_a_total_that_the_crm_rounded_only_at_the_end_is_reached_too(self) -> None:
        rows = tuple(row("0.35", "0.35", row_id=number) for number in range(1, 8))
        total = round2(sum((each.price * each.quantity for each in rows), D(0)))
        assert total != crm_total(rows)
        draft = send(invoice(*rows, total=total))
        assert draft.total == total_in_xero(draft) == total

    def test_a_sum_that_no_form_can_reach_is_refused(self) -> None:
        rows = tuple(row("0.01", "50000.4", row_id=number) for number in range(1, 4))
        assert refusal(invoice(*rows, total=D("1500.01"))).params == {"crm": "1500.01", "rows": "1500.00"}

    def test_a_full_discount_gives_a_line_of_zero(self) -> None:
        free = replace(row("0.00"), discount_rate=D(100), discount_sum=D(50), price_netto=D(50), price_brutto=D("57.50"))
        draft = send(invoice(free, row(row_id=2)))
        assert (draft.lines[0].unit_amount, draft.lines[0].discount_rate, draft.total) == (50, 100, 115)

    def test_a_negative_discount_is_a_price_and_no_discount(self) -> None:
        assert discount_rate(row("115.00", discount="-10")) == 0
        assert send(invoice(row("115.00", discount="-10"))).lines[0].unit_amount == 100

    def test_a_negative_quantity_becomes_a_negative_unit_amount(self) -> None:
        line = send(invoice(row("230.00"), row("115.00", "-1", row_id=2))).lines[1]
        assert (line.quantity, line.unit_amount) == (1, -100)

    def test_a_quantity_or_a_total_of_zero_may_go(self) -> None:
        draft = send(invoice(row("115.00", "0")))
        assert (draft.total, draft.lines[0].quantity) == (0, 0)

    def test_lines_follow_the_order_of_the_rows(self) -> None:
        first, second = row(name="First", row_id=9), row(name="Second", row_id=4)
        draft = send(invoice(second, first, rows=(replace(first, sort=20), replace(second, sort=10))))
        assert [(line.description, line.row_id) for line in draft.lines] == [("Second", 4), ("First", 9)]


def crm_rows() -> st.SearchStrategy[tuple[Row, ...]]:
    """Rows by the CRM's own arithmetic: any price, quantity to four decimals, all taxes, both kinds of discount."""
    cents = st.integers(0, 100_000_00).map(lambda value: str(D(value) / 100))
    quantities = st.integers(1, 500).map(str) | st.integers(1, 99_9999).map(lambda value: str(D(value) / 10_000))
    rates = st.sampled_from([None, "0", "5", "7.7", "8.25", "10", "15", "15", "19", "20", "22", "25"])
    discounts = st.one_of(
        st.just(("0", False)),
        st.integers(1, 9999).map(lambda value: (str(D(value) / 100), False)),
        st.integers(1, 100_000).map(lambda value: (str(D(value) / 100), True)),
    )
    one = st.tuples(cents, quantities, rates, discounts)
    return st.lists(one, min_size=1, max_size=6).map(
        lambda drawn: tuple(
            row(price, quantity, rate, discount=cut, absolute=kind, row_id=n) for n, (price, quantity, rate, (cut, kind)) in enumerate(drawn, 1)
        )
    )


@settings(max_examples=2000, deadline=None)
@given(crm_rows())
def test_every_invoice_that_adds_up_finds_a_form_with_the_same_total_to_the_cent(rows: tuple[Row, ...]) -> None:
    draft = send(invoice(*rows))
    assert draft.total == total_in_xero(draft) == crm_total(rows)
    assert all(line.unit_amount == round2(line.unit_amount * 100) / 100 for line in draft.lines)
    assert all(line.discount_rate == round2(line.discount_rate) for line in draft.lines)
    assert all(line.tax_type for line in draft.lines)


class TestHeader:
    def test_dates_currency_title_and_mark_go_along(self) -> None:
        draft = send(invoice(currency="USD"))
        assert (draft.date, draft.due_date, draft.currency, draft.reference, draft.number) == (DAY, date(2026, 9, 24), "USD", "Website", "INV-7")
        assert (draft.contact_id, draft.url, draft.status) == ("contact-1", "https://portal.bitrix24.com/invoice/7", "DRAFT")

    def test_a_missing_date_is_the_day_of_creation_and_a_missing_due_date_the_date(self) -> None:
        draft = send(invoice(date=None, due_date=None, created_at=datetime(2026, 9, 1, 5, tzinfo=UTC)))
        assert (draft.date, draft.due_date) == (date(2026, 9, 1), date(2026, 9, 1))

    def test_the_stage_orders_the_status(self) -> None:
        assert send(invoice(stage_id="DT31_1:S")).status == "AUTHORISED"
        assert send(invoice(stage_id="DT31_1:UC_NEW")).status == "DRAFT"

    def test_a_stage_mapped_to_void_is_an_order_once_the_document_is_in_xero(self) -> None:
        assert send(invoice(stage_id="DT31_1:V"), linked=True).status == "VOIDED"
        assert refusal(invoice(stage_id="DT31_1:V")).code == "send.stage_not_sent"

    def test_an_address_with_the_forbidden_word_is_left_out(self) -> None:
        assert send(invoice(), url="https://xerox.bitrix24.com/7").url == ""

    def test_the_reference_is_composed_of_the_chosen_fields_in_order(self) -> None:
        chosen = replace(SETTINGS, reference_fields=("number", "po", "title"))
        assert send(invoice(fields={"po": "PO 12"}), chosen).reference == "INV-7 / PO 12 / Website"
        assert send(invoice(title="  "), chosen).reference == "INV-7"

    def test_a_long_reference_is_cut(self) -> None:
        assert len(send(invoice(title="x" * 400)).reference) == 255


class TestLines:
    def test_a_long_description_is_cut_and_control_characters_go(self) -> None:
        draft = send(invoice(row(name="a\x00b\r\nc" + "x" * 5000)))
        assert draft.lines[0].description.startswith("ab\ncx")
        assert len(draft.lines[0].description) == 4000

    def test_the_discount_stays_readable_under_a_long_description(self) -> None:
        line = send(invoice(row("19.99", "9999", discount="12.34", name="x" * 5000))).lines[0]
        assert len(line.description) == 4000
        assert line.description.endswith("instead of 22.80")

    def test_a_row_without_name_takes_its_products(self) -> None:
        assert send(invoice(row(name=" ", product_id=5)), products={5: product(5)}).lines[0].description == "Product 5"
        assert send(invoice(row(name=" "))).lines[0].description == "-"

    def test_a_row_with_an_item_names_it_and_a_free_row_has_none(self) -> None:
        draft = send(invoice(row(product_id=5), row(row_id=2), row(row_id=3, product_id=6)), items={5: ItemChoice("CONS", "item-5"), 6: None})
        assert [(line.item_code, line.item_id) for line in draft.lines] == [("CONS", "item-5"), ("", ""), ("", "")]

    def test_tracking_goes_on_every_line(self) -> None:
        options = (Tracking("cat", "opt", "Region", "North"),)
        assert [line.tracking for line in send(invoice(row(), row(row_id=2)), tracking=options).lines] == [options, options]


class TestAccounts:
    """FEATURES: line's product, then its section, then the default."""

    def test_a_product_goes_before_its_parent_its_section_and_the_default(self) -> None:
        products = {5: product(5, section_id=9, parent_id=4), 4: product(4, section_id=8)}
        chosen = replace(SETTINGS, account_by_product={5: "1", 4: "2"}, account_by_section={9: "3", 8: "4"})
        assert account_for(row(product_id=5), products, chosen) == "1"
        assert account_for(row(product_id=5), products, replace(chosen, account_by_product={4: "2"})) == "2"
        assert account_for(row(product_id=5), products, replace(chosen, account_by_product={})) == "3"
        assert account_for(row(product_id=5), products, replace(chosen, account_by_product={}, account_by_section={8: "4"})) == "4"
        assert account_for(row(), products, chosen) == "200"

    def test_another_active_account_is_legal(self) -> None:
        assert send(invoice(), replace(SETTINGS, income_account="830")).lines[0].account_code == "830"

    @pytest.mark.parametrize(
        ("code", "problem"),
        [
            ("", "send.account_missing"),
            ("999", "send.account_missing"),
            ("299", "send.account_archived"),
            ("610", "send.account_not_allowed"),
            ("090", "send.account_not_allowed"),
        ],
    )
    def test_an_account_that_cannot_be_used_is_refused_by_name(self, code: str, problem: str) -> None:
        found = refusal(invoice(), settings=replace(SETTINGS, income_account=code))
        assert (found.code, found.params) == (problem, {"account": code, "row": "Consulting"})


class TestTaxes:
    """RULES 18."""

    def test_no_tax_and_zero_percent_take_their_own_lines_of_the_map(self) -> None:
        draft = send(invoice(row("10.00", tax_rate=None), row("10.00", tax_rate="0", row_id=2), row(row_id=3)))
        assert [line.tax_type for line in draft.lines] == ["NONE", "ZERORATED", "OUTPUT2"]

    def test_an_invoice_without_any_tax_says_so_line_by_line(self) -> None:
        draft = send(invoice(row("10.00", tax_rate=None)))
        assert (draft.line_amount_types, draft.lines[0].tax_type) == ("Exclusive", "NONE")

    def test_an_organisation_that_pays_no_tax_gets_notax_where_nothing_was_chosen(self) -> None:
        bare = replace(SETTINGS, taxes={})
        draft = send(invoice(row("10.00", tax_rate=None)), bare, organisation=replace(ORGANISATION, pays_tax=False))
        assert (draft.line_amount_types, draft.lines[0].tax_type, draft.total) == ("NoTax", "NONE", 10)
        assert refusal(invoice(row("10.00", tax_rate=None)), settings=bare).params["rate"] == "none"

    def test_a_percent_that_nobody_mapped_is_refused(self) -> None:
        found = refusal(invoice(row(tax_rate="18")))
        assert (found.code, found.params) == ("send.tax_unmapped", {"rate": "18", "row": "Consulting"})

    def test_a_chosen_rate_that_is_gone_is_refused(self) -> None:
        assert refusal(invoice(), settings=replace(SETTINGS, taxes={"15": "TAX999"})).code == "send.tax_missing"
        assert refusal(invoice(row(tax_rate="12.5")), settings=replace(SETTINGS, taxes={"12.5": "OUTPUT"})).code == "send.tax_missing"

    def test_a_chosen_rate_of_another_percent_is_refused(self) -> None:
        found = refusal(invoice(), settings=replace(SETTINGS, taxes={"15": "ZERORATED"}))
        assert (found.code, found.params["rate"], found.params["tax_rate"]) == ("send.tax_rate_differs", "15", "0")

    def test_a_rate_that_the_account_cannot_take_is_refused(self) -> None:
        found = refusal(invoice(), settings=replace(SETTINGS, income_account="400"))
        assert (found.code, found.params) == ("send.tax_not_for_account", {"tax": "OUTPUT2", "account": "400", "row": "Consulting"})
        assert refusal(invoice(), settings=replace(SETTINGS, taxes={"15": "INPUT2"})).code == "send.tax_not_for_account"

    def test_an_override_goes_by_product_then_section_then_customer(self) -> None:
        rates = dict(TAX_RATES) | {"EXPORT": tax("EXPORT", "0"), "SPECIAL": tax("SPECIAL", "0")}
        free = invoice(row("10.00", tax_rate="0", product_id=5))
        products = {5: product(5, section_id=9)}
        chosen = replace(SETTINGS, tax_by_product={5: "SPECIAL"}, tax_by_section={9: "EXEMPTOUTPUT"})
        more: dict[str, Any] = {"products": products, "tax_rates": rates, "contact_tax": "EXPORT"}
        assert send(free, chosen, **more).lines[0].tax_type == "SPECIAL"
        assert send(free, replace(chosen, tax_by_product={}), **more).lines[0].tax_type == "EXEMPTOUTPUT"
        assert send(free, SETTINGS, **more).lines[0].tax_type == "EXPORT"

    def test_an_override_of_another_percent_than_the_rows_is_not_used(self) -> None:
        assert send(invoice(), contact_tax="ZERORATED").lines[0].tax_type == "OUTPUT2"


class TestRefusals:
    def test_an_invoice_without_customer_stays(self) -> None:
        assert refusal(invoice(company_id=None)).code == "send.no_customer"

    def test_a_contact_is_a_customer_too(self) -> None:
        assert send(invoice(company_id=None, contact_id=4)).total == 115

    def test_an_invoice_without_rows_stays(self) -> None:
        assert refusal(replace(invoice(), rows=(), total=D(0))).code == "send.no_rows"

    def test_rows_that_were_never_read_are_our_own_mistake(self) -> None:
        with pytest.raises(ValueError, match="not read"):
            send(replace(invoice(), rows=(), rows_read=False))

    def test_a_negative_total_would_be_a_credit_note(self) -> None:
        found = refusal(invoice(row("115.00", "-1")))
        assert (found.code, found.params) == ("send.negative_total", {"total": "-115.00", "currency": "NZD"})

    def test_a_total_typed_by_hand_stays_if_it_differs_from_the_rows(self) -> None:
        found = refusal(invoice(total=D(100), manual_total=True))
        assert (found.code, found.params) == ("send.manual_total", {"crm": "100.00", "rows": "115.00"})
        assert send(invoice(manual_total=True)).total == 115

    def test_rows_that_do_not_add_up_stay(self) -> None:
        found = refusal(invoice(total=D("115.01")))
        assert (found.code, found.params) == ("send.rows_do_not_add_up", {"crm": "115.01", "rows": "115.00"})

    def test_a_stage_mapped_to_nothing_is_not_sent(self) -> None:
        found = refusal(invoice(stage_id="DT31_1:D"))
        assert (found.code, found.params) == ("send.stage_not_sent", {"stage": "DT31_1:D"})

    def test_nothing_older_than_the_start_date_goes_unless_a_person_asks_for_it(self) -> None:
        old = invoice(date=date(2026, 8, 1))
        later = replace(SETTINGS, start_date=date(2026, 9, 1))
        found = refusal(old, settings=later)
        assert (found.code, found.params) == ("send.before_start", {"date": "2026-08-01", "start": "2026-09-01"})
        assert send(old, later, older_too=True).total == 115

    def test_another_sellers_invoice_stays(self) -> None:
        found = refusal(invoice(seller_id=2), settings=replace(SETTINGS, sellers=(1, 3)))
        assert (found.code, found.params) == ("send.other_seller", {"seller": 2})
        assert send(invoice(seller_id=3), replace(SETTINGS, sellers=(1, 3))).total == 115

    def test_a_currency_that_the_organisation_does_not_use_stays(self) -> None:
        assert refusal(invoice(currency="EUR")).params == {"currency": "EUR"}
        assert send(invoice(), currencies=()).currency == "NZD"

    def test_a_date_in_a_locked_period_stays(self) -> None:
        found = refusal(invoice(date=date(2026, 3, 31)))
        assert (found.code, found.params) == ("send.locked", {"date": "2026-03-31", "lock": "2026-03-31"})
        assert send(invoice(date=date(2026, 4, 1))).total == 115

    def test_the_later_of_the_two_lock_dates_counts(self) -> None:
        locked = replace(ORGANISATION, year_lock=date(2026, 9, 10))
        assert refusal(invoice(), organisation=locked).params["lock"] == "2026-09-10"

    def test_a_linked_document_in_a_locked_period_is_left_to_the_comparison(self) -> None:
        assert send(invoice(date=date(2026, 3, 1)), linked=True).date == date(2026, 3, 1)
