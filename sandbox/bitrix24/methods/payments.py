"""`crm.item.payment.*` for deals and invoices (B§8.10)."""

from __future__ import annotations

from typing import Any

from sandbox.bitrix24 import dates
from sandbox.bitrix24.call import Call, method
from sandbox.bitrix24.crm import Item
from sandbox.bitrix24.errors import RestError
from sandbox.bitrix24.fields import DEAL, INVOICE, integer, plain
from sandbox.bitrix24.php import as_map


def _owner(call: Call, type_id: int, item_id: int, action: str) -> Item:
    if type_id not in (DEAL, INVOICE):
        raise RestError("0", "Entity type is not supported", 400)
    item = call.portal.crm.tables[type_id].by_id.get(item_id)
    if item is None:
        raise RestError("0", f"Entity with identifier №{item_id} does not exist", 400)
    if not call.user.can(action, type_id, item):
        raise RestError("0", "Insufficient permissions", 400)
    return item


def _payment(call: Call, action: str) -> Item:
    found = call.portal.payments.get(call.need_id())
    if found is None:
        raise RestError("0", "Payment has not been found", 400)
    _owner(call, found["type"], found["owner"], action)
    return found


def _shown(call: Call, one: Item) -> Item:
    shown = {name: one[name] for name in ("id", "accountNumber", "paid", "empPaidId", "paySystemId", "currency", "paySystemName")}
    return shown | {"sum": plain(one["sum"]), "datePaid": dates.write_moment(one["datePaid"], call.portal.zone)}


@method("crm.item.payment.add", scope="crm")
def payment_add(call: Call) -> int:
    type_id, item = call.need_id("entityTypeId"), _owner(call, call.need_id("entityTypeId"), call.need_id("entityId"), "update")
    id_ = call.portal.next_id("payment") + 1000
    count = sum(1 for one in call.portal.payments.values() if (one["type"], one["owner"]) == (type_id, item["id"])) + 1
    call.portal.payments[id_] = {
        "id": id_, "type": type_id, "owner": item["id"], "accountNumber": f"{item['id']}/{count}", "paid": "N", "datePaid": None, "empPaidId": None,
        "paySystemId": 1, "paySystemName": "Bank transfer", "sum": float(item["opportunity"]), "currency": item["currencyId"],
    }  # fmt: skip
    return id_


@method("crm.item.payment.list", scope="crm")
def payment_list(call: Call) -> list[Item]:
    type_id, item = call.need_id("entityTypeId"), _owner(call, call.need_id("entityTypeId"), call.need_id("entityId"), "read")
    return [_shown(call, one) for one in call.portal.payments.values() if (one["type"], one["owner"]) == (type_id, item["id"])]


@method("crm.item.payment.get", scope="crm")
def payment_get(call: Call) -> Item:
    return _shown(call, _payment(call, "read"))


def _pay(call: Call, one: Item, paid: bool) -> None:
    one |= {"paid": "Y" if paid else "N", "datePaid": call.portal.moment() if paid else None, "empPaidId": call.user.id if paid else None}
    if paid and one["type"] == INVOICE and call.portal.switch("payment_moves_stage") == "yes":
        success = next(key for key, stage in call.portal.stages(INVOICE).items() if stage["SEMANTICS"] == "S")
        call.portal.crm.update(INVOICE, call.portal.invoices[one["owner"]], {"stageId": success}, call.actor)


@method("crm.item.payment.pay", scope="crm")
def payment_pay(call: Call) -> bool:
    """Independent of the stage, as far as the docs say (B§8.10)."""
    _pay(call, _payment(call, "update"), True)
    return True


@method("crm.item.payment.unpay", scope="crm")
def payment_unpay(call: Call) -> bool:
    _pay(call, _payment(call, "update"), False)
    return True


@method("crm.item.payment.update", scope="crm")
def payment_update(call: Call) -> Any:
    one, fields = _payment(call, "update"), as_map(call.get("fields"))
    if "paid" in fields:
        _pay(call, one, fields["paid"] == "Y")
    if integer(fields.get("paySystemId")):
        one["paySystemId"] = integer(fields["paySystemId"])
    return one["id"]


@method("crm.item.payment.delete", scope="crm")
def payment_delete(call: Call) -> None:
    one = _payment(call, "update")
    if one["paid"] == "Y":
        raise RestError("0", "Paid payment can not be deleted", 400)
    del call.portal.payments[one["id"]]
