"""Requisites, their addresses, bank details and links (B§8.7). Errors have an empty code."""

from __future__ import annotations

from typing import Any

from sandbox.bitrix24 import dates
from sandbox.bitrix24.call import Call, method
from sandbox.bitrix24.crm import Item
from sandbox.bitrix24.errors import nameless
from sandbox.bitrix24.fields import COMPANY, CONTACT, integer
from sandbox.bitrix24.methods.directories import ADDRESS_TYPES, legacy_rows, legacy_shown
from sandbox.bitrix24.php import as_list, as_map

TEXTS = (
    "NAME", "XML_ID", "ORIGINATOR_ID", "ACTIVE", "ADDRESS_ONLY", "RQ_NAME", "RQ_FIRST_NAME", "RQ_LAST_NAME", "RQ_SECOND_NAME", "RQ_COMPANY_ID",
    "RQ_COMPANY_NAME", "RQ_COMPANY_FULL_NAME", "RQ_VAT_ID", "RQ_INN", "RQ_KPP", "RQ_OGRN", "RQ_EDRPOU", "RQ_REGON", "RQ_KRS", "RQ_SIRET", "RQ_SIREN",
    "RQ_CNPJ", "RQ_STATE_REG", "RQ_USRLE", "RQ_CONTACT", "RQ_EMAIL", "RQ_PHONE", "RQ_FAX", "RQ_DIRECTOR", "RQ_ACCOUNTANT",
)  # fmt: skip
NUMBERS = ("ENTITY_TYPE_ID", "ENTITY_ID", "PRESET_ID", "SORT")
COLUMNS = {"ID", *TEXTS, *NUMBERS, "DATE_CREATE", "DATE_MODIFY", "CREATED_BY_ID", "MODIFY_BY_ID"}
ADDRESS_TEXTS = ("ADDRESS_1", "ADDRESS_2", "CITY", "POSTAL_CODE", "REGION", "PROVINCE", "COUNTRY", "COUNTRY_CODE", "LOC_ADDR_ID")
ADDRESS_KEY = ("TYPE_ID", "ENTITY_TYPE_ID", "ENTITY_ID")
ADDRESS_COLUMNS = {*ADDRESS_KEY, *ADDRESS_TEXTS, "ANCHOR_TYPE_ID", "ANCHOR_ID"}
BANK_TEXTS = (
    "NAME",
    "RQ_BANK_NAME",
    "RQ_BANK_ADDR",
    "RQ_BANK_ROUTE_NUM",
    "RQ_ACC_NAME",
    "RQ_ACC_NUM",
    "RQ_ACC_CURRENCY",
    "RQ_IBAN",
    "RQ_SWIFT",
    "RQ_BIC",
    "XML_ID",
    "ORIGINATOR_ID",
    "COMMENTS",
)
LINK = ("REQUISITE_ID", "BANK_DETAIL_ID", "MC_REQUISITE_ID", "MC_BANK_DETAIL_ID")


def _client(call: Call, entity_type: int, entity_id: int, action: str) -> Item:
    """The company or contact that owns a requisite, with the right on it."""
    if entity_type not in (COMPANY, CONTACT):
        raise nameless("ENTITY_TYPE_ID is not defined or invalid.")
    item = call.portal.crm.tables[entity_type].by_id.get(entity_id)
    if item is None:
        raise nameless("ENTITY_ID is not defined or invalid.")
    if not call.user.can(action, entity_type, item):
        raise nameless("Access denied.")
    return item


def _may_read(call: Call, entity_type: int, entity_id: int) -> bool:
    item = call.portal.crm.tables[entity_type].by_id.get(entity_id) if entity_type in (COMPANY, CONTACT) else None
    return item is not None and call.user.can("read", entity_type, item)


def _changed(call: Call, what: str, id_: int, owner: tuple[int, int]) -> None:
    call.portal.emit(f"ONCRMREQUISITE{what}", {"FIELDS": {"ID": id_}}, call.actor)
    if call.portal.switch("requisite_fires_company") == "yes":
        call.portal.item_event(owner[0], "UPDATE", owner[1], call.actor)


def _shown(call: Call, row: Item, select: Any = None) -> Item:
    zone = call.portal.zone
    return legacy_shown(
        row | {"DATE_CREATE": dates.write_moment(row["DATE_CREATE"], zone), "DATE_MODIFY": dates.write_moment(row["DATE_MODIFY"], zone)}, select
    )


@method("crm.requisite.list", scope="crm")
def requisite_list(call: Call) -> list[Item]:
    rows = [one for one in call.portal.requisites.values() if _may_read(call, one["ENTITY_TYPE_ID"], one["ENTITY_ID"])]
    custom = {name for one in rows for name in one if name.startswith("UF_")}
    return [_shown(call, one, call.any_case("select")) for one in legacy_rows(call, rows, COLUMNS | custom)]


def _requisite(call: Call, action: str) -> Item:
    found = call.portal.requisites.get(integer(call.any_case("id")))
    if found is None:
        raise nameless(f"The requisite with ID '{call.any_case('id')}' is not found")
    _client(call, found["ENTITY_TYPE_ID"], found["ENTITY_ID"], action)
    return found


@method("crm.requisite.get", scope="crm")
def requisite_get(call: Call) -> Item:
    return _shown(call, _requisite(call, "read"))


def _requisite_values(fields: Item) -> Item:
    values: Item = {name: str(fields[name] or "") for name in TEXTS if name in fields}
    values |= {name: fields[name] for name in fields if name.startswith("UF_CRM_")}
    if "SORT" in fields:
        values["SORT"] = integer(fields["SORT"])
    return values


@method("crm.requisite.add", scope="crm")
def requisite_add(call: Call) -> int:
    """PRESET_ID must be given, its existence is not validated (B§8.7)."""
    fields = as_map(call.any_case("fields"))
    owner = (integer(fields.get("ENTITY_TYPE_ID")), integer(fields.get("ENTITY_ID")))
    _client(call, *owner, "update")
    if not integer(fields.get("PRESET_ID")):
        raise nameless("PRESET_ID is not defined or invalid.")
    if not fields.get("NAME"):
        raise nameless("The &quot;Name&quot; field is required.")
    id_ = add_requisite(call.portal, owner, integer(fields["PRESET_ID"]), _requisite_values(fields), call.user.id)
    _changed(call, "ADD", id_, owner)
    return id_


def add_requisite(portal: Any, owner: tuple[int, int], preset: int, values: Item, author: int) -> int:
    """Store a requisite; the seed uses it too."""
    id_ = int(portal.next_id("requisite"))
    empty: Item = dict.fromkeys(TEXTS)
    row = {"ID": id_, "ENTITY_TYPE_ID": owner[0], "ENTITY_ID": owner[1], "PRESET_ID": preset, **empty, "ACTIVE": "Y", "ADDRESS_ONLY": "N", "SORT": 500}
    row |= {"DATE_CREATE": portal.moment(), "DATE_MODIFY": None, "CREATED_BY_ID": author, "MODIFY_BY_ID": None}
    portal.requisites[id_] = row | values
    return id_


@method("crm.requisite.update", scope="crm")
def requisite_update(call: Call) -> bool:
    found = _requisite(call, "update")
    fields = as_map(call.any_case("fields"))
    found |= _requisite_values(fields) | {"DATE_MODIFY": call.portal.moment(), "MODIFY_BY_ID": call.user.id}
    if integer(fields.get("PRESET_ID")):
        found["PRESET_ID"] = integer(fields["PRESET_ID"])
    _changed(call, "UPDATE", found["ID"], (found["ENTITY_TYPE_ID"], found["ENTITY_ID"]))
    return True


@method("crm.requisite.delete", scope="crm")
def requisite_delete(call: Call) -> bool:
    found = _requisite(call, "update")
    del call.portal.requisites[found["ID"]]
    for key in [key for key in call.portal.addresses if key[1:] == (8, found["ID"])]:
        del call.portal.addresses[key]
    _changed(call, "DELETE", found["ID"], (found["ENTITY_TYPE_ID"], found["ENTITY_ID"]))
    return True


@method("crm.requisite.fields", scope="crm")
def requisite_fields(call: Call) -> Item:
    required = {"ENTITY_TYPE_ID", "ENTITY_ID", "PRESET_ID", "NAME"}
    read_only = {"ID", "DATE_CREATE", "DATE_MODIFY", "CREATED_BY_ID", "MODIFY_BY_ID"}
    return {
        name: {
            "type": "integer" if name in NUMBERS or name == "ID" else "string",
            "isRequired": name in required,
            "isReadOnly": name in read_only,
            "title": name,
        }
        for name in sorted(COLUMNS)
    }


@method("crm.requisite.preset.list", scope="crm")
def preset_list(call: Call) -> list[Item]:
    found = legacy_rows(call, list(call.portal.presets.values()), {"ID", "NAME", "COUNTRY_ID", "ENTITY_TYPE_ID", "ACTIVE", "XML_ID", "SORT"})
    return [legacy_shown(one, call.any_case("select")) for one in found]


@method("crm.requisite.preset.countries", scope="crm")
def preset_countries(call: Call) -> list[Item]:
    return [{"ID": 77, "CODE": "NZ", "TITLE": "New Zealand"}, {"ID": 14, "CODE": "AU", "TITLE": "Australia"}, {"ID": 122, "CODE": "US", "TITLE": "USA"}]


# --- addresses -----------------------------------------------------------------------------------------------------


@method("crm.address.list", scope="crm")
def address_list(call: Call) -> list[Item]:
    """No own id; ANCHOR_… is the company or contact that owns the requisite (B§8.7)."""
    if call.portal.switch("address_anchor_in") == "ignored":
        call.params = {**call.params, "filter": {key: value for key, value in as_map(call.any_case("filter")).items() if key != "@ANCHOR_ID"}}
    rows = [one | _anchor(call, one) for one in call.portal.addresses.values()]
    rows = [one for one in rows if _may_read(call, one["ANCHOR_TYPE_ID"], one["ANCHOR_ID"])]
    if not as_map(call.any_case("order")):
        call.params = {**call.params, "order": {"ENTITY_ID": "ASC", "TYPE_ID": "ASC"}}
    shown = []
    for one in legacy_rows(call, rows, ADDRESS_COLUMNS):
        wanted = [str(name) for name in as_list(call.any_case("select"))]
        shown.append(legacy_shown({name: value for name, value in one.items() if not wanted or "*" in wanted or name in wanted}))
    return shown


def _anchor(call: Call, address: Item) -> Item:
    owner = call.portal.requisites.get(address["ENTITY_ID"])
    return {"ANCHOR_TYPE_ID": owner["ENTITY_TYPE_ID"] if owner else 0, "ANCHOR_ID": owner["ENTITY_ID"] if owner else 0}


def _address_key(call: Call) -> tuple[tuple[int, int, int], Item]:
    fields = as_map(call.any_case("fields"))
    key = (integer(fields.get("TYPE_ID")), integer(fields.get("ENTITY_TYPE_ID")), integer(fields.get("ENTITY_ID")))
    if key[0] not in dict(ADDRESS_TYPES):
        raise nameless("TYPE_ID is not defined or invalid.")
    if key[1] != 8:
        raise nameless("ENTITY_TYPE_ID is not defined or invalid.")
    requisite = call.portal.requisites.get(key[2])
    if requisite is None:
        raise nameless("ENTITY_ID is not defined or invalid.")
    _client(call, requisite["ENTITY_TYPE_ID"], requisite["ENTITY_ID"], "update")
    return key, fields


def _save_address(call: Call, key: tuple[int, int, int], fields: Item) -> bool:
    stored = call.portal.addresses.setdefault(key, {**dict(zip(ADDRESS_KEY, key, strict=True)), **dict.fromkeys(ADDRESS_TEXTS)})
    stored |= {name: None if fields[name] in (None, "") else str(fields[name]) for name in ADDRESS_TEXTS if name in fields}
    _address_event(call, "ONCRMADDRESSREGISTER", stored)
    return True


def _address_event(call: Call, event: str, address: Item) -> None:
    data = {name: address[name] for name in ADDRESS_KEY} | _anchor(call, address)
    call.portal.emit(event, {"FIELDS": data}, call.actor)


@method("crm.address.add", scope="crm")
def address_add(call: Call) -> bool:
    key, fields = _address_key(call)
    if key in call.portal.addresses:
        raise nameless("TypeAddress exists")
    return _save_address(call, key, fields)


@method("crm.address.update", scope="crm")
def address_update(call: Call) -> bool:
    key, fields = _address_key(call)
    if key not in call.portal.addresses:
        raise nameless("TypeAddress not found")
    return _save_address(call, key, fields)


@method("crm.address.delete", scope="crm")
def address_delete(call: Call) -> bool:
    key, _ = _address_key(call)
    stored = call.portal.addresses.pop(key, None)
    if stored is None:
        raise nameless("TypeAddress not found")
    _address_event(call, "ONCRMADDRESSUNREGISTER", stored)
    return True


# --- bank details and links ------------------------------------------------------------------------------------------


@method("crm.requisite.bankdetail.list", scope="crm")
def bank_list(call: Call) -> list[Item]:
    found = legacy_rows(call, list(call.portal.bank_details.values()), {"ID", "ENTITY_ID", "COUNTRY_ID", *BANK_TEXTS})
    return [legacy_shown(one, call.any_case("select")) for one in found]


@method("crm.requisite.bankdetail.add", scope="crm")
def bank_add(call: Call) -> int:
    fields = as_map(call.any_case("fields"))
    requisite = call.portal.requisites.get(integer(fields.get("ENTITY_ID")))
    if requisite is None:
        raise nameless("ENTITY_ID is not defined or invalid.")
    _client(call, requisite["ENTITY_TYPE_ID"], requisite["ENTITY_ID"], "update")
    if not fields.get("NAME"):
        raise nameless("The &quot;Name&quot; field is required.")
    id_ = call.portal.next_id("bank_detail")
    empty: Item = dict.fromkeys(BANK_TEXTS)
    call.portal.bank_details[id_] = {
        "ID": id_,
        "ENTITY_TYPE_ID": 8,
        "ENTITY_ID": requisite["ID"],
        "COUNTRY_ID": integer(fields.get("COUNTRY_ID")),
        **empty,
        **{name: str(fields[name] or "") for name in BANK_TEXTS if name in fields},
    }
    call.portal.emit("ONCRMBANKDETAILADD", {"FIELDS": {"ID": id_}}, call.actor)
    return id_


@method("crm.requisite.link.list", scope="crm")
def link_list(call: Call) -> list[Item]:
    return [_shown_link(one) for one in legacy_rows(call, list(call.portal.links.values()), {"ENTITY_TYPE_ID", "ENTITY_ID", *LINK})]


def _shown_link(link: Item) -> Item:
    return {"ENTITY_TYPE_ID": link["ENTITY_TYPE_ID"], "ENTITY_ID": link["ENTITY_ID"], **{name: str(link[name]) for name in LINK}}


@method("crm.requisite.link.get", scope="crm")
def link_get(call: Call) -> Item:
    found = call.portal.links.get((integer(call.any_case("entityTypeId")), integer(call.any_case("entityId"))))
    if found is None:
        raise nameless("Not found")
    return _shown_link(found)


@method("crm.requisite.link.register", scope="crm")
def link_register(call: Call) -> bool:
    """Only requisites of the item's own client and seller; 0 is none (B§8.7)."""
    fields = as_map(call.any_case("fields"))
    type_id, item_id = integer(fields.get("ENTITY_TYPE_ID")), integer(fields.get("ENTITY_ID"))
    table = call.portal.crm.tables.get(type_id)
    item = table.by_id.get(item_id) if table and type_id in (2, 7, 31) else None
    if item is None:
        raise nameless("ENTITY_ID is not defined or invalid.")
    if not call.user.can("update", type_id, item):
        raise nameless("Access denied.")
    _check_owner(call, fields, "REQUISITE_ID", {(COMPANY, item["companyId"]), (CONTACT, item["contactId"])})
    _check_owner(call, fields, "MC_REQUISITE_ID", {(COMPANY, item["mycompanyId"])})
    call.portal.links[type_id, item_id] = {"ENTITY_TYPE_ID": type_id, "ENTITY_ID": item_id, **{name: integer(fields.get(name)) for name in LINK}}
    return True


def _check_owner(call: Call, fields: Item, name: str, owners: set[tuple[int, int]]) -> None:
    wanted = integer(fields.get(name))
    found = call.portal.requisites.get(wanted)
    if wanted and (found is None or (found["ENTITY_TYPE_ID"], found["ENTITY_ID"]) not in owners):
        raise nameless(f"{name} is not assigned to the client or the seller of the entity.")


@method("crm.requisite.link.unregister", scope="crm")
def link_unregister(call: Call) -> bool:
    call.portal.links.pop((integer(call.any_case("entityTypeId")), integer(call.any_case("entityId"))), None)
    return True
