"""The kinds of document that go between both sides: what each is called here, how Bitrix24 holds it, and how Xero does."""

from __future__ import annotations

from dataclasses import dataclass, replace

from plugin.bitrix24 import kinds
from plugin.bitrix24.kinds import CrmKind
from plugin.domain.settings import Settings
from plugin.xero import documents, quotes
from plugin.xero.resource import Resource


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of document. `name` stands in subjects ("invoice:12") and in links, on both sides."""

    name: str
    crm: CrmKind
    xero: Resource
    #: How far its collection at Xero has been read (`Watermark.resource`).
    watermark: str

    def subject(self, crm_id: int) -> str:
        """What jobs, activities and problems call one document."""
        return f"{self.name}:{crm_id}"

    def back_subject(self, crm_id: int) -> str:
        """What the order to write results back is called: an order of its own, beside one that sends."""
        return f"back:{self.subject(crm_id)}"


INVOICE = Kind("invoice", kinds.INVOICE, documents.INVOICES, "documents")
QUOTE = Kind("quote", kinds.QUOTE, quotes.QUOTES, "quotes")
#: Bills made in Xero, kept in a smart process that each portal chooses: `of_portal` knows it. They come, and never go.
BILL = Kind("bill", kinds.process(0, 0), documents.INVOICES, "documents")
#: What people send.
KINDS: dict[str, Kind] = {one.name: one for one in (INVOICE, QUOTE)}
#: What may be linked.
LINKED: dict[str, Kind] = {**KINDS, BILL.name: BILL}


def of_portal(kind: Kind, settings: Settings) -> Kind:
    """The kind as this portal keeps it; BILL itself where the portal has chosen no place for bills."""
    return replace(kind, crm=kinds.process(settings.bills_type, settings.bills_process)) if kind is BILL and settings.bills_type else kind


def together(kind: Kind) -> tuple[str, ...]:
    """Names of the kinds that are one collection at Xero: sales invoices and bills."""
    return tuple(one.name for one in LINKED.values() if one.watermark == kind.watermark)


def kind_of(subject: str) -> Kind:
    """The kind of "invoice:12", or of the order "back:invoice:12" ("back:12" in an order of the version that knew invoices only)."""
    name = subject.split(":")[-2]
    return INVOICE if name == "back" else LINKED[name]


def crm_id_of(subject: str) -> int:
    """The number in "invoice:12" and "back:invoice:12"."""
    return int(subject.rpartition(":")[2])
