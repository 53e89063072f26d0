"""Line items: what a line may say, what it defaults to, and how it adds up (X§4.3, X§4.9, X§6.2, X§6.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sandbox.xero.books import ZERO, Account, Document, Item, Line, Price
from sandbox.xero.desk import Desk
from sandbox.xero.elements import Element, Fields
from sandbox.xero.errors import Refused
from sandbox.xero.words import new_id

HUNDRED = Decimal(100)
LARGEST_LINE = Decimal("9999999999.99")
SALES_KINDS = ("ACCREC", "ACCRECCREDIT", "QUOTE")
DISCOUNT_KINDS = ("ACCREC", "QUOTE")
#: System accounts that a document line may use: only the one meant for it (X§4.9).
OPEN_SYSTEM_ACCOUNTS = ("", "ROUNDING")


@dataclass
class Rules:
    """What kind of document the lines belong to."""

    kind: str
    line_amount_types: str
    approving: bool = False
    draft: bool = True
    #: Quotes take no tax from the account (X§6.11).
    account_gives_tax: bool = True
    tracking_by_name: bool = True


class LineReader:
    """Turns the `LineItems` of one element into lines; complaints stay with their line."""

    def __init__(self, desk: Desk, rules: Rules, existing: Sequence[Line] = ()) -> None:
        self._desk = desk
        self._books = desk.books
        self._rules = rules
        self._existing = {line.id: line for line in existing}
        self.warnings: list[str] = []

    def read(self, elements: list[Element]) -> list[Line]:
        """All lines, or `Refused` with the messages of each bad one."""
        lines: list[Line] = []
        parts: dict[tuple[str, int], list[str]] = {}
        for place, element in enumerate(elements):
            errors: list[str] = []
            line = self._line(Fields(element, self._desk, errors))
            errors += [] if errors else check_line(self._desk, self._rules, line)
            if errors:
                parts["LineItems", place] = errors
            lines.append(line)
        if parts:
            raise Refused(*dict.fromkeys(message for messages in parts.values() for message in messages), parts=parts)
        return lines

    def _line(self, fields: Fields) -> Line:
        known = self._existing.pop(fields.identifier("LineItemID"), None)
        line = known or Line(new_id())
        if known is not None and self._desk.is_on("line_fields_omitted", "reset"):
            line = Line(known.id)
        item = self._item(fields, line)
        fresh = item is not None and item.id != line.item_id
        line = replace(line, item_id=item.id if item else "")
        defaults = self._defaults(item) if item is not None and fresh else ("", Price())
        line = self._words(fields, line, defaults)
        line = self._account(fields, line, defaults[1])
        line = self._amounts(fields, line, defaults[1])
        line = self._tax(fields, line, defaults[1], known)
        return replace(line, tracking=self._tracking(fields, line))

    def _item(self, fields: Fields, line: Line) -> Item | None:
        if not fields.says("ItemCode"):
            return self._books.items.get(line.item_id) if line.item_id else None
        code = fields.text("ItemCode", 30)
        if not code:
            return None
        found = find_item(self._desk, code)
        if found is None:
            fields.errors.append(f"Item code '{code}' is not valid")
        return found

    def _defaults(self, item: Item) -> tuple[str, Price]:
        if self._rules.kind in SALES_KINDS:
            return item.description or item.name, item.sales
        return item.purchase_description or item.description or item.name, item.purchase

    def _words(self, fields: Fields, line: Line, defaults: tuple[str, Price]) -> Line:
        description = fields.text("Description", 4000, line.description)
        return replace(line, description=description or (defaults[0] if "Description" not in fields.element else ""))

    def _account(self, fields: Fields, line: Line, price: Price) -> Line:
        code = fields.text("AccountCode", 10)
        identifier = fields.identifier("AccountID") or fields.identifier("AccountId")
        if not code and not identifier:
            if fields.says("AccountCode"):
                return replace(line, account_id="")
            default = self._books.account(price.account) if price.account else None
            return replace(line, account_id=default.id if default else line.account_id)
        account = self._books.account(code) if code else self._books.accounts.get(identifier)
        if account is None:
            return self._unknown_account(fields, line, code or identifier)
        return replace(line, account_id=account.id)

    def _unknown_account(self, fields: Fields, line: Line, code: str) -> Line:
        if self._rules.draft and self._desk.is_on("unknown_account_on_draft", "warning"):
            self.warnings.append(f"Account code '{code}' has been removed as it does not match a recognised account.")
        else:
            fields.errors.append(f"Account code '{code}' is not a valid code for this document.")
        return replace(line, account_id="")

    def _amounts(self, fields: Fields, line: Line, price: Price) -> Line:
        """Quantity, unit amount and line amount: given, kept, or the missing one calculated."""
        quantity, unit, amount = (fields.number(name) for name in ("Quantity", "UnitAmount", "LineAmount"))
        line = self._discount(fields, line)
        factor = (HUNDRED - (line.discount_rate or ZERO)) / HUNDRED
        if amount is not None and (quantity is None or unit is None):
            quantity, unit = _missing_one(quantity, unit, amount, line, factor)
            return replace(line, quantity=self._quantity(fields, quantity), unit_amount=self._unit(unit), line_amount=self._desk.cents(amount))
        unit = price.unit if unit is None else unit
        unit = line.unit_amount if unit is None else self._unit(unit)
        quantity = line.quantity if quantity is None else self._quantity(fields, quantity)
        if unit is not None and quantity is None:
            quantity = Decimal(1)
        expected = self._desk.cents((quantity or ZERO) * (unit or ZERO) * factor - (line.discount_amount or ZERO))
        if amount is not None and self._desk.cents(amount) != expected and self._desk.is_on("mismatched_line_amount", "refused"):
            fields.errors.append(f"The line total {self._desk.cents(amount)} does not match the expected line total {expected}")
        return replace(line, quantity=quantity, unit_amount=unit, line_amount=expected)

    def _unit(self, amount: Decimal) -> Decimal:
        return self._desk.rounding.to(amount, self._desk.places)

    def _quantity(self, fields: Fields, quantity: Decimal) -> Decimal:
        if len(str(quantity).lstrip("-")) > 13 and "Quantity" in fields.element:
            fields.errors.append("The Quantity field must not exceed 13 characters")
            return Decimal(1)
        return self._desk.rounding.to(quantity, 4)

    def _discount(self, fields: Fields, line: Line) -> Line:
        rate, amount = fields.number("DiscountRate", line.discount_rate), fields.number("DiscountAmount", line.discount_amount)
        given = [name for name in ("DiscountRate", "DiscountAmount") if fields.element.get(name)]
        if len(given) == 2:
            if self._desk.is_on("both_discounts", "refused"):
                fields.errors.append("Only one of DiscountRate and DiscountAmount can be specified on a line item")
            amount = None
        elif given:
            rate, amount = (rate, None) if given == ["DiscountRate"] else (None, amount)
        if (rate or amount) and self._rules.kind not in DISCOUNT_KINDS:
            fields.errors.append("Discounts can not be applied to this type of document")
            rate = amount = None
        if rate is not None and self._desk.is_on("discount_rate_places", "2"):
            rate = self._desk.rounding.to(rate, 2)
        if rate is not None and not 0 <= rate <= HUNDRED:
            fields.errors.append("The DiscountRate must be between 0 and 100")
            rate = None
        return replace(line, discount_rate=rate or None, discount_amount=self._desk.cents(amount) if amount else None)

    def _tax(self, fields: Fields, line: Line, price: Price, known: Line | None) -> Line:
        if self._rules.line_amount_types == "NoTax":
            if fields.text("TaxType", 50) not in ("", "NONE") and self._desk.is_on("notax_taxtype", "refused"):
                fields.errors.append("The TaxType field cannot be used when LineAmountTypes is NoTax")
            return replace(line, tax_type="NONE" if not line.is_text else "", tax_amount=ZERO, tax_given=False)
        type_ = fields.text("TaxType", 50) or (price.tax_type if "TaxType" not in fields.element else "")
        account = self._books.accounts.get(line.account_id) if line.account_id else None
        if not type_:
            moved = known is None or known.account_id != line.account_id
            default = account.tax_type if account is not None and self._rules.account_gives_tax else ""
            type_ = default if moved or not line.tax_type else line.tax_type
        line = replace(line, tax_type="" if line.is_text else type_)
        computed = computed_tax(self._desk, self._rules.line_amount_types, line)
        given = fields.number("TaxAmount")
        if given is None and known is not None and known.tax_given and _same_amounts(known, line):
            return replace(line, tax_amount=known.tax_amount, tax_given=True)
        if given is None or line.is_text:
            return replace(line, tax_amount=computed, tax_given=False)
        given = self._desk.cents(given)
        return replace(line, tax_amount=given, tax_given=given != computed)

    def _tracking(self, fields: Fields, line: Line) -> list[tuple[str, str]]:
        given = fields.parts("Tracking")
        if given is None:
            return line.tracking
        if len(given) > 2:
            fields.errors.append("A line item can have at most 2 tracking categories")
            return []
        found = []
        for element in given:
            pair = find_tracking(self._desk, element, self._rules.tracking_by_name)
            if pair is not None:
                found.append(pair)
                continue
            wanted = element.get("Option") or element.get("TrackingOptionID") or ""
            message = f"The tracking option '{wanted}' is not an active option of the tracking category"
            (self.warnings if self._desk.is_on("unknown_tracking", "warning") else fields.errors).append(message)
        return found


def _missing_one(quantity: Decimal | None, unit: Decimal | None, amount: Decimal, line: Line, factor: Decimal) -> tuple[Decimal, Decimal]:
    """LineAmount may be sent instead of Quantity or UnitAmount; the missing one is calculated."""
    gross = (amount + (line.discount_amount or ZERO)) / factor if factor else ZERO
    if quantity is None and unit:
        return gross / unit, unit
    quantity = quantity or line.quantity or Decimal(1)
    return quantity, gross / quantity


def _same_amounts(one: Line, other: Line) -> bool:
    return (one.line_amount, one.tax_type) == (other.line_amount, other.tax_type)


def find_item(desk: Desk, code: str) -> Item | None:
    """An item by its code (X§6.1)."""
    folded = desk.is_on("item_code_case", "insensitive")
    return next(iter(desk.books.items.find("folded" if folded else "code", code.casefold() if folded else code)), None)


def find_tracking(desk: Desk, element: Element, by_name: bool) -> tuple[str, str] | None:
    """Category and option ids of an active option, named either way (X§4.3, X§6.4)."""
    for category in desk.books.tracking:
        if category.status != "ACTIVE":
            continue
        for option in category.options:
            by_id = element.get("TrackingOptionID") == option.id and element.get("TrackingCategoryID") in (None, category.id)
            named = by_name and element.get("Name") == category.name and element.get("Option") == option.name
            if option.status == "ACTIVE" and (by_id or named):
                return category.id, option.id
    return None


def check_line(desk: Desk, rules: Rules, line: Line) -> list[str]:
    """What is wrong with a line as it would stand."""
    errors: list[str] = []
    account = desk.books.accounts.get(line.account_id) if line.account_id else None
    if account is not None:
        errors += _check_account(account)
    if abs(line.line_amount) > LARGEST_LINE:
        errors.append("The LineAmount field must not exceed 9999999999.99")
    if line.quantity is not None and line.quantity < 0 and desk.is_on("negative_quantity", "refused"):
        errors.append("The Quantity field cannot be negative")
    if not line.is_text and not (line.quantity and line.unit_amount) and desk.is_on("zero_lines", "refused"):
        errors.append("The Quantity and UnitAmount fields cannot be zero")
    if line.tax_type and rules.line_amount_types != "NoTax":
        errors += _check_tax(desk, line, account)
    if rules.approving:
        errors += _check_approval(rules, line)
    return errors


def _check_account(account: Account) -> list[str]:
    if account.type == "BANK" or account.system not in OPEN_SYSTEM_ACCOUNTS:
        return [f"Account code '{account.code or account.id}' is not a valid code for this document."]
    if account.status != "ACTIVE":
        return [f"Account code '{account.code}' has been archived, or has been deleted. Each line item must reference a valid account."]
    return []


def _check_tax(desk: Desk, line: Line, account: Account | None) -> list[str]:
    rate = desk.books.tax_rates.get(line.tax_type)
    if rate is None or rate.status != "ACTIVE":
        return [f"The TaxType code '{line.tax_type}' does not exist or cannot be used"]
    if account is not None and account.classification not in rate.classes:
        return [f"The TaxType code '{line.tax_type}' cannot be used with account code '{account.code}'."]
    return []


def _check_approval(rules: Rules, line: Line) -> list[str]:
    errors = []
    if not line.description:
        errors.append("Description must be specified")
    if not line.is_text and not line.account_id:
        errors.append("Account code or ID must be specified")
    elif not line.is_text and not line.tax_type and rules.line_amount_types != "NoTax":
        errors.append("The TaxType field is mandatory")
    return errors


def check_lines(desk: Desk, rules: Rules, lines: Sequence[Line]) -> None:
    """Lines that stand already, on the way to approval."""
    parts = {("LineItems", place): found for place, line in enumerate(lines) if (found := check_line(desk, rules, line))}
    if parts:
        raise Refused(*dict.fromkeys(message for messages in parts.values() for message in messages), parts=parts)


def computed_tax(desk: Desk, line_amount_types: str, line: Line) -> Decimal:
    """Per line on LineAmount, rounded to cents (X§4.9)."""
    rate = desk.books.tax_rates.get(line.tax_type)
    if rate is None or line_amount_types == "NoTax":
        return ZERO
    if line_amount_types == "Inclusive":
        return desk.cents(line.line_amount - line.line_amount / (1 + rate.rate / HUNDRED))
    return desk.cents(line.line_amount * rate.rate / HUNDRED)


def recomputed(desk: Desk, line_amount_types: str, lines: Sequence[Line]) -> list[Line]:
    """The same lines under another LineAmountTypes."""
    changed = []
    for line in lines:
        if line_amount_types == "NoTax":
            line = replace(line, tax_type="NONE" if not line.is_text else "")
        changed.append(replace(line, tax_amount=computed_tax(desk, line_amount_types, line), tax_given=False))
    return changed


def add_up(document: Document) -> None:
    """Totals are sums of rounded lines (X§4.9)."""
    amount = sum((line.line_amount for line in document.lines), ZERO)
    document.total_tax = sum((line.tax_amount for line in document.lines), ZERO)
    inclusive = document.line_amount_types.upper() == "INCLUSIVE"
    document.total = amount if inclusive else amount + document.total_tax
    document.sub_total = document.total - document.total_tax
    gross = sum(((line.quantity or ZERO) * (line.unit_amount or ZERO) for line in document.lines), ZERO)
    discounted = any(line.discount_rate or line.discount_amount for line in document.lines)
    document.total_discount = (gross - amount).quantize(Decimal("0.01")) if discounted else ZERO
