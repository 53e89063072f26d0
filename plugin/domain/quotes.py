"""Statuses of quotes: which steps Xero allows, the way from one status to another, and who may order what (X§6.11, RULES 20).

| Code | When |
|---|---|
| quote.move_refused (before, after) | Xero knows no way from the one status to the other |
| quote.invoiced (after) | an invoice was made from it in Xero's terms: the CRM moves it no more |
| edit.quote_closed (fields, status) | accepted, declined or invoiced, and Xero lets these fields change in drafts and sent quotes only |
"""

from __future__ import annotations

from collections.abc import Sequence

from plugin.domain.crm import Stage
from plugin.domain.problems import Problem
from plugin.domain.statuses import named_stage

STEPS: dict[str, tuple[str, ...]] = {
    "DRAFT": ("SENT", "DELETED"),
    "SENT": ("ACCEPTED", "DECLINED", "DELETED"),
    "DECLINED": ("SENT", "DELETED"),
    "ACCEPTED": ("INVOICED", "SENT", "DELETED"),
    "INVOICED": ("SENT", "DELETED"),
    "DELETED": (),
}
"""What Xero lets a quote become in one step. One source also knows DRAFT to ACCEPTED; stepping through SENT is right either way."""

EDITABLE = ("DRAFT", "SENT")
_BEFORE = {"DRAFT": "", "SENT": "DRAFT", "ACCEPTED": "SENT", "DECLINED": "SENT", "INVOICED": "ACCEPTED"}
"""The usual life of a quote: what each status comes after."""


def way(current: str, wanted: str) -> tuple[str, ...] | None:
    """The fewest legal steps from one status to another, or None; nothing passes through a deletion."""
    ways: list[tuple[str, ...]] = [()]
    seen = {current}
    for passed in ways:
        here = passed[-1] if passed else current
        if here == wanted:
            return passed
        for step in STEPS.get(here, ()):
            if step not in seen and (step != "DELETED" or wanted == "DELETED"):
                seen.add(step)
                ways.append((*passed, step))
    return None


def further(one: str, other: str) -> bool:
    """Has a quote in status `one` been in `other` on its usual way?"""
    while one:
        one = _BEFORE.get(one, "")
        if one == other:
            return True
    return False


def ordered(sent: str | None, wanted: str, held: str) -> tuple[str, ...] | None:
    """The steps that the CRM orders, by three versions (RULES 19): what was last sent, its stage now, Xero now. None: both sides contradict.

    Only what the CRM changed goes; where Xero has come further on the same way, Xero's stays. Raises the problem of a move that Xero forbids.
    """
    if wanted in (held, sent):
        return ()
    there_already = further(held, wanted) and (sent is None or further(wanted, sent))
    if there_already:
        return ()
    if held == "INVOICED" and wanted != "DELETED":
        raise Problem("quote.invoiced", after=wanted)
    if held != sent and wanted != "DELETED" and not further(wanted, held) and not further(held, wanted):
        return None
    found = way(held, wanted)
    if found is None:
        raise Problem("quote.move_refused", before=held, after=wanted)
    return found


_ACCEPTED_NAMES = ("accept", "approved", "won", "принят", "angenommen", "aceptad", "accept", "aceit", "accett")
_INVOICED_NAMES = ("invoiced", "billed", "счет выставлен", "счёт выставлен", "fakturiert", "facturad", "facturé", "faturad", "fatturat")
_SENT_NAMES = ("sent", "issued", "отправлен", "отослан", "versendet", "gesendet", "enviad", "envoy", "inviat")


def propose_stages(stages: Sequence[Stage]) -> tuple[dict[str, str], dict[str, str]]:
    """A first map of the quotes' stages from meaning, names and order, for a person to confirm: (stage → status, status word → stage).

    Drafts until "sent", sent from there on, accepted when won, declined when lost; invoiced only where a stage is called so.
    """
    every = sorted(stages, key=lambda stage: stage.sort)
    open_stages = [stage for stage in every if not stage.semantics]
    invoiced = named_stage(every, _INVOICED_NAMES)
    by_code = next((stage for stage in open_stages if stage.id == "SENT"), None)
    sent = by_code or named_stage(open_stages[1:], _SENT_NAMES)
    won = next((stage for stage in every if stage.semantics == "S" and stage is not invoiced), None)
    lost = next((stage for stage in every if stage.semantics == "F"), None)
    accepted = won or named_stage(open_stages, _ACCEPTED_NAMES)

    def status(stage: Stage) -> str:
        if stage is invoiced:
            return "INVOICED"
        if stage.semantics == "F":
            return "DECLINED"
        if stage.semantics == "S" or stage is accepted:
            return "ACCEPTED"
        return "SENT" if sent is not None and stage.sort >= sent.sort else "DRAFT"

    back = {"sent": sent, "accepted": accepted, "declined": lost, "invoiced": invoiced or accepted, "deleted": lost}
    return {stage.id: status(stage) for stage in every}, {word: stage.id for word, stage in back.items() if stage}
