"""What must hold before an invoice may leave, one implementation for the confirmation list and for sending.

Every check raises the `Problem` that says why not. Codes and parameters stand in the table of `plugin.domain.translate`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from decimal import Decimal

from plugin.domain.crm import Invoice, Row
from plugin.domain.ledger import Organisation
from plugin.domain.money import ZERO, round2
from plugin.domain.problems import Problem
from plugin.domain.settings import Settings


def document_date(invoice: Invoice) -> date:
    """The invoice date; where it is missing, the day it was created."""
    return invoice.date or invoice.created_at.date()


def lock_date(organisation: Organisation) -> date | None:
    """The later of the two lock dates: that day and everything before it is closed (X§6.7)."""
    return max((day for day in (organisation.period_lock, organisation.year_lock) if day), default=None)


def row_amount(row: Row) -> Decimal:
    """What the CRM asks for a row: price times quantity, rounded."""
    return round2(row.price * row.quantity)


def rows_total(invoice: Invoice) -> Decimal:
    """The sum of the rows, each rounded."""
    return sum((row_amount(row) for row in invoice.rows), ZERO)


def check_header(invoice: Invoice, settings: Settings, organisation: Organisation, *, currencies: Collection[str] | None, linked: bool, older_too: bool) -> str:
    """All checks that need no rows; returns the status ordered by the stage.

    `currencies` None: unknown yet, not checked. A linked document's lock date is judged by `compare`, which knows whether anything changes at all.
    """
    _check_seller(invoice, settings)
    status = _check_stage(invoice, settings, linked)
    if not older_too:
        _check_start(invoice, settings)
    if invoice.customer_ref is None:
        raise Problem("send.no_customer")
    if invoice.total < 0:
        raise Problem("send.negative_total", total=invoice.total, currency=invoice.currency)
    if currencies is not None and invoice.currency not in {*currencies, organisation.base_currency}:
        raise Problem("send.currency_missing", currency=invoice.currency)
    if not linked and invoice.kind != "quote":  # a quote is nothing that a ledger holds
        _check_lock(document_date(invoice), organisation)
    return status


def adds_up(invoice: Invoice) -> bool:
    """Do the rows give the total? The CRM may round each row or only the sum: both count."""
    return invoice.total in (rows_total(invoice), round2(sum((row.price * row.quantity for row in invoice.rows), ZERO)))


def check_rows(invoice: Invoice) -> None:
    """Rows are there and add up to the total (RULES 17)."""
    if not invoice.rows and not invoice.rows_read:
        raise ValueError(f"the rows of invoice {invoice.id} were not read")
    if not invoice.rows:
        raise Problem("send.no_rows")
    if not adds_up(invoice):
        code = "send.manual_total" if invoice.manual_total else "send.rows_do_not_add_up"
        raise Problem(code, crm=round2(invoice.total), rows=rows_total(invoice))


def _check_seller(invoice: Invoice, settings: Settings) -> None:
    """Another seller's documents belong to other books (RULES 5)."""
    if settings.sellers and invoice.seller_id not in settings.sellers:
        raise Problem("send.other_seller", seller=invoice.seller_id or 0)


def _check_stage(invoice: Invoice, settings: Settings, linked: bool) -> str:
    """A stage mapped to "do not send" stops it; a void or deletion needs something to end."""
    status = settings.status_for(invoice.stage_id, invoice.kind)
    if not status or (status in ("VOIDED", "DELETED") and not linked):
        raise Problem("send.stage_not_sent", stage=invoice.stage_id)
    return status


def _check_start(invoice: Invoice, settings: Settings) -> None:
    """Nothing older than the start date goes (RULES 9)."""
    day = document_date(invoice)
    if settings.start_date and day < settings.start_date:
        raise Problem("send.before_start", date=day, start=settings.start_date)


def _check_lock(day: date, organisation: Organisation) -> None:
    """A date on or before the lock date is refused (X§6.7)."""
    lock = lock_date(organisation)
    if lock and day <= lock:
        raise Problem("send.locked", date=day, lock=lock)
