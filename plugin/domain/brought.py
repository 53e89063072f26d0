"""A document made in Xero as the CRM can hold it: its rows, whose total agrees with Xero's to the cent, and its stage (RULES 17, 20)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from plugin.domain.crm import Stage
from plugin.domain.ledger import Contact, Document, Line
from plugin.domain.matching import normalise_name
from plugin.domain.money import ZERO, plain, round2
from plugin.domain.settings import Settings
from plugin.domain.statuses import APPROVAL_NAMES, OVERDUE_NAMES, PART_NAMES, named_stage

NAME_LENGTH = 255
TITLE_LENGTH = 255
#: Which status a word stands for, where no stage is mapped to the word itself.
_STATUS_OF = {"draft": "DRAFT", "submitted": "SUBMITTED", "authorised": "AUTHORISED", "sent": "AUTHORISED", "overdue": "AUTHORISED", "part_paid": "AUTHORISED"}


@dataclass(frozen=True)
class NewRow:
    """A product row. `price` is final: after discount, tax included, two decimals; the tax rate None is "no tax" (B§8.6)."""

    name: str
    price: Decimal
    quantity: Decimal
    tax_rate: Decimal | None


def rows_of(document: Document, rates: Mapping[str, Decimal]) -> tuple[NewRow, ...]:
    """The document's lines as rows; where a unit price has no two decimals, the row is one piece at the line's amount and says so."""
    return tuple(_row(line, document.line_amount_types, rates) for line in document.lines or ())


def _row(line: Line, line_amount_types: str, rates: Mapping[str, Decimal]) -> NewRow:
    gross = line.line_amount or ZERO
    if line_amount_types == "Exclusive":
        gross += line.tax_amount or ZERO
    rate = None if line_amount_types == "NoTax" or line.tax_type in ("", "NONE") else rates.get(line.tax_type)
    name = " ".join(line.description.split()) or "-"
    price = round2(gross / line.quantity) if line.quantity > 0 else ZERO
    if line.quantity > 0 and round2(price * line.quantity) == gross:
        return NewRow(name[:NAME_LENGTH], price, line.quantity, rate)
    many = f" ({plain(line.quantity)} × {plain(line.unit_amount)})" if line.quantity else ""
    return NewRow(name[: NAME_LENGTH - len(many)] + many, round2(gross), Decimal(1), rate)


def total_of(rows: Sequence[NewRow]) -> Decimal:
    """What the CRM makes of these rows: each rounded to the cent."""
    return sum((round2(row.price * row.quantity) for row in rows), ZERO)


def stage_of(word: str, settings: Settings, kind: str = "invoice") -> str:
    """The stage proposed by the map: that of the word, else the first that orders its status, else the CRM's own first one ("")."""
    if stage := settings.back(kind).get(word):
        return stage
    wanted = _STATUS_OF.get(word, "")
    return next((stage for stage, status in settings.forward(kind).items() if status and status == wanted), "")


def propose_bill_stages(stages: Sequence[Stage]) -> dict[str, str]:
    """A first map of a bill's statuses to stages, from meaning, names and order, for a person to confirm: word → stage.

    Drafts begin at the first stage, what waits for its payment stands in the last one in progress, and what waits for approval between them.
    """
    every = sorted(stages, key=lambda stage: stage.sort)
    open_stages = [stage for stage in every if not stage.semantics]
    if not open_stages:
        return {}
    between = named_stage(open_stages, APPROVAL_NAMES) or open_stages[1 if len(open_stages) > 2 else 0]
    later = [stage for stage in open_stages if stage.sort > between.sort and not named_stage([stage], (*OVERDUE_NAMES, *PART_NAMES))]
    waiting = later[-1] if later else open_stages[-1]
    won = next((stage for stage in every if stage.semantics == "S"), None)
    lost = next((stage for stage in every if stage.semantics == "F"), None)
    found = {
        "draft": open_stages[0],
        "submitted": between,
        "authorised": waiting,
        "overdue": named_stage(open_stages, OVERDUE_NAMES) or waiting,
        "part_paid": named_stage(open_stages, PART_NAMES) or waiting,
        "paid": won,
        "voided": lost,
        "deleted": lost,
    }
    return {word: stage.id for word, stage in found.items() if stage is not None}


def title_of(document: Document) -> str:
    """What people call it: its number and reference."""
    return " ".join(part for part in (document.number, document.reference or document.contact_name) if part)[:TITLE_LENGTH].strip()


def is_person(contact: Contact) -> bool:
    """Xero does not tell persons from companies: one whose name is its first and last name is a person."""
    parts = (contact.first_name, contact.last_name)
    both = (" ".join(parts), " ".join(reversed(parts)))
    return all(parts) and normalise_name(contact.name) in {normalise_name(one) for one in both}
