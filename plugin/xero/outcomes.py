"""The answer to a collection write: each element judged by itself, and told apart by its marks (X§2.5, §4.7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plugin.domain.ledger import Outcome
from plugin.wire import Answer
from plugin.xero.client import rows
from plugin.xero.errors import json_object
from plugin.xero.parse import flag, guid, objects, said, text

Element = Mapping[str, Any]
#: What identifies an element, the strongest first; "" where it has none of that kind.
Marks = Callable[[Element], tuple[str, ...]]

#: The answer does not mention the element: it may have been saved. No errors, so nobody takes it for refused.
UNANSWERED = Outcome(ok=False, id="")


def elements(answer: Answer, name: str) -> list[dict[str, Any]]:
    """The elements of a write's answer, or those of a 400 with `Elements` (X§9.2); raises the problem of any other refusal."""
    if answer.status == 400 and (failed := objects((json_object(answer) or {}).get("Elements"))):
        return failed
    return rows(answer, name)


def judged(element: Element, identity: str, refused: bool = False) -> Outcome:
    """One element's outcome: an id that is not zero, no error mark, whatever the HTTP status.

    Where Xero says OK in so many words, messages of nested objects are warnings: the element is saved.
    """
    status = text(element.get("StatusAttributeString")).upper()
    marked = status == "ERROR" or flag(element.get("HasErrors")) or flag(element.get("HasValidationErrors"))
    found = guid(element.get(identity))
    errors, warnings = said(element)
    if refused or marked or not found or (errors and status not in ("OK", "WARNING")):
        return Outcome(ok=False, id=found, errors=errors, warnings=warnings)
    return Outcome(ok=True, id=found, warnings=tuple(dict.fromkeys((*warnings, *errors))))


def in_order(
    answer: Answer, name: str, outcome: Callable[[dict[str, Any], bool], Outcome], sent: Sequence[Element] | None, marks: Marks, facts: Marks
) -> tuple[Outcome, ...]:
    """One outcome for each element sent, in that order; without `sent` in the order of the answer. `outcome` is told whether all of it was refused."""
    got = elements(answer, name)
    found = tuple(outcome(one, answer.status == 400) for one in got)
    if sent is None:
        return found
    return tuple(UNANSWERED if place is None else found[place] for place in pair(sent, got, marks, facts))


def pair(sent: Sequence[Element], got: Sequence[Element], marks: Marks, facts: Marks) -> list[int | None]:
    """For each element sent the index of its answer. `facts` are what must not contradict when only position is left.

    Xero does not document that the order is kept: a mark that is unique on both sides decides; position only where the lengths agree.
    """
    claimed = _by_marks([marks(one) for one in sent], [marks(one) for one in got])
    if len(sent) == len(got):
        free = set(range(len(got))) - set(claimed.values())
        for index in range(len(sent)):
            if index not in claimed and index in free and _alike(marks, facts, sent[index], got[index]):
                claimed[index] = index
                free.discard(index)
        left = [index for index in range(len(sent)) if index not in claimed]
        if len(left) == 1 and len(free) == 1 and _alike(marks, facts, sent[left[0]], got[min(free)]):
            claimed[left[0]] = min(free)
    return [claimed.get(index) for index in range(len(sent))]


def _by_marks(sent: Sequence[tuple[str, ...]], got: Sequence[tuple[str, ...]]) -> dict[int, int]:
    claimed: dict[int, int] = {}
    for kind in range(len(sent[0]) if sent else 0):
        taken = set(claimed.values())
        wanted = Counter(one[kind] for index, one in enumerate(sent) if index not in claimed)
        offered: dict[str, list[int]] = {}
        for index, one in enumerate(got):
            if index not in taken:
                offered.setdefault(one[kind], []).append(index)
        for index, one in enumerate(sent):
            mark = one[kind]
            if index not in claimed and mark and wanted[mark] == 1 and len(offered.get(mark, ())) == 1:
                claimed[index] = offered[mark][0]
    return claimed


def _alike(marks: Marks, facts: Marks, sent: Element, got: Element) -> bool:
    """No mark and no fact that both sides have is different."""
    both = zip((*marks(sent), *facts(sent)), (*marks(got), *facts(got)), strict=True)
    return all(ours == theirs for ours, theirs in both if ours and theirs)
