"""What runs by itself: whether a document that the CRM reports goes to Xero now, waits for something, or is none of our business (RULES 9, 20, 23).

| Code | When |
|---|---|
| follow.no_rows | it has no products yet |
| follow.no_customer | nobody is to pay it yet |
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from plugin.domain.checks import document_date
from plugin.domain.compare import GONE
from plugin.domain.crm import Invoice
from plugin.domain.drafts import invoice_fingerprint
from plugin.domain.problems import Problem
from plugin.domain.settings import Settings

Verdict = Literal["go", "nothing"] | Problem


@dataclass(frozen=True)
class Known:
    """What we last saw of a document that is in Xero. `seen` is empty where it was linked without being read with its rows."""

    seen: str
    stage_id: str
    changed_since: bool  # by its "last change" alone, for want of `seen`

    def differs(self, invoice: Invoice) -> bool:
        """Did somebody change what concerns Xero? Decided by content, never by times that are equal (RULES 22)."""
        if not self.seen:
            return self.changed_since
        return self.seen != invoice_fingerprint(invoice) or self.stage_id != invoice.stage_id


def judge(invoice: Invoice, settings: Settings, known: Known | None, *, reached: bool) -> Verdict:
    """Where an event or a sweep has named this document.

    `known` is nothing where it is not in Xero; `reached`: it has come into the chosen stage since the portal chose it.
    """
    if settings.automatic == "off" or not _ours(invoice, settings):
        return "nothing"
    if known is None and not _wanted(invoice, settings, reached):
        return "nothing"
    if known is not None and not known.differs(invoice):
        return "nothing"
    if settings.status_for(invoice.stage_id, invoice.kind) in GONE:
        return "nothing" if known is None else "go"
    if not invoice.rows:
        return Problem("follow.no_rows")
    if invoice.customer_ref is None:
        return Problem("follow.no_customer")
    return "go"


def _ours(invoice: Invoice, settings: Settings) -> bool:
    """Nothing older than the start date, of another seller, or in a stage that is not sent goes by itself."""
    if settings.start_date and document_date(invoice) < settings.start_date:
        return False
    if settings.sellers and invoice.seller_id not in settings.sellers:
        return False
    return bool(settings.status_for(invoice.stage_id, invoice.kind))


def _wanted(invoice: Invoice, settings: Settings, reached: bool) -> bool:
    if invoice.kind != "invoice":
        return False  # a quote is first sent by a person or a rule; from then on it follows
    if settings.automatic == "stage":
        return reached
    return settings.automatic_since is None or invoice.created_at >= settings.automatic_since


def has_reached(settings: Settings, invoice: Invoice, passed: list[tuple[str, datetime]]) -> bool:
    """Was the chosen stage among those passed through since it was chosen? The document may have left it again (RULES 23).

    A portal that does not tell the history is asked where the document stands now.
    """
    since = settings.automatic_since
    told = passed or [(invoice.stage_id, invoice.updated_at)]
    return any(stage == settings.automatic_stage and (since is None or at >= since) for stage, at in told)
