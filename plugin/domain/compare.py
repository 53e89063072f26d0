"""An update: last sent, CRM now, Xero now (RULES 19), and what Xero still permits (X§4.5).

| Code | When |
|---|---|
| edit.gone (status) | the document is voided or deleted in Xero (RULES 13: "send as new") |
| edit.paid (fields, status, paid, credited) | something is paid or credited, and these fields may not change any more |
| edit.locked (date, lock) | the document is, or would be, dated in a locked period |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from plugin.domain.drafts import as_draft, draft_from_json, draft_to_json, fingerprint, invoice_fingerprint
from plugin.domain.ledger import Document, Draft, Line
from plugin.domain.lines import FieldDifference, Merge, by_id, changed_fields, comparable, describe, match_lines, merge_lines, same_content, shown
from plugin.domain.problems import Problem
from plugin.domain.quotes import EDITABLE, ordered, way
from plugin.domain.statuses import forward_only, has_money

__all__ = [
    "Conflict",
    "FieldDifference",
    "Unchanged",
    "Update",
    "as_draft",
    "changes",
    "compare",
    "draft_from_json",
    "draft_to_json",
    "fingerprint",
    "holds",
    "invoice_fingerprint",
    "push",
    "with_line_ids",
]

HEADER_FIELDS = ("contact_id", "date", "due_date", "currency", "line_amount_types", "reference", "url")
QUOTE_FIELDS = ("contact_id", "date", "due_date", "currency", "line_amount_types", "reference", "title", "summary", "terms")
BASIS_OF_LINES = ("currency", "line_amount_types")
OPEN_WHEN_PAID = ("contact_id", "due_date", "reference", "url")
LINE_OPEN_WHEN_PAID = ("description", "account_code", "tracking")
GONE = ("VOIDED", "DELETED")


@dataclass(frozen=True)
class Update:
    """What to send: changed header fields by their name in `Draft`, the complete lines with their ids or None to leave them, a new status or None.

    `steps` are the statuses that a quote passes through, in their order; its content may go wherever it stands as draft or sent.
    Where lines go, `fields` always names `line_amount_types` (RULES 18).
    """

    fields: dict[str, Any]
    lines: tuple[Line, ...] | None = None
    status: str | None = None
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unchanged:
    """Nothing that the CRM changed is missing in Xero."""


@dataclass(frozen=True)
class Conflict:
    """Changed on both sides, or a line added in Xero: a person chooses push, pull or keep."""

    differences: tuple[FieldDifference, ...]


def compare(sent: Draft | None, now: Draft, held: Document, *, lock: date | None = None, reopen: bool = False) -> Update | Unchanged | Conflict:
    """What an update has to send; raises a `Problem` where Xero does not permit it.

    `sent` None: linked, but never sent by us, so that every difference needs a person. The number is not compared: it is fixed at first send (RULES 13).
    `lock` is the organisation's lock date (`checks.lock_date`). `reopen`: an accepted or declined quote is made a sent one to be changed.
    """
    if held.status in GONE:
        if now.status in GONE:
            return Unchanged()
        raise Problem("edit.gone", status=held.status)
    if now.kind == "quote":
        return _compare_quote(sent, now, held, reopen)
    status = _status(sent, now, held)
    if now.status == "VOIDED":
        return _permitted(Update({}, None, status), held, lock) if status else Unchanged()
    result = _without_base(now, held, status) if sent is None else _with_base(sent, now, held, status)
    return _permitted(result, held, lock) if isinstance(result, Update) else result


def push(now: Draft, held: Document, *, lock: date | None = None) -> Update | Unchanged | Conflict:
    """The CRM's side wins everything, lines added in Xero included (RULES 19: push)."""
    return compare(as_draft(held), now, held, lock=lock, reopen=True)


def holds(held: Document, draft: Draft) -> bool:
    """Does Xero hold exactly this? Not where its lines are unknown, or where it would not let it be changed."""
    if held.lines is None or held.total != draft.total:
        return False
    try:
        return isinstance(push(draft, held), Unchanged)
    except Problem:
        return False


def _compare_quote(sent: Draft | None, now: Draft, held: Document, reopen: bool) -> Update | Unchanged | Conflict:
    """Content and status by themselves: only drafts and sent quotes let their content change (X§6.11)."""
    steps = ordered(sent.status if sent else None, now.status, held.status)
    if now.status == "DELETED" and steps:
        return Update({}, None, None, steps)
    content = _without_base(now, held, None) if sent is None else _with_base(sent, now, held, None)
    if steps is None:
        differences = content.differences if isinstance(content, Conflict) else ()
        return Conflict((FieldDifference("status", sent.status if sent else None, now.status, held.status), *differences))
    if isinstance(content, Conflict):
        return content
    if isinstance(content, Unchanged):
        return Update({}, None, None, steps) if steps else content
    if held.status not in EDITABLE:
        if not reopen or held.status == "INVOICED":
            names = [*content.fields, *(["lines"] if content.lines is not None else [])]
            raise Problem("edit.quote_closed", fields=names, status=held.status)
        final = steps[-1] if steps else held.status
        steps = ("SENT", *(way("SENT", final) or ()))
    return replace(content, steps=steps)


def changes(update: Update, held: Document) -> list[dict[str, str]]:
    """What an update changes in Xero, field by field as a person reads it: what was there, and what will be."""
    found = [
        {"field": name, "before": shown(getattr(held, name)), "after": shown(value)}
        for name, value in update.fields.items()
        if name != "line_amount_types" and not _equal(value, getattr(held, name))
    ]
    if update.status is not None:
        found.append({"field": "status", "before": held.status, "after": update.status})
    return found + _line_changes(update.lines, held.lines or ()) if update.lines is not None else found


def _line_changes(lines: tuple[Line, ...], held: tuple[Line, ...]) -> list[dict[str, str]]:
    before = {line.id: line for line in held}
    found = []
    for place, line in enumerate(lines):
        was = before.pop(line.id, None) if line.id else None
        if was is None:
            found.append({"field": f"lines[{place}]", "before": "", "after": describe(line)})
            continue
        names = changed_fields(was, line)
        found += [{"field": f"lines[{place}].{name}", "before": shown(getattr(was, name)), "after": shown(getattr(line, name))} for name in names]
    return found + [{"field": f"lines[{held.index(gone)}]", "before": describe(gone), "after": ""} for gone in before.values()]


def with_line_ids(draft: Draft, held: Document) -> Draft:
    """The draft to keep as "last sent" after a write: each line with the LineItemID that Xero gave it (X§4.6)."""
    lines = held.lines or ()
    pairs = match_lines(draft.lines, lines, by_id)
    return replace(draft, lines=tuple(replace(line, id=lines[pairs[n]].id) if n in pairs else line for n, line in enumerate(draft.lines)))


def _status(sent: Draft | None, now: Draft, held: Document) -> str | None:
    """The status goes only if the CRM changed it, and only forward (RULES 20)."""
    if sent and sent.status == now.status:
        return None
    if now.status == "VOIDED" and has_money(held):
        raise _paid(held, ["status"])
    return forward_only(held.status, now.status, paid=has_money(held))


def _with_base(sent: Draft, now: Draft, held: Document, status: str | None) -> Update | Unchanged | Conflict:
    fields, differences = _merge_header(sent, now, held)
    merge = merge_lines(sent.lines, now.lines, _held_lines(held, sent, now))
    if merge.changed or any(name in fields for name in BASIS_OF_LINES):
        differences += _moved_basis(sent, now, held, fields)
    if differences or merge.differences:
        return Conflict((*differences, *merge.differences, *merge.added_in_xero))
    if not (fields or merge.changed or status):
        return Unchanged()
    if merge.added_in_xero:
        return Conflict(tuple(merge.added_in_xero))
    return Update(*_with_lines(fields, merge, held), status)


def _held_lines(held: Document, sent: Draft, now: Draft) -> tuple[Line, ...]:
    """Xero's lines; where they were not read, they are not needed only if the CRM changed nothing about lines."""
    same_basis = all(getattr(sent, name) == getattr(now, name) for name in BASIS_OF_LINES)
    if held.lines is None and same_basis and len(sent.lines) == len(now.lines) and all(map(same_content, sent.lines, now.lines)):
        return sent.lines
    return _read_lines(held)


def _read_lines(held: Document) -> tuple[Line, ...]:
    if held.lines is None:
        raise ValueError(f"the lines of document {held.id} were not read")
    return held.lines


def _with_lines(fields: dict[str, Any], merge: Merge, held: Document) -> tuple[dict[str, Any], tuple[Line, ...] | None]:
    """Lines go complete or not at all (X§4.6); with them the line amount types (RULES 18)."""
    if not merge.changed and not any(name in fields for name in BASIS_OF_LINES):
        return fields, None
    return {"line_amount_types": held.line_amount_types, **fields}, tuple(merge.lines)


def _merge_header(sent: Draft, now: Draft, held: Document) -> tuple[dict[str, Any], list[FieldDifference]]:
    fields: dict[str, Any] = {}
    differences = []
    for name in _header_fields(now):
        base, ours, theirs = getattr(sent, name), getattr(now, name), getattr(held, name)
        if _equal(base, ours) or _equal(ours, theirs):
            continue
        if theirs is None or _equal(base, theirs):
            fields[name] = ours
        else:
            differences.append(FieldDifference(name, shown(base), shown(ours), shown(theirs)))
    return fields, differences


def _moved_basis(sent: Draft, now: Draft, held: Document, fields: Mapping[str, Any]) -> list[FieldDifference]:
    """New amounts make no sense on a currency or tax form that only Xero changed."""
    moved = [name for name in BASIS_OF_LINES if name not in fields and _equal(getattr(sent, name), getattr(now, name))]
    apart = [name for name in moved if not _equal(getattr(now, name), getattr(held, name))]
    return [FieldDifference(name, getattr(sent, name), getattr(now, name), getattr(held, name)) for name in apart]


def _without_base(now: Draft, held: Document, status: str | None) -> Update | Unchanged | Conflict:
    """Nothing was ever sent: our mark and reference fill empty fields, every other difference is a person's to decide."""
    ours = ("reference", "title", "summary", "terms") if now.kind == "quote" else ("reference", "url")
    fields = {name: getattr(now, name) for name in ours if getattr(now, name) and not getattr(held, name)}
    apart = [name for name in _header_fields(now) if name not in fields and getattr(now, name) and not _equal(getattr(now, name), getattr(held, name))]
    differences = [FieldDifference(name, None, shown(getattr(now, name)), shown(getattr(held, name))) for name in apart]
    differences += _lines_apart(now.lines, _read_lines(held))
    if differences:
        return Conflict(tuple(differences))
    return Update(fields, None, status) if fields or status else Unchanged()


def _header_fields(draft: Draft) -> tuple[str, ...]:
    return QUOTE_FIELDS if draft.kind == "quote" else HEADER_FIELDS


def _lines_apart(now: tuple[Line, ...], held: tuple[Line, ...]) -> list[FieldDifference]:
    pairs = match_lines(now, held, lambda line: "")
    found = []
    for n, line in enumerate(now):
        if n not in pairs:
            found.append(FieldDifference(f"lines[{n}]", None, describe(line), ""))
            continue
        other = held[pairs[n]]
        names = changed_fields(line, other)
        found += [FieldDifference(f"lines[{n}].{name}", None, shown(getattr(line, name)), shown(getattr(other, name))) for name in names]
    extra = (line for j, line in enumerate(held) if j not in pairs.values())
    return found + [FieldDifference("lines.added", None, "", describe(line)) for line in extra]


def _equal(one: Any, other: Any) -> bool:
    return comparable(one) == comparable(other) if isinstance(one, str) and isinstance(other, str) else bool(one == other)


def _permitted(update: Update, held: Document, lock: date | None) -> Update:
    """Per state what Xero lets change (X§4.5): nothing in a locked period, only some fields once money has moved."""
    days = [day for day in (held.date, update.fields.get("date")) if day]
    if lock and days and min(days) <= lock:
        raise Problem("edit.locked", date=min(days), lock=lock)
    if held.status == "PAID" or has_money(held):
        blocked = [*_blocked_fields(update, held), *_blocked_lines(update, held)]
        if blocked:
            raise _paid(held, blocked)
    return update


def _blocked_fields(update: Update, held: Document) -> list[str]:
    changed = [name for name, value in update.fields.items() if not _equal(value, getattr(held, name))]
    by_credit = ["contact_id"] if held.amount_credited > 0 else []
    return [name for name in changed if name not in OPEN_WHEN_PAID or name in by_credit]


def _blocked_lines(update: Update, held: Document) -> list[str]:
    if update.lines is None:
        return []
    before = {line.id: line for line in held.lines or ()}
    if {line.id for line in update.lines} != set(before):
        return ["lines"]
    changed = {name for line in update.lines for name in changed_fields(before[line.id], line)}
    return [f"lines.{name}" for name in sorted(changed.difference(LINE_OPEN_WHEN_PAID))]


def _paid(held: Document, names: list[str]) -> Problem:
    return Problem("edit.paid", fields=names, status=held.status, paid=held.amount_paid, credited=held.amount_credited)
