"""One broken rule of the reference a line, and what the Bitrix24 stand-in says to it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.bitrix24_served import Served

ADMIN, SAM = 1, 2
ELSEWHERE = "https://elsewhere.example/handler"
_INVOICE = {"entityTypeId": 31}
_FIRST = {"entityTypeId": 31, "id": 1}
_LINE = {"entityTypeId": 31, "entityId": 1, "title": "Xero", "text": "Sent."}


def _field(**more: str) -> dict[str, Any]:
    field = {"entityId": "CRM_SMART_INVOICE", "fieldName": "UF_CRM_SMART_INVOICE_A", "userTypeId": "string"}
    return {"moduleId": "crm", "field": field | more}


def _robot(**more: Any) -> dict[str, Any]:
    return {"CODE": "one", "HANDLER": "{app}", "NAME": "One", **more}


REFUSALS: list[tuple[str, str, dict[str, Any], int, int, object]] = [
    ("B§3.5 a method that does not exist", "crm.item.lst", {}, ADMIN, 404, "ERROR_METHOD_NOT_FOUND"),
    ("B§3.5 a required parameter is missing", "crm.item.list", {}, ADMIN, 400, "100"),
    ("B§3.5 a type that does not exist", "crm.item.list", {"entityTypeId": 999}, ADMIN, 400, "NOT_FOUND"),
    ("B§3.5 old invoices have no crm.item", "crm.item.list", {"entityTypeId": 5}, ADMIN, 400, "ENTITY_TYPE_NOT_SUPPORTED"),
    ("B§8.1 a filter by an unknown field", "crm.item.list", {**_INVOICE, "filter": {"number": 1}}, ADMIN, 400, "INVALID_ARG_VALUE"),
    ("B§8.1 a filter by fm", "crm.item.list", {"entityTypeId": 4, "filter": {"fm": "x"}}, ADMIN, 400, "INVALID_ARG_VALUE"),
    ("B§8.1 an order by an unknown field", "crm.item.list", {**_INVOICE, "order": {"number": "ASC"}}, ADMIN, 400, "INVALID_ARG_VALUE"),
    ("B§8.1 an order by contactIds", "crm.item.list", {**_INVOICE, "order": {"contactIds": "ASC"}}, ADMIN, 400, "INVALID_ARG_VALUE"),
    ("B§3.5 an id that does not exist", "crm.item.get", {**_INVOICE, "id": 999999}, ADMIN, 400, "NOT_FOUND"),
    ("B§3.1 fields in another case", "crm.item.update", {**_FIRST, "FIELDS": {"title": "x"}}, ADMIN, 400, "100"),
    ("B§8.2 a stage that does not exist", "crm.item.update", {**_FIRST, "fields": {"stageId": "PAID"}}, ADMIN, 400, "CRM_FIELD_ERROR_VALUE_NOT_VALID"),
    ("B§8.0 a date in words", "crm.item.update", {**_FIRST, "fields": {"begindate": "soon"}}, ADMIN, 400, "CRM_FIELD_ERROR_VALUE_NOT_VALID"),
    ("B§8.2 a currency that does not exist", "crm.item.update", {**_FIRST, "fields": {"currencyId": "XXX"}}, ADMIN, 400, "CRM_FIELD_ERROR_VALUE_NOT_VALID"),
    ("B§8.6 rows without an owner", "crm.item.productrow.list", {"filter": {"=ownerType": "SI"}}, ADMIN, 400, "100"),
    ("B§8.6 rows without the equals sign", "crm.item.productrow.list", {"filter": {"ownerType": "SI", "ownerId": 1}}, ADMIN, 400, "100"),
    ("B§8.6 rows of no type", "crm.item.productrow.list", {"filter": {"=ownerType": "31", "=ownerId": 1}}, ADMIN, 400, "ENTITY_TYPE_NOT_SUPPORTED"),
    ("B§8.6 rows of nobody", "crm.item.productrow.set", {"ownerType": "SI", "ownerId": 999999, "productRows": []}, ADMIN, 400, "OWNER_NOT_FOUND"),
    ("B§8.1 twenty-one imports", "crm.item.batchImport", {"entityTypeId": 4, "data": [{"title": "x"}] * 21}, ADMIN, 400, "MAX_IMPORT_BATCH_SIZE_EXCEEDED"),
    ("B§8.8 a field name of another kind", "userfieldconfig.add", _field(fieldName="UF_CRM_A"), ADMIN, 400, ""),
    ("B§8.8 a field name beyond fifty", "userfieldconfig.add", _field(fieldName="UF_CRM_SMART_INVOICE_" + "A" * 30), ADMIN, 400, ""),
    ("B§8.8 a field of no type", "userfieldconfig.add", _field(userTypeId="text"), ADMIN, 400, ""),
    ("B§8.8 fields without a module", "userfieldconfig.list", {}, ADMIN, 400, "100"),
    ("B§8.8 fields for one who is no administrator", "userfieldconfig.list", {"moduleId": "crm"}, SAM, 400, ""),
    ("B§5.1 an event that does not exist", "event.bind", {"event": "ONINVOICE", "handler": "{app}"}, ADMIN, 400, "ERROR_EVENT_NOT_FOUND"),
    ("B§5.1 a handler elsewhere", "event.bind", {"event": "ONCRMDEALADD", "handler": ELSEWHERE}, ADMIN, 400, "ERROR_WRONG_HANDLER_URL"),
    ("B§5.1 an online event without a handler", "event.bind", {"event": "ONCRMDEALADD"}, ADMIN, 400, "100"),
    ("B§5.1 offline events for others", "event.bind", {"event": "ONCRMDEALADD", "event_type": "offline"}, SAM, 403, "ACCESS_DENIED"),
    ("B§5.1 another's token", "event.bind", {"event": "ONCRMDEALADD", "handler": "{app}", "auth_type": ADMIN}, SAM, 403, "ACCESS_DENIED"),
    ("B§5.5 the offline queue for others", "event.offline.get", {}, SAM, 403, "ACCESS_DENIED"),
    ("B§6.1 no placement named", "placement.bind", {}, ADMIN, 200, "ERROR_ARGUMENT"),
    (
        "B§6.2 the placement of another kind",
        "placement.bind",
        {"PLACEMENT": "CRM_DYNAMIC_31_LIST_MENU", "HANDLER": "{app}"},
        ADMIN,
        400,
        "ERROR_PLACEMENT_NOT_FOUND",
    ),
    ("B§6.1 a placement elsewhere", "placement.bind", {"PLACEMENT": "CRM_DEAL_LIST_MENU", "HANDLER": ELSEWHERE}, ADMIN, 400, "ERROR_WRONG_HANDLER_URL"),
    ("B§6.1 a placement by others", "placement.bind", {"PLACEMENT": "CRM_DEAL_LIST_MENU", "HANDLER": "{app}"}, SAM, 403, "ACCESS_DENIED"),
    ("B§9.3 products without their catalogue", "catalog.product.list", {"select": ["id", "iblockId"], "filter": {}}, ADMIN, 400, 200040300043),
    ("B§9.3 products without id and catalogue", "catalog.product.list", {"filter": {"iblockId": 24}}, ADMIN, 400, 200040300050),
    ("B§9.3 no @ here", "catalog.product.list", {"select": ["id", "iblockId"], "filter": {"iblockId": 24, "@id": [1]}}, ADMIN, 400, "0"),
    ("B§9.5 products made by others", "catalog.product.add", {"fields": {"iblockId": 24, "name": "x"}}, SAM, 403, 200040300040),
    ("B§9.5 taxes read by others", "catalog.vat.list", {}, SAM, 403, 200040300010),
    ("B§8.7 an address without its owner", "crm.address.add", {"fields": {"TYPE_ID": 1}}, ADMIN, 400, ""),
    ("B§8.7 a requisite without a preset", "crm.requisite.add", {"fields": {"ENTITY_TYPE_ID": 4, "ENTITY_ID": 1, "NAME": "x"}}, ADMIN, 400, ""),
    ("B§8.9 a comment with FIELDS", "crm.timeline.comment.add", {"FIELDS": {"ENTITY_TYPE": "deal", "ENTITY_ID": 1, "COMMENT": "x"}}, ADMIN, 400, "100"),
    ("B§8.9 a log line without an icon", "crm.timeline.logmessage.add", {"fields": _LINE}, ADMIN, 400, "100"),
    ("B§8.9 a log line with no such icon", "crm.timeline.logmessage.add", {"fields": {**_LINE, "iconCode": "xero"}}, ADMIN, 400, "0"),
    ("B§8.9 a notification to nobody", "im.notify.system.add", {"MESSAGE": "x"}, ADMIN, 400, "USER_ID_EMPTY"),
    ("B§10.1 a rule's code with a space", "bizproc.robot.add", _robot(CODE="a b"), ADMIN, 400, "ERROR_ACTIVITY_VALIDATION_FAILURE"),
    (
        "B§10.1 a rule's property of no type",
        "bizproc.robot.add",
        _robot(PROPERTIES={"p": {"Name": "x", "Type": "money"}}),
        ADMIN,
        400,
        "ERROR_ACTIVITY_VALIDATION_FAILURE",
    ),
    ("B§10.1 a rule elsewhere", "bizproc.robot.add", _robot(HANDLER=ELSEWHERE), ADMIN, 400, "ERROR_WRONG_HANDLER_URL"),
    ("B§10.1 a rule by others", "bizproc.robot.add", _robot(), SAM, 403, "ACCESS_DENIED"),
    ("B§10.3 an answer with no such token", "bizproc.event.send", {"EVENT_TOKEN": "x", "RETURN_VALUES": {}}, ADMIN, 403, "ACCESS_DENIED"),
    ("B§11.3 the app's options set by others", "app.option.set", {"options": {"a": "1"}}, SAM, 403, "ACCESS_DENIED"),
]


@pytest.mark.parametrize(("rule", "method", "params", "user", "status", "error"), REFUSALS, ids=[one[0] for one in REFUSALS])
def test_a_broken_rule_is_refused(served: Served, rule: str, method: str, params: dict[str, Any], user: int, status: int, error: object) -> None:
    handler = f"{served.settings.app_url}/bitrix24/events"
    given = {name: handler if value == "{app}" else value for name, value in params.items()}

    answer = served.call(method, given, served.token_of(user))

    assert (answer.status, answer.error) == (status, error), rule


def test_whoever_binds_the_same_twice_is_told(served: Served) -> None:
    bound = {"event": "ONCRMDEALADD", "handler": f"{served.settings.app_url}/bitrix24/events"}
    assert served.call("event.bind", bound).result is True

    again = served.call("event.bind", bound)

    assert (again.status, again.error) == (400, "ERROR_CORE")


def test_inside_a_batch_each_command_is_refused_by_itself(served: Served) -> None:
    answer = served.call("batch", {"halt": 0, "cmd": {"batch": "batch?cmd[a]=profile", "unknown": "crm.item.lst", "me": "profile"}})

    assert answer.status == 200
    refused = {key: one["error"] for key, one in answer.result["result_error"].items()}
    assert refused == {"batch": "ERROR_BATCH_METHOD_NOT_ALLOWED", "unknown": "ERROR_METHOD_NOT_FOUND"}
    assert list(answer.result["result"]) == ["me"]


def test_the_fifty_first_command_of_a_batch_does_not_run(served: Served) -> None:
    answer = served.call("batch", {"halt": 0, "cmd": {str(number): "profile" for number in range(51)}}).result

    assert len(answer["result"]) == 50
    assert {one["error"] for one in answer["result_error"].values()} == {"ERROR_BATCH_LENGTH_EXCEEDED"}
