"""Timeline entries, activities' basics and notifications (B§8.9)."""

from __future__ import annotations

from typing import Any

from sandbox.bitrix24 import dates
from sandbox.bitrix24.call import Call, method
from sandbox.bitrix24.crm import Item
from sandbox.bitrix24.errors import RestError, access_denied, missing, not_found
from sandbox.bitrix24.fields import INVOICE, integer
from sandbox.bitrix24.filters import order_rows
from sandbox.bitrix24.php import as_map

ICONS = (
    "call",
    "arrow-down",
    "arrow-up",
    "attention",
    "bank-card",
    "camera",
    "check",
    "circle-check",
    "clock",
    "comment",
    "document",
    "document-print",
    "info",
    "IM",
    "mail",
    "notes",
    "pipeline",
    "store",
    "sum",
    "task",
    "view",
)
COMMENT_TYPES = {"deal": 2, "contact": 3, "company": 4, "quote": 7}


def owner(call: Call, type_id: int, item_id: int, action: str) -> Item:
    """The CRM item that an entry belongs to."""
    table = call.portal.crm.tables.get(type_id)
    item = table.by_id.get(item_id) if table else None
    if item is None:
        raise RestError("OWNER_NOT_FOUND", "Owner was not found", 400)
    if not call.user.can(action, type_id, item):
        raise access_denied(400)
    return item


def _log(entry: Item, call: Call) -> Item:
    return {
        "id": entry["id"],
        "created": dates.write_moment(entry["created"], call.portal.zone),
        **{name: entry[name] for name in ("authorId", "title", "text", "iconCode")},
    }


@method("crm.timeline.logmessage.add", scope="crm")
def log_add(call: Call) -> dict[str, Any]:
    """Needs the edit right; entityTypeId is a number (B§8.9)."""
    fields = call.need_map("fields")
    for name in ("entityTypeId", "entityId", "title", "text", "iconCode"):
        if fields.get(name) in (None, ""):
            raise missing(name)
    type_id, item_id = integer(fields["entityTypeId"]), integer(fields["entityId"])
    owner(call, type_id, item_id, "update")
    if fields["iconCode"] not in ICONS:
        raise RestError("0", "Could not find icon", 400)
    entry = call.portal.add_timeline(
        "log", type_id, item_id, call.user.id, title=str(fields["title"]), text=str(fields["text"]), iconCode=str(fields["iconCode"])
    )
    return {"logMessage": _log(entry, call)}


@method("crm.timeline.logmessage.list", scope="crm")
def log_list(call: Call) -> list[Item]:
    type_id, item_id = call.need_id("entityTypeId"), call.need_id("entityId")
    owner(call, type_id, item_id, "read")
    rows = [_log(one, call) for one in call.portal.timeline_of(item_id, type_id) if one["kind"] == "log"]
    return call.page(order_rows(rows, call.get("order") or {"id": "ASC"}, str))


def _entry(call: Call, kind: str, action: str) -> Item:
    found = next((one for one in call.portal.timeline if one["id"] == integer(call.any_case("id")) and one["kind"] == kind), None)
    if found is None:
        raise not_found("Not found.")
    owner(call, found["entityTypeId"], found["entityId"], action)
    return found


@method("crm.timeline.logmessage.get", scope="crm")
def log_get(call: Call) -> dict[str, Any]:
    return {"logMessage": _log(_entry(call, "log", "read"), call)}


@method("crm.timeline.logmessage.delete", scope="crm")
def log_delete(call: Call) -> None:
    call.portal.timeline.remove(_entry(call, "log", "update"))


@method("crm.timeline.icon.list", scope="crm")
def icon_list(call: Call) -> dict[str, Any]:
    call.total = len(ICONS)
    return {"icons": [{"code": code, "isSystem": True, "fileUri": ""} for code in ICONS]}


def comment_type(call: Call, name: str) -> int:
    """Which name an invoice has here is an open fact (B§8.9, B§15.3)."""
    accepted = call.portal.switch("timeline_comment_entity")
    if accepted != "none" and name == accepted:
        return INVOICE
    known = COMMENT_TYPES | {f"dynamic_{type_id}": type_id for type_id in call.portal.processes}
    if name not in known:
        raise RestError("0", "Entity type is not supported", 400)
    return known[name]


@method("crm.timeline.comment.add", scope="crm")
def comment_add(call: Call) -> int:
    """`fields` in lower case only."""
    fields = call.need_map("fields")
    for name in ("ENTITY_ID", "ENTITY_TYPE", "COMMENT"):
        if not fields.get(name):
            raise missing(name)
    type_id, item_id = comment_type(call, str(fields["ENTITY_TYPE"])), integer(fields["ENTITY_ID"])
    item = owner(call, type_id, item_id, "update")
    entry = call.portal.add_timeline("comment", type_id, item_id, call.user.id, title="", text=str(fields["COMMENT"]), iconCode="comment")
    call.portal.emit("ONCRMTIMELINECOMMENTADD", {"FIELDS": {"ID": entry["id"]}}, call.actor)
    if call.portal.switch("comment_bumps_updated") == "yes":
        call.portal.crm.touch(type_id, item, call.actor, 0)
    return int(entry["id"])


def _comment(entry: Item, call: Call) -> Item:
    return {
        "ID": str(entry["id"]),
        "ENTITY_ID": entry["entityId"],
        "CREATED": dates.write_moment(entry["created"], call.portal.zone),
        "COMMENT": entry["text"],
        "AUTHOR_ID": str(entry["authorId"]),
    }


@method("crm.timeline.comment.list", scope="crm")
def comment_list(call: Call) -> list[Item]:
    spec = as_map(call.any_case("filter"))
    type_id, item_id = comment_type(call, str(spec.get("ENTITY_TYPE") or "")), integer(spec.get("ENTITY_ID"))
    owner(call, type_id, item_id, "read")
    return call.page([_comment(one, call) for one in call.portal.timeline_of(item_id, type_id) if one["kind"] == "comment"])


@method("crm.timeline.comment.get", scope="crm")
def comment_get(call: Call) -> Item:
    return _comment(_entry(call, "comment", "read"), call)


@method("crm.timeline.comment.delete", scope="crm")
def comment_delete(call: Call) -> bool:
    call.portal.timeline.remove(_entry(call, "comment", "update"))
    return True


# --- notifications ---------------------------------------------------------------------------------------------------


def _notify(call: Call, author: int) -> int | bool:
    user = integer(call.any_case("USER_ID"))
    message = str(call.any_case("MESSAGE") or "").strip()
    if user <= 0:
        raise RestError("USER_ID_EMPTY", "User ID can't be empty", 400)
    if not message:
        raise RestError("MESSAGE_EMPTY", "Message can't be empty", 400)
    attach = call.any_case("ATTACH")
    if attach and len(str(attach)) > 60_000:
        raise RestError("ATTACH_OVERSIZE", "You have exceeded the maximum allowable size of attach", 400)
    if user not in call.portal.users:
        return False
    return call.portal.notify(
        user, message, author, str(call.any_case("TAG") or ""), str(call.any_case("SUB_TAG") or ""), str(call.any_case("MESSAGE_OUT") or "")
    )


@method("im.notify.system.add", scope="im")
def notify_system(call: Call) -> int | bool:
    """The app is the sender."""
    return _notify(call, 0)


@method("im.notify.personal.add", scope="im")
def notify_personal(call: Call) -> int | bool:
    return _notify(call, call.user.id)


@method("im.notify", scope="im")
def notify(call: Call) -> int | bool:
    """The old name; TYPE chooses the sender."""
    return _notify(call, 0 if str(call.any_case("TYPE") or "").upper() == "SYSTEM" else call.user.id)


@method("im.notify.delete", scope="im")
def notify_delete(call: Call) -> bool:
    id_, tag, sub_tag = integer(call.any_case("ID")), str(call.any_case("TAG") or ""), str(call.any_case("SUB_TAG") or "")
    if not id_ and not tag and not sub_tag:
        raise RestError("PARAMS_ERROR", "Incorrect params", 400)
    kept = [
        one for one in call.portal.notifications if not ((id_ and one["id"] == id_) or (tag and one["tag"] == tag) or (sub_tag and one["sub_tag"] == sub_tag))
    ]
    gone = len(kept) < len(call.portal.notifications)
    call.portal.notifications = kept
    return gone
