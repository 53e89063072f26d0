"""Stages, pipelines, history, currencies, VAT and fixed directories (B§8.5, B§8.10)."""

from __future__ import annotations

from typing import Any

from sandbox.bitrix24 import dates
from sandbox.bitrix24.call import Call, method
from sandbox.bitrix24.crm import Item
from sandbox.bitrix24.errors import RestError, access_denied, nameless, not_found
from sandbox.bitrix24.fields import INVOICE, integer
from sandbox.bitrix24.filters import compile_filter, order_rows
from sandbox.bitrix24.methods.items import readable, type_of
from sandbox.bitrix24.php import as_list, as_map

NUMERIC = {
    "ID",
    "SORT",
    "CATEGORY_ID",
    "OWNER_ID",
    "TYPE_ID",
    "ENTITY_TYPE_ID",
    "ENTITY_ID",
    "PRESET_ID",
    "COUNTRY_ID",
    "ANCHOR_ID",
    "ANCHOR_TYPE_ID",
    "REQUISITE_ID",
    "ASSIGNED_BY_ID",
}


def legacy_rows(call: Call, rows: list[Item], columns: set[str], numeric: set[str] = NUMERIC) -> list[Item]:
    """Filter, order and page of a legacy list; names outside `columns` are ignored in filters, as those methods do."""
    spec = {key: value for key, value in as_map(call.any_case("filter")).items() if key.isdigit() or key.lstrip("!=<>@%") in columns}

    def resolve(name: str) -> tuple[str, Any]:
        return name, (lambda value: "" if value in (None, "") else integer(value)) if name in numeric else (lambda value: value)

    keep = compile_filter(spec, resolve)
    order = {key: value for key, value in as_map(call.any_case("order")).items() if key in columns}
    return call.page(order_rows([row for row in rows if keep(row)], order or {"ID": "ASC"}, str))


def legacy_shown(row: Item, select: Any = None) -> Item:
    """Ids as strings, only the selected names (B§8)."""
    wanted = [str(one) for one in as_list(select)]
    names = row if not wanted or "*" in wanted else [name for name in row if name in wanted or name == "ID"]
    return {name: _legacy_value(row[name]) for name in names}


def _legacy_value(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


# --- stages and pipelines ------------------------------------------------------------------------------------------


@method("crm.category.list", scope="crm")
def category_list(call: Call) -> dict[str, Any]:
    """One default pipeline for invoices and each smart process; its id differs per portal (B§8.5)."""
    type_id = type_of(call)
    readable(call, type_id)
    if type_id == INVOICE and not call.portal.smart_invoices:
        if call.portal.switch("old_invoices_answer") == "error":
            raise not_found("Smart process not found")
        call.total = 0
        return {"categories": []}
    process = call.portal.processes.get(type_id)
    if process and process["isCategoriesEnabled"] == "N" and call.portal.switch("process_category_list") == "refused":
        raise RestError("ENTITY_TYPE_NOT_SUPPORTED", f"Entity type {call.portal.crm.types[type_id].name} is not supported", 400)
    category = call.portal.category_of(type_id)
    call.total = 1
    return {"categories": [{"id": category, "name": "General", "sort": 100, "entityTypeId": type_id, "isDefault": "Y", "originId": "", "originatorId": ""}]}


def shown_status(call: Call, one: Item) -> Item:
    shown = {name: one[name] for name in ("ENTITY_ID", "STATUS_ID", "NAME", "NAME_INIT", "SYSTEM", "COLOR", "SEMANTICS")}
    shown |= {"ID": str(one["ID"]), "SORT": str(one["SORT"]), "CATEGORY_ID": None if one["CATEGORY_ID"] is None else str(one["CATEGORY_ID"])}
    if (
        shown["SEMANTICS"] is None
        and one["ENTITY_ID"].startswith(("SMART_INVOICE_STAGE", "QUOTE_STATUS", "DEAL_STAGE", "DYNAMIC_"))
        and call.portal.switch("stage_semantics_progress") == "P"
    ):
        shown["SEMANTICS"] = "P"
    if one["ENTITY_ID"].startswith(("QUOTE_STATUS", "DEAL_STAGE")):
        shown["EXTRA"] = {"SEMANTICS": {"S": "success", "F": "failure"}.get(one["SEMANTICS"] or "", "process"), "COLOR": one["COLOR"]}
    return shown


@method("crm.status.list", scope="crm")
def status_list(call: Call) -> list[Item]:
    """Read right on at least one CRM type is needed; invoices have no EXTRA (B§8.5)."""
    if not any(call.user.can("read", type_id) for type_id in call.portal.crm.types):
        raise access_denied(403)
    rows = [one for one in call.portal.statuses if call.portal.smart_invoices or not one["ENTITY_ID"].startswith("SMART_INVOICE_STAGE")]
    rows = [one | {"ENTITY_ID": call.portal.switch("honorific_entity")} if one["ENTITY_ID"] == "HONORIFIC" else one for one in rows]
    columns = {"ID", "ENTITY_ID", "STATUS_ID", "NAME", "NAME_INIT", "SORT", "SYSTEM", "CATEGORY_ID", "COLOR", "SEMANTICS"}
    found = legacy_rows(call, rows, columns, {"ID", "SORT", "CATEGORY_ID"})
    return [shown_status(call, one) for one in found]


@method("crm.status.entity.types", scope="crm")
def status_entity_types(call: Call) -> list[Item]:
    category = call.portal.invoice_category
    fixed: list[Item] = [
        {"ID": one, "NAME": one.replace("_", " ").capitalize()}
        for one in ("SOURCE", "CONTACT_TYPE", "COMPANY_TYPE", "EMPLOYEES", "INDUSTRY", call.portal.switch("honorific_entity"))
    ]
    invoices: Item = {
        "ID": f"SMART_INVOICE_STAGE_{category}",
        "NAME": "Invoice stages",
        "SEMANTIC_INFO": [],
        "PREFIX": f"DT31_{category}",
        "FIELD_ATTRIBUTE_SCOPE": f"category_{category}",
    }
    invoices |= {"ENTITY_TYPE_ID": INVOICE, "IS_ENABLED": True, "CATEGORY_ID": category}
    quotes: Item = {
        "ID": "QUOTE_STATUS",
        "NAME": "Estimate stages",
        "ENTITY_TYPE_ID": 7,
        "SEMANTIC_INFO": {"START_FIELD": "DRAFT", "FINAL_SUCCESS_FIELD": "APPROVED", "FINAL_UNSUCCESS_FIELD": "DECLAINED", "FINAL_SORT": 0},
    }
    return [*fixed, *([invoices] if call.portal.smart_invoices else []), quotes, *(_process_stages(call, one) for one in call.portal.processes.values())]


def _process_stages(call: Call, process: Item) -> Item:
    type_id, category = process["entityTypeId"], call.portal.category_of(process["entityTypeId"])
    told: Item = {"ID": call.portal.stage_entity(type_id), "NAME": f"{process['title']} (General)", "SEMANTIC_INFO": [], "PREFIX": f"DT{type_id}_{category}"}
    told |= {"FIELD_ATTRIBUTE_SCOPE": f"category_{category}", "ENTITY_TYPE_ID": type_id, "IS_ENABLED": True, "CATEGORY_ID": category}
    return told | {"CATEGORY_NAME": "General", "CATEGORY_SORT": 500, "IS_DEFAULT_CATEGORY": True}


@method("crm.status.update", scope="crm")
def status_update(call: Call) -> bool:
    """Name, place and colour of a stage or another entry, by administrators of the CRM; system entries too."""
    if not call.user.admin:
        raise _status_refusal(call, "Access denied.", "No permission to perform the operation")
    id_, fields = integer(call.any_case("id")), as_map(call.any_case("fields"))
    if id_ <= 0:
        raise _status_refusal(call, "Invalid identifier.", "An incorrect identifier was passed.")
    found = next((one for one in call.portal.statuses if one["ID"] == id_), None)
    if found is None:
        raise _status_refusal(call, "Status is not found.", "Element not found")
    if "NAME" in fields and not fields["NAME"]:
        raise _status_refusal(call, "Error on updating status.", "Error while updating the element")
    found |= {name: str(fields[name]) for name in ("NAME", "COLOR") if name in fields}
    if "SORT" in fields:
        found["SORT"] = integer(fields["SORT"])
    return True


def _status_refusal(call: Call, text: str, description: str) -> RestError:
    return RestError(text, description, 400) if call.portal.switch("status_error_code") == "text" else nameless(text)


@method("crm.stagehistory.list", scope="crm")
def stage_history(call: Call) -> dict[str, Any]:
    type_id = call.need_id("entityTypeId")
    if type_id not in call.portal.crm.types:
        raise RestError(0, f"{type_id} entity is not supported", 400)
    table = call.portal.crm.tables[type_id].by_id
    rows = [
        row
        for row in call.portal.crm.history
        if row["OWNER_TYPE_ID"] == type_id and row["OWNER_ID"] in table and call.user.can("read", type_id, table[row["OWNER_ID"]])
    ]
    columns = {"ID", "TYPE_ID", "OWNER_ID", "CREATED_TIME", "CATEGORY_ID", "STAGE_SEMANTIC_ID", "STAGE_ID"}
    spec = as_map(call.any_case("filter"))

    def resolve(name: str) -> tuple[str, Any]:
        if name == "CREATED_TIME":
            return name, lambda value: dates.read_moment(value, call.portal.zone, name)
        return name, integer if name in NUMERIC else str

    keep = compile_filter({key: value for key, value in spec.items() if key.isdigit() or key.lstrip("!=<>@%") in columns}, resolve)
    order = {key: value for key, value in as_map(call.any_case("order")).items() if key in columns}
    found = order_rows([row for row in rows if keep(row)], order or {"ID": "ASC"}, str)
    shown = [
        {name: row[name] for name in row if name in columns} | {"CREATED_TIME": dates.write_moment(row["CREATED_TIME"], call.portal.zone)} for row in found
    ]
    return {"items": call.page(shown)}


# --- fixed directories -----------------------------------------------------------------------------------------------

ADDRESS_TYPES = (
    (11, "Shipping address"),
    (1, "Physical address"),
    (6, "Legal address"),
    (4, "Registered address"),
    (8, "Mailing address"),
    (9, "Beneficiary address"),
)
OWNERS = (
    (1, "Lead", "LEAD", "L"),
    (2, "Deal", "DEAL", "D"),
    (3, "Contact", "CONTACT", "C"),
    (4, "Company", "COMPANY", "CO"),
    (5, "Invoice (old version)", "INVOICE", "I"),
    (31, "Invoice", "SMART_INVOICE", "SI"),
    (7, "Quote", "QUOTE", "Q"),
    (8, "Billing Details", "REQUISITE", "RQ"),
)


@method("crm.enum.addresstype", scope="crm")
def enum_address_type(call: Call) -> list[Item]:
    return [{"ID": id_, "NAME": name, "SYMBOL_CODE": None, "SYMBOL_CODE_SHORT": None} for id_, name in ADDRESS_TYPES]


@method("crm.enum.ownertype", scope="crm")
def enum_owner_type(call: Call) -> list[Item]:
    rows = [{"ID": id_, "NAME": name, "SYMBOL_CODE": code, "SYMBOL_CODE_SHORT": short} for id_, name, code, short in OWNERS]
    types = call.portal.crm.types
    rows += [{"ID": id_, "NAME": types[id_].title, "SYMBOL_CODE": types[id_].name, "SYMBOL_CODE_SHORT": types[id_].short} for id_ in call.portal.processes]
    return [one for one in rows if one["ID"] != INVOICE or call.portal.smart_invoices]


@method("crm.enum.fields", scope="crm")
def enum_fields(call: Call) -> Item:
    return {
        name: {"type": "int" if name == "ID" else "string", "isRequired": False, "isReadOnly": True}
        for name in ("ID", "NAME", "SYMBOL_CODE", "SYMBOL_CODE_SHORT")
    }


@method("crm.settings.mode.get", scope="crm")
def settings_mode(call: Call) -> int:
    return 2


# --- currencies and VAT ------------------------------------------------------------------------------------------------


def _currency_right(call: Call) -> None:
    """Read right or CRM settings: contradictory (B§8.10)."""
    if call.portal.switch("currency_list_right") == "crm_settings" and not call.user.admin:
        raise nameless("Access denied.")


@method("crm.currency.list", scope="crm")
def currency_list(call: Call) -> list[Item]:
    _currency_right(call)
    call.total = len(call.portal.currencies)
    return [_shown_currency(call, one) for one in sorted(call.portal.currencies.values(), key=lambda one: one["SORT"])]


def _shown_currency(call: Call, one: Item) -> Item:
    return {
        **{key: str(value) for key, value in one.items()},
        "BASE": "Y" if one["CURRENCY"] == call.portal.base_currency else "N",
        "LID": call.portal.language,
        "DATE_UPDATE": None,
    }


@method("crm.currency.get", scope="crm")
def currency_get(call: Call) -> Item:
    _currency_right(call)
    found = call.portal.currencies.get(str(call.any_case("id")))
    if found is None:
        raise nameless("Not found")
    return _shown_currency(call, found)


@method("crm.currency.base.get", scope="crm")
def currency_base(call: Call) -> str:
    return call.portal.base_currency


@method("crm.currency.add", scope="crm")
def currency_add(call: Call) -> str:
    if not call.user.admin:
        raise nameless("Access denied.")
    fields = as_map(call.any_case("fields"))
    code = str(fields.get("CURRENCY") or "").upper()
    if len(code) != 3:
        raise nameless("CURRENCY is not defined or invalid.")
    if code in call.portal.currencies:
        raise nameless("Currency already exists.")
    call.portal.currencies[code] = new_currency(code, str(fields.get("AMOUNT") or "1"), str(fields.get("FULL_NAME") or code))
    call.portal.emit("ONCRMCURRENCYADD", {"FIELDS": {"ID": code}}, call.actor)
    return code


@method("crm.currency.update", scope="crm")
def currency_update(call: Call) -> bool:
    if not call.user.admin:
        raise nameless("Access denied.")
    found = call.portal.currencies.get(str(call.any_case("id")))
    if found is None:
        raise nameless("Not found")
    found |= {key: value for key, value in as_map(call.any_case("fields")).items() if key in ("AMOUNT", "AMOUNT_CNT", "SORT", "FULL_NAME")}
    call.portal.emit("ONCRMCURRENCYUPDATE", {"FIELDS": {"ID": found["CURRENCY"]}}, call.actor)
    return True


def new_currency(code: str, amount: str, name: str, sort: int = 100) -> Item:
    return {
        "CURRENCY": code,
        "AMOUNT_CNT": 1,
        "AMOUNT": amount,
        "SORT": sort,
        "FULL_NAME": name,
        "FORMAT_STRING": "$#",
        "DEC_POINT": ".",
        "THOUSANDS_SEP": ",",
        "DECIMALS": 2,
    }


@method("crm.vat.list", scope="crm")
def vat_list(call: Call) -> list[Item]:
    """Deprecated, but any user may (B§8.10)."""
    rows = [
        {
            "ID": one["id"],
            "TIMESTAMP_X": dates.write_moment(one["timestampX"], call.portal.zone),
            "ACTIVE": one["active"],
            "C_SORT": one["sort"],
            "NAME": one["name"],
            "RATE": None if one["rate"] is None else f"{one['rate']:.2f}",
        }
        for one in call.portal.catalog.vats.values()
    ]
    return [legacy_shown(one) for one in legacy_rows(call, rows, {"ID", "ACTIVE", "C_SORT", "NAME", "RATE"}, {"ID", "C_SORT"})]


@method("crm.duplicate.findbycomm", scope="crm")
def find_by_comm(call: Call) -> Any:
    """Companies and contacts by e-mail or phone; nothing found is `[]` (B§8.11)."""
    kind = str(call.any_case("type") or "").upper()
    if kind not in ("EMAIL", "PHONE"):
        raise RestError("Communication type is not defined", "Parameter 'type' is required.", 400)
    values = as_list(call.any_case("values"))
    if not values:
        raise RestError("Communication values is not defined", "Parameter 'values' is required.", 400)
    wanted = {_plain_comm(kind, one) for one in values[:20]}
    only = str(call.any_case("entity_type") or "").upper()
    found = {}
    for type_id, name in ((3, "CONTACT"), (4, "COMPANY")):
        if only in ("", name):
            ids = [
                item["id"]
                for item in call.portal.crm.tables[type_id]
                if any(entry["typeId"] == kind and _plain_comm(kind, entry["value"]) in wanted for entry in item["fm"])
            ]
            if ids:
                found[name] = ids
    return found or []


def _plain_comm(kind: str, value: Any) -> str:
    return str(value).strip().lower() if kind == "EMAIL" else "".join(one for one in str(value) if one.isdigit())
