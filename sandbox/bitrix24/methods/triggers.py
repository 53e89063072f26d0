"""`crm.automation.trigger.*`: triggers of apps (apidocs, api-reference/crm/automation/triggers). Their errors have no code."""

from __future__ import annotations

import re

from sandbox.bitrix24.call import Call, method
from sandbox.bitrix24.errors import RestError
from sandbox.bitrix24.fields import integer
from sandbox.bitrix24.install import Installation


def _app(call: Call) -> Installation:
    if call.app is None:
        raise RestError("ACCESS_DENIED", "Access denied! Application context required", 403)
    if not (call.user.admin or call.user.system):
        raise RestError("ACCESS_DENIED", "Access denied! Admin permissions required", 403)
    return call.app


def _code(call: Call) -> str:
    code = str(call.any_case("CODE") or "")
    if code in ("", "0"):
        raise RestError("", "Empty trigger code!", 400)
    if not re.fullmatch(r"[a-zA-Z0-9._-]+", code):
        raise RestError("", "Wrong trigger code!", 400)
    return code


@method("crm.automation.trigger.add", scope="crm")
def trigger_add(call: Call) -> bool:
    app, code, name = _app(call), _code(call), str(call.any_case("NAME") or "")
    if name in ("", "0"):
        raise RestError("", "Empty trigger name!", 400)
    app.triggers[code] = name
    return True


@method("crm.automation.trigger.list", scope="crm")
def trigger_list(call: Call) -> list[dict[str, str]]:
    return [{"NAME": name, "CODE": code} for code, name in _app(call).triggers.items()]


@method("crm.automation.trigger.delete", scope="crm")
def trigger_delete(call: Call) -> bool:
    app, code = _app(call), _code(call)
    app.triggers.pop(code, None)
    return True


@method("crm.automation.trigger.execute", scope="crm")
def trigger_execute(call: Call) -> bool:
    """True says that it was heard, not that a stage moved."""
    app, code = _app(call), _code(call)
    if code not in app.triggers:
        raise RestError("", f"Trigger with code {code} is not registered.", 400)
    type_id, owner = integer(call.any_case("OWNER_TYPE_ID")), integer(call.any_case("OWNER_ID"))
    if type_id not in call.portal.crm.types:
        raise RestError("", "Incorrect parameter OWNER_TYPE_ID.", 400)
    if owner is None or owner <= 0:
        raise RestError("", "Incorrect parameter OWNER_ID.", 400)
    call.portal.automation.fire(code, type_id, owner)
    return True
