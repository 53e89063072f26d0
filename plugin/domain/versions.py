"""Three versions of a document side by side: what the CRM says now, what was last sent, what Xero holds (RULES 19). For looking, not for sending."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from plugin.domain.compare import HEADER_FIELDS
from plugin.domain.ledger import Document, Draft, Line
from plugin.domain.lines import by_id, by_row, changed_fields, comparable, describe, match_lines, shown

By = Literal["crm", "xero", "both"]


@dataclass(frozen=True)
class Versions:
    """A field on which the CRM and Xero disagree now, and who changed it since the last transfer; `sent` is None where nothing was ever sent.

    A line is called `lines[0]`, its field `lines[0].quantity`. An empty text means that this side has no such line.
    """

    field: str
    crm: str
    sent: str | None
    xero: str
    by: By


def versions(sent: Draft | None, now: Draft, held: Document) -> tuple[Versions, ...]:
    """Every field of the document that differs. The number is fixed at first send, and the link back is ours: neither is a difference."""
    return (*_header(sent, now, held), *_lines(sent, now, held))


def _who(sent: Any, crm: Any, xero: Any) -> By:
    """What was never sent has no author that we know of."""
    if sent == crm:
        return "xero"
    return "crm" if sent == xero else "both"


def _plain(value: Any) -> Any:
    return comparable(value) if isinstance(value, str) else value


def _header(sent: Draft | None, now: Draft, held: Document) -> Iterator[Versions]:
    for name in HEADER_FIELDS:
        crm, xero = getattr(now, name), getattr(held, name)
        if name == "url" or _plain(crm) == _plain(xero):
            continue
        base = getattr(sent, name) if sent is not None else None
        yield Versions(name, shown(crm), shown(base) if sent is not None else None, shown(xero), _who(_plain(base), _plain(crm), _plain(xero)))


def _lines(sent: Draft | None, now: Draft, held: Document) -> Iterator[Versions]:
    """Lines are paired through the last transfer, and what that leaves by content and position."""
    before, in_xero = (sent.lines if sent is not None else ()), held.lines or ()
    from_crm, from_sent = match_lines(now.lines, before, by_row), match_lines(before, in_xero, by_id)
    pairs = {n: from_sent[s] for n, s in from_crm.items() if s in from_sent}
    free_now = [n for n in range(len(now.lines)) if n not in pairs and n not in from_crm]
    free_held = [j for j in range(len(in_xero)) if j not in from_sent.values()]
    loose = match_lines([now.lines[n] for n in free_now], [in_xero[j] for j in free_held], lambda line: "") if sent is None else {}
    pairs |= {free_now[n]: free_held[j] for n, j in loose.items()}
    for n, line in enumerate(now.lines):
        base = before[from_crm[n]] if n in from_crm else None
        if n in pairs:
            yield from _fields(n, line, base, in_xero[pairs[n]])
        else:
            yield Versions(f"lines[{n}]", describe(line), describe(base) if base else _never(sent), "", "xero" if base else "crm")
    for j, line in enumerate(in_xero):
        if j in pairs.values():
            continue
        base = next((before[s] for s, other in from_sent.items() if other == j), None)
        yield Versions("lines.added", "", describe(base) if base else _never(sent), describe(line), "crm" if base else "xero")


def _never(sent: Draft | None) -> str | None:
    return "" if sent is not None else None


def _fields(n: int, crm: Line, base: Line | None, xero: Line) -> Iterator[Versions]:
    for name in changed_fields(crm, xero):
        by: By = "both"
        if base is not None:
            ours, theirs = name in changed_fields(crm, base), name in changed_fields(base, xero)
            by = "both" if ours and theirs else "crm" if ours else "xero"
        was = shown(getattr(base, name)) if base is not None else None
        yield Versions(f"lines[{n}].{name}", shown(getattr(crm, name)), was, shown(getattr(xero, name)), by)
