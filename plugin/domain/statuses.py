"""Statuses of Xero, stages of the CRM, and who may move which (RULES 20, X§4.5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from plugin.domain.crm import Stage
from plugin.domain.ledger import Document
from plugin.domain.settings import Settings

LEGAL: dict[str, frozenset[str]] = {
    "DRAFT": frozenset({"SUBMITTED", "AUTHORISED", "DELETED"}),
    "SUBMITTED": frozenset({"DRAFT", "AUTHORISED", "DELETED"}),
    "AUTHORISED": frozenset({"VOIDED"}),
    "PAID": frozenset(),
    "VOIDED": frozenset(),
    "DELETED": frozenset(),
}
"""What Xero lets a document become through its API (X§4.5)."""

_FORWARD = ("DRAFT", "SUBMITTED", "AUTHORISED")
_STATUS_OF_WORD = {"draft": "DRAFT", "submitted": "SUBMITTED", "authorised": "AUTHORISED", "voided": "VOIDED", "deleted": "VOIDED"}


def may_become(current: str, wanted: str, *, paid: bool = False) -> bool:
    """Whether Xero allows the step; a document with payments or credits is never voided."""
    return wanted in LEGAL.get(current, frozenset()) and not (wanted == "VOIDED" and paid)


def forward_only(current: str, wanted: str, *, paid: bool = False) -> str | None:
    """The status to send, or None: the CRM moves forward only (RULES 20).

    A void of something that was never approved deletes it, the only way Xero has (X§4.5).
    """
    if wanted == "VOIDED" and current in ("DRAFT", "SUBMITTED"):
        wanted = "DELETED"
    backwards = current in _FORWARD and wanted in _FORWARD and _FORWARD.index(wanted) <= _FORWARD.index(current)
    return wanted if not backwards and may_become(current, wanted, paid=paid) else None


def has_money(document: Document) -> bool:
    """Whether anything was paid or credited (X§4.8)."""
    return document.amount_paid + document.amount_credited > 0


def status_word(document: Document, today: date) -> str:
    """The one word for a document, by precedence (RULES 20); `today` is the day in the organisation's time zone."""
    status = document.status.upper()
    if document.type == "QUOTE":
        return status.lower()
    if status in ("DELETED", "VOIDED", "PAID"):
        return status.lower()
    if status != "AUTHORISED":
        return "submitted" if status == "SUBMITTED" else "draft"
    if has_money(document):
        return "part_paid"
    if document.due_date and document.due_date < today:
        return "overdue"
    return "sent" if document.sent and document.type != "ACCPAY" else "authorised"


def next_stage(word: str, current_stage: str, settings: Settings, *, was: str = "", kind: str = "invoice") -> str | None:
    """The stage to move to, or None to leave it: no stage for this word, already there, or in another stage mapped to that status (RULES 20).

    `was` is the word last seen: a stage that stood for it (paid) does not hold any more once the document is something else (its payment deleted).
    """
    stage = settings.back(kind).get(word, "")
    if not stage or stage == current_stage:
        return None
    status = word.upper() if kind == "quote" else _STATUS_OF_WORD.get(word)
    outdated = was not in ("", word) and settings.back(kind).get(was) == current_stage
    stays = status is not None and settings.forward(kind).get(current_stage) == status
    return None if stays and not outdated else stage


_SENT_NAMES = ("sent", "issued", "awaiting payment", "invoiced", "отправлен", "выставлен", "отослан", "versendet", "gesendet", "enviad", "envoy", "inviat")
APPROVAL_NAMES = ("approval", "submitted", "review", "согласован", "утвержд", "genehmig", "aprob", "approb")
OVERDUE_NAMES = ("overdue", "past due", "late", "просроч", "überfällig", "vencid", "en retard", "scadut")
PART_NAMES = ("part paid", "part-paid", "partially", "partly", "partial", "частичн", "teilweise", "teilbezahlt", "parcial", "partiel", "parzial")


def propose_stages(stages: Sequence[Stage]) -> tuple[dict[str, str], dict[str, str]]:
    """A first stage map from meaning, names and order, for a person to confirm: (stage_to_status, status_to_stage).

    Before "sent" a draft, from "sent" on and when won approved, when lost not sent. Back: paid to the winning stage, voided and deleted to the losing
    one, authorised and sent to "sent", overdue and part paid only where a stage is called so.
    """
    ordered = sorted(stages, key=lambda stage: stage.sort)
    open_stages = [stage for stage in ordered if not stage.semantics]
    sent = _sent_stage(open_stages)
    overdue, part_paid = named_stage(open_stages, OVERDUE_NAMES), named_stage(open_stages, PART_NAMES)
    forward = {stage.id: _status_of(stage, sent) for stage in ordered}
    won = next((stage for stage in ordered if stage.semantics == "S"), None)
    lost = next((stage for stage in ordered if stage.semantics == "F"), None)
    back = {"authorised": sent, "sent": sent, "overdue": overdue, "part_paid": part_paid, "paid": won, "voided": lost, "deleted": lost}
    return forward, {word: stage.id for word, stage in back.items() if stage}


def _status_of(stage: Stage, sent: Stage | None) -> str:
    if stage.semantics == "F":
        return ""
    if stage.semantics == "S" or (sent and stage.sort >= sent.sort):
        return "AUTHORISED"
    if named_stage([stage], (*OVERDUE_NAMES, *PART_NAMES)):
        return "AUTHORISED"
    return "SUBMITTED" if named_stage([stage], APPROVAL_NAMES) else "DRAFT"


def _sent_stage(open_stages: Sequence[Stage]) -> Stage | None:
    """By its code (`DT31_11:S`, B§8.5), else by its name; never the first stage."""
    by_code = next((stage for stage in open_stages if stage.id.rpartition(":")[2] == "S"), None)
    return by_code or named_stage(open_stages[1:], _SENT_NAMES)


def named_stage(stages: Iterable[Stage], words: Sequence[str]) -> Stage | None:
    """The first stage whose name holds one of these words."""
    return next((stage for stage in stages if any(word in stage.name.casefold() for word in words)), None)
