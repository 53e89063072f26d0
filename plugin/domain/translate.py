"""An invoice of the CRM becomes a draft for Xero, or a problem that says why not.

Codes raised here and in `plugin.domain.checks` (parameters in brackets):

| Code | When |
|---|---|
| send.other_seller (seller) | its own company is not one of this organisation's (RULES 5) |
| send.stage_not_sent (stage) | its stage is mapped to "do not send", or to "void" while nothing was sent |
| send.before_start (date, start) | older than the start date (RULES 9) |
| send.no_customer | neither company nor contact |
| send.negative_total (total, currency) | would be a credit note (X§4.10) |
| send.currency_missing (currency) | the organisation does not use this currency |
| send.locked (date, lock) | on or before the organisation's lock date |
| send.no_rows | no product rows |
| send.manual_total (crm, rows) | total typed by hand and different from its rows (RULES 17) |
| send.rows_do_not_add_up (crm, rows) | rows that give another total, in every form |
| send.account_missing (account, row) | no account chosen (account "") or unknown in Xero |
| send.account_archived (account, row) | archived in Xero |
| send.account_not_allowed (account, row) | a system or bank account |
| send.tax_unmapped (rate, row) | no tax rate chosen for this percent ("none" = no tax) |
| send.tax_missing (tax, row) | the chosen tax rate is not there or not active any more |
| send.tax_rate_differs (rate, tax, tax_rate, row) | the chosen tax rate has another percent than the row |
| send.tax_not_for_account (tax, account, row) | the tax rate cannot be used with the account's class (X§6.3) |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from plugin.domain.checks import check_header, check_rows, document_date, row_amount, rows_total
from plugin.domain.crm import Invoice, Product, Row
from plugin.domain.ledger import Account, Draft, Line, Organisation, TaxRate, Tracking
from plugin.domain.money import CENT, HUNDRED, ZERO, Totals, line_amount, line_tax, plain, round2, round4, xero_totals
from plugin.domain.problems import Problem
from plugin.domain.settings import Settings, tax_key

DESCRIPTION_LENGTH = 4000
REFERENCE_LENGTH = 255
TITLE_LENGTH, SUMMARY_LENGTH, TERMS_LENGTH = 100, 3000, 4000  # X§6.11
RATE_TOLERANCE = Decimal("0.005")

DescribeDiscount = Callable[[Decimal, Decimal, Decimal], str]


@dataclass(frozen=True)
class ItemChoice:
    """The Xero item of a product: its code now, and the id that stays when the code is changed (RULES 15)."""

    code: str
    id: str = ""


@dataclass(frozen=True)
class Books:
    """What lines are checked against: the organisation's directory and the portal's choices."""

    settings: Settings
    organisation: Organisation
    accounts: Mapping[str, Account]
    tax_rates: Mapping[str, TaxRate]
    products: Mapping[int, Product]
    items: Mapping[int, ItemChoice | None]
    contact_tax: str
    places: int = 4  # decimals that a unit price keeps: quotes have two (X§2.4)


@dataclass(frozen=True)
class Basis:
    """A row with all choices made: what every form of its line has in common."""

    row: Row
    name: str
    account: str
    tax_type: str
    rate: Decimal
    item: ItemChoice | None
    places: int = 4

    @property
    def sign(self) -> int:
        """A negative quantity becomes a negative unit amount (X§4.3)."""
        return -1 if self.row.quantity < 0 else 1


def plain_discount(rate: Decimal, price: Decimal, before: Decimal) -> str:
    """The English sentence that names a discount in a description; pass another callable for another language."""
    return f"Discount {plain(rate)} %: {round2(price)} instead of {round2(before)}"


def translate(
    invoice: Invoice,
    *,
    settings: Settings,
    organisation: Organisation,
    accounts: Mapping[str, Account],
    tax_rates: Mapping[str, TaxRate],
    currencies: Collection[str],
    contact_id: str,
    contact_tax: str = "",
    items: Mapping[int, ItemChoice | None] | None = None,
    products: Mapping[int, Product] | None = None,
    url: str = "",
    number: str = "",
    linked: bool = False,
    older_too: bool = False,
    tracking: tuple[Tracking, ...] = (),
    mark: str = "",
    quote_number: str = "",
    describe_discount: DescribeDiscount = plain_discount,
) -> Draft:
    """The draft that Xero shall hold, its total equal to the CRM's to the cent (RULES 17), or raises a `Problem`.

    `linked`: the document is in Xero already, so that "void" is an order and its lock date is judged by `compare`.
    `mark` stands in the reference of a document that could not be found again otherwise; `quote_number` is that of the quote it was made from.
    `older_too`: a person asked for this document by name although it is older than the start date (RULES 9: nothing older goes *by itself*).
    """
    status = check_header(invoice, settings, organisation, currencies=currencies, linked=linked, older_too=older_too)
    check_rows(invoice)
    books = Books(settings, organisation, accounts, tax_rates, products or {}, items or {}, contact_tax, unit_places(invoice))
    kind, lines, totals = choose_form(invoice, books, describe_discount)
    day = document_date(invoice)
    quote = invoice.kind == "quote"
    return Draft(
        contact_id=contact_id,
        date=day,
        due_date=invoice.due_date or (None if quote else day),
        currency=invoice.currency,
        line_amount_types=kind,
        lines=tuple(replace(line, tracking=tracking) for line in lines) if tracking else lines,
        total=totals.total,
        status=status,
        number=number,
        reference=compose_reference(invoice, settings.reference_fields, quote_number, mark),
        url="" if quote or "xero" in url.lower() else url,
        kind=invoice.kind,
        title=clean_text(invoice.title)[:TITLE_LENGTH].rstrip() if quote else "",
        summary=clean_text(invoice.summary)[:SUMMARY_LENGTH].rstrip(),
        terms=clean_text(invoice.terms)[:TERMS_LENGTH].rstrip(),
        mark=mark,
    )


def with_references(draft: Draft, invoice: Invoice, contact_id: str, items: Mapping[int, ItemChoice | None]) -> Draft:
    """A draft that was made before its contact and items were known, with both: everything else is the same."""
    named = [(line, items.get(row.product_id)) for line, row in zip(draft.lines, _in_order(invoice), strict=True)]
    lines = tuple(replace(line, item_code=item.code, item_id=item.id) if item else line for line, item in named)
    return replace(draft, contact_id=contact_id, lines=lines)


def _in_order(invoice: Invoice) -> list[Row]:
    """Its rows in the order of the lines that they become."""
    return sorted(invoice.rows, key=lambda row: (row.sort, row.id))


def unit_places(invoice: Invoice) -> int:
    """How many decimals of a unit price Xero keeps for this kind of document (X§2.4)."""
    return 2 if invoice.kind == "quote" else 4


def choose_form(invoice: Invoice, books: Books, describe_discount: DescribeDiscount = plain_discount) -> tuple[str, tuple[Line, ...], Totals]:
    """The first form whose total by Xero's rounding is the CRM's (RULES 17): line amount types, lines and totals."""
    untaxed = _untaxed(invoice, books)
    bases = [_basis(row, books, untaxed) for row in _in_order(invoice)]
    rates = {basis.tax_type: basis.rate for basis in bases}
    exclusive = "NoTax" if untaxed else "Exclusive"
    forms: tuple[tuple[str, Callable[[Basis], Line]], ...] = (
        (exclusive, _netto_line),
        (exclusive, lambda basis: _exclusive_line(basis, describe_discount)),
        ("NoTax" if untaxed else "Inclusive", lambda basis: _inclusive_line(basis, describe_discount)),
    )
    for kind, build in forms:
        lines = tuple(build(basis) for basis in bases)
        totals = xero_totals(lines, kind, rates)
        if totals.total == invoice.total:
            return kind, lines, totals
    lines = _carry_cents(bases, lines, invoice.total) if books.places == 4 else _whole_rows(bases, lines, invoice.total)
    totals = xero_totals(lines, kind, rates)
    if totals.total == invoice.total:
        return kind, lines, totals
    raise Problem("send.rows_do_not_add_up", crm=round2(invoice.total), rows=rows_total(invoice))


def compose_reference(invoice: Invoice, names: Collection[str], *endings: str) -> str:
    """The chosen fields in their order, empty ones left out: "title", "number", "id" or one of the invoice's own fields.

    `endings` (the number of its quote, our mark) are never cut off, and not said twice.
    """
    known = {"title": invoice.title, "number": invoice.number, "id": str(invoice.id)}
    parts = [clean_text(known.get(name) or invoice.fields.get(name, "")) for name in names]
    ending = "".join(f" / {one}" for one in endings if one and one not in parts)
    body = " / ".join(part for part in parts if part)[: REFERENCE_LENGTH - len(ending)].rstrip()
    return f"{body}{ending}".removeprefix(" / ")


def clean_text(text: str) -> str:
    """Without control characters but line ends and tabs, and without spaces around (X§13.3)."""
    if text.isprintable():
        return text.strip()
    return "".join(char for char in text.replace("\r\n", "\n").replace("\r", "\n") if char in "\n\t" or ord(char) >= 32).strip()


def account_for(row: Row, products: Mapping[int, Product], settings: Settings) -> str:
    """Line's product (a variation: then its parent), then the product's section, then the default (FEATURES: Account code?)."""
    return _chosen(row, products, settings.account_by_product, settings.account_by_section) or settings.income_account


def tax_for(row: Row, books: Books) -> str:
    """The tax type of a row, or "": an override by product, section, then customer if its percent is the row's, else the map (RULES 18)."""
    own = _chosen_all(row, books.products, books.settings.tax_by_product, books.settings.tax_by_section)
    for tax_type in (*own, books.contact_tax):
        rate = books.tax_rates.get(tax_type)
        if rate and rate.active and _same_rate(rate.rate, row.tax_rate):
            return tax_type
    return books.settings.taxes.get(tax_key(row.tax_rate), "")


def _untaxed(invoice: Invoice, books: Books) -> bool:
    """NoTax is used only where no row has tax, the organisation pays none, and nothing was chosen for "no tax" (X§6.3)."""
    if any(row.tax_rate is not None or tax_for(row, books) for row in invoice.rows):
        return False
    none = books.tax_rates.get("NONE")
    return not books.organisation.pays_tax and none is not None and none.active


def _basis(row: Row, books: Books, untaxed: bool) -> Basis:
    account = _account(row, books)
    tax = books.tax_rates["NONE"] if untaxed else _tax(row, books)
    _check_pair(tax, account, row)
    product = books.products.get(row.product_id)
    name = clean_text(row.name) or clean_text(product.name if product else "") or "-"
    return Basis(row, name, account.code, tax.tax_type, tax.rate, books.items.get(row.product_id), books.places)


def _account(row: Row, books: Books) -> Account:
    code = account_for(row, books.products, books.settings)
    account = books.accounts.get(code)
    if not account:
        raise Problem("send.account_missing", account=code, row=row.name)
    if not account.active:
        raise Problem("send.account_archived", account=code, row=row.name)
    if account.system or account.type == "BANK":
        raise Problem("send.account_not_allowed", account=code, row=row.name)
    return account


def _tax(row: Row, books: Books) -> TaxRate:
    tax_type = tax_for(row, books)
    if not tax_type:
        raise Problem("send.tax_unmapped", rate=tax_key(row.tax_rate), row=row.name)
    tax = books.tax_rates.get(tax_type)
    if not tax or not tax.active:
        raise Problem("send.tax_missing", tax=tax_type, row=row.name)
    if not _same_rate(tax.rate, row.tax_rate):
        raise Problem("send.tax_rate_differs", rate=tax_key(row.tax_rate), tax=tax_type, tax_rate=plain(tax.rate), row=row.name)
    return tax


def _check_pair(tax: TaxRate, account: Account, row: Row) -> None:
    """Sales rates are not for expense accounts, purchase rates not for revenue accounts (X§6.3)."""
    usable = {"REVENUE": tax.revenue, "EXPENSE": tax.expenses}.get(account.klass, True)
    if not usable:
        raise Problem("send.tax_not_for_account", tax=tax.tax_type, account=account.code, row=row.name)


def _same_rate(held: Decimal, wanted: Decimal | None) -> bool:
    return abs(held - (wanted or ZERO)) <= RATE_TOLERANCE


def _chosen(row: Row, products: Mapping[int, Product], by_product: Mapping[int, str], by_section: Mapping[int, str]) -> str:
    return next(iter(_chosen_all(row, products, by_product, by_section)), "")


def _chosen_all(row: Row, products: Mapping[int, Product], by_product: Mapping[int, str], by_section: Mapping[int, str]) -> tuple[str, ...]:
    """What was chosen for a row's product, its parent, and their sections, the most particular first."""
    product = products.get(row.product_id)
    parent_id = product.parent_id if product else None
    parent = products.get(parent_id) if parent_id else None
    sections = [each.section_id for each in (product, parent) if each and each.section_id is not None]
    found = [by_product.get(row.product_id, ""), by_product.get(parent_id or 0, ""), *(by_section.get(section, "") for section in sections)]
    return tuple(each for each in found if each)


def discount_rate(row: Row) -> Decimal:
    """The percent of a row's discount, up to two decimals; an absolute discount derives it (B§8.6). A surcharge is no discount."""
    rate = row.discount_rate
    if row.discount_type == 1:
        netto = row.price_exclusive + row.discount_sum
        rate = row.discount_sum / netto * HUNDRED if netto else ZERO
    rate = round2(rate)
    return rate if 0 < rate <= HUNDRED else ZERO


def _netto_line(basis: Basis) -> Line:
    """Form 1: netto with discount; four decimals only where two do not give the row's amount."""
    row, rate = basis.row, discount_rate(basis.row)
    line, wanted = _line(basis, row.price_netto if rate else row.price_exclusive, discount=rate), row_amount(row)
    if rate == HUNDRED or _gross(line, basis.rate) == wanted:
        return line
    exact = _line(basis, _net(row.price, basis.rate) / (HUNDRED - rate) * HUNDRED, discount=rate)
    return exact if _gross(exact, basis.rate) == wanted else line


def _exclusive_line(basis: Basis, describe: DescribeDiscount) -> Line:
    """Form 2: the price without tax at four decimals; the discount is named."""
    return _line(basis, _net(basis.row.price, basis.rate), note=_note(basis.row, basis.row.price_exclusive, basis.row.price_netto, describe))


def _inclusive_line(basis: Basis, describe: DescribeDiscount) -> Line:
    """Form 3: the CRM's own price, tax included; the discount is named."""
    return _line(basis, basis.row.price, note=_note(basis.row, basis.row.price, basis.row.price_brutto, describe))


def _carry_cents(bases: Sequence[Basis], lines: tuple[Line, ...], total: Decimal) -> tuple[Line, ...]:
    """Where the CRM rounded only the sum, the rows that lost most by their own rounding carry the cents, at four decimals."""
    missing = total - sum(map(line_amount, lines), ZERO)
    step = CENT if missing > 0 else -CENT
    lost = {n: (basis.row.price * basis.row.quantity - row_amount(basis.row)) / step for n, basis in enumerate(bases)}
    carrying = sorted((n for n in lost if lost[n] > 0), key=lambda n: -lost[n])[: int(missing / step)]
    return tuple(replace(line, unit_amount=round4((line_amount(line) + step) / line.quantity)) if n in carrying else line for n, line in enumerate(lines))


def _whole_rows(bases: Sequence[Basis], lines: tuple[Line, ...], total: Decimal) -> tuple[Line, ...]:
    """The same with two decimals: a row that carries a cent goes as one piece at its amount, its quantity named in the description."""
    carried = _carry_cents(bases, lines, total)
    return tuple(one if one == line else _as_one(basis, one) for basis, line, one in zip(bases, lines, carried, strict=True))


def _as_one(basis: Basis, line: Line) -> Line:
    named = f"{line.description}\n{plain(basis.row.quantity)} × {round2(basis.row.price)}"[:DESCRIPTION_LENGTH]
    return replace(line, description=named, quantity=Decimal(1), unit_amount=line_amount(line))


def _note(row: Row, price: Decimal, before: Decimal, describe: DescribeDiscount) -> str:
    rate = discount_rate(row)
    return describe(rate, price, before) if rate else ""


def _line(basis: Basis, unit: Decimal, *, discount: Decimal = ZERO, note: str = "") -> Line:
    name = basis.name[: DESCRIPTION_LENGTH - len(note) - 1] if note else basis.name[:DESCRIPTION_LENGTH]
    return Line(
        description=f"{name}\n{note}" if note else name,
        quantity=abs(basis.row.quantity),
        unit_amount=(round4(unit) if basis.places == 4 else round2(unit)) * basis.sign,
        account_code=basis.account,
        tax_type=basis.tax_type,
        item_code=basis.item.code if basis.item else "",
        item_id=basis.item.id if basis.item else "",
        discount_rate=discount,
        row_id=basis.row.id,
    )


def _net(price: Decimal, rate: Decimal) -> Decimal:
    return price / (1 + rate / HUNDRED)


def _gross(line: Line, rate: Decimal) -> Decimal:
    amount = line_amount(line)
    return amount + line_tax(amount, "Exclusive", rate)
