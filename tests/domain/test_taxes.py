from dataclasses import replace

from plugin.domain.taxes import expense_accounts, income_accounts, propose_accounts, propose_taxes, search_accounts
from tests.domain.build import ACCOUNTS, TAX_RATES, D, account, tax

NZ = list(TAX_RATES.values())


def test_a_single_active_sales_rate_of_equal_percent_is_proposed() -> None:
    found = propose_taxes([("GST", D("15.00"))], NZ)["15"]
    assert (found.tax_type, found.certain) == ("OUTPUT2", True)


def test_zero_percent_has_several_and_needs_a_look() -> None:
    found = propose_taxes([("Zero", D(0)), ("No tax", None)], NZ)
    assert (found["0"].tax_type, found["none"].tax_type) == ("ZERORATED", "NONE")
    assert not found["0"].certain
    assert [each.tax_type for each in found["0"].candidates] == ["ZERORATED", "EXEMPTOUTPUT", "NONE"]


def test_archived_and_purchase_rates_are_not_proposed() -> None:
    found = propose_taxes([("Old", D("12.5")), ("Unknown", D(18))], NZ)
    assert (found["12.5"].tax_type, found["12.5"].candidates) == (None, ())
    assert found["18"].tax_type is None


def test_australia_has_no_none_so_nothing_is_proposed_for_no_tax() -> None:
    rates = [tax("EXEMPTOUTPUT", "0"), tax("BASEXCLUDED", "0", expenses=True), tax("OUTPUT", "10")]
    found = propose_taxes([("", None), ("", D(0)), ("GST", D(10))], rates)
    assert [found[key].tax_type for key in ("none", "0", "10")] == [None, "EXEMPTOUTPUT", "OUTPUT"]
    assert len(found["none"].candidates) == 2


def test_among_several_of_one_percent_the_usual_one_is_marked_for_a_look() -> None:
    found = propose_taxes([("VAT", D(20))], [tax("DRCHARGE20", "20"), tax("OUTPUT2", "20")])["20"]
    assert (found.tax_type, found.certain) == ("OUTPUT2", False)
    assert propose_taxes([("VAT", D(20))], [tax("TAX001", "20"), tax("TAX002", "20")])["20"].tax_type is None


def test_a_single_zero_rate_still_needs_a_look() -> None:
    found = propose_taxes([("Zero", D(0))], [tax("OUTPUT", "0")])["0"]
    assert (found.tax_type, found.certain) == ("OUTPUT", False)


def test_only_active_accounts_of_the_right_class_may_be_chosen() -> None:
    assert [each.code for each in income_accounts(ACCOUNTS.values())] == ["200", "260"]
    assert [each.code for each in expense_accounts(ACCOUNTS.values())] == ["300", "400"]
    assert income_accounts([replace(account("1"), code="")]) == ()


def test_the_usual_accounts_are_proposed_by_name_then_by_type_then_by_code() -> None:
    assert propose_accounts(list(ACCOUNTS.values())) == ("200", "300")
    assert propose_accounts([account("270", type="REVENUE"), account("230", type="OTHERINCOME"), account("450", "EXPENSE")]) == ("270", "450")
    assert propose_accounts([account("1"), account("9", name="sales", type="OTHERINCOME")]) == ("9", None)
    assert propose_accounts([]) == (None, None)


def test_accounts_are_found_by_code_or_name_as_you_type() -> None:
    accounts = [account("410", name="Rent 200"), account("200", name="Sales"), account("201", name="Sales of services")]
    assert [each.code for each in search_accounts(accounts, "20")] == ["200", "201", "410"]
    assert [each.code for each in search_accounts(accounts, " SERV sales")] == ["201"]
    assert len(search_accounts(accounts, "")) == 3
    assert search_accounts(accounts, "nothing") == ()
