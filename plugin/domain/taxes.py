"""First proposals for taxes and accounts, and what may be chosen at all (RULES 18, X§6.2, X§6.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from plugin.domain.ledger import Account, TaxRate
from plugin.domain.money import ZERO
from plugin.domain.settings import tax_key

CONVENTIONAL = {
    "none": ("NONE",),
    "0": ("ZERORATED", "ZERORATEDOUTPUT", "EXEMPTOUTPUT"),
    "": ("OUTPUT2", "OUTPUT", "OUTPUT3", "OUTPUTY24", "RROUTPUT"),
}
"""The usual choice among several of equal percent, in order; "" stands for every other percent."""

INCOME_TYPES = ("SALES", "REVENUE", "OTHERINCOME")
EXPENSE_TYPES = ("DIRECTCOSTS", "EXPENSE", "OVERHEADS")
INCOME_NAMES = ("sales",)
EXPENSE_NAMES = ("purchases", "cost of goods sold", "cost of sales")


@dataclass(frozen=True)
class TaxProposal:
    """What is proposed for one line of the tax map. Not `certain`: several were possible, a person must look."""

    tax_type: str | None
    candidates: tuple[TaxRate, ...]
    certain: bool


def propose_taxes(rates: Sequence[tuple[str, Decimal | None]], tax_rates: Sequence[TaxRate]) -> dict[str, TaxProposal]:
    """For each tax of the CRM (name, percent; None = no tax) the usable sales rates of equal percent, and the one to propose (RULES 18)."""
    return {tax_key(rate): _propose(rate, tax_rates) for _, rate in rates}


def _propose(rate: Decimal | None, tax_rates: Sequence[TaxRate]) -> TaxProposal:
    found = tuple(each for each in tax_rates if each.active and each.revenue and each.rate == (rate or ZERO))
    if len(found) == 1:
        return TaxProposal(found[0].tax_type, found, certain=bool(rate))
    types = {each.tax_type for each in found}
    key = tax_key(rate)
    usual = next((tax_type for tax_type in CONVENTIONAL.get(key, CONVENTIONAL[""]) if tax_type in types), None)
    return TaxProposal(usual, found, certain=False)


def income_accounts(accounts: Iterable[Account]) -> tuple[Account, ...]:
    """Accounts for sales lines: active revenue, no system account (X§6.2)."""
    return _choosable(accounts, ("REVENUE",))


def expense_accounts(accounts: Iterable[Account]) -> tuple[Account, ...]:
    """Accounts for bill lines: active expense, no system account (X§6.2)."""
    return _choosable(accounts, ("EXPENSE",))


def _choosable(accounts: Iterable[Account], classes: Sequence[str]) -> tuple[Account, ...]:
    fit = (each for each in accounts if each.active and each.code and not each.system and each.type != "BANK" and each.klass in classes)
    return tuple(sorted(fit, key=lambda each: each.code))


def propose_accounts(accounts: Sequence[Account]) -> tuple[str | None, str | None]:
    """The codes of the usual income and expense accounts: by name, else by type, else the lowest code."""
    return _usual(income_accounts(accounts), INCOME_TYPES, INCOME_NAMES), _usual(expense_accounts(accounts), EXPENSE_TYPES, EXPENSE_NAMES)


def _usual(accounts: Sequence[Account], types: Sequence[str], names: Sequence[str]) -> str | None:
    def rank(account: Account) -> tuple[bool, int, str]:
        kind = types.index(account.type) if account.type in types else len(types)
        return account.name.casefold() not in names, kind, account.code

    best = min(accounts, key=rank, default=None)
    return best.code if best else None


def search_accounts(accounts: Iterable[Account], text: str) -> tuple[Account, ...]:
    """Accounts found as you type: those whose code begins with the text first, then those with every word in code or name."""
    words = text.casefold().split()
    found = [each for each in accounts if all(word in f"{each.code} {each.name}".casefold() for word in words)]
    return tuple(sorted(found, key=lambda each: (not each.code.casefold().startswith(text.strip().casefold()), each.code)))
