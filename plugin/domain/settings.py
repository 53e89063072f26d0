"""What a portal has confirmed in its set-up, as one value that is stored as JSON in append-only versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from plugin.domain.money import plain

STATUS_WORDS = ("draft", "submitted", "authorised", "sent", "overdue", "part_paid", "paid", "voided", "deleted")
STAGE_STATUSES = ("DRAFT", "SUBMITTED", "AUTHORISED", "VOIDED", "")
BILL_WORDS = ("draft", "submitted", "authorised", "overdue", "part_paid", "paid", "voided", "deleted")
QUOTE_WORDS = ("draft", "sent", "accepted", "declined", "invoiced", "deleted")
QUOTE_STATUSES = ("DRAFT", "SENT", "ACCEPTED", "DECLINED", "INVOICED", "DELETED", "")


def tax_key(rate: Decimal | None) -> str:
    """The key of a CRM tax in `Settings.taxes`: "none" and "0" are separate lines of the map (RULES 18)."""
    return "none" if rate is None else plain(rate)


@dataclass(frozen=True)
class Settings:
    """A portal's choices for one organisation. An absent stage sends a draft; the status "" means: do not send."""

    start_date: date | None = None
    sellers: tuple[int, ...] = ()  # own companies that belong to this organisation; empty = all
    income_account: str = ""
    expense_account: str = ""
    account_by_product: dict[int, str] = field(default_factory=dict)
    account_by_section: dict[int, str] = field(default_factory=dict)
    stage_to_status: dict[str, str] = field(default_factory=dict)
    status_to_stage: dict[str, str] = field(default_factory=dict)  # absent word = leave the stage as it is
    quote_stage_to_status: dict[str, str] = field(default_factory=dict)
    quote_status_to_stage: dict[str, str] = field(default_factory=dict)
    taxes: dict[str, str] = field(default_factory=dict)  # tax_key -> TaxType
    tax_by_product: dict[int, str] = field(default_factory=dict)
    tax_by_section: dict[int, str] = field(default_factory=dict)
    tax_by_customer: dict[str, str] = field(default_factory=dict)  # "company:12" -> TaxType
    number_policy: Literal["crm", "xero"] = "crm"
    number_prefix: str = ""
    create_contacts: bool = True
    create_items: bool = True
    item_code_source: Literal["code", "xmlId", "id"] = "code"
    name_person: Literal["first_last", "last_first"] = "first_last"
    reference_fields: tuple[str, ...] = ("title",)
    stage_after_export: str = ""
    automatic: Literal["off", "stage", "new"] = "off"
    automatic_stage: str = ""
    bring_documents: bool = False  # sales invoices made in Xero appear in the CRM
    bring_bills: bool = False  # bills made in Xero appear in a smart process of the CRM
    bills_type: int = 0  # its entityTypeId, and its id; 0 = none chosen
    bills_process: int = 0
    bill_status_to_stage: dict[str, str] = field(default_factory=dict)
    bring_contacts: bool = False
    bring_contacts_from: str = ""  # the moment (ISO, UTC) that was switched on
    #: Since when documents go by themselves in this way; nothing made, or moved, before goes (to the second, as Bitrix24 counts).
    automatic_since: datetime | None = None
    #: A document deleted in the CRM: ask an administrator, or delete the draft in Xero a day later (RULES 21).
    when_deleted: Literal["ask", "delete"] = "ask"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` reads them back to an equal value."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Settings:
        """Reads what any earlier version stored: absent keys take their default, unknown ones are ignored."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: _read(name, value) for name, value in stored.items() if name in known and value is not None})

    def forward(self, kind: str) -> dict[str, str]:
        """Which status each stage of this kind of document orders; a bill's orders none."""
        return {"quote": self.quote_stage_to_status, "bill": {}}.get(kind, self.stage_to_status)

    def back(self, kind: str) -> dict[str, str]:
        """Which stage each status word of this kind of document leads to; absent: leave the stage as it is."""
        return {"quote": self.quote_status_to_stage, "bill": self.bill_status_to_stage}.get(kind, self.status_to_stage)

    def status_for(self, stage_id: str, kind: str = "invoice") -> str:
        """The status ordered by a stage; default draft (FEATURES: Status in Xero?)."""
        return self.forward(kind).get(stage_id, "DRAFT")


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, dict):
        return {str(key): each for key, each in value.items()}
    return value


_NUMBERED = ("account_by_product", "account_by_section", "tax_by_product", "tax_by_section")


def _read(name: str, value: Any) -> Any:
    if name == "start_date":
        return date.fromisoformat(value) if value else None
    if name == "automatic_since":
        return datetime.fromisoformat(value) if value else None
    if name == "sellers":
        return tuple(int(each) for each in value)
    if name == "reference_fields":
        return tuple(str(each) for each in value)
    if name in _NUMBERED:
        return {int(key): str(each) for key, each in value.items()}
    return dict(value) if isinstance(value, Mapping) else value
