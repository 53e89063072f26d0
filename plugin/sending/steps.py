"""A quote moves along the steps that Xero allows, one call each; its content goes in one that leaves it a draft or sent (X§6.11)."""

from __future__ import annotations

from dataclasses import replace

from plugin.domain.compare import Update, as_draft
from plugin.domain.drafts import draft_from_json
from plugin.domain.ledger import Document
from plugin.domain.quotes import EDITABLE, way
from plugin.kinds import QUOTE
from plugin.sending.work import Work
from plugin.xero.resource import Change

#: The last step of a quote's life is an act of its own, `plugin.sending.invoiced`.
INVOICED = "INVOICED"


def begin(one: Work) -> None:
    """A document that is created now: Xero begins every quote as a draft."""
    one.said, one.steps = one.drafted, ()
    if one.kind is QUOTE:
        one.said = replace(one.drafted, status="DRAFT")
        one.steps = _without_invoiced(way("DRAFT", one.drafted.status) or ())


def plan(one: Work, document: Document, update: Update) -> None:
    """What shall become of a document that Xero holds as `document`."""
    one.content = update if update.fields or update.lines is not None else None
    one.steps = _without_invoiced(update.steps)


def _without_invoiced(steps: tuple[str, ...]) -> tuple[str, ...]:
    return steps[:-1] if steps[-1:] == (INVOICED,) else steps


def left(one: Work) -> bool:
    """Is another call needed?"""
    return bool(one.steps or one.content)


def next_change(one: Work, document: Document) -> Change:
    """The next call, for a document that Xero holds as this one; remembers what it says."""
    fields: dict[str, object] = {}
    lines = None
    base = draft_from_json(one.link.sent) if one.link is not None and one.link.sent else as_draft(document)
    status = document.status
    if one.content is not None and document.status in EDITABLE:
        fields, lines = dict(one.content.fields), one.content.lines
        base, one.content = one.drafted, None
        if one.steps[:1] == ("SENT",):
            status, one.steps = "SENT", one.steps[1:]
    elif one.steps:
        base = one.drafted if one.content is None else base
        status, one.steps = one.steps[0], one.steps[1:]
    fields["status"] = status
    one.said = replace(base, status=status)
    return Change(document.id, fields, lines, document)
