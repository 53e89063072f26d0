"""One claimed job on its way: what is known of it so far. Plain values that the stages of a turn hand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from plugin.domain.compare import GONE, Update
from plugin.domain.crm import Customer, Invoice, Product
from plugin.domain.ledger import Draft
from plugin.domain.problems import Problem
from plugin.kinds import Kind
from plugin.models import IMPORTED, Call, Job, Link
from plugin.portals import Ready


@dataclass
class Work:
    """A job, its portal's choices, and what was read and decided for it."""

    job: Job
    ready: Ready
    kind: Kind
    crm_id: int
    invoice: Invoice | None = None
    customer: Customer | None = None
    products: dict[int, Product] = field(default_factory=dict)
    link: Link | None = None
    #: Documents that are being brought from Xero into the portal right now: an invoice that names one is not to be sent.
    arriving: frozenset[str] = frozenset()
    contact_id: str = ""
    draft: Draft | None = None
    notes: list[dict[str, Any]] = field(default_factory=list)
    #: The quote that this invoice was made from, where it is in Xero.
    quote: Link | None = None
    #: What this call says, where it does not say all of the draft yet.
    said: Draft | None = None
    #: Content that Xero will take only in a later step, and the statuses that are still to be passed through (`plugin.sending.steps`).
    content: Update | None = None
    steps: tuple[str, ...] = ()
    more: bool = False  # of a call that was repeated: its document is not there yet
    #: Xero has created the document on this way.
    made: bool = False
    #: What an update changes in Xero, for the activity.
    changes: list[dict[str, str]] = field(default_factory=list)
    #: What an update sent whose answer was lost: Xero may hold it, or not.
    perhaps_sent: Draft | None = None
    #: "Xero: sending" was written into the invoice with the person's own token, and has to be cleared again.
    proved: bool = False

    def note(self, code: str, **params: Any) -> None:
        """Something the person should know although the document goes."""
        if all(one["code"] != code for one in self.notes):
            self.notes.append({"code": code, "params": params})

    @property
    def as_new(self) -> bool:
        """Did the person say "send as new" for a document that was voided or deleted in Xero (RULES 13)? Said twice, it goes once."""
        gone = self.link is not None and self.link.xero_status in GONE
        return gone and bool((self.job.payload or {}).get("as_new"))

    @property
    def made_there(self) -> bool:
        """Was it made in Xero, and has nobody decided yet that the CRM's side counts? Then Xero is the author of all of it."""
        return self.link is not None and self.link.how == IMPORTED and not self.link.sent and not (self.job.payload or {}).get("push")

    @property
    def settled(self) -> Invoice:
        """The invoice, which has been read by now."""
        assert self.invoice is not None
        return self.invoice

    @property
    def drafted(self) -> Draft:
        """The draft, which has been made by now."""
        assert self.draft is not None
        return self.draft


@dataclass(frozen=True)
class Ended:
    """A job that ends without a call: its problem, or "unchanged"."""

    work: Work
    problem: Problem | None = None


def crm_url(endpoint: str, kind: Kind, crm_id: int) -> str:
    """Where the document is found in the CRM; our mark on it in Xero (RULES 11)."""
    return f"{endpoint.rsplit('/rest', 1)[0]}{kind.crm.card(crm_id)}"


def by_kind(works: Sequence[Work]) -> dict[Kind, list[Work]]:
    """Works grouped by kind of document, in their order."""
    groups: dict[Kind, list[Work]] = {}
    for one in works:
        groups.setdefault(one.kind, []).append(one)
    return groups


def by_portal(works: Sequence[Work]) -> dict[int, list[Work]]:
    """Works grouped by portal, in their order."""
    groups: dict[int, list[Work]] = {}
    for one in works:
        groups.setdefault(one.job.portal_id, []).append(one)
    return groups


def elements_of(call: Call, works: Sequence[Work]) -> list[tuple[Work, dict[str, Any]]]:
    """Each of these works with its element of the call. By subject, for an order that was given again has another job."""
    by_subject = {(one.job.portal_id, one.job.subject): one for one in works}
    pairs = ((by_subject.get((element["portal"], element["subject"])), element) for element in call.elements)
    return [(one, element) for one, element in pairs if one is not None]
