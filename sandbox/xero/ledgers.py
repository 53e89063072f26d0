"""The organisation itself and its lists: accounts, tax rates, tracking, currencies, themes, users (X§6.2 to X§6.9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sandbox.xero.books import BILL, CLASS_OF_TYPE, SALES, Account, Books, TaxRate, Theme, TrackingCategory
from sandbox.xero.desk import Desk
from sandbox.xero.elements import Element, Fields
from sandbox.xero.errors import Refused
from sandbox.xero.identity import Membership
from sandbox.xero.invoices import approvals_left
from sandbox.xero.words import ms_date, ms_time, new_id

_KNOWN_CURRENCIES = {
    "NZD": "New Zealand Dollar", "AUD": "Australian Dollar", "USD": "United States Dollar", "GBP": "British Pound", "EUR": "Euro",
    "CAD": "Canadian Dollar", "SGD": "Singapore Dollar", "JPY": "Japanese Yen", "FJD": "Fijian Dollar", "ZAR": "South African Rand",
}  # fmt: skip
_LEDGER_PLANS = ("LEDGER", "GST_CASHBOOK", "NON_GST_CASHBOOK")


def render_organisation(desk: Desk) -> dict[str, Any]:
    one = desk.books.organisation
    differs = desk.is_on("organisation_id", "differs")
    shown: dict[str, Any] = {
        "Name": one.name,
        "LegalName": one.legal_name,
        "PaysTax": one.pays_tax,
        "Version": one.country,
        "OrganisationType": "COMPANY",
        "BaseCurrency": one.base_currency,
        "CountryCode": one.country,
        "IsDemoCompany": one.is_demo,
        "OrganisationStatus": "ACTIVE",
        "RegistrationNumber": one.registration,
        "TaxNumber": one.tax_number,
        "FinancialYearEndDay": 31 if one.country == "NZ" else 30,
        "FinancialYearEndMonth": 3 if one.country == "NZ" else 6,
        "SalesTaxBasis": "INVOICE" if one.country == "NZ" else "ACCRUALS",
        "SalesTaxPeriod": "TWOMONTHS" if one.country == "NZ" else "QUARTERLY1",
        "DefaultSalesTax": one.default_sales_tax,
        "DefaultPurchasesTax": one.default_sales_tax,
        "CreatedDateUTC": ms_time(one.created),
        "OrganisationEntityType": "COMPANY",
        "Timezone": one.timezone,
        "ShortCode": one.short_code,
        "OrganisationID": f"{one.id[:-4]}0f0f" if differs else one.id,
        "Edition": "BUSINESS",
        "Class": one.plan,
        "LineOfBusiness": "Wholesale trade",
        "Addresses": [],
        "Phones": [],
        "ExternalLinks": [],
        "PaymentTerms": {side: terms for side, terms in (("Bills", one.bill_terms), ("Sales", one.sales_terms)) if terms},
    }
    if one.period_lock is not None:
        shown["PeriodLockDate"] = ms_date(one.period_lock)
    if one.year_lock is not None:
        shown["EndOfYearLockDate"] = ms_date(one.year_lock)
    return shown


def render_actions(desk: Desk) -> list[dict[str, str]]:
    """What the plan and the user's rights allow (X§6.8)."""
    books = desk.books
    documents_allowed = books.organisation.plan not in _LEDGER_PLANS
    allowed = {
        "CreateApprovedInvoice": documents_allowed and approvals_left(books, SALES, desk.today) != 0,
        "CreateDraftInvoice": documents_allowed,
        "CreateApprovedBill": documents_allowed and approvals_left(books, BILL, desk.today) != 0,
        "CreateDraftBill": documents_allowed,
        "CreateDraftQuote": documents_allowed,
        "CreateSentQuote": documents_allowed,
        "CreateDraftPurchaseOrder": documents_allowed,
        "CreateApprovedPurchaseOrder": documents_allowed,
        "CreateRepeatingInvoice": documents_allowed,
        "CreateRepeatingBill": documents_allowed,
        "CreateInvoicePayment": documents_allowed,
        "AttachFilesIntoInvoice": documents_allowed,
        "UseMulticurrency": books.organisation.multicurrency,
    }
    return [{"Name": name, "Status": "ALLOWED" if may else "NOT-ALLOWED"} for name, may in allowed.items()]


def render_account(account: Account) -> dict[str, Any]:
    shown: dict[str, Any] = {"AccountID": account.id}
    if account.code:
        shown["Code"] = account.code
    shown |= {"Name": account.name, "Status": account.status, "Type": account.type, "TaxType": account.tax_type}
    if account.description:
        shown["Description"] = account.description
    shown |= {"Class": account.classification, "EnablePaymentsToAccount": account.payments, "ShowInExpenseClaims": False}
    if account.type == "BANK":
        shown |= {"BankAccountNumber": account.bank_number, "BankAccountType": "BANK", "CurrencyCode": account.currency}
    else:
        shown["BankAccountType"] = ""
    if account.system:
        shown["SystemAccount"] = account.system
    return shown | {"ReportingCode": "", "HasAttachments": False, "UpdatedDateUTC": ms_time(account.updated), "AddToWatchlist": False}


class AccountWriter:
    """One account per request (X§6.2)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._books = desk.books

    def create(self, element: Element) -> Account:
        fields = Fields(element, self._desk, [])
        code, name, type_ = fields.text("Code", 10), fields.text("Name", 150), fields.text("Type", 50)
        if type_ not in CLASS_OF_TYPE:
            raise Refused("The account Type is not valid")
        if not name or (not code and type_ != "BANK"):
            raise Refused("Account code must be specified")
        account = Account(new_id(), code, name, type_, "NONE", self._desk.now)
        return self._save(fields, account)

    def update(self, account: Account, element: Element) -> Account:
        fields = Fields(element, self._desk, [])
        if account.type == "BANK":
            raise Refused("Bank accounts cannot be updated")
        if fields.text("Status", 20, account.status) != account.status:
            if {key for key, value in element.items() if value is not None} - {"Status", "AccountID"}:
                raise Refused("The Status must be changed without other changes")
            return self._archive(account, fields)
        return self._save(fields, replace(account, code=fields.text("Code", 10, account.code), name=fields.text("Name", 150, account.name)))

    def _archive(self, account: Account, fields: Fields) -> Account:
        status = fields.choice("Status", ("ACTIVE", "ARCHIVED"), account.status)
        if account.system:
            raise Refused("System accounts cannot be archived")
        changed = replace(account, status=status, updated=self._desk.now)
        self._books.accounts.save(changed)
        return changed

    def _save(self, fields: Fields, account: Account) -> Account:
        tax_type = fields.text("TaxType", 50, account.tax_type)
        if tax_type not in self._books.tax_rates:
            fields.errors.append(f"The TaxType code '{tax_type}' does not exist or cannot be used")
        clash = [one for one in self._books.accounts if one.id != account.id and (one.name == account.name or (one.code and one.code == account.code))]
        if clash:
            fields.errors.append("Please enter a unique Name." if clash[0].name == account.name else "Please enter a unique Code.")
        changed = replace(
            account,
            tax_type=tax_type,
            description=fields.text("Description", 4000, account.description),
            payments=fields.flag("EnablePaymentsToAccount", account.payments),
            currency=account.currency or (self._books.organisation.base_currency if account.type == "BANK" else ""),
            bank_number=fields.text("BankAccountNumber", 50, account.bank_number),
            updated=self._desk.now,
        )
        if fields.errors:
            raise Refused(*fields.errors)
        self._books.accounts.save(changed)
        return changed

    def delete(self, account: Account) -> Account:
        """Only an account that nothing uses."""
        used = any(line.account_id == account.id for one in self._books.invoices for line in one.lines)
        if account.system or used or any(one.account_id == account.id for one in self._books.payments):
            raise Refused("The account cannot be deleted because it is in use")
        self._books.accounts.remove(account)
        return replace(account, status="DELETED")


def render_tax_rate(rate: TaxRate) -> dict[str, Any]:
    return {
        "Name": rate.name,
        "TaxType": rate.type,
        "ReportTaxType": rate.report_type,
        "CanApplyToAssets": "ASSET" in rate.classes,
        "CanApplyToEquity": "EQUITY" in rate.classes,
        "CanApplyToExpenses": "EXPENSE" in rate.classes,
        "CanApplyToLiabilities": "LIABILITY" in rate.classes,
        "CanApplyToRevenue": "REVENUE" in rate.classes,
        "DisplayTaxRate": rate.rate,
        "EffectiveRate": rate.rate,
        "Status": rate.status,
        "TaxComponents": [{"Name": rate.name, "Rate": rate.rate, "IsCompound": False, "IsNonRecoverable": False}],
    }


def render_tracking(category: TrackingCategory) -> dict[str, Any]:
    options = [{"TrackingOptionID": one.id, "Name": one.name, "Status": one.status} for one in category.options]
    return {"TrackingCategoryID": category.id, "Name": category.name, "Status": category.status, "Options": options}


def render_currencies(books: Books) -> list[dict[str, str]]:
    return [{"Code": code, "Description": name} for code, name in books.currencies.items()]


def add_currency(desk: Desk, element: Element) -> None:
    """PUT adds, nothing removes; needs a plan with multi-currency (X§6.5)."""
    fields = Fields(element, desk, [])
    code = fields.text("Code", 3)
    if code not in _KNOWN_CURRENCIES:
        raise Refused("The currency Code is not valid")
    if not desk.books.organisation.multicurrency:
        raise Refused("The organisation's plan does not include multi-currency")
    desk.books.currencies[code] = _KNOWN_CURRENCIES[code]


def render_theme(theme: Theme) -> dict[str, Any]:
    return {
        "BrandingThemeID": theme.id,
        "Name": theme.name,
        "LogoUrl": "https://in.xero.com/logo?id=sandbox",
        "Type": "INVOICE",
        "SortOrder": theme.order,
        "CreatedDateUTC": ms_time(theme.created),
    }


def render_member(membership: Membership) -> dict[str, Any]:
    user = membership.user
    return {
        "UserID": user.id,
        "EmailAddress": user.email,
        "FirstName": user.first_name,
        "LastName": user.last_name,
        "UpdatedDateUTC": ms_time(membership.updated),
        "IsSubscriber": membership.subscriber,
        "OrganisationRole": membership.role,
    }
