"""`crm.company.*` and `crm.contact.*`: deprecated, UPPER_SNAKE, ids as strings (B§8.4)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sandbox.bitrix24.call import Call, method
from sandbox.bitrix24.crm import Item
from sandbox.bitrix24.errors import RestError, nameless
from sandbox.bitrix24.fields import COMPANY, CONTACT, TYPES
from sandbox.bitrix24.filters import compile_filter, order_rows
from sandbox.bitrix24.php import as_list, as_map

#: Legacy name → universal name, where it is not simply the upper-case form.
RENAMED = {
    COMPANY: {"COMPANY_TYPE": "typeId"},
    CONTACT: {},
}
COMMON = {"DATE_CREATE": "createdTime", "DATE_MODIFY": "updatedTime", "CREATED_BY_ID": "createdBy", "MODIFY_BY_ID": "updatedBy"}
COMMUNICATION = ("PHONE", "EMAIL", "WEB", "IM")


def legacy_names(type_id: int) -> dict[str, str]:
    """UPPER_SNAKE → universal."""
    skipped = {"phone", "email", "imol", "address", "addressLegal", *RENAMED[type_id].values(), *COMMON.values()}
    plain = {one.upper: one.name for one in TYPES[type_id].fields.values() if one.name not in skipped and not one.name.startswith(("phone", "email"))}
    return plain | RENAMED[type_id] | COMMON


def _show(call: Call, type_id: int, item: Item, select: list[str]) -> Item:
    crm, names = call.portal.crm, legacy_names(type_id)
    everything = not select or "*" in select
    shown: Item = {}
    for legacy, name in names.items():
        if everything or legacy in select:
            value = crm.show_value(TYPES[type_id].fields[name], item.get(name))
            shown[legacy] = str(value) if isinstance(value, int | float) else value
    for one in crm.all_fields(type_id).values():
        if one.dynamic and ("UF_*" in select or one.name in select):
            shown[one.name] = crm.show_value(one, item.get(one.name))
    for kind in COMMUNICATION:
        if kind in select:
            shown[kind] = [
                {"ID": str(entry["id"]), "VALUE_TYPE": entry["valueType"], "VALUE": entry["value"], "TYPE_ID": kind}
                for entry in item["fm"]
                if entry["typeId"] == kind
            ]
    return {"ID": str(item["id"]), **shown}


def _list(call: Call, type_id: int) -> list[Item]:
    """A flat array; PHONE and EMAIL only if selected by name (B§8.4)."""
    names, crm = legacy_names(type_id), call.portal.crm
    fields = crm.all_fields(type_id)

    def resolve(name: str) -> tuple[str, Any]:
        internal = names.get(name, name if name in fields else "")
        return internal, (lambda value: crm.read_filter_value(fields[internal], value)) if internal in fields else (lambda value: value)

    spec = {
        key: value for key, value in as_map(call.any_case("filter")).items() if key.isdigit() or key.lstrip("!=<>@%") in names or key.lstrip("!=<>@%") in fields
    }
    keep = compile_filter(spec, resolve)
    rows = [item for item in crm.tables[type_id] if call.user.can("read", type_id, item) and keep(item)]
    order = {names[key]: value for key, value in as_map(call.any_case("order")).items() if key in names}
    select = [str(one) for one in as_list(call.any_case("select"))]
    return [_show(call, type_id, item, select) for item in call.page(order_rows(rows, order or {"id": "ASC"}, str))]


def _get(call: Call, type_id: int, action: str = "read") -> Item:
    item = call.portal.crm.tables[type_id].by_id.get(int(call.any_case("id") or 0))
    if item is None:
        raise nameless("Not found")
    if not call.user.can(action, type_id, item):
        raise nameless("Access denied.")
    return item


def _fields(call: Call, type_id: int) -> Item:
    """Legacy fields as universal ones; PHONE and EMAIL become fm entries."""
    raw = as_map(call.any_case("fields"))
    names = legacy_names(type_id)
    parsed = call.portal.crm.parse_fields(type_id, {names.get(key, key): value for key, value in raw.items() if key not in COMMUNICATION}, True)
    entries: dict[str, Any] = {}
    for kind in COMMUNICATION:
        for count, one in enumerate(as_list(raw.get(kind))):
            key = str(one["ID"]) if one.get("ID") else f"n{kind}{count}"
            entries[key] = {"typeId": kind, "valueType": one.get("VALUE_TYPE", "WORK"), "value": "" if one.get("DELETE") == "Y" else one.get("VALUE", "")}
    return parsed | ({"fm": entries} if entries else {})


def _add(call: Call, type_id: int) -> int:
    if not call.user.can("add", type_id):
        raise nameless("Access denied.")
    try:
        return int(call.portal.crm.create(type_id, _fields(call, type_id), call.actor)["id"])
    except RestError as refusal:
        raise nameless(refusal.description) from refusal


def _update(call: Call, type_id: int) -> bool:
    item = _get(call, type_id, "update")
    call.portal.crm.update(type_id, item, _fields(call, type_id), call.actor)
    return True


def _delete(call: Call, type_id: int) -> bool:
    call.portal.crm.delete(type_id, _get(call, type_id, "delete"), call.actor)
    return True


def _describe(call: Call, type_id: int) -> Item:
    fields = TYPES[type_id].fields
    described: Item = {
        key: {
            "type": fields[name].kind,
            "isRequired": fields[name].required,
            "isReadOnly": fields[name].read_only,
            "isMultiple": fields[name].multiple,
            "title": fields[name].title,
        }
        for key, name in legacy_names(type_id).items()
    }
    return described | {
        kind: {"type": "crm_multifield", "isRequired": False, "isReadOnly": False, "isMultiple": True, "title": kind.capitalize()} for kind in COMMUNICATION
    }


def _register(type_id: int, name: str) -> None:
    """The same methods for companies and for contacts."""

    def shown(call: Call) -> Item:
        return _show(call, type_id, _get(call, type_id), ["*", *COMMUNICATION, "UF_*"])

    runs: dict[str, Callable[[Call, int], Any]] = {"list": _list, "add": _add, "update": _update, "delete": _delete, "fields": _describe}
    for verb, run in runs.items():
        method(f"crm.{name}.{verb}", scope="crm")(partial(_with_type, run, type_id))
    method(f"crm.{name}.get", scope="crm")(shown)


def _with_type(run: Callable[[Call, int], Any], type_id: int, call: Call) -> Any:
    return run(call, type_id)


_register(COMPANY, "company")
_register(CONTACT, "contact")


@method("crm.company.contact.items.get", scope="crm")
def company_contacts(call: Call) -> list[Item]:
    item = _get(call, COMPANY)
    linked = [one["id"] for one in call.portal.crm.tables[CONTACT] if item["id"] in one["companyIds"]]
    return [{"CONTACT_ID": one, "SORT": (place + 1) * 10, "ROLE_ID": 0, "IS_PRIMARY": "Y" if place == 0 else "N"} for place, one in enumerate(linked)]
