"""Quotes (X§6.11): bodies that say everything each time, because what is left out is reset; reads without ids, pages without a count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from plugin.domain.ledger import Document, Draft, Outcome
from plugin.wire import Answer
from plugin.xero.body import many_lines, one_line
from plugin.xero.client import Caller, rows, segment, single
from plugin.xero.documents import LINE_AMOUNT_TYPES, line_element, number_fits, parse_line
from plugin.xero.outcomes import Element, in_order, judged
from plugin.xero.parse import day, guid, moment, money, objects, part, text
from plugin.xero.resource import Change, Resource

#: No `unitdp` here (X§2.4).
WRITE_PARAMS = {"summarizeErrors": "false"}
#: What a page holds: one with fewer rows is the last.
PAGE = 100
REFERENCE_CHARS, TITLE_CHARS, SUMMARY_CHARS, TERMS_CHARS = 4000, 100, 3000, 4000

#: Quotes speak upper case (X§2.2).
_TYPES = {ours: theirs for theirs, ours in LINE_AMOUNT_TYPES.items()}


def element(sent: Draft | Change) -> dict[str, Any]:
    """One quote as Xero wants it."""
    return _created(sent) if isinstance(sent, Draft) else _changed(sent)


def _created(draft: Draft) -> dict[str, Any]:
    made = _header(draft, draft.number if number_fits(draft.number) else "") | {"Status": "DRAFT"}
    return {**{name: value for name, value in made.items() if value not in ("", None)}, "LineItems": [line_element(one) for one in draft.lines]}


def _header(said: Draft | Document, number: str) -> dict[str, Any]:
    return {
        "QuoteNumber": number,
        "Contact": {"ContactID": said.contact_id},
        "Date": said.date,
        "ExpiryDate": said.due_date,
        "Reference": one_line(said.reference, REFERENCE_CHARS),
        "Title": one_line(said.title, TITLE_CHARS),
        "Summary": many_lines(said.summary, SUMMARY_CHARS),
        "Terms": many_lines(said.terms, TERMS_CHARS),
        "LineAmountTypes": _TYPES.get(said.line_amount_types, said.line_amount_types.upper()),
        "CurrencyCode": said.currency,
    }


def _changed(change: Change) -> dict[str, Any]:
    """Everything that a quote would lose by leaving it out, as Xero holds it, with what shall be different laid over it (X§2.7)."""
    if not change.id:
        raise ValueError("an update without an id would overwrite whatever has that number (X§4.6)")
    made: dict[str, Any] = {"QuoteID": change.id}
    held = change.held
    if held is not None:
        made |= {name: value for name, value in _header(held, held.number).items() if value is not None} | {"Status": held.status}
    for name, value in change.fields.items():
        made |= _field(name, value)
    if change.lines is not None:
        made["LineItems"] = [line_element(one) for one in change.lines]
    return made


def _field(name: str, value: object) -> dict[str, Any]:
    """A changed field under Xero's name for it; an expiry that was taken away cannot be said (X§2.7: null does nothing certain)."""
    if isinstance(value, date):
        return {{"date": "Date", "due_date": "ExpiryDate"}[name]: value}
    if value is None and name == "due_date":
        return {}
    if not isinstance(value, str):
        raise ValueError(f"{name} is a text or a date, not {type(value).__name__}")
    made: dict[str, dict[str, Any]] = {
        "contact_id": {"Contact": {"ContactID": value}},
        "currency": {"CurrencyCode": value},
        "line_amount_types": {"LineAmountTypes": _TYPES.get(value, value.upper())},
        "reference": {"Reference": one_line(value, REFERENCE_CHARS)},
        "title": {"Title": one_line(value, TITLE_CHARS)},
        "summary": {"Summary": many_lines(value, SUMMARY_CHARS)},
        "terms": {"Terms": many_lines(value, TERMS_CHARS)},
        "status": {"Status": value},
    }
    return made[name]


def outcomes(answer: Answer, sent: Sequence[Element]) -> tuple[Outcome, ...]:
    """One outcome for each element sent, in that order; `ok` False without errors: the answer does not mention it."""
    return in_order(answer, "Quotes", _outcome, sent, _marks, _facts)


def _outcome(found: dict[str, Any], refused: bool) -> Outcome:
    outcome = judged(found, "QuoteID", refused)
    return Outcome(outcome.ok, outcome.id, outcome.errors, outcome.warnings, document=parse_quote(found) if outcome.ok else None)


def _marks(found: Element) -> tuple[str, ...]:
    return (guid(found.get("QuoteID")), text(found.get("QuoteNumber")))


def _facts(found: Element) -> tuple[str, ...]:
    lines = "\n".join(sorted(text(one.get("Description")) for one in objects(found.get("LineItems"))))
    return (guid(part(found.get("Contact")).get("ContactID")), text(found.get("Reference")), text(found.get("CurrencyCode")), lines)


def parse_quote(found: dict[str, Any]) -> Document:
    """One element of `Quotes`; nothing is ever due or paid on it."""
    contact = part(found.get("Contact"))
    nothing = money(None)
    return Document(
        id=guid(found.get("QuoteID")),
        type="QUOTE",
        number=text(found.get("QuoteNumber")),
        status=text(found.get("Status")).upper(),
        contact_id=guid(contact.get("ContactID")),
        contact_name=text(contact.get("Name")),
        date=day(found.get("Date")) or day(found.get("DateString")),
        due_date=day(found.get("ExpiryDate")) or day(found.get("ExpiryDateString")),
        currency=text(found.get("CurrencyCode")),
        line_amount_types=LINE_AMOUNT_TYPES.get(text(found.get("LineAmountTypes")).upper(), text(found.get("LineAmountTypes"))),
        reference=text(found.get("Reference")),
        url="",
        total=money(found.get("Total")),
        tax_total=money(found.get("TotalTax")),
        amount_due=nothing,
        amount_paid=nothing,
        amount_credited=nothing,
        fully_paid_on=None,
        sent=False,
        updated_at=moment(found.get("UpdatedDateUTC")),
        lines=tuple(parse_line(one) for one in objects(found["LineItems"])) if "LineItems" in found else None,
        title=text(found.get("Title")),
        summary=text(found.get("Summary")),
        terms=text(found.get("Terms")),
    )


def quotes_by_ids(call: Caller, ids: Iterable[str]) -> tuple[Document, ...]:
    """These quotes with their lines, one call each; ids that Xero does not know are absent."""
    found: list[Document] = []
    for identity in dict.fromkeys(ids):
        found += [parse_quote(one) for one in single(call, f"Quotes/{segment(identity)}", "Quotes")]
    return tuple(found)


def quotes_by_numbers(call: Caller, numbers: Iterable[str]) -> tuple[Document, ...]:
    """The quotes of these numbers; Xero finds parts of a number too, so they are compared here (X§6.11)."""
    found: list[Document] = []
    for number in dict.fromkeys(numbers):
        params = {"QuoteNumber": number, "page": "1"}
        documents = (parse_quote(one) for one in rows(call("GET", "Quotes", params=params), "Quotes"))
        found += [one for one in documents if one.number.casefold() == number.casefold()]
    return tuple(found)


def quotes_modified(call: Caller, since: datetime | None, page: int, summary: bool = True) -> tuple[tuple[Document, ...], int]:
    """One page of what was created or modified since, oldest first, with lines, and how many pages there are as far as can be told.

    There is no summary of quotes and no count of pages: a full page means at least one more. No size is asked for: that quotes take one is not sure (X§2.2).
    """
    params = {"page": str(page), "order": "UpdatedDateUTC ASC"}
    found = rows(call("GET", "Quotes", params=params, modified_since=since), "Quotes")
    return tuple(parse_quote(one) for one in found), page + 1 if len(found) >= PAGE else page


def _made_since(call: Caller, since: datetime) -> list[Document]:
    found: list[Document] = []
    page, pages = 1, 1
    while page <= pages:
        of_page, pages = quotes_modified(call, since, page)
        found += of_page
        page += 1
    return found


QUOTES = Resource(
    path="Quotes",
    write_params=WRITE_PARAMS,
    element=element,
    outcomes=outcomes,
    by_ids=quotes_by_ids,
    by_numbers=quotes_by_numbers,
    modified=quotes_modified,
    made_since=_made_since,
    is_ours=lambda one: True,
    together=1,
)
