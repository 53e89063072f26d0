"""`userfieldconfig.*`: custom fields of invoices and others (B§8.8). Errors have an empty code."""

from __future__ import annotations

import re
from typing import Any

from sandbox.bitrix24.call import Call, method
from sandbox.bitrix24.crm import Item
from sandbox.bitrix24.errors import missing, nameless
from sandbox.bitrix24.fields import integer
from sandbox.bitrix24.filters import compile_filter, order_rows
from sandbox.bitrix24.php import as_list, as_map

KINDS = {
    "string": "String",
    "integer": "Integer",
    "double": "Number",
    "boolean": "Yes/No",
    "date": "Date",
    "datetime": "Date with time",
    "money": "Money",
    "url": "Link",
    "address": "Address",
    "file": "File",
    "enumeration": "List",
    "employee": "Linked to employee",
    "crm": "Linked to CRM entities",
    "crm_status": "Linked to CRM directories",
}
SETTINGS: dict[str, Item] = {
    "string": {"SIZE": 20, "ROWS": 1, "REGEXP": "", "MIN_LENGTH": 0, "MAX_LENGTH": 0, "DEFAULT_VALUE": ""},
    "url": {"POPUP": "Y", "SIZE": 20, "MIN_LENGTH": 0, "MAX_LENGTH": 0, "DEFAULT_VALUE": ""},
    "enumeration": {"DISPLAY": "LIST", "LIST_HEIGHT": 1, "CAPTION_NO_VALUE": "", "SHOW_NO_VALUE": "Y"},
}
SHOWN = (
    "id",
    "entityId",
    "fieldName",
    "userTypeId",
    "xmlId",
    "sort",
    "multiple",
    "mandatory",
    "showFilter",
    "showInList",
    "editInList",
    "isSearchable",
    "settings",
)
LABELS = ("languageId", "editFormLabel", "listColumnLabel", "listFilterLabel", "errorMessage", "helpMessage")
FLAGS = ("multiple", "mandatory", "editInList", "isSearchable")

SCOPE = "userfieldconfig"


def _check(call: Call, text: str) -> None:
    if call.get("moduleId") in (None, ""):
        raise missing("moduleId")
    if call.get("moduleId") != "crm":
        raise nameless("Module is not supported")
    if not call.user.admin:
        raise nameless(text)


def shown_field(field: Item, with_enum: bool) -> Item:
    told = {name: str(field[name]) if name in ("id", "sort") else field[name] for name in SHOWN}
    told["languageId"] = {"en": "en"}
    told["editFormLabel"] = _label_map(field.get("editFormLabel"))
    told |= {name: {"en": None} for name in ("listColumnLabel", "listFilterLabel", "errorMessage")}
    told["helpMessage"] = _label_map(field.get("helpMessage"))
    if with_enum and field["userTypeId"] == "enumeration":
        told["enum"] = [{**one, "id": str(one["id"]), "userFieldId": str(field["id"])} for one in field["enum"]]
    return told


def _label_map(value: Any) -> Item:
    return dict(value) if isinstance(value, dict) and value else {"en": value or None}


@method("userfieldconfig.list", scope=SCOPE, also=("crm",))
def field_list(call: Call) -> dict[str, Any]:
    """Whether entityId is a filter key is an open fact (B§15.12)."""
    _check(call, "You do not have permission to view user field settings")
    spec = as_map(call.get("filter"))
    mode = call.portal.switch("userfield_filter_entity")
    if any(key.lstrip("!=@%") == "entityId" for key in spec):
        if mode == "refused":
            raise nameless("Field entityId is not allowed in filter")
        if mode == "ignored":
            spec = {key: value for key, value in spec.items() if key.lstrip("!=@%") != "entityId"}

    def resolve(name: str) -> tuple[str, Any]:
        if name not in (*SHOWN, "entityId"):
            raise nameless(f"Field {name} is not allowed in filter")
        return name, integer if name in ("id", "sort") else str

    keep = compile_filter(spec, resolve)
    rows = [one for one in call.portal.user_fields.values() if keep(one)]
    order = {key: value for key, value in as_map(call.get("order")).items() if key in SHOWN}
    page = call.page(order_rows(rows, order or {"id": "ASC"}, str))
    return {"fields": [_selected(call, shown_field(one, False)) for one in page]}


def _selected(call: Call, told: Item) -> Item:
    """Labels come with `select: {"0": "*", "language": "en"}`."""
    select = as_map(call.get("select"))
    language = select.pop("language", None)
    wanted = [str(one) for one in select.values()]
    names = list(SHOWN) if not wanted or "*" in wanted else [one for one in SHOWN if one in wanted or one == "id"]
    shown = {name: told[name] for name in names}
    if language:
        shown |= {name: (told[name].get(str(language)) if isinstance(told[name], dict) else told[name]) for name in LABELS if name != "languageId"}
    return shown


def _field(call: Call) -> Item:
    found = call.portal.user_fields.get(call.need_id())
    if found is None:
        raise nameless("User field is not found")
    return found


@method("userfieldconfig.get", scope=SCOPE, also=("crm",))
def field_get(call: Call) -> dict[str, Any]:
    _check(call, "You do not have permission to view user field settings")
    return {"field": shown_field(_field(call), True)}


@method("userfieldconfig.add", scope=SCOPE, also=("crm",))
def field_add(call: Call) -> dict[str, Any]:
    """UF_{entityId}_{POSTFIX}, A-Z 0-9 _, at most 50 characters; "exists" has an empty code (B§8.8)."""
    _check(call, "You do not have permission to add user fields")
    given = as_map(call.need("field"))
    entity, name, kind = str(given.get("entityId") or ""), str(given.get("fieldName") or ""), str(given.get("userTypeId") or "")
    if entity not in {one.uf_entity for one in call.portal.crm.types.values()} | {"CRM_REQUISITE"}:
        raise nameless("The entity is not supported")
    if not name:
        raise nameless("The 'FIELD_NAME' field is not found.")
    if not re.fullmatch(rf"UF_{entity}_[A-Z0-9_]+", name) or len(name) > 50:
        raise nameless(f"The field name must begin with UF_{entity}_ and hold A-Z, 0-9 and _ only, 50 characters at most.<br>")
    if kind not in KINDS and not kind.startswith("rest_"):
        raise nameless("Invalid user type.<br>")
    if any(one["fieldName"] == name and one["entityId"] == entity for one in call.portal.user_fields.values()):
        raise nameless(f"The field {name} already exists for the entity {entity}.<br>")
    field = new_field(call.portal, entity, name, kind, given, by_app=True)
    _announce(call, "ADD", field)
    return {"field": shown_field(field, True)}


def new_field(portal: Any, entity: str, name: str, kind: str, given: Item, by_app: bool = False) -> Item:
    """Store a custom field; the seed uses it too."""
    field: Item = {"id": portal.next_user_field, "entityId": entity, "fieldName": name, "userTypeId": kind, "by_app": by_app}
    field |= {"xmlId": given.get("xmlId"), "sort": integer(given.get("sort")) or 100, "showFilter": given.get("showFilter", "N"), "showInList": "Y"}
    field |= {flag: "Y" if given.get(flag) == "Y" else ("Y" if flag == "editInList" and flag not in given else "N") for flag in FLAGS}
    field["settings"] = {**SETTINGS.get(kind, {}), **as_map(given.get("settings"))}
    field |= {"editFormLabel": given.get("editFormLabel") or name, "helpMessage": given.get("helpMessage")}
    field["enum"] = [_option(portal, one) for one in as_list(given.get("enum"))]
    portal.user_fields[field["id"]] = field
    portal.next_user_field += 1
    portal.user_field_version += 1
    return field


def _option(portal: Any, one: Item) -> Item:
    return {
        "id": portal.next_id("enum") + 900,
        "value": str(one.get("value") or ""),
        "def": one.get("def", "N"),
        "sort": str(one.get("sort") or 500),
        "xmlId": str(one.get("xmlId") or ""),
    }


@method("userfieldconfig.update", scope=SCOPE, also=("crm",))
def field_update(call: Call) -> dict[str, Any]:
    _check(call, "You do not have permission to edit user fields")
    field, given = _field(call), as_map(call.need("field"))
    field |= {name: given[name] for name in ("xmlId", "showFilter", "mandatory", "editInList", "isSearchable", "editFormLabel", "helpMessage") if name in given}
    if "sort" in given:
        field["sort"] = integer(given["sort"])
    if "enum" in given:
        field["enum"] = [_option(call.portal, one) for one in as_list(given["enum"]) if one.get("del") != "Y"]
        _announce(call, "SETENUMVALUES", field)
    call.portal.user_field_version += 1
    _announce(call, "UPDATE", field)
    return {"field": shown_field(field, True)}


@method("userfieldconfig.delete", scope=SCOPE, also=("crm",))
def field_delete(call: Call) -> None:
    _check(call, "You cannot delete the user field")
    field = _field(call)
    del call.portal.user_fields[field["id"]]
    call.portal.user_field_version += 1
    for table in call.portal.crm.tables.values():
        if table.type.uf_entity == field["entityId"]:
            for item in table:
                item.pop(field["fieldName"], None)
    _announce(call, "DELETE", field)


@method("userfieldconfig.getTypes", scope=SCOPE, also=("crm",))
def field_types(call: Call) -> dict[str, Any]:
    if call.get("moduleId") in (None, ""):
        raise missing("moduleId")
    return {"types": {kind: {"userTypeId": kind, "description": text} for kind, text in KINDS.items()}}


def _announce(call: Call, what: str, field: Item) -> None:
    if any(one.dynamic and one.uf_entity == field["entityId"] for one in call.portal.crm.types.values()):
        call.portal.emit(
            f"ONCRMTYPEUSERFIELD{what}", {"FIELDS": {"id": field["id"], "entityId": field["entityId"], "fieldName": field["fieldName"]}}, call.actor
        )
