"""`crm.type.*`: smart processes, made and read by administrators of the CRM. The pages of this subject are not in the reference; they were read themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.bitrix24 import dates
from sandbox.bitrix24.call import Call, method
from sandbox.bitrix24.crm import Item
from sandbox.bitrix24.errors import RestError, access_denied, invalid_argument
from sandbox.bitrix24.fields import integer, yes_no
from sandbox.bitrix24.filters import compile_filter, order_rows
from sandbox.bitrix24.php import as_list, as_map
from sandbox.bitrix24.processes import LINKED_USER_FIELDS, OPTIONS, SYSTEM_OPTIONS, allowed_type

NUMBERS = ("id", "createdBy", "entityTypeId", "customSectionId", "updatedBy")
TIMES = ("createdTime", "updatedTime")
COLUMNS = ("id", "title", "code", "createdBy", "entityTypeId", "customSectionId", *OPTIONS, *SYSTEM_OPTIONS, *TIMES, "updatedBy")
BOUND = ("relations", "linkedUserFields", "customSections")
#: What was just made is told in an order of its own, and without its code.
MADE = (*(name for name in COLUMNS if name not in ("title", "code", "customSectionId")), "title", *BOUND, "customSectionId")


def _administrator(call: Call) -> None:
    if not (call.user.admin or call.user.system):
        raise access_denied(400)


def _shown(call: Call, row: Item, names: tuple[str, ...]) -> Item:
    return {name: dates.write_moment(row[name], call.portal.zone) if name in TIMES else row[name] for name in names}


@method("crm.type.list", scope="crm")
def type_list(call: Call) -> dict[str, Any]:
    """Rows have a code, but neither relations nor what else the other methods tell."""
    _administrator(call)

    def resolve(name: str) -> tuple[str, Callable[[Any], Any]]:
        if name not in COLUMNS:
            raise invalid_argument(f"Invalid filter: field '{name}' is not allowed in filter")
        return name, lambda value: _filter_value(call, name, value)

    keep = compile_filter(call.get("filter"), resolve)
    order = as_map(call.get("order"))
    for name, direction in order.items():
        if name not in COLUMNS:
            raise invalid_argument(f"Invalid order: field '{name}' is not allowed in order")
        if str(direction).upper() not in ("ASC", "DESC"):
            raise invalid_argument(f"Invalid order: allowed sort directions are ASC, DESC. But got '{direction}' for field '{name}'")
    rows = order_rows([one for one in call.portal.processes.values() if keep(one)], order or {"id": "ASC"}, str)
    return {"types": [_shown(call, one, COLUMNS) for one in call.page(rows)]}


def _filter_value(call: Call, name: str, value: Any) -> Any:
    if name in TIMES:
        return dates.read_moment(value, call.portal.zone, name)
    if name not in NUMBERS or value in (None, ""):
        return value
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise invalid_argument(f"Invalid filter: field '{name}' has invalid value") from error


@method("crm.type.get", scope="crm")
def type_get(call: Call) -> dict[str, Any]:
    id_ = call.need_id()
    return {"type": _one(call, next((one for one in call.portal.processes.values() if one["id"] == id_), None), "SPA not found")}


@method("crm.type.getByEntityTypeId", scope="crm")
def type_get_by_entity_type(call: Call) -> dict[str, Any]:
    return {"type": _one(call, call.portal.processes.get(call.need_id("entityTypeId")), "Smart process not found")}


def _one(call: Call, row: Item | None, otherwise: str) -> Item:
    """Whoever may read the items may also read their type."""
    if row is None:
        raise RestError(0, otherwise, 400)
    if not (call.user.admin or call.user.system or call.user.can("read", row["entityTypeId"])):
        raise access_denied(400)
    return _shown(call, row, (*COLUMNS, *BOUND))


@method("crm.type.add", scope="crm")
def type_add(call: Call) -> dict[str, Any]:
    """What is made has two ids: `id` names its custom fields, entityTypeId everything else."""
    fields = call.need_map("fields")
    _administrator(call)
    title = str(fields.get("title") or "").strip()
    if not title:
        raise RestError(call.portal.switch("process_without_title"), "Required field 'title' is not filled", 400)
    type_id = integer(fields.get("entityTypeId"))
    if fields.get("entityTypeId") not in (None, "") and not allowed_type(type_id):
        raise invalid_argument("entityTypeId is out of allowed range")
    if type_id in call.portal.processes:
        raise RestError(call.portal.switch("process_id_taken"), "entityTypeId is already in use", 400)
    if _true(fields.get("isExternal")) and not fields.get("customSectionId"):
        raise RestError(0, "Select a workplace where the SPA will be located", 400)
    if call.portal.switch("smart_processes") == "restricted":
        raise RestError("CREATE_DYNAMIC_TYPE_RESTRICTED", "Maximum number of SPAs exceeded", 400)
    options = {name: yes_no(fields[name]) for name in OPTIONS if name in fields}
    linked = {name: "Y" if _true(on) else "N" for name, on in as_map(fields.get("linkedUserFields")).items() if name in LINKED_USER_FIELDS}
    row = call.portal.own_types.add(title, options, call.user.id, type_id, _relations(as_map(fields.get("relations"))), linked)
    return {"type": _shown(call, row, MADE)}


def _relations(given: dict[str, Any]) -> Item:
    return {
        side: [
            {
                "entityTypeId": integer(one.get("entityTypeId")),
                "isChildrenListEnabled": "Y" if _true(one.get("isChildrenListEnabled")) else "N",
                "isPredefined": "N",
            }
            for one in map(as_map, as_list(given.get(side)))
        ]
        for side in ("parent", "child")
    }


def _true(value: Any) -> bool:
    """Here Y and N do not work, only true and false."""
    return value is True or value == "true"
