"""Documents of the CRM as the rest of the product asks for them: a page of the list, all ids of a filter, whole documents, results written back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from plugin.bitrix24.client import BATCH, BatchReply, Command, Reply, Rest, chunks
from plugin.bitrix24.kinds import CrmKind
from plugin.bitrix24.packing import groups, rows_under
from plugin.bitrix24.reading import LIMIT, Passed, Read, complete, look, read_documents
from plugin.bitrix24.shapes import COMPANY, CONTACT, NEVER_SEEN, person_name
from plugin.bitrix24.values import amount, ident, iso, moment, text
from plugin.bitrix24.writing import WriteBack, may_edit, write_back

__all__ = [
    "LIMIT",
    "ListedDocument",
    "Narrowed",
    "Page",
    "Passed",
    "Read",
    "Rest",
    "WriteBack",
    "complete",
    "ids_matching",
    "list_documents",
    "look",
    "may_edit",
    "read_documents",
    "updated_times",
    "write_back",
]

SIZES = (10, 25, 50)
SPARSE = 500  # ids from a request of fifty windows: below this, wider windows save requests
NEWEST_FIRST: Mapping[str, str] = {"updatedTime": "DESC", "id": "DESC"}
LIST_SELECT = ("id", "title", "stageId", "companyId", "contactId", "opportunity", "currencyId", "updatedTime")


@dataclass(frozen=True)
class Narrowed:
    """What the list is narrowed to. `ids` and `not_ids` carry what only we know (sent, not sent, with a problem)."""

    changed_from: datetime | None = None
    changed_to: datetime | None = None  # not included
    search: str = ""  # part of the number or of the title
    stage_ids: tuple[str, ...] = ()
    seller_ids: tuple[int, ...] = ()
    ids: tuple[int, ...] | None = None
    not_ids: tuple[int, ...] = ()
    customer: tuple[Literal["company", "contact"], int] | None = None

    def as_filter(self, kind: CrmKind) -> dict[str, Any]:
        """The `filter` of crm.item.list (B§8.1); an OR group has a numeric key."""
        words = self.search.strip()
        conditions: dict[str, Any] = {
            ">=updatedTime": iso(self.changed_from) if self.changed_from else None,
            "<updatedTime": iso(self.changed_to) if self.changed_to else None,
            "0": {"logic": "OR", "0": {f"%{kind.number}": words}, "1": {"%title": words}} if words else None,
            "@stageId": list(self.stage_ids),
            "@mycompanyId": list(self.seller_ids),
            "@id": list(self.ids or ()),
            "!@id": list(self.not_ids),
            **({f"={self.customer[0]}Id": self.customer[1]} if self.customer else {}),
        }
        return {name: value for name, value in conditions.items() if value}

    @property
    def nothing(self) -> bool:
        """Ids are asked for, but there are none: an empty `@id` would ask for everything."""
        return self.ids is not None and not self.ids


@dataclass(frozen=True)
class ListedDocument:
    """One row of the list, as far as this person may see it."""

    id: int
    number: str
    title: str
    stage_id: str
    company_id: int | None
    company: str
    contact_id: int | None
    contact: str
    amount: Decimal
    currency: str
    updated_at: datetime


@dataclass(frozen=True)
class Page:
    """One page of the list; `page` counts from 1. `total` may lag a little behind (B§4.3)."""

    items: tuple[ListedDocument, ...]
    total: int
    page: int
    pages: int


def list_documents(rest: Rest, kind: CrmKind, narrowed: Narrowed, *, page: int = 1, size: int = 25, order: Mapping[str, str] = NEWEST_FIRST) -> Page:
    """One page in at most two requests: the documents, then the names of their companies and contacts.

    Bitrix24's pages have fifty rows; smaller sizes divide fifty, so each of our pages lies within one of Bitrix24's.
    """
    if size not in SIZES:
        raise ValueError(f"size is one of {SIZES}")
    if narrowed.nothing:
        return Page((), 0, 1, 0)
    first = (max(1, page) - 1) * size
    params = {
        "entityTypeId": kind.type_id,
        "select": (*LIST_SELECT, kind.number),
        "filter": narrowed.as_filter(kind),
        "order": order,
        "start": first // BATCH * BATCH,
    }
    reply = rest.call("crm.item.list", params)
    rows = rows_under(reply, "items")[first % BATCH : first % BATCH + size]
    companies, contacts = _names(rest, rows)
    total = reply.total or 0
    return Page(tuple(_listed(kind, row, companies, contacts) for row in rows), total, max(1, page), -(-total // size))


def _names(rest: Rest, rows: list[Mapping[str, Any]]) -> tuple[dict[int, str], dict[int, str]]:
    """Names as this person may see them; a company hidden from them stays without a name."""
    commands: dict[str, Command] = {}
    for key, name, type_id, select in (("companies", "companyId", COMPANY, ["id", "title"]), ("contacts", "contactId", CONTACT, ["id", "name", "lastName"])):
        ids = sorted({id_ for row in rows if (id_ := ident(row.get(name)))})
        if ids:
            commands[key] = ("crm.item.list", {"entityTypeId": type_id, "select": select, "filter": {"@id": ids}, "order": {"id": "ASC"}, "start": -1})
    if not commands:
        return {}, {}
    reply = rest.batch(commands)
    companies, contacts = (rows_under(Reply(reply.results.get(key)), "items") for key in ("companies", "contacts"))
    return {ident(one.get("id")) or 0: text(one.get("title")) for one in companies}, {ident(one.get("id")) or 0: person_name(one) for one in contacts}


def _listed(kind: CrmKind, row: Mapping[str, Any], companies: Mapping[int, str], contacts: Mapping[int, str]) -> ListedDocument:
    company_id, contact_id = ident(row.get("companyId")), ident(row.get("contactId"))
    return ListedDocument(
        id=ident(row.get("id")) or 0,
        number=text(row.get(kind.number)),
        title=text(row.get("title")),
        stage_id=text(row.get("stageId")),
        company_id=company_id,
        company=companies.get(company_id or 0, ""),
        contact_id=contact_id,
        contact=contacts.get(contact_id or 0, ""),
        amount=amount(row.get("opportunity")),
        currency=text(row.get("currencyId")),
        updated_at=moment(row.get("updatedTime")) or NEVER_SEEN,
    )


def ids_matching(rest: Rest, kind: CrmKind, narrowed: Narrowed, limit: int) -> Iterator[list[int]]:
    """Every id in the filter, in rising order, as lists that `read_documents` takes; at most `limit` of them.

    No COUNT is run and nothing is skipped when rows vanish meanwhile (B§4.3). What is left out is left out here: a long list of ids
    in each of fifty commands would be megabytes.
    """
    asked = replace(narrowed, ids=None, not_ids=())
    parts = _windows(rest, kind, asked) if narrowed.ids is None else _among(rest, kind, asked, sorted(set(narrowed.ids) - set(narrowed.not_ids)))
    excluded, left = frozenset(narrowed.not_ids), limit
    for part in parts:
        found = [id_ for id_ in part if id_ not in excluded][: max(0, left)]
        for start in range(0, len(found), LIMIT):
            yield found[start : start + LIMIT]
        left -= len(found)
        if left <= 0:
            return


def _among(rest: Rest, kind: CrmKind, narrowed: Narrowed, ids: list[int]) -> Iterator[list[int]]:
    """Which of these ids are in the filter: 2,500 a request."""
    for group in groups(ids, BATCH * BATCH):
        commands = {f"g{part[0]}": _ids(kind, narrowed, {"@id": part}, "ASC") for part in groups(group)}
        reply = rest.batch(commands)
        yield [id_ for key in commands for id_ in _ids_in(reply, key)]


def _windows(rest: Rest, kind: CrmKind, narrowed: Narrowed) -> Iterator[list[int]]:
    """The range of ids cut into windows, fifty to a request (B§4.4).

    They start half as wide as the span of the first fifty rows, grow while they come back almost empty, and shrink when one comes
    back full; what a full one did not hold is read again.
    """
    reply = rest.batch({"first": _ids(kind, narrowed, {}, "ASC"), "last": _ids(kind, narrowed, {}, "DESC")})
    found, last = _ids_in(reply, "first"), max(_ids_in(reply, "last"), default=0)
    yield found
    if not found:
        return
    after, width = found[-1], max(BATCH, (found[-1] - found[0] + 1) // 2)
    while after < last:
        found, after, full = _read_windows(rest, kind, narrowed, after, last, width)
        yield found
        if full:
            width = max(BATCH, width // 2)
        elif len(found) < SPARSE:
            width *= 4


def _read_windows(rest: Rest, kind: CrmKind, narrowed: Narrowed, after: int, last: int, width: int) -> tuple[list[int], int, bool]:
    """One request: the ids beyond `after`, how far that reaches, and whether a window was too full for its page."""
    edges = [edge for edge in range(after, after + BATCH * width, width) if edge < last]
    reply = rest.batch({f"w{edge}": _ids(kind, narrowed, {">id": edge, "<=id": edge + width}, "ASC") for edge in edges})
    found: list[int] = []
    for edge in edges:
        part = _ids_in(reply, f"w{edge}")
        found += part
        if len(part) == BATCH < width:
            return found, part[-1], True
    return found, edges[-1] + width, False


def _ids(kind: CrmKind, narrowed: Narrowed, window: Mapping[str, Any], direction: str) -> Command:
    wanted = {**narrowed.as_filter(kind), **window}
    return "crm.item.list", {
        "entityTypeId": kind.type_id,
        "useOriginalUfNames": "Y",
        "select": ["id"],
        "filter": wanted,
        "order": {"id": direction},
        "start": -1,
    }


def _ids_in(reply: BatchReply, key: str) -> list[int]:
    if key in reply.errors:
        raise reply.errors[key]
    return [id_ for row in rows_under(Reply(reply.results.get(key)), "items") if (id_ := ident(row.get("id")))]


def updated_times(rest: Rest, kind: CrmKind, ids: Iterable[int]) -> dict[int, datetime]:
    """When each of these was last changed, as far as this person may see it; 2,500 a request."""
    return {id_: moment(row.get("updatedTime")) or NEVER_SEEN for id_, row in _values(rest, kind, ids, "updatedTime").items()}


@dataclass(frozen=True)
class State:
    """Where a document stands now, and when it was last changed."""

    stage_id: str
    updated_at: datetime


def current_states(rest: Rest, kind: CrmKind, ids: Iterable[int]) -> dict[int, State]:
    """Where each of these stands; 2,500 a request."""
    rows = _values(rest, kind, ids, "stageId", "updatedTime")
    return {id_: State(text(row.get("stageId")), moment(row.get("updatedTime")) or NEVER_SEEN) for id_, row in rows.items()}


def _values(rest: Rest, kind: CrmKind, ids: Iterable[int], *fields: str) -> dict[int, Mapping[str, Any]]:
    commands: dict[str, Command] = {}
    for part in groups(dict.fromkeys(ids)):
        wanted = {"entityTypeId": kind.type_id, "select": ["id", *fields], "filter": {"@id": part}, "order": {"id": "ASC"}, "start": -1}
        commands[f"v{part[0]}"] = ("crm.item.list", wanted)
    found: dict[int, Mapping[str, Any]] = {}
    for request in chunks(commands):
        reply = rest.batch(request)
        for key in request:
            if key in reply.errors:
                raise reply.errors[key]
            found |= {ident(row.get("id")) or 0: row for row in rows_under(Reply(reply.results.get(key)), "items")}
    return found
