"""Three versions side by side: only what differs now, and who changed it."""

from __future__ import annotations

from dataclasses import replace

from plugin.domain.compare import with_line_ids
from plugin.domain.ledger import Draft
from plugin.domain.versions import versions
from tests.domain import build


def draft() -> Draft:
    """A sent draft with the line ids that Xero gave it."""
    made = build.send(build.invoice(build.row(), build.row("23.00", "2", row_id=2, name="Tea")))
    return with_line_ids(made, build.held(made))


def test_what_is_equal_is_not_shown() -> None:
    sent = draft()
    assert versions(sent, sent, build.held(sent)) == ()


def test_each_side_is_named_as_the_one_that_changed() -> None:
    sent = draft()
    now = replace(sent, reference="CRM")
    held = build.held(sent)
    (crm,) = versions(sent, now, held)
    assert (crm.field, crm.crm, crm.sent, crm.xero, crm.by) == ("reference", "CRM", sent.reference, sent.reference, "crm")
    (xero,) = versions(sent, sent, replace(held, reference="Xero"))
    assert (xero.field, xero.xero, xero.by) == ("reference", "Xero", "xero")
    (both,) = versions(sent, now, replace(held, reference="Xero"))
    assert both.by == "both"
    (never,) = versions(None, now, held)
    assert (never.sent, never.by) == (None, "both")


def test_both_changed_to_the_same_is_no_difference() -> None:
    sent = draft()
    assert versions(sent, replace(sent, reference="same"), replace(build.held(sent), reference=" same ")) == ()


def test_a_line_that_changed_was_added_or_taken_away() -> None:
    sent = draft()
    first = sent.lines[0]
    held = build.held(sent)
    (changed,) = versions(sent, replace(sent, lines=(replace(first, quantity=first.quantity + 1), *sent.lines[1:])), held)
    assert (changed.field, changed.by) == ("lines[0].quantity", "crm")
    extra = replace(first, id="", row_id=99, description="More")
    (added,) = versions(sent, replace(sent, lines=(*sent.lines, extra)), held)
    assert (added.field, added.sent, added.xero, added.by) == (f"lines[{len(sent.lines)}]", "", "", "crm")
    (in_xero,) = versions(sent, sent, replace(held, lines=(*(held.lines or ()), replace(first, id="new", row_id=0, description="Theirs"))))
    assert (in_xero.field, in_xero.crm, in_xero.by) == ("lines.added", "", "xero")
    (gone,) = versions(sent, sent, replace(held, lines=(held.lines or ())[1:]))
    assert (gone.field, gone.xero, gone.by) == ("lines[0]", "", "xero")
