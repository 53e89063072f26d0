"""Up to a thousand documents with everything a document needs, in as few requests as the limits permit (B§13).

The first request asks for the documents and the first page of rows; each later one is filled with whatever the answers so far
have made known: further pages, customers, their requisites and addresses, products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal

from plugin.bitrix24.client import BATCH, Params, Reply, Rest
from plugin.bitrix24.fields import names
from plugin.bitrix24.kinds import CrmKind
from plugin.bitrix24.packing import Questions, groups, rows_under
from plugin.bitrix24.shapes import ADDRESS_TYPES, COMPANY, CONTACT, KINDS, NEVER_SEEN, address_of, customer_of, document_of, product_of, row_of
from plugin.bitrix24.values import ident, moment, text
from plugin.domain.checks import adds_up
from plugin.domain.crm import Customer, Invoice, Product, Row
from plugin.domain.problems import Problem

LIMIT = 1_000
MOST_ADDRESSES = 6  # of one customer, on average: far more means that the filter was ignored (B§15.14)

REQUISITE_SELECT = ("ID", "ENTITY_TYPE_ID", "ENTITY_ID", "RQ_VAT_ID", "RQ_INN", "RQ_COMPANY_ID")


@dataclass(frozen=True)
class Read:
    """What was read. Every id asked for is in exactly one of `documents`, `missing` (gone) and `denied` (not for this person)."""

    documents: dict[int, Invoice]
    missing: set[int]
    denied: dict[int, Problem]
    customers: dict[tuple[Literal["company", "contact"], int], Customer]
    products: dict[int, Product]
    #: Parts that could not be read at all, by name ("requisites", "addresses", "products"): the rest stands without them.
    lacking: dict[str, Problem] = field(default_factory=dict)


def read_documents(rest: Rest, kind: CrmKind, ids: Iterable[int], *, as_admin: bool, details: bool = True, code_field: str = "code") -> Read:
    """Read these documents as `rest`'s person. `details=False` reads the documents only: enough to see what the person may see.

    Document and rows are separate questions, and people go on working between them: where they do not agree, both are asked once more.
    Rows of several owners in one list are right only for administrators: the portal looks at the right to the first owner alone (B§8.6).
    The catalogue answers administrators only (B§9.5), so `products` stays empty for others.
    """
    wanted = _few(ids)
    found = _Reading(rest, kind, as_admin, details, code_field).read(wanted)
    torn = _torn(found) if details else []
    return _joined(found, _Reading(rest, kind, as_admin, details, code_field, together=False).read(torn)) if torn else found


def look(rest: Rest, kind: CrmKind, ids: Iterable[int], history_of: Iterable[int] = ()) -> tuple[Read, dict[int, list[Passed]]]:
    """These documents with their rows and nothing else, and the stages that those of `history_of` have been in: one request for fifty.

    An administrator's `rest`. `complete` reads the rest of what a document needs, for those that have to go.
    """
    wanted = _few(ids)
    reading = _Reading(rest, kind, as_admin=True, details=True, code_field="", alone=True)
    passed: dict[int, list[Passed]] = {}
    for id_ in history_of:
        params = {"entityTypeId": kind.type_id, "filter": {"OWNER_ID": id_}, "order": {"ID": "DESC"}}
        reading.ask("crm.stagehistory.list", params, partial(_take_history, passed.setdefault(id_, [])), lambda _problem: None)
    found = reading.read(wanted)
    torn = _torn(found)
    again = partial(_Reading, rest, kind, as_admin=True, details=True, code_field="", together=False, alone=True)
    return (_joined(found, again().read(torn)) if torn else found), passed


def complete(rest: Rest, found: Read, code_field: str = "code") -> Read:
    """What `look` has read, with customers and products; an administrator's `rest`."""
    questions = Questions(rest)
    customers, products = Customers(questions), _Products(questions, code_field)
    for document in found.documents.values():
        if document.customer_ref:
            customers.add(*document.customer_ref)
        for row in document.rows:
            if row.product_id:
                products.add(row.product_id)

    def gathered() -> None:
        customers.ask()
        products.ask()

    questions.run(gathered)
    return replace(found, customers=customers.found(), products=products.found, lacking={**customers.lacking, **products.lacking})


@dataclass(frozen=True)
class Passed:
    """A stage that an item came into, and when (B§8.5)."""

    stage_id: str
    at: datetime


def _take_history(into: list[Passed], reply: Reply) -> None:
    into += [Passed(text(row.get("STAGE_ID")), moment(row.get("CREATED_TIME")) or NEVER_SEEN) for row in rows_under(reply, "items")]


def _few(ids: Iterable[int]) -> list[int]:
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > LIMIT:
        raise ValueError(f"at most {LIMIT} documents at a time")
    return wanted


def _torn(found: Read) -> list[int]:
    return [id_ for id_, one in found.documents.items() if not one.manual_total and not adds_up(one)]


def _joined(found: Read, again: Read) -> Read:
    """Somebody saved these between our question for the document and that for its rows: the second reading holds."""
    held = {id_: one for id_, one in found.documents.items() if id_ not in again.missing and id_ not in again.denied} | again.documents
    customers, products = found.customers | again.customers, found.products | again.products
    return Read(held, found.missing | again.missing, found.denied | again.denied, customers, products, found.lacking | again.lacking)


class _Reading:
    """The state of one read."""

    def __init__(self, rest: Rest, kind: CrmKind, as_admin: bool, details: bool, code_field: str, together: bool = True, alone: bool = False) -> None:
        self._kind, self._details, self._alone = kind, details, alone
        self._owners = BATCH if as_admin and together else 1
        self._questions = Questions(rest)
        self._customers = Customers(self._questions)
        self._products = _Products(self._questions, code_field) if details and as_admin and not alone else None
        self._documents: dict[int, Invoice] = {}
        self._rows: dict[int, dict[int, Row]] = {}
        self._missing: set[int] = set()
        self._denied: dict[int, Problem] = {}

    def ask(self, method: str, params: Params, take: Callable[[Reply], None], refused: Callable[[Problem], None]) -> None:
        """One more question, in the same requests."""
        self._questions.ask(method, params, take, refused)

    def read(self, ids: list[int]) -> Read:
        for group in groups(ids):
            self._ask_items(group)
        if self._details:
            for owners in groups(ids, self._owners):
                self._ask_rows(owners)
        self._questions.run(self._ask_gathered)
        return self._all_read()

    def _ask_gathered(self) -> None:
        self._customers.ask()
        if self._products is not None:
            self._products.ask()

    def _ask_items(self, group: list[int]) -> None:
        select = (*self._kind.select, *names(self._kind))
        params = {
            "entityTypeId": self._kind.type_id,
            "useOriginalUfNames": "Y",
            "select": select,
            "filter": {"@id": group},
            "order": {"id": "ASC"},
            "start": -1,
        }
        self._questions.ask("crm.item.list", params, partial(self._take_items, group))

    def _take_items(self, group: list[int], reply: Reply) -> None:
        for item in rows_under(reply, "items"):
            self._take_item(item)
        for id_ in group:
            if id_ not in self._documents:
                # A list leaves out silently both what is gone and what this person may not see (B§11.1).
                params = {"entityTypeId": self._kind.type_id, "useOriginalUfNames": "Y", "id": id_}
                self._questions.ask("crm.item.get", params, lambda reply: self._take_item(reply.result["item"]), partial(self._refuse, id_))

    def _take_item(self, item: Mapping[str, Any]) -> None:
        document = document_of(self._kind, item)
        self._documents[document.id] = document
        if self._details and not self._alone and document.customer_ref:
            self._customers.add(*document.customer_ref)

    def _refuse(self, id_: int, problem: Problem) -> None:
        if problem.code == "bitrix24.not_found":
            self._missing.add(id_)
        else:
            self._denied[id_] = problem

    def _ask_rows(self, owners: list[int]) -> None:
        owner: Any = owners if len(owners) > 1 else owners[0]
        params = {"filter": {"=ownerType": self._kind.owner_type, "=ownerId": owner}, "order": {"id": "ASC"}}
        self._questions.ask_pages("crm.item.productrow.list", params, self._take_rows, partial(self._rows_refused, owners))

    def _take_rows(self, reply: Reply) -> None:
        for raw in rows_under(reply, "productRows"):
            row = row_of(raw)
            self._rows.setdefault(ident(raw.get("ownerId")) or 0, {})[row.id] = row
            if self._products is not None and row.product_id:
                self._products.add(row.product_id)

    def _rows_refused(self, owners: list[int], problem: Problem) -> None:
        """One owner may spoil the question for all of them; asked one by one, only that one is refused."""
        if len(owners) == 1:
            self._refuse(owners[0], problem)
            return
        for owner in owners:
            self._ask_rows([owner])

    def _all_read(self) -> Read:
        refused = self._missing | set(self._denied)
        documents = {id_: self._with_rows(one) for id_, one in self._documents.items() if id_ not in refused}
        lacking = {**self._customers.lacking, **(self._products.lacking if self._products else {})}
        missing = self._missing - set(self._denied)
        return Read(documents, missing, self._denied, self._customers.found(), self._products.found if self._products else {}, lacking)

    def _with_rows(self, document: Invoice) -> Invoice:
        rows = sorted(self._rows.get(document.id, {}).values(), key=lambda row: (row.sort, row.id))
        return replace(document, rows=tuple(rows), rows_read=self._details)


class Customers:
    """Companies and contacts with requisites and addresses; asked in fifties as they become known."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._seen: set[tuple[int, int]] = set()
        self._new: list[tuple[int, int]] = []
        self._items: dict[tuple[int, int], Mapping[str, Any]] = {}
        self._requisites: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
        self._addresses: dict[tuple[int, int], dict[tuple[int, int], Mapping[str, Any]]] = {}
        self.lacking: dict[str, Problem] = {}

    def add(self, kind: Literal["company", "contact"], id_: int) -> None:
        subject = (COMPANY if kind == "company" else CONTACT, id_)
        if subject not in self._seen:
            self._seen.add(subject)
            self._new.append(subject)

    def ask(self) -> None:
        new, self._new = self._new, []
        for type_id in (COMPANY, CONTACT):
            for group in groups(id_ for kind, id_ in new if kind == type_id):
                self._ask_group(type_id, group)

    def _ask_group(self, type_id: int, group: list[int]) -> None:
        items = {"entityTypeId": type_id, "useOriginalUfNames": "Y", "select": ["*"], "filter": {"@id": group}, "order": {"id": "ASC"}, "start": -1}
        papers = {"filter": {"ENTITY_TYPE_ID": type_id, "@ENTITY_ID": group}, "order": {"ID": "ASC"}, "select": REQUISITE_SELECT}
        self._questions.ask("crm.item.list", items, partial(self._take_items, type_id))
        self._questions.ask_pages("crm.requisite.list", papers, partial(self._take_requisites, type_id), partial(self._lack, "requisites"))
        self._ask_addresses(type_id, group)

    def _ask_addresses(self, type_id: int, group: list[int]) -> None:
        """Whether anchors can be asked for by list is open (B§15.14); one by one they can."""
        many = len(group) > 1
        params: Params = {
            "filter": {"ANCHOR_TYPE_ID": type_id, **({"@ANCHOR_ID": group} if many else {"ANCHOR_ID": group[0]})},
            "order": {"ENTITY_ID": "ASC", "TYPE_ID": "ASC"},
        }
        refused = partial(self._ask_addresses_singly, type_id, group) if many else partial(self._lack, "addresses")
        self._questions.ask_pages("crm.address.list", params, partial(self._take_addresses, type_id, group), refused)

    def _ask_addresses_singly(self, type_id: int, group: list[int], problem: Problem | None = None) -> None:
        for id_ in group:
            self._ask_addresses(type_id, [id_])

    def _take_items(self, type_id: int, reply: Reply) -> None:
        for item in rows_under(reply, "items"):
            self._items[(type_id, ident(item.get("id")) or 0)] = item

    def _take_requisites(self, type_id: int, reply: Reply) -> None:
        for row in rows_under(reply, ""):
            self._requisites.setdefault((type_id, ident(row.get("ENTITY_ID")) or 0), []).append(row)

    def _take_addresses(self, type_id: int, group: list[int], reply: Reply) -> bool:
        rows = rows_under(reply, "")
        ignored = any(ident(row.get("ANCHOR_ID")) not in group for row in rows) or (reply.total or 0) > MOST_ADDRESSES * len(group)
        if ignored and len(group) > 1:
            self._ask_addresses_singly(type_id, group)
            return False
        for row in rows:
            key = (ident(row.get("ENTITY_ID")) or 0, ident(row.get("TYPE_ID")) or 0)
            if key[1] in ADDRESS_TYPES:
                self._addresses.setdefault((type_id, ident(row.get("ANCHOR_ID")) or 0), {})[key] = row
        return True

    def _lack(self, part: str, problem: Problem) -> None:
        self.lacking[part] = problem

    def found(self) -> dict[tuple[Literal["company", "contact"], int], Customer]:
        return {(KINDS[subject[0]], subject[1]): self._customer(subject, item) for subject, item in self._items.items()}

    def _customer(self, subject: tuple[int, int], item: Mapping[str, Any]) -> Customer:
        addresses = [address_of(row) for _, row in sorted(self._addresses.get(subject, {}).items())]
        return customer_of(subject[0], item, self._requisites.get(subject, []), addresses)


class _Products:
    """Catalogue products and variations. A product's block is not known from a row, so both blocks are asked (B§9.2)."""

    def __init__(self, questions: Questions, code_field: str) -> None:
        self._questions, self._code_field = questions, code_field
        self._seen: set[int] = set()
        self._new: list[int] = []
        self._blocks: list[tuple[int, str]] | None = None
        self.found: dict[int, Product] = {}
        self.lacking: dict[str, Problem] = {}
        questions.ask("catalog.catalog.list", {}, self._take_catalogs, self._lack)

    def add(self, id_: int) -> None:
        if id_ not in self._seen:
            self._seen.add(id_)
            self._new.append(id_)

    def ask(self) -> None:
        if not self._blocks:
            return
        new, self._new = self._new, []
        for group in groups(new):
            for block, parent_field in self._blocks:
                self._ask_block(block, parent_field, group)

    def _ask_block(self, block: int, parent_field: str, group: list[int]) -> None:
        standard = ["id", "iblockId", "name", "code", "xmlId", "iblockSectionId"]
        select = list(dict.fromkeys([*standard, self._code_field, *([parent_field] if parent_field else [])]))
        # No "@" here: an array is the IN of this method (B§9.3).
        params = {"select": select, "filter": {"iblockId": block, "id": group}, "order": {"id": "ASC"}}
        self._questions.ask("catalog.product.list", params, partial(self._take_products, parent_field), self._lack)

    def _take_catalogs(self, reply: Reply) -> None:
        """Variations name their product in the property `skuPropertyId` of their own block (B§9.2)."""
        self._blocks = []
        for row in rows_under(reply, "catalogs"):
            parent = ident(row.get("skuPropertyId")) if ident(row.get("productIblockId")) else None
            self._blocks.append((ident(row.get("iblockId")) or 0, f"property{parent}" if parent else ""))

    def _take_products(self, parent_field: str, reply: Reply) -> None:
        for row in rows_under(reply, "products"):
            product = product_of(row, self._code_field, parent_field)
            self.found[product.id] = product
            if product.parent_id:
                self.add(product.parent_id)

    def _lack(self, problem: Problem) -> None:
        self.lacking["products"] = problem
