from datetime import date
from decimal import Decimal

import pytest
import responses

from plugin.domain.ledger import Account, Organisation, TaxRate, TrackingCategory, TrackingOption
from plugin.domain.problems import Problem
from plugin.xero import ledgers
from tests.adapters.xero_calls import API, Call


@responses.activate
def test_the_organisation_is_read() -> None:
    found = {
        "OrganisationID": "AAAAAAAA-0000-4000-8000-000000000001",
        "Name": "Harbour & Vine Trading Ltd",
        "CountryCode": "NZ",
        "BaseCurrency": "NZD",
        "ShortCode": "!Qj35V",
        "Timezone": "NEWZEALANDSTANDARDTIME",
        "Version": "NZ",
        "PaysTax": True,
        "PeriodLockDate": "/Date(1789257600000+0000)/",
        "IsDemoCompany": False,
        "Edition": "BUSINESS",
    }
    responses.get(f"{API}/Organisation", json={"Organisations": [found]})
    assert ledgers.organisation(Call()) == Organisation(
        tenant_id="aaaaaaaa-0000-4000-8000-000000000001",
        name="Harbour & Vine Trading Ltd",
        country="NZ",
        base_currency="NZD",
        short_code="!Qj35V",
        timezone="NEWZEALANDSTANDARDTIME",
        version="NZ",
        pays_tax=True,
        period_lock=date(2026, 9, 13),
        year_lock=None,
        edition="BUSINESS",
    )


@responses.activate
def test_no_organisation_in_the_answer_is_a_problem() -> None:
    responses.get(f"{API}/Organisation", json={"Organisations": []})
    with pytest.raises(Problem):
        ledgers.organisation(Call())


@responses.activate
def test_a_refused_read_is_a_problem() -> None:
    responses.get(f"{API}/Accounts", status=403, json={"Detail": "AuthenticationUnsuccessful"})
    with pytest.raises(Problem) as caught:
        ledgers.accounts(Call())
    assert caught.value.code == "xero.disconnected"


@responses.activate
def test_actions_are_yes_or_no() -> None:
    actions = [{"Name": "CreateApprovedInvoice", "Status": "ALLOWED"}, {"Name": "UseMulticurrency", "Status": "NOT-ALLOWED"}]
    responses.get(f"{API}/Organisation/Actions", json={"Actions": actions})
    assert ledgers.actions(Call()) == {"CreateApprovedInvoice": True, "UseMulticurrency": False}


@responses.activate
def test_accounts_keep_those_without_code_and_those_archived() -> None:
    rows = [
        {
            "AccountID": "A1",
            "Code": "200",
            "Name": "Sales",
            "Type": "REVENUE",
            "Class": "REVENUE",
            "TaxType": "OUTPUT2",
            "Status": "ACTIVE",
            "SystemAccount": None,
        },
        {"AccountID": "A2", "Name": "Bank", "Type": "BANK", "Class": "ASSET", "TaxType": "NONE", "Status": "ARCHIVED", "EnablePaymentsToAccount": True},
    ]
    responses.get(f"{API}/Accounts", json={"Accounts": rows})
    assert ledgers.accounts(Call()) == (
        Account("a1", "200", "Sales", "REVENUE", "REVENUE", "OUTPUT2", True),
        Account("a2", "", "Bank", "BANK", "ASSET", "NONE", False, "", True),
    )


@responses.activate
def test_the_effective_rate_counts_and_falls_back_to_the_shown_one() -> None:
    rows = [
        {"TaxType": "OUTPUT2", "Name": "15% GST on Income", "Status": "ACTIVE", "EffectiveRate": 15.0, "DisplayTaxRate": 1.0, "CanApplyToRevenue": True},
        {"TaxType": "INPUT", "Name": "Old", "Status": "DELETED", "DisplayTaxRate": 12.5, "CanApplyToExpenses": True},
        {"TaxType": "ZERORATED", "Name": "Zero", "Status": "ACTIVE", "EffectiveRate": 0, "DisplayTaxRate": 3},
    ]
    responses.get(f"{API}/TaxRates", json={"TaxRates": rows})
    assert ledgers.tax_rates(Call()) == (
        TaxRate("OUTPUT2", "15% GST on Income", Decimal("15.0"), True, True, False),
        TaxRate("INPUT", "Old", Decimal("12.5"), False, False, True),
        TaxRate("ZERORATED", "Zero", Decimal(0), True, False, False),
    )


@responses.activate
def test_currencies_and_tracking_are_read() -> None:
    responses.get(f"{API}/Currencies", json={"Currencies": [{"Code": "NZD", "Description": "New Zealand Dollar"}, {"Code": "AUD"}]})
    options = [{"TrackingOptionID": "O1", "Name": "North", "Status": "ACTIVE"}, {"TrackingOptionID": "O2", "Name": "South", "Status": "ARCHIVED"}]
    category = {"TrackingCategoryID": "C1", "Name": "Region", "Status": "ACTIVE", "Options": options}
    responses.get(f"{API}/TrackingCategories", json={"TrackingCategories": [category]})
    assert ledgers.currencies(Call()) == ("NZD", "AUD")
    assert ledgers.tracking(Call()) == (TrackingCategory("c1", "Region", (TrackingOption("o1", "North"), TrackingOption("o2", "South", False))),)
