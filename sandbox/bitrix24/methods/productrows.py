"""`crm.item.productrow.*` (B§8.6)."""

from __future__ import annotations

from typing import Any

from sandbox.bitrix24.call import Call, method
from sandbox.bitrix24.crm import SHOWN_ROW, WRITABLE_ROW, Item
from sandbox.bitrix24.errors import RestError, access_denied, invalid_argument, missing, not_found
from sandbox.bitrix24.fields import integer, number
from sandbox.bitrix24.filters import compile_filter, order_rows, split
from sandbox.bitrix24.php import as_list, as_map

TEXTS = {"productName", "ownerType", "taxIncluded", "customized", "xmlId", "measureName"}
COLUMNS = {"id", "ownerId", "ownerType", "priceAccount", *SHOWN_ROW}


def owner_type(call: Call, short: Any) -> int:
    """SI, Q, D, or T and the hexadecimal entityTypeId of a smart process that has products (B§8.0)."""
    found = next((one.id for one in call.portal.crm.types.values() if one.short == str(short) and one.priced), None)
    if found is None:
        raise RestError("ENTITY_TYPE_NOT_SUPPORTED", "Entity type is not supported", 400)
    return found


def owner(call: Call, short: Any, owner_id: Any, action: str) -> tuple[int, Item]:
    """The owner, with the right that the method needs on it."""
    type_id = owner_type(call, short)
    item = call.portal.crm.tables[type_id].by_id.get(integer(owner_id))
    if item is None:
        raise RestError("OWNER_NOT_FOUND", "Owner was not found", 400)
    if not call.user.can(action, type_id, item):
        raise access_denied(400)
    return type_id, item


@method("crm.item.productrow.list", scope="crm")
def row_list(call: Call) -> dict[str, Any]:
    """`=ownerType` and `=ownerId` are mandatory; an array of owners tests the right on item 1 only (platform, B§8.6)."""
    spec = as_map(call.get("filter"))
    for name in ("=ownerType", "=ownerId"):
        if spec.get(name) in (None, "", []):
            raise missing(f"filter[{name}]")
    type_id = owner_type(call, spec["=ownerType"])
    wanted = [integer(one) for one in as_list(spec["=ownerId"])]
    allowed = _allowed_owners(call, type_id, wanted, isinstance(spec["=ownerId"], list | dict))
    crm = call.portal.crm
    rows = [crm.show_row(row) for one in allowed for row in crm.rows_of(type_id, one)]
    keep = compile_filter({key: value for key, value in spec.items() if split(key)[1] not in ("ownerType", "ownerId")}, _resolve)
    rows = [row for row in rows if keep(row)]
    return {"productRows": call.page(order_rows(rows, call.get("order") or {"id": "ASC"}, _column))}


def _allowed_owners(call: Call, type_id: int, wanted: list[int], array: bool) -> list[int]:
    table = call.portal.crm.tables[type_id].by_id
    if call.user.scope_of("read", type_id) == "all":
        return [one for one in wanted if one in table]
    if array and call.portal.switch("rows_array_rights") == "first_item":
        first = table.get(1)
        if first is None or not call.user.can("read", type_id, first):
            raise access_denied(400)
        return [one for one in wanted if one in table]
    for one in wanted:
        if one in table and not call.user.can("read", type_id, table[one]):
            raise access_denied(400)
    return [one for one in wanted if one in table]


def _column(name: str) -> str:
    if name not in COLUMNS:
        raise invalid_argument(f"Invalid order: field '{name}' is not allowed in order")
    return name


def _resolve(name: str) -> tuple[str, Any]:
    if name not in COLUMNS:
        raise invalid_argument(f"Invalid filter: field '{name}' is not allowed in filter")
    return name, str if name in TEXTS else lambda value: "" if value in (None, "") else number(value)


@method("crm.item.productrow.set", scope="crm")
def row_set(call: Call) -> dict[str, Any]:
    """Replaces all rows."""
    type_id, item = owner(call, call.need("ownerType"), call.need("ownerId"), "update")
    if "productRows" not in call.params:
        raise missing("productRows")
    raws = [as_map(one) for one in as_list(call.get("productRows"))]
    rows = call.portal.crm.set_rows(type_id, item["id"], raws, call.actor)
    return {"productRows": [call.portal.crm.show_row(one) for one in rows]}


@method("crm.item.productrow.add", scope="crm")
def row_add(call: Call) -> dict[str, Any]:
    fields = call.need_map("fields")
    for name in ("ownerType", "ownerId"):
        if not fields.get(name):
            raise missing(name)
    type_id, item = owner(call, fields["ownerType"], fields["ownerId"], "update")
    return {"productRow": call.portal.crm.show_row(call.portal.crm.add_row(type_id, item["id"], fields, call.actor))}


def _row(call: Call, action: str) -> Item:
    row = call.portal.crm.row(call.need_id())
    if row is None:
        raise not_found("Item not found")
    short, owner_id = call.portal.crm.row_owner[row["id"]]
    owner(call, short, owner_id, action)
    return row


@method("crm.item.productrow.get", scope="crm")
def row_get(call: Call) -> dict[str, Any]:
    return {"productRow": call.portal.crm.show_row(_row(call, "read"))}


@method("crm.item.productrow.update", scope="crm")
def row_update(call: Call) -> dict[str, Any]:
    row = _row(call, "update")
    return {"productRow": call.portal.crm.show_row(call.portal.crm.change_row(row, call.need_map("fields"), call.actor))}


@method("crm.item.productrow.delete", scope="crm")
def row_delete(call: Call) -> None:
    call.portal.crm.drop_row(_row(call, "update"), call.actor)


@method("crm.item.productrow.getAvailableForPayment", scope="crm")
def row_available(call: Call) -> dict[str, Any]:
    type_id, item = owner(call, call.need("ownerType"), call.need("ownerId"), "read")
    paid = any(one["type"] == type_id and one["owner"] == item["id"] for one in call.portal.payments.values())
    return {"productRows": [] if paid else [call.portal.crm.show_row(one) for one in call.portal.crm.rows_of(type_id, item["id"])]}


@method("crm.item.productrow.fields", scope="crm")
def row_fields(call: Call) -> dict[str, Any]:
    described = {}
    for name in ("id", "ownerId", "ownerType", "priceAccount", *SHOWN_ROW):
        kind = "string" if name in TEXTS else "integer" if name in ("id", "ownerId", "productId", "measureCode", "sort", "type", "discountTypeId") else "double"
        own = name in ("ownerId", "ownerType")
        described[name] = {
            "type": kind,
            "isRequired": own,
            "isReadOnly": name not in WRITABLE_ROW and not own,
            "isImmutable": own,
            "isMultiple": False,
            "isDynamic": False,
            "title": name,
        }
    return {"fields": described}
