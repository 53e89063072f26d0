"""`event.*`: online and offline handlers (B§5)."""

from __future__ import annotations

import secrets
from typing import Any

from sandbox.bitrix24 import dates
from sandbox.bitrix24.call import Call, method
from sandbox.bitrix24.crm import Item
from sandbox.bitrix24.delivery import Parcel
from sandbox.bitrix24.errors import RestError, missing
from sandbox.bitrix24.fields import integer
from sandbox.bitrix24.filters import compile_filter, order_rows
from sandbox.bitrix24.install import Handler
from sandbox.bitrix24.methods.placements import own_address
from sandbox.bitrix24.php import as_list, as_map, empty_map


def _names(prefix: str, *what: str) -> list[str]:
    return [f"{prefix}{one}" for one in what]


_ITEM = ("ADD", "UPDATE", "DELETE")

#: Event → scope (B§5.7).
CATALOGUE: dict[str, str] = {
    **dict.fromkeys(["ONAPPINSTALL", "ONAPPUPDATE", "ONAPPUNINSTALL", "ONAPPPAYMENT", "ONAPPMETHODCONFIRM", "ONAPPTEST", "ONOFFLINEEVENT"], ""),
    **dict.fromkeys(
        [*_names("ONCRMDYNAMICITEM", *_ITEM), *_names("ONCRMQUOTE", *_ITEM), *_names("ONCRMCOMPANY", *_ITEM), *_names("ONCRMCONTACT", *_ITEM)], "crm"
    ),
    **dict.fromkeys(
        [*_names("ONCRMINVOICE", *_ITEM, "SETSTATUS"), *_names("ONCRMDEAL", *_ITEM), "ONCRMDEALMOVETOCATEGORY", *_names("ONCRMREQUISITE", *_ITEM)], "crm"
    ),
    **dict.fromkeys([*_names("ONCRMBANKDETAIL", *_ITEM), "ONCRMADDRESSREGISTER", "ONCRMADDRESSUNREGISTER", *_names("ONCRMCURRENCY", *_ITEM)], "crm"),
    **dict.fromkeys([*_names("ONCRMPRODUCT", *_ITEM), *_names("ONCRMTYPEUSERFIELD", *_ITEM, "SETENUMVALUES"), *_names("ONCRMTIMELINECOMMENT", *_ITEM)], "crm"),
    **dict.fromkeys([*_names("ONCRMACTIVITY", *_ITEM), "ONCRMTIMELINEITEMACTION"], "crm"),
    **dict.fromkeys([*_names("CATALOG.PRODUCT.ON.", *_ITEM), *_names("CATALOG.PRICE.ON.", *_ITEM), *_names("CATALOG.MEASURE.ON.", *_ITEM)], "catalog"),
    "ONUSERADD": "user",
}


def known_events(call: Call, scopes: tuple[str, ...]) -> list[str]:
    names = CATALOGUE | (_per_type(call) if call.portal.switch("dynamic_event_names") == "listed" else {})
    return [name for name, scope in names.items() if not scope or scope in scopes]


def _per_type(call: Call) -> dict[str, str]:
    """Invoices and every smart process have names of their own beside those that carry any type."""
    types = [one.id for one in call.portal.crm.types.values() if one.dynamic]
    return {f"{name}_{type_id}": "crm" for type_id in types for name in _names("ONCRMDYNAMICITEM", *_ITEM)}


@method("events")
def events(call: Call) -> list[str]:
    """Codes that this app may bind; with SCOPE those of one scope."""
    app = call.application()
    wanted = call.any_case("SCOPE")
    return known_events(call, (str(wanted),) if wanted else app.scopes)


@method("event.get")
def event_get(call: Call) -> list[Item]:
    return [_shown(one) for one in call.application().handlers]


def _shown(one: Handler) -> Item:
    row: Item = {"event": one.event, "handler": "" if one.offline else one.url, "auth_type": str(one.user_id)}
    return row | ({"offline": 1, "connector_id": one.connector} if one.offline else {"offline": 0})


def _event_name(call: Call) -> str:
    name = str(call.any_case("event") or "").upper()
    if not name:
        raise missing("event")
    if name not in known_events(call, call.application().scopes):
        raise RestError("ERROR_EVENT_NOT_FOUND", "Event not found", 400)
    return name


@method("event.bind")
def event_bind(call: Call) -> bool:
    """A non-administrator binds online events and gets only his own actions (B§5.1)."""
    app, name = call.application(), _event_name(call)
    offline = str(call.any_case("event_type") or "online").lower() == "offline"
    user = integer(call.any_case("auth_type")) or (0 if call.user.admin else call.user.id)
    if offline and not call.user.admin:
        raise RestError("ACCESS_DENIED", "Access denied! Offline events binding requires administrator access rights", 403)
    if user and user != call.user.id and not call.user.admin:
        raise RestError("ACCESS_DENIED", "Access denied! Event binding with AUTH_TYPE requires administrator access rights", 403)
    url, connector = str(call.any_case("handler") or ""), str(call.any_case("auth_connector") or "")
    if not offline:
        if not url:
            raise missing("handler")
        own_address(call, url)
    if connector and call.portal.switch("auth_connector") == "N":
        raise RestError("ACCESS_DENIED", "Auth connector is not available on this plan", 403)
    if any((one.event, one.url, one.offline, one.connector, one.user_id) == (name, url, offline, connector, user) for one in app.handlers):
        raise RestError("ERROR_CORE", "Unable to set event handler: Handler already binded", 400)
    options = as_map(call.any_case("options"))
    app.handlers.append(
        Handler(call.portal.next_id("handler"), name, url, user, offline, connector, not call.user.admin, integer(options.get("minTimeout")) or 1)
    )
    return True


@method("event.unbind")
def event_unbind(call: Call) -> dict[str, int]:
    app, name = call.application(), str(call.any_case("event") or "").upper()
    offline = str(call.any_case("event_type") or "online").lower() == "offline"
    if offline and not call.user.admin:
        raise RestError("ACCESS_DENIED", "Access denied! Offline events unbinding requires administrator access rights", 403)
    url = str(call.any_case("handler") or "")
    user = call.any_case("auth_type")
    gone = [
        one
        for one in app.handlers
        if one.event == name and one.offline == offline and (offline or one.url == url) and (user in (None, "") or one.user_id == integer(user))
    ]
    app.handlers[:] = [one for one in app.handlers if one not in gone]
    return {"count": len(gone)}


@method("event.test")
def event_test(call: Call) -> bool:
    """Triggers ONAPPTEST on the app's handler."""
    app = call.application()
    query = {key: value for key, value in call.params.items() if key != "auth"}
    for one in app.handlers:
        if one.event == "ONAPPTEST" and app.installed:
            body = {"event": "ONAPPTEST", "data": {"QUERY": query}, "ts": int(call.portal.now().timestamp()), "auth": call.portal.event_auth(call.user.id)}
            call.portal.delivery.put(Parcel(call.portal.name, one.url, "ONAPPTEST", body))
    return True


# --- offline -------------------------------------------------------------------------------------------------------

_COLUMNS = ("ID", "TIMESTAMP_X", "EVENT_NAME", "MESSAGE_ID")


def _offline_rows(call: Call, rows: list[Item]) -> list[Item]:
    def resolve(name: str) -> tuple[str, Any]:
        reader: Any = integer if name == "ID" else (lambda value: dates.read_moment(value, call.portal.zone, name)) if name == "TIMESTAMP_X" else str
        return name, reader

    keep = compile_filter({key: value for key, value in as_map(call.any_case("filter")).items() if key.lstrip("!=<>@%") in _COLUMNS}, resolve)
    connector = str(call.any_case("auth_connector") or "")
    found = [row for row in rows if keep(row) and row["connector"] == connector]
    return order_rows(found, {key: value for key, value in as_map(call.any_case("order")).items() if key in _COLUMNS} or {"ID": "ASC"}, str)


def _shown_offline(call: Call, row: Item) -> Item:
    data: Any = row["EVENT_DATA"] if call.portal.switch("offline_event_data") == "fields" else False
    return {
        "ID": str(row["ID"]),
        "TIMESTAMP_X": dates.write_moment(row["TIMESTAMP_X"], call.portal.zone),
        "EVENT_NAME": row["EVENT_NAME"],
        "EVENT_DATA": data,
        "EVENT_ADDITIONAL": empty_map({}),
        "MESSAGE_ID": row["MESSAGE_ID"],
    }


@method("event.offline.get")
def offline_get(call: Call) -> dict[str, Any]:
    """clear=1 deletes on reading, clear=0 reserves for a process; parallel readers get disjoint sets (B§5.5)."""
    call.application()
    call.admin_only()
    clear = str(call.any_case("clear", 1)) not in ("0", "false", "False")
    if not clear and call.portal.switch("offline_extended") == "N":
        raise RestError("ACCESS_DENIED", "Extended offline events are not available on this plan", 403)
    process, failed = str(call.any_case("process_id") or ""), str(call.any_case("error") or "0") == "1"
    limit = min(integer(call.any_case("limit")) or 50, 50)
    rows = [one for one in call.portal.offline_queue if (one["process"] == process if process else (one["failed"] if failed else not one["process"]))]
    found = _offline_rows(call, rows)[:limit]
    if clear:
        gone = {id(one) for one in found}
        call.portal.offline_queue = [one for one in call.portal.offline_queue if id(one) not in gone]
        return {"process_id": None, "events": [_shown_offline(call, one) for one in found]}
    process = process or secrets.token_hex(16)
    for one in found:
        one |= {"process": process, "failed": False}
    return {"process_id": process, "events": [_shown_offline(call, one) for one in found]}


@method("event.offline.list")
def offline_list(call: Call) -> list[Item]:
    call.application()
    call.admin_only()
    return [_shown_offline(call, one) for one in call.page(_offline_rows(call, list(call.portal.offline_queue)))]


def _reserved(call: Call) -> list[Item]:
    call.application()
    call.admin_only()
    process = str(call.any_case("process_id") or "")
    if not process:
        raise missing("process_id")
    ids, messages = {integer(one) for one in as_list(call.any_case("id"))}, {str(one) for one in as_list(call.any_case("message_id"))}
    rows = [one for one in call.portal.offline_queue if one["process"] == process]
    return [one for one in rows if (not ids and not messages) or one["ID"] in ids or one["MESSAGE_ID"] in messages]


@method("event.offline.clear")
def offline_clear(call: Call) -> bool:
    gone = {id(one) for one in _reserved(call)}
    call.portal.offline_queue = [one for one in call.portal.offline_queue if id(one) not in gone]
    return True


@method("event.offline.error")
def offline_error(call: Call) -> bool:
    for one in _reserved(call):
        one["failed"] = True
    return True
