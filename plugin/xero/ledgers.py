"""What lines and documents refer to: the organisation, its accounts, tax rates, currencies and tracking (X§6.2–§6.8)."""

from __future__ import annotations

from typing import Any

from plugin.domain.ledger import Account, Organisation, TaxRate, TrackingCategory, TrackingOption
from plugin.domain.problems import NEVER, Problem
from plugin.xero.client import Caller, rows
from plugin.xero.parse import amount, day, flag, guid, objects, optional_amount, text


def organisation(call: Caller) -> Organisation:
    """The organisation (X§6.7). `tenant_id` is its OrganisationID, which only normally equals the tenant: put the connection's own in its place."""
    found = rows(call("GET", "Organisation"), "Organisations")
    if not found:
        raise Problem("xero.unknown", NEVER, status=200, text="no organisation in the answer", correlation="")
    return parse_organisation(found[0])


def actions(call: Caller) -> dict[str, bool]:
    """What plan and user permit, by name, such as CreateApprovedInvoice (X§6.8)."""
    return {text(one.get("Name")): text(one.get("Status")).upper() == "ALLOWED" for one in rows(call("GET", "Organisation/Actions"), "Actions")}


def accounts(call: Caller) -> tuple[Account, ...]:
    """All accounts, archived ones too: a mapping may still name them (X§6.2)."""
    return tuple(parse_account(one) for one in rows(call("GET", "Accounts"), "Accounts"))


def tax_rates(call: Caller) -> tuple[TaxRate, ...]:
    """All tax rates, those out of use too (X§6.3)."""
    return tuple(parse_tax_rate(one) for one in rows(call("GET", "TaxRates"), "TaxRates"))


def currencies(call: Caller) -> tuple[str, ...]:
    """The codes of the currencies that the organisation uses (X§6.5)."""
    return tuple(code for one in rows(call("GET", "Currencies"), "Currencies") if (code := text(one.get("Code"))))


def tracking(call: Caller) -> tuple[TrackingCategory, ...]:
    """Tracking categories with their options (X§6.4)."""
    return tuple(_tracking_category(one) for one in rows(call("GET", "TrackingCategories"), "TrackingCategories"))


def parse_organisation(found: dict[str, Any]) -> Organisation:
    """One element of `Organisations`."""
    return Organisation(
        tenant_id=guid(found.get("OrganisationID")),
        name=text(found.get("Name")),
        country=text(found.get("CountryCode")),
        base_currency=text(found.get("BaseCurrency")),
        short_code=text(found.get("ShortCode")),
        timezone=text(found.get("Timezone")),
        version=text(found.get("Version")),
        pays_tax=flag(found.get("PaysTax")),
        period_lock=day(found.get("PeriodLockDate")),
        year_lock=day(found.get("EndOfYearLockDate")),
        is_demo=flag(found.get("IsDemoCompany")),
        edition=text(found.get("Edition")),
    )


def parse_account(found: dict[str, Any]) -> Account:
    """One element of `Accounts`."""
    return Account(
        id=guid(found.get("AccountID")),
        code=text(found.get("Code")),
        name=text(found.get("Name")),
        type=text(found.get("Type")),
        klass=text(found.get("Class")).upper(),
        tax_type=text(found.get("TaxType")),
        active=text(found.get("Status")) == "ACTIVE",
        system=text(found.get("SystemAccount")),
        payments=flag(found.get("EnablePaymentsToAccount")),
    )


def parse_tax_rate(found: dict[str, Any]) -> TaxRate:
    """One element of `TaxRates`. The effective rate includes compounding and is what totals are made of."""
    effective = optional_amount(found.get("EffectiveRate"))
    return TaxRate(
        tax_type=text(found.get("TaxType")),
        name=text(found.get("Name")),
        rate=amount(found.get("DisplayTaxRate")) if effective is None else effective,
        active=text(found.get("Status")) == "ACTIVE",
        revenue=flag(found.get("CanApplyToRevenue")),
        expenses=flag(found.get("CanApplyToExpenses")),
    )


def _tracking_category(found: dict[str, Any]) -> TrackingCategory:
    options = tuple(_tracking_option(one) for one in objects(found.get("Options")))
    return TrackingCategory(guid(found.get("TrackingCategoryID")), text(found.get("Name")), options, text(found.get("Status")) == "ACTIVE")


def _tracking_option(found: dict[str, Any]) -> TrackingOption:
    return TrackingOption(guid(found.get("TrackingOptionID")), text(found.get("Name")), text(found.get("Status")) == "ACTIVE")
