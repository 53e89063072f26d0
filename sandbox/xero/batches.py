"""Collection writes: element by element, with the outcome told in the two ways of `summarizeErrors` (X§2.5, X§4.7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import request

from sandbox.xero.desk import Desk
from sandbox.xero.elements import Element
from sandbox.xero.errors import Halt, Refused, exception
from sandbox.xero.words import ZERO_ID


@dataclass
class Writing:
    """How one resource is written and shown."""

    id_key: str
    write: Callable[[Element], Any]
    render: Callable[[Any], dict[str, Any]]
    warnings: Callable[[], list[str]] = list
    errors_key: str = "HasErrors"


def failed(element: Element, refused: Refused, writing: Writing, outcome: bool) -> Element:
    """The element as it was sent, with what is wrong; a failed create has the zero id (X§2.2)."""
    echo = dict(element)
    echo.setdefault(writing.id_key, ZERO_ID)
    messages = [{"Message": message} for message in refused.messages]
    for (name, place), texts in refused.parts.items():
        parts = [dict(part) for part in echo[name]]
        parts[place]["ValidationErrors"] = [{"Message": text} for text in texts]
        echo[name] = parts
    echo |= {writing.errors_key: True, "ValidationErrors": messages}
    if outcome:
        echo["StatusAttributeString"] = "ERROR"
    return echo


def summarizes() -> bool:
    """Omitted behaves as true (X§2.5)."""
    return request.args.get("summarizeErrors", "true").lower() != "false"


def write_all(desk: Desk, elements: list[Element], writing: Writing) -> list[dict[str, Any]]:
    """Write each; failing ones do not stop the others. Raises the 400 of `summarizeErrors=true`."""
    outcome = not summarizes()
    start = desk.books.journal.mark()
    rows: list[dict[str, Any]] = []
    bad: list[Element] = []
    for element in elements:
        mark = desk.books.journal.mark()
        try:
            rows.append(_good(writing, writing.write(element), outcome))
        except Refused as refused:
            desk.books.journal.back_to(mark)
            bad.append(failed(element, refused, writing, outcome))
            rows.append(bad[-1])
        except Halt:
            desk.books.journal.back_to(start)
            raise
    if bad and not outcome:
        if desk.is_on("summarize_true_saves", "no"):
            desk.books.journal.back_to(start)
        raise Halt(exception(400, 10, "ValidationException", "A validation exception occurred", bad))
    return rows[::-1] if desk.is_on("response_order", "shuffled") else rows


def write_one(desk: Desk, element: Element, writing: Writing) -> list[dict[str, Any]]:
    """POST to one resource: no `summarizeErrors`, 400 on failure (X§2.5)."""
    mark = desk.books.journal.mark()
    try:
        return [_good(writing, writing.write(element), outcome=False)]
    except Refused as refused:
        desk.books.journal.back_to(mark)
        found = failed(element, refused, writing, outcome=False)
        raise Halt(exception(400, 10, "ValidationException", "A validation exception occurred", [found])) from None
    except Halt:
        desk.books.journal.back_to(mark)
        raise


def _good(writing: Writing, row: Any, outcome: bool) -> dict[str, Any]:
    shown = writing.render(row)
    warnings = writing.warnings()
    if warnings:
        shown["Warnings"] = [{"Message": message} for message in warnings]
    if outcome:
        shown["StatusAttributeString"] = "WARNING" if warnings else "OK"
    return shown
