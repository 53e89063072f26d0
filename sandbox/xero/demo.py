"""The world as it is found: three organisations and a demo company, their users, and what stands in their books."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from sandbox import seed
from sandbox.xero.books import (
    BILL,
    SALES,
    Account,
    Books,
    Contact,
    ContactPerson,
    CreditNote,
    Invoice,
    Item,
    Line,
    Note,
    Organisation,
    Price,
    Quote,
    TaxRate,
    Theme,
    TrackingCategory,
    TrackingOption,
)
from sandbox.xero.identity import Identity, Membership, User
from sandbox.xero.lines import add_up
from sandbox.xero.words import to_millisecond

_LONG_AGO = datetime(2026, 4, 1, 2, 30, tzinfo=UTC)
_BORN = datetime(2021, 7, 6, 0, 12, tzinfo=UTC)
ALL = frozenset(("ASSET", "EQUITY", "EXPENSE", "LIABILITY", "REVENUE"))
SALES_SIDE = ALL - {"EXPENSE"}
PURCHASE_SIDE = ALL - {"REVENUE"}


def stable_id(*parts: str) -> str:
    """The same id in every run, so that tests and screens agree."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "sandbox:" + "/".join(parts)))


HARBOUR, AUSTRALIA, BOB, DEMO = (stable_id("tenant", one) for one in ("harbour", "australia", "bob", "demo"))

#: code, name, type, tax type, system account, payments allowed, description
_NZ_ACCOUNTS = (
    ("090", "Harbour Everyday Account", "BANK", "NONE", "", False, ""),
    ("091", "Harbour Savings Account", "BANK", "NONE", "", False, ""),
    ("200", "Sales", "SALES", "OUTPUT2", "", False, "Income from goods sold"),
    ("201", "Sales - services", "SALES", "OUTPUT2", "", False, "Delivery, installation and design"),
    ("202", "Sales - export", "SALES", "ZERORATED", "", False, "Goods and freight sold abroad"),
    ("209", "Sales - old showroom", "SALES", "OUTPUT2", "", False, "Closed with the old showroom"),
    ("260", "Other revenue", "REVENUE", "OUTPUT2", "", False, "Anything that is not trading income"),
    ("270", "Interest income", "OTHERINCOME", "NONE", "", False, ""),
    ("300", "Purchases", "DIRECTCOSTS", "INPUT2", "", False, "Goods bought to be sold again"),
    ("310", "Cost of goods sold", "DIRECTCOSTS", "INPUT2", "", False, ""),
    ("400", "Advertising", "EXPENSE", "INPUT2", "", False, ""),
    ("404", "Bank fees", "EXPENSE", "NONE", "", False, ""),
    ("412", "Consulting and accounting", "EXPENSE", "INPUT2", "", False, ""),
    ("420", "Entertainment", "EXPENSE", "INPUT2", "", False, ""),
    ("425", "Freight and courier", "EXPENSE", "INPUT2", "", False, ""),
    ("429", "General expenses", "EXPENSE", "INPUT2", "", False, ""),
    ("445", "Light, power, heating", "EXPENSE", "INPUT2", "", False, ""),
    ("469", "Rent", "EXPENSE", "INPUT2", "", False, ""),
    ("477", "Wages and salaries", "EXPENSE", "NONE", "", False, ""),
    ("489", "Telephone and internet", "EXPENSE", "INPUT2", "", False, ""),
    ("497", "Bank revaluations", "EXPENSE", "NONE", "BANKCURRENCYGAIN", False, ""),
    ("498", "Unrealised currency gains", "EXPENSE", "NONE", "UNREALISEDCURRENCYGAIN", False, ""),
    ("499", "Realised currency gains", "EXPENSE", "NONE", "REALISEDCURRENCYGAIN", False, ""),
    ("500", "Depreciation", "DEPRECIATN", "NONE", "", False, ""),
    ("610", "Accounts receivable", "CURRENT", "NONE", "DEBTORS", False, "Invoices not yet paid by customers"),
    ("620", "Prepayments", "CURRENT", "NONE", "", True, ""),
    ("630", "Inventory", "INVENTORY", "NONE", "", False, ""),
    ("710", "Office equipment", "FIXED", "INPUT2", "", False, ""),
    ("800", "Accounts payable", "CURRLIAB", "NONE", "CREDITORS", False, "Bills not yet paid"),
    ("803", "Unpaid expense claims", "CURRLIAB", "NONE", "UNPAIDEXPCLM", False, ""),
    ("820", "GST", "CURRLIAB", "NONE", "GST", False, ""),
    ("835", "Customer deposits", "CURRLIAB", "NONE", "", True, "Hire bonds and vouchers not yet used"),
    ("840", "Historical adjustment", "CURRLIAB", "NONE", "HISTORICAL", False, ""),
    ("850", "Suspense", "CURRLIAB", "NONE", "", False, ""),
    ("860", "Rounding", "CURRLIAB", "NONE", "ROUNDING", False, "Differences of cents"),
    ("877", "Tracking transfers", "CURRLIAB", "NONE", "TRACKINGTRANSFERS", False, ""),
    ("900", "Loan", "TERMLIAB", "NONE", "", False, ""),
    ("960", "Retained earnings", "EQUITY", "NONE", "RETAINEDEARNINGS", False, ""),
    ("970", "Owner funds introduced", "EQUITY", "NONE", "", True, ""),
)

_TAX_TYPES_AU = {"OUTPUT2": "OUTPUT", "INPUT2": "INPUT", "ZERORATED": "EXEMPTEXPORT", "NONE": "BASEXCLUDED"}

_NZ_RATES = (
    TaxRate("15% GST on Income", "OUTPUT2", Decimal("15.0000"), SALES_SIDE, report_type="OUTPUT"),
    TaxRate("15% GST on Expenses", "INPUT2", Decimal("15.0000"), PURCHASE_SIDE, report_type="INPUT"),
    TaxRate("Zero Rated", "ZERORATED", Decimal("0.0000"), frozenset(("REVENUE", "LIABILITY"))),
    TaxRate("No GST", "NONE", Decimal("0.0000"), ALL),
    TaxRate("GST on Imports", "GSTONIMPORTS", Decimal("0.0000"), frozenset(("LIABILITY",)), report_type="GSTONIMPORTS"),
    TaxRate("12.5% GST on Income", "OUTPUT", Decimal("12.5000"), SALES_SIDE, "DELETED", "OUTPUT"),
    TaxRate("12.5% GST on Expenses", "INPUT", Decimal("12.5000"), PURCHASE_SIDE, "DELETED", "INPUT"),
)

_AU_RATES = (
    TaxRate("GST on Income", "OUTPUT", Decimal("10.0000"), SALES_SIDE, report_type="OUTPUT"),
    TaxRate("GST on Expenses", "INPUT", Decimal("10.0000"), PURCHASE_SIDE, report_type="INPUT"),
    TaxRate("GST on Capital", "CAPEXINPUT", Decimal("10.0000"), frozenset(("ASSET",)), report_type="CAPEXINPUT"),
    TaxRate("GST Free Income", "EXEMPTOUTPUT", Decimal("0.0000"), SALES_SIDE, report_type="EXEMPTOUTPUT"),
    TaxRate("GST Free Expenses", "EXEMPTEXPENSES", Decimal("0.0000"), PURCHASE_SIDE, report_type="EXEMPTEXPENSES"),
    TaxRate("GST Free Exports", "EXEMPTEXPORT", Decimal("0.0000"), SALES_SIDE, report_type="EXEMPTEXPORT"),
    TaxRate("Input Taxed", "INPUTTAXED", Decimal("0.0000"), ALL, report_type="INPUTTAXED"),
    TaxRate("BAS Excluded", "BASEXCLUDED", Decimal("0.0000"), ALL, report_type="BASEXCLUDED"),
    TaxRate("GST on Imports", "GSTONIMPORTS", Decimal("0.0000"), frozenset(("LIABILITY",)), report_type="GSTONIMPORTS"),
)

_USERS = (
    User("olivia", stable_id("user", "olivia"), "Olivia", "Standard", "olivia@harbourandvine.example"),
    User("ravi", stable_id("user", "ravi"), "Ravi", "Adviser", "ravi@ledgerline.example"),
    User("ines", stable_id("user", "ines"), "Ines", "InvoiceOnly", "ines@harbourandvine.example"),
    User("bob", stable_id("user", "bob"), "Bob", "Standard", "bob@bobsboats.example"),
)

_MEMBERSHIPS = (
    ("olivia", HARBOUR, "STANDARD"),
    ("olivia", AUSTRALIA, "STANDARD"),
    ("olivia", DEMO, "STANDARD"),
    ("ravi", HARBOUR, "FINANCIALADVISER"),
    ("ravi", DEMO, "FINANCIALADVISER"),
    ("ines", HARBOUR, "INVOICEONLY"),
    ("bob", BOB, "STANDARD"),
)


def fill(books: dict[str, Books], identity: Identity) -> None:
    """Put the whole demonstration in place."""
    for user in _USERS:
        identity.users[user.key] = user
    for key, tenant, role in _MEMBERSHIPS:
        bank = role != "INVOICEONLY"
        identity.memberships.append(Membership(identity.users[key], tenant, role, _LONG_AGO, subscriber=key in ("olivia", "bob"), bank_admin=bank))
    for one in (_harbour(identity.now), _australia(), _bob(), _demo_company()):
        books[one.tenant_id] = one
        one.journal.clear()


def _new_zealand(id_: str, name: str, short: str, plan: str = "STANDARD", is_demo: bool = False) -> Organisation:
    return Organisation(
        id_, name, name, short, "NZ", "NZD", "NEWZEALANDSTANDARDTIME", "Pacific/Auckland", _BORN,
        tax_number="000-777-001", registration="0000001", sales_terms={"Day": 20, "Type": "OFFOLLOWINGMONTH"}, plan=plan, is_demo=is_demo,
    )  # fmt: skip


def _ledger(books: Books, rates: tuple[TaxRate, ...], tax_types: dict[str, str]) -> None:
    """Accounts, tax rates and a branding theme."""
    key = books.organisation.short_code
    for rate in rates:
        books.tax_rates[rate.type] = replace(rate)
    for code, name, type_, tax, system, payments, description in _NZ_ACCOUNTS:
        account = Account(stable_id(key, "account", code), code, name, type_, tax_types.get(tax, tax), _LONG_AGO, description, system=system, payments=payments)
        if type_ == "BANK":
            account.currency, account.bank_number = books.organisation.base_currency, f"00-0000-0000{code}-00"
        account.status = "ARCHIVED" if code == "209" else "ACTIVE"
        books.accounts.save(account)
    books.themes.append(Theme(stable_id(key, "theme", "standard"), "Standard", 0, _BORN))
    books.themes.append(Theme(stable_id(key, "theme", "trade"), "Trade customers", 1, _BORN))


def _harbour(now: datetime) -> Books:
    books = Books(_new_zealand(HARBOUR, seed.SELLER, "!hV7nz"))
    _ledger(books, _NZ_RATES, {})
    books.accounts.save(
        Account(stable_id("!hV7nz", "account", "aud"), "", "Harbour AUD Account", "BANK", "NONE", _LONG_AGO, currency="AUD", bank_number="00-0000-0000092-00")
    )
    books.currencies |= {"NZD": "New Zealand Dollar", "AUD": "Australian Dollar"}
    regions = ("North", "South", "Australia")
    options = [TrackingOption(stable_id("option", one), one) for one in regions]
    options.append(TrackingOption(stable_id("option", "West"), "West", "ARCHIVED"))
    books.tracking.append(TrackingCategory(stable_id("tracking", "Region"), "Region", options))
    _contacts(books)
    _items(books)
    _Past(books, now).fill()
    return books


def _contacts(books: Books) -> None:
    """The companies that are in both systems, exactly, nearly, archived, or with another tax number."""
    for company in seed.COMPANIES:
        if company.in_xero == "no":
            continue
        contact = Contact(stable_id("contact", company.key), company.xero_name or company.name, _LONG_AGO)
        contact.status = "ARCHIVED" if company.in_xero == "archived" else "ACTIVE"
        contact.texts = {"EmailAddress": company.email, "TaxNumber": company.xero_tax_number or company.tax_number, "CompanyNumber": company.nzbn}
        contact.texts = {key: text for key, text in contact.texts.items() if text}
        if company.currency != "NZD":
            contact.texts["DefaultCurrency"] = company.currency
        contact.phones["DEFAULT"] = {"PhoneNumber": company.phone}
        contact.addresses = {"POBOX": _address(company.postal), "STREET": _address(company.street)}
        contact.people = [ContactPerson(one.first_name, one.last_name, one.email, True) for one in seed.PEOPLE if one.company == company.key]
        contact.is_customer, contact.is_supplier = company.is_customer, not company.is_customer
        books.contacts.save(contact)


def _address(place: seed.Address) -> dict[str, str]:
    return {
        "AddressLine1": place.line,
        "City": place.city,
        "Region": place.region,
        "PostalCode": place.postal_code,
        "Country": place.country,
    }


def _items(books: Books) -> None:
    for product in seed.PRODUCTS:
        if not product.in_xero:
            continue
        account = "201" if product.kind == "service" else "200"
        tax = "NONE" if product.tax_rate is None else "OUTPUT2" if product.tax_rate else "ZERORATED"
        cost = (product.price * Decimal("0.6")).quantize(Decimal("0.01"))
        item = Item(stable_id("item", product.code), product.code, _LONG_AGO, product.name[:50], description=product.name)
        item.sales, item.purchase = Price(product.price, account, tax_type=tax), Price(cost, "300", tax_type="INPUT2")
        books.items.save(item)


def _line(books: Books, place: str, code: str, quantity: int, inclusive: bool = False) -> Line:
    product = seed.product(code)
    item = books.items.find("code", code)[0]
    rate = (product.tax_rate or Decimal(0)) / 100
    unit = (product.price * (1 + rate)).quantize(Decimal("0.01"), ROUND_HALF_UP) if inclusive else product.price
    amount = unit * quantity
    tax = amount - amount / (1 + rate) if inclusive else amount * rate
    account = books.account(item.sales.account)
    return Line(
        stable_id("line", place, code), product.name, Decimal(quantity), unit, amount, item.id, account.id if account else "",
        item.sales.tax_type, tax.quantize(Decimal("0.01"), ROUND_HALF_UP),
    )  # fmt: skip


@dataclass
class _Past:
    """Documents of the organisation's last weeks."""

    books: Books
    now: datetime

    def _day(self, age: int) -> date:
        return self.now.astimezone(ZoneInfo(self.books.organisation.zone)).date() - timedelta(days=age)

    def _stamp(self, age: int) -> datetime:
        return to_millisecond(self.now) - timedelta(days=age)

    def invoice(self, number: str, company: str, lines: tuple[tuple[str, int], ...], status: str, age: int, inclusive: bool = False) -> None:
        day = self._day(age)
        invoice = Invoice(stable_id("invoice", number), SALES, number, stable_id("contact", company), day, self._stamp(age))
        invoice.lines = [_line(self.books, number, code, quantity, inclusive) for code, quantity in lines]
        invoice.line_amount_types = "Inclusive" if inclusive else "Exclusive"
        invoice.status, invoice.due_date = status, day + timedelta(days=seed.KNOWN_INVOICE_TERM_DAYS)
        invoice.currency, invoice.theme_id = "NZD", self.books.themes[0].id
        add_up(invoice)
        self.books.invoices.save(invoice)
        self.books.note(invoice.id, Note(invoice.updated, "Created", f"{number}, {invoice.total} NZD", "Olivia Standard"))

    def fill(self) -> None:
        """The three invoices that the CRM has too, and some that only live here."""
        for number, company, lines in seed.KNOWN_INVOICES:
            self.invoice(number, company, lines, "AUTHORISED", seed.KNOWN_INVOICE_AGE_DAYS, inclusive=True)
        self.invoice("INV-0001", "pipi-street", (("CH-BIS-02", 12),), "AUTHORISED", 40)
        self.invoice("INV-0002", "orchard-house", (("ST-BAR-03", 6), ("SV-DEL-35", 1)), "DRAFT", 9)
        self.invoice("INV-0003", "moana-events", (("GL-WIN-15", 30),), "SUBMITTED", 5)
        self._bill()
        self._credit_note_and_quote()
        self.books.counters |= {"INV": 3, "CN": 1, "QU": 1}

    def _bill(self) -> None:
        books, day = self.books, self._day(24)
        bill = Invoice(stable_id("bill", "1"), BILL, "WM-5521", stable_id("contact", "orchard-house"), day, self._stamp(24))
        account = books.account("300")
        line = Line(stable_id("line", "bill"), "Timber, kiln dried", Decimal(1), Decimal(860), Decimal(860))
        line.account_id, line.tax_type, line.tax_amount = account.id if account else "", "INPUT2", Decimal(129)
        bill.lines, bill.status, bill.due_date = [line], "AUTHORISED", day + timedelta(days=30)
        bill.currency, bill.theme_id = "NZD", books.themes[0].id
        add_up(bill)
        books.invoices.save(bill)

    def _credit_note_and_quote(self) -> None:
        books, contact = self.books, stable_id("contact", "copper-kettle")
        note = CreditNote(stable_id("note", "1"), "ACCRECCREDIT", "CN-0001", contact, self._day(21), self._stamp(21), "AUTHORISED")
        quote = Quote(stable_id("quote", "1"), "QUOTE", "QU-0001", contact, self._day(14), self._stamp(14), "SENT")
        note.lines, quote.lines = [_line(books, "CN-0001", "PL-SID-12", 4)], [_line(books, "QU-0001", "KT-MIX-21", 1)]
        quote.title, quote.expiry = "Refit of the Hamilton kitchen", self._day(-30)
        for document in (note, quote):
            document.currency, document.theme_id = "NZD", books.themes[0].id
            add_up(document)
        books.credit_notes.save(note)
        books.quotes.save(quote)


def _australia() -> Books:
    organisation = Organisation(
        AUSTRALIA, seed.SELLER_AUSTRALIA, seed.SELLER_AUSTRALIA, "!hV2au", "AU", "AUD", "AUSEASTERNSTANDARDTIME", "Australia/Sydney", _BORN,
        tax_number="00 000 000 777", registration="000000002", multicurrency=False, plan="STANDARD",
    )  # fmt: skip
    books = Books(organisation)
    _ledger(books, _AU_RATES, _TAX_TYPES_AU)
    books.currencies["AUD"] = "Australian Dollar"
    return books


def _bob() -> Books:
    books = Books(_new_zealand(BOB, "Bob's Boat Repairs", "!bB9nz"))
    _ledger(books, _NZ_RATES, {})
    books.currencies["NZD"] = "New Zealand Dollar"
    contact = Contact(stable_id("contact", "marina"), "Seventh Bay Marina", _LONG_AGO, texts={"EmailAddress": "office@seventhbay.example"}, is_customer=True)
    books.contacts.save(contact)
    return books


def _demo_company() -> Books:
    books = Books(_new_zealand(DEMO, "Demo Company (NZ)", "!d3Mo1", is_demo=True, plan="DEMO"))
    _ledger(books, _NZ_RATES, {})
    books.currencies |= {"NZD": "New Zealand Dollar", "USD": "United States Dollar"}
    return books
