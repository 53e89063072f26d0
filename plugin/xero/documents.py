"""Sales invoices and bills (X§4): bodies that create and change them, answers told apart, reads with few calls, links into Xero."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from plugin.domain.ledger import Document, Draft, Line, Outcome, Tracking
from plugin.wire import Answer
from plugin.xero import client
from plugin.xero.body import decimals, many_lines, one_line
from plugin.xero.client import PAGE_SIZE, Caller, comma_lists, page_count, rows, segment, single
from plugin.xero.outcomes import Element, in_order, judged
from plugin.xero.parse import amount, day, flag, guid, moment, money, objects, optional_amount, part, text
from plugin.xero.resource import WRITE_MOST, Change, Resource

DESCRIPTION_CHARS = 4000
TEXT_CHARS = 255
#: A line needs at least one character (X§13.3).
NO_DESCRIPTION = "-"

#: On a line that Xero holds, left out means "as it was" (X§2.7): what the CRM took away there has to be said.
CLEARED = ("DiscountRate", "ItemCode", "Tracking")

#: What `Change.fields` may name, in our words, and Xero's word for it.
FIELDS = {
    "contact_id": "Contact",
    "number": "InvoiceNumber",
    "reference": "Reference",
    "date": "Date",
    "due_date": "DueDate",
    "line_amount_types": "LineAmountTypes",
    "currency": "CurrencyCode",
    "url": "Url",
    "status": "Status",
}

#: Quotes answer in upper case, invoices do not (X§2.2).
LINE_AMOUNT_TYPES = {"EXCLUSIVE": "Exclusive", "INCLUSIVE": "Inclusive", "NOTAX": "NoTax"}

#: Addresses in Xero's own pages (X§7). The organisationlogin form switches to the right organisation first.
_LOGIN = "https://go.xero.com/organisationlogin/default.aspx?shortcode={sc}"
LINKS = {
    "invoice": "https://go.xero.com/app/{sc}/invoicing/view/{id}",
    "contact": "https://go.xero.com/app/{sc}/contacts/contact/{id}",
    "quote": "https://go.xero.com/app/{sc}/quotes/view/{id}",
    "credit_note": _LOGIN + "&redirecturl=/AccountsPayable/ViewCreditNote.aspx?creditNoteID={id}",
    "payment": _LOGIN + "&redirecturl=/Bank/ViewTransaction.aspx?bankTransactionID={id}",
    "bill": _LOGIN + "&redirecturl=/AccountsPayable/View.aspx?InvoiceID={id}",
    "organisation": _LOGIN,
}


def element(sent: Draft | Change) -> dict[str, Any]:
    """One document as Xero wants it. Raises `ValueError` for what only a mistake of ours can make."""
    return _created(sent) if isinstance(sent, Draft) else _changed(sent)


def number_fits(number: str) -> bool:
    """Can Xero hold this invoice number: printable ASCII, at most 255 (X§4.2)? Otherwise Xero numbers the document (RULES 13)."""
    return 0 < len(number) <= TEXT_CHARS and number == number.strip() and all(" " <= char <= "~" for char in number)


def url_fits(url: str) -> bool:
    """Will Xero take this link: absolute, without its own name in it (X§4.2)?"""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "xero" not in url.lower() and not any(char.isspace() for char in url)


def _created(draft: Draft) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Type": "ACCREC",
        "Status": draft.status,
        "Contact": {"ContactID": draft.contact_id},
        "InvoiceNumber": draft.number if number_fits(draft.number) else "",
        "Reference": one_line(draft.reference, TEXT_CHARS),
        "Date": draft.date,
        "DueDate": draft.due_date or draft.date,
        "LineAmountTypes": draft.line_amount_types,
        "CurrencyCode": draft.currency,
        "Url": draft.url if url_fits(draft.url) else "",
    }
    return {**{name: value for name, value in made.items() if value != ""}, "LineItems": [line_element(one) for one in draft.lines]}


def _changed(change: Change) -> dict[str, Any]:
    if not change.id:
        raise ValueError("an update without an id would overwrite whatever has that number (X§4.6)")
    if change.lines is not None and "line_amount_types" not in change.fields:
        raise ValueError("lines are sent with their line amount types, always (RULES 18)")
    if unknown := set(change.fields) - set(FIELDS):
        raise ValueError(f"no field of a document: {', '.join(sorted(unknown))}")
    made: dict[str, Any] = {"InvoiceID": change.id}
    for name, theirs in FIELDS.items():
        if name in change.fields and (value := _value(name, change.fields[name])) is not None:
            made[theirs] = value
    if change.lines is not None:
        made["LineItems"] = [line_element(one) for one in change.lines]
    return made


def _value(name: str, value: object) -> object:
    """A changed field's value, or None where Xero could not take it. An empty reference clears it (X§2.7)."""
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{name} is a text or a date, not {type(value).__name__}")
    if name == "contact_id":
        return {"ContactID": value}
    if name == "reference":
        return one_line(value, TEXT_CHARS)
    if (name == "number" and not number_fits(value)) or (name == "url" and not url_fits(value)):
        return None
    return value


def line_element(line: Line) -> dict[str, Any]:
    """One line. Line amounts and tax amounts are left to Xero (X§4.3); everything else is said, so that no default of an item creeps in."""
    made: dict[str, Any] = {"LineItemID": line.id} if line.id else {}
    made["Description"] = many_lines(line.description, DESCRIPTION_CHARS) or NO_DESCRIPTION
    if _only_text(line):
        return made
    made |= {"Quantity": decimals(line.quantity, 4), "UnitAmount": decimals(line.unit_amount, 4)}
    by_amount = bool(line.discount_amount) and not line.discount_rate
    optional: dict[str, Any] = {
        "DiscountAmount" if by_amount else "DiscountRate": line.discount_amount if by_amount else line.discount_rate,
        "ItemCode": line.item_code,
        "AccountCode": line.account_code,
        "AccountID": "" if line.account_code else line.account_id,
        "TaxType": line.tax_type,
        "Tracking": [_tracking(one) for one in line.tracking],
    }
    return made | {name: value for name, value in optional.items() if value or (line.id and name in CLEARED)}


def _only_text(line: Line) -> bool:
    """A line of a bookkeeper that has only a description stays one (X§4.3): with amounts it would need an account."""
    return not (line.account_code or line.account_id or line.item_code or line.quantity * line.unit_amount)


def _tracking(one: Tracking) -> dict[str, str]:
    """By id where we know it, else by name."""
    ids = {"TrackingCategoryID": one.category_id, "TrackingOptionID": one.option_id}
    return ids if all(ids.values()) else {"Name": one.category, "Option": one.option}


def outcomes(answer: Answer, sent: Sequence[Element]) -> tuple[Outcome, ...]:
    """One outcome for each element sent, in that order.

    `ok` False without errors: the answer does not mention the document, so look before sending it again. Raises the problem of an
    answer that is no collection of elements.
    """
    return in_order(answer, "Invoices", _outcome, sent, _marks, _facts)


def _outcome(found: dict[str, Any], refused: bool) -> Outcome:
    outcome = judged(found, "InvoiceID", refused)
    return Outcome(outcome.ok, outcome.id, outcome.errors, outcome.warnings, document=parse_document(found) if outcome.ok else None)


def _marks(found: Element) -> tuple[str, ...]:
    return (guid(found.get("InvoiceID")), text(found.get("InvoiceNumber")), text(found.get("Url")))


def _facts(found: Element) -> tuple[str, ...]:
    """What both sides say as text (dates differ in form). Xero does not promise the order of lines either."""
    lines = "\n".join(sorted(text(one.get("Description")) for one in objects(found.get("LineItems"))))
    return (guid(part(found.get("Contact")).get("ContactID")), text(found.get("Reference")), text(found.get("CurrencyCode")), lines)


def parse_document(found: dict[str, Any], full: bool = True) -> Document:
    """One element of `Invoices`. Where the answer is not full, "no lines" means nothing: `lines` is None (X§4.8)."""
    contact = part(found.get("Contact"))
    kind = text(found.get("LineAmountTypes"))
    lines = tuple(parse_line(one) for one in objects(found["LineItems"])) if full and "LineItems" in found else None
    return Document(
        id=guid(found.get("InvoiceID")),
        type=text(found.get("Type")),
        number=text(found.get("InvoiceNumber")),
        status=text(found.get("Status")),
        contact_id=guid(contact.get("ContactID")),
        contact_name=text(contact.get("Name")),
        date=day(found.get("Date")) or day(found.get("DateString")),
        due_date=day(found.get("DueDate")) or day(found.get("DueDateString")),
        currency=text(found.get("CurrencyCode")),
        line_amount_types=LINE_AMOUNT_TYPES.get(kind.upper(), kind),
        reference=text(found.get("Reference")),
        url=text(found.get("Url")),
        total=money(found.get("Total")),
        tax_total=money(found.get("TotalTax")),
        amount_due=money(found.get("AmountDue")),
        amount_paid=money(found.get("AmountPaid")),
        amount_credited=money(found.get("AmountCredited")),
        fully_paid_on=day(found.get("FullyPaidOnDate")),
        sent=flag(found.get("SentToContact")),
        updated_at=moment(found.get("UpdatedDateUTC")) or moment(found.get("UpdatedDateUTCString")),
        lines=lines,
    )


def parse_line(found: dict[str, Any]) -> Line:
    """One element of `LineItems`."""
    return Line(
        description=text(found.get("Description")),
        quantity=amount(found.get("Quantity")),
        unit_amount=amount(found.get("UnitAmount")),
        account_code=text(found.get("AccountCode")),
        tax_type=text(found.get("TaxType")),
        item_code=text(found.get("ItemCode")),
        discount_rate=amount(found.get("DiscountRate")),
        id=guid(found.get("LineItemID")),
        line_amount=optional_amount(found.get("LineAmount")),
        tax_amount=optional_amount(found.get("TaxAmount")),
        item_id=guid(part(found.get("Item")).get("ItemID")),
        tracking=tuple(_parse_tracking(one) for one in objects(found.get("Tracking"))),
        discount_amount=amount(found.get("DiscountAmount")),
        account_id=guid(found.get("AccountID")),
    )


def _parse_tracking(found: dict[str, Any]) -> Tracking:
    return Tracking(guid(found.get("TrackingCategoryID")), guid(found.get("TrackingOptionID")), text(found.get("Name")), text(found.get("Option")))


def invoices_by_ids(call: Caller, ids: Iterable[str]) -> tuple[Document, ...]:
    """These documents with their lines, fifty a call; ids that Xero does not know are absent."""
    return _listed(call, "IDs", ids)


def invoices_by_numbers(call: Caller, numbers: Iterable[str]) -> tuple[Document, ...]:
    """All documents of these numbers with their lines: a bill may have the same number, and so may a deleted document."""
    wanted = list(dict.fromkeys(numbers))
    found = _listed(call, "InvoiceNumbers", (one for one in wanted if "," not in one))
    for number in (one for one in wanted if "," in one):
        # A comma separates numbers in that list, so such a number is searched for and compared here.
        params = {"searchTerm": number, "page": "1", "pageSize": str(PAGE_SIZE), "unitdp": "4"}
        documents = (parse_document(one) for one in rows(call("GET", "Invoices", params=params), "Invoices"))
        found += tuple(one for one in documents if one.number == number)
    return found


def _listed(call: Caller, name: str, values: Iterable[str]) -> tuple[Document, ...]:
    """`page` because a list without pages has no lines; `unitdp` because prices come back rounded without it (X§2.4, §4.8)."""
    found: list[Document] = []
    for chunk in comma_lists(values):
        params = {name: ",".join(chunk), "page": "1", "pageSize": str(PAGE_SIZE), "unitdp": "4"}
        found += [parse_document(one) for one in rows(call("GET", "Invoices", params=params), "Invoices")]
    return tuple(found)


def invoices_modified(
    call: Caller,
    since: datetime | None,
    page: int,
    summary: bool = True,
    created_by_my_app: bool = False,
    page_size: int = PAGE_SIZE,
) -> tuple[tuple[Document, ...], int]:
    """One page of what was created or modified since, oldest first, voided and deleted ones too, and how many pages there are."""
    params = {"page": str(page), "pageSize": str(page_size), "order": "UpdatedDateUTC ASC", "unitdp": "4"}
    if summary:
        params["summaryOnly"] = "true"
    if created_by_my_app:
        params["createdByMyApp"] = "true"
    answer = call("GET", "Invoices", params=params, modified_since=since)
    found = rows(answer, "Invoices")
    return tuple(parse_document(one, full=not summary) for one in found), page_count(answer, page, len(found), page_size)


def invoices_of_status(call: Caller, statuses: Sequence[str], page: int) -> tuple[tuple[Document, ...], int]:
    """One page of everything in these statuses, as summaries, and how many pages there are."""
    params = {"Statuses": ",".join(statuses), "page": str(page), "pageSize": str(PAGE_SIZE), "order": "UpdatedDateUTC ASC"}
    params |= {"unitdp": "4", "summaryOnly": "true"}
    answer = call("GET", "Invoices", params=params)
    found = rows(answer, "Invoices")
    return tuple(parse_document(one, full=False) for one in found), page_count(answer, page, len(found))


def invoice(call: Caller, identity: str) -> Document | None:
    """One document in full, or None where Xero has none of this id."""
    found = single(call, f"Invoices/{segment(identity)}", "Invoices", {"unitdp": "4"})
    return parse_document(found[0]) if found else None


def online_url(call: Caller, identity: str) -> str:
    """The address under which the customer sees the invoice; "" where there is none (drafts and bills, X§4.11)."""
    found = rows(call("GET", f"Invoices/{segment(identity)}/OnlineInvoice"), "OnlineInvoices")
    url = text(found[0].get("OnlineInvoiceUrl")) if found else ""
    return url if url.startswith("https://") and len(url) <= TEXT_CHARS else ""


def deep_link(short_code: str, kind: str, identity: str) -> str:
    """The address of a document or contact in Xero's own pages; "" where the organisation's short code is not known."""
    return LINKS[kind].format(sc=quote(short_code, safe="!"), id=quote(identity, safe="")) if short_code else ""


def _made_since(call: Caller, since: datetime) -> list[Document]:
    found: list[Document] = []
    page, pages = 1, 1
    while page <= pages:
        part_of, pages = invoices_modified(call, since, page, summary=False, created_by_my_app=True)
        found += part_of
        page += 1
    return found


INVOICES = Resource(
    path="Invoices",
    write_params=client.WRITE_PARAMS,
    element=element,
    outcomes=outcomes,
    by_ids=invoices_by_ids,
    by_numbers=invoices_by_numbers,
    modified=invoices_modified,
    made_since=_made_since,
    is_ours=lambda one: one.type == "ACCREC",
    together=WRITE_MOST,
)
