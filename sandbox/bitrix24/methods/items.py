"""`crm.item.*`: the universal methods (B§8.1)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Any

from sandbox.bitrix24.call import PAGE, Call, method
from sandbox.bitrix24.crm import Item, Table
from sandbox.bitrix24.errors import RestError, access_denied, invalid_argument, not_found
from sandbox.bitrix24.fields import COMPANY, INVOICE, Field, camel_uf, yes_no
from sandbox.bitrix24.filters import Predicate, compile_filter, order_rows, split
from sandbox.bitrix24.php import as_list, as_map

IMPORT_MOST = 20


def type_of(call: Call) -> int:
    """The type asked for; old invoices and unknown types are refused (B§3.5, B§14.53)."""
    type_id = call.need_id("entityTypeId")
    if type_id == 5:
        raise RestError("ENTITY_TYPE_NOT_SUPPORTED", "Entity type is not supported", 400)
    if type_id not in call.portal.crm.types:
        raise not_found("Smart process not found")
    return type_id


def usable_type(call: Call) -> int:
    """The same, for methods that fail outright where smart invoices are switched off."""
    type_id = type_of(call)
    if type_id == INVOICE and not call.portal.smart_invoices and call.portal.switch("old_invoices_answer") == "error":
        raise not_found("Smart process not found")
    return type_id


def original_names(call: Call) -> bool:
    return yes_no(call.get("useOriginalUfNames")) == "Y"


def readable(call: Call, type_id: int) -> None:
    """Read right on the type at all (B§11.1)."""
    if not call.user.can("read", type_id):
        raise access_denied(400)


def item_of(call: Call, type_id: int, item_id: int) -> Item:
    item = call.portal.crm.tables[type_id].by_id.get(item_id)
    if item is None:
        raise not_found("Element not found")
    return item


@method("crm.item.fields", scope="crm")
def item_fields(call: Call) -> dict[str, Any]:
    type_id = usable_type(call)
    readable(call, type_id)
    if type_id == INVOICE and not call.portal.smart_invoices:
        return {"fields": []}
    return {"fields": describe(call, type_id, original_names(call))}


def describe(call: Call, type_id: int, original: bool) -> dict[str, Any]:
    described = {}
    for one in call.portal.crm.all_fields(type_id).values():
        name = camel_uf(one.name) if one.dynamic and not original else one.name
        described[name] = _describe(call, type_id, one)
    return described


def _describe(call: Call, type_id: int, one: Field) -> dict[str, Any]:
    read_only = one.read_only or (one.name == "accountNumber" and call.portal.switch("account_number_writable") == "no")
    told = {
        "type": one.kind,
        "isRequired": one.required,
        "isReadOnly": read_only,
        "isImmutable": one.immutable,
        "isMultiple": one.multiple,
        "isDynamic": one.dynamic,
        "title": one.title,
        "upperName": one.upper,
    }
    if one.status_type or one.name in ("stageId", "previousStageId"):
        told["statusType"] = one.status_type or call.portal.stage_entity(type_id)
    if one.name == "honorific":
        told["statusType"] = call.portal.switch("honorific_entity")
    if one.settings:
        told["settings"] = one.settings
    return told


@method("crm.item.list", scope="crm")
def item_list(call: Call) -> dict[str, Any]:
    """Rows that the user may not read are dropped silently; unknown select names too (B§8.1)."""
    type_id = usable_type(call)
    original = original_names(call)
    if type_id == INVOICE and not call.portal.smart_invoices:
        call.total = 0
        return {"items": []}
    if not call.user.can("read", type_id):
        call.total = 0
        return {"items": []}
    selected = _select(call, type_id, original)
    page = _page(call, type_id, original)
    return {"items": [call.portal.crm.show(type_id, item, original, selected) for item in page]}


def _select(call: Call, type_id: int, original: bool) -> list[str] | None:
    """Internal names, or None for everything including `fm`."""
    wanted = [str(one) for one in as_list(call.get("select"))]
    if not wanted or "*" in wanted:
        return None
    known = call.portal.crm.external_names(type_id, original)
    return list(dict.fromkeys(known[name] for name in wanted if name in known))


def _page(call: Call, type_id: int, original: bool) -> list[Item]:
    table = call.portal.crm.tables[type_id]
    spec = as_map(call.get("filter"))
    keep = _visible(call, type_id, _compile(call, type_id, original, spec))
    order = _order(call, type_id, original)
    if list(order) in ([], ["id"]):
        backwards = str(order.get("id", "ASC")).upper().startswith("DESC")
        return _by_id(call, candidates(table, spec, backwards), keep)
    rows = [item for item in candidates(table, spec, False) if keep(item)]
    return call.page(order_rows(rows, order, str))


def _by_id(call: Call, source: Iterator[Item], keep: Predicate) -> list[Item]:
    """Already in order: with start=-1 stop as soon as a page is full."""
    if call.start() >= 0:
        return call.page([item for item in source if keep(item)])
    page: list[Item] = []
    for item in source:
        if keep(item):
            page.append(item)
            if len(page) == PAGE:
                break
    call.total = 0
    return page


def _visible(call: Call, type_id: int, keep: Predicate) -> Predicate:
    if call.user.scope_of("read", type_id) == "all":
        return keep
    return lambda item: call.user.can("read", type_id, dict(item)) and keep(item)


def _compile(call: Call, type_id: int, original: bool, spec: dict[str, Any]) -> Predicate:
    crm = call.portal.crm
    known, fields = crm.external_names(type_id, original), crm.all_fields(type_id)

    def resolve(name: str) -> tuple[str, Callable[[Any], Any]]:
        internal = "id" if name == "ID" else known.get(name)
        if internal is None or not fields[internal].filterable:
            raise invalid_argument(f"Invalid filter: field '{name}' is not allowed in filter")
        return internal, lambda value: crm.read_filter_value(fields[internal], value)

    if type_id == COMPANY and call.portal.switch("company_list_includes_mine") == "no" and not _names_field(spec, "isMyCompany"):
        spec = {**spec, "=isMyCompany": "N"}
    return compile_filter(spec, resolve)


def _names_field(spec: dict[str, Any], name: str) -> bool:
    """Whether the filter speaks of this field, at any depth; ids count, for they name their rows."""
    return any(_names_field(as_map(value), name) if key.isdigit() else split(key)[1] in (name, "id") for key, value in spec.items() if key != "logic")


def _order(call: Call, type_id: int, original: bool) -> dict[str, str]:
    known, fields = call.portal.crm.external_names(type_id, original), call.portal.crm.all_fields(type_id)
    order = {}
    for name, direction in as_map(call.get("order")).items():
        internal = "id" if name == "ID" else known.get(name)  # Bitrix24's own SDK orders by ID, so both spellings pass
        if internal is None or fields[internal].multiple:
            raise invalid_argument(f"Invalid order: field '{name}' is not allowed in order")
        if str(direction).upper() not in ("ASC", "DESC"):
            raise invalid_argument(f"Invalid order: direction '{direction}' is not allowed")
        order[internal] = str(direction)
    return order


def candidates(table: Table, spec: dict[str, Any], backwards: bool) -> Iterator[Item]:
    """The rows that a filter on ids leaves over, so that no list walks through the whole table without need."""
    ids = table.ids
    for key, value in spec.items():
        operator, name = split(key)
        if name.lower() != "id":
            continue
        try:
            ids = _narrow(ids, operator, value)
        except (TypeError, ValueError):
            continue
    for one in reversed(ids) if backwards else iter(ids):
        item = table.by_id.get(one)
        if item is not None:
            yield item


def _narrow(ids: list[int], operator: str, value: Any) -> list[int]:
    if operator in ("@", "="):
        return sorted(one for one in {int(one) for one in as_list(value)} if _has(ids, one))
    bounds = {">": bisect_right, ">=": bisect_left}
    if operator in bounds:
        return ids[bounds[operator](ids, int(value)) :]
    return ids


def _has(ids: list[int], one: int) -> bool:
    place = bisect_left(ids, one)
    return place < len(ids) and ids[place] == one


@method("crm.item.get", scope="crm")
def item_get(call: Call) -> dict[str, Any]:
    type_id = usable_type(call)
    item = item_of(call, type_id, call.need_id())
    if not call.user.can("read", type_id, item):
        raise access_denied(400)
    return {"item": call.portal.crm.show(type_id, item, original_names(call))}


@method("crm.item.add", scope="crm")
def item_add(call: Call) -> dict[str, Any]:
    type_id = usable_type(call)
    fields = call.need_map("fields")
    if not call.user.can("add", type_id):
        raise access_denied(400)
    crm = call.portal.crm
    item = crm.create(type_id, crm.parse_fields(type_id, fields, original_names(call)), call.actor)
    return {"item": crm.show(type_id, item, original_names(call))}


@method("crm.item.update", scope="crm")
def item_update(call: Call) -> dict[str, Any]:
    """Rights, stage checks, automation; nothing is saved if nothing changed (B§8.1)."""
    type_id = usable_type(call)
    item = item_of(call, type_id, call.need_id())
    fields = as_map(call.need("fields")) if call.get("fields") not in ([], {}) else {}
    if not call.user.can("update", type_id, item):
        raise access_denied(400)
    crm = call.portal.crm
    crm.update(type_id, item, crm.parse_fields(type_id, fields, original_names(call)), call.actor)
    return {"item": crm.show(type_id, item, original_names(call))}


@method("crm.item.delete", scope="crm")
def item_delete(call: Call) -> list[Any]:
    type_id = usable_type(call)
    item = item_of(call, type_id, call.need_id())
    if not call.user.can("delete", type_id, item):
        raise access_denied(400)
    call.portal.crm.delete(type_id, item, call.actor)
    return []


@method("crm.item.import", scope="crm")
def item_import(call: Call) -> dict[str, Any]:
    """No robots; administrators may set the times and authors (B§8.1)."""
    type_id = usable_type(call)
    return {"item": {"id": _import(call, type_id, call.need_map("fields"))}}


def _import(call: Call, type_id: int, fields: dict[str, Any]) -> int:
    if not call.user.can("import", type_id):
        raise access_denied(400)
    crm = call.portal.crm
    values = crm.parse_fields(type_id, fields, original_names(call), importing=True, user_is_admin=call.user.admin)
    return int(crm.create(type_id, values, call.actor, importing=True)["id"])


@method("crm.item.batchImport", scope="crm")
def item_batch_import(call: Call) -> dict[str, Any]:
    type_id = usable_type(call)
    given = as_list(call.need("data"))
    if len(given) > IMPORT_MOST:
        raise RestError("MAX_IMPORT_BATCH_SIZE_EXCEEDED", f"Max import batch size is {IMPORT_MOST}", 400)
    answers: list[dict[str, Any]] = []
    for one in given:
        try:
            answers.append({"item": {"id": _import(call, type_id, as_map(one))}})
        except RestError as refusal:
            answers.append(refusal.body())
    return {"items": answers}
