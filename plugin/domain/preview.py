"""The verdict over a document before anything is sent, for the confirmation list: the same checks as sending, no contact ids needed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from plugin.domain.checks import check_header, check_rows
from plugin.domain.crm import Invoice, Product
from plugin.domain.ledger import Account, Organisation, TaxRate
from plugin.domain.problems import Problem
from plugin.domain.settings import Settings
from plugin.domain.translate import Books, choose_form, unit_places

GONE = ("VOIDED", "DELETED")


def check_before_send(
    invoice: Invoice,
    settings: Settings,
    organisation: Organisation,
    link_state: str | None,
    *,
    accounts: Mapping[str, Account] | None = None,
    tax_rates: Mapping[str, TaxRate] | None = None,
    currencies: Collection[str] | None = None,
    products: Mapping[int, Product] | None = None,
    contact_tax: str = "",
    older_too: bool = False,
) -> Literal["new", "update"] | Problem:
    """ "new", "update", or the problem that sending would meet (RULES 26).

    `link_state` is the Xero status of the linked document, None where there is no link. What is not known yet is not judged: rows that were
    not read, and the directory (accounts and tax rates) where it is not given.
    """
    linked = bool(link_state)
    try:
        status = check_header(invoice, settings, organisation, currencies=currencies, linked=linked, older_too=older_too)
        if link_state in GONE and status not in GONE:
            raise Problem("edit.gone", status=link_state)
        if invoice.rows or invoice.rows_read:
            check_rows(invoice)
            if accounts is not None and tax_rates is not None:
                choose_form(invoice, Books(settings, organisation, accounts, tax_rates, products or {}, {}, contact_tax, unit_places(invoice)))
    except Problem as problem:
        return problem
    return "update" if linked else "new"
