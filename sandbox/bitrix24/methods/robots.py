"""`bizproc.*`: automation rules' actions and their answers (B§10)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from sandbox.bitrix24.call import Call, method
from sandbox.bitrix24.errors import RestError
from sandbox.bitrix24.fields import integer
from sandbox.bitrix24.install import Installation, Robot, Running
from sandbox.bitrix24.methods.placements import own_address
from sandbox.bitrix24.php import as_list, as_map

TYPES = {"bool", "date", "datetime", "double", "file", "int", "select", "string", "text", "user"}


def _invalid(text: str) -> RestError:
    return RestError("ERROR_ACTIVITY_VALIDATION_FAILURE", text, 400)


def _app(call: Call) -> Installation:
    if call.app is None:
        raise RestError("ACCESS_DENIED", "Application context required", 403)
    call.admin_only()
    return call.app


def _properties(given: Any, what: str) -> dict[str, Any]:
    """Codes start with a letter; types are from the list (B§10.1)."""
    found = {name: as_map(one) for name, one in as_map(given).items()}
    for name, one in found.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise _invalid(f"Wrong {what} key ({name})!")
        if not one.get("Name"):
            raise _invalid(f"Empty {what} NAME ({name})!")
        if str(one.get("Type") or "string").lower() not in TYPES:
            raise _invalid(f"Unsupported {what} TYPE ({name})!")
    return found


def _fill(call: Call, robot: Robot, given: dict[str, Any]) -> Robot:
    if given.get("HANDLER"):
        own_address(call, str(given["HANDLER"]))
        robot.url = str(given["HANDLER"])
    if given.get("NAME"):
        robot.name = given["NAME"]
    if "AUTH_USER_ID" in given:
        robot.auth_user = integer(given["AUTH_USER_ID"])
    if "USE_SUBSCRIPTION" in given:
        robot.subscription = str(given["USE_SUBSCRIPTION"] or "")
    if "PROPERTIES" in given:
        robot.properties = _properties(given["PROPERTIES"], "property")
    if "RETURN_PROPERTIES" in given:
        robot.returns = _properties(given["RETURN_PROPERTIES"], "return property")
    if "DOCUMENT_TYPE" in given:
        robot.document_type = [str(one) for one in as_list(given["DOCUMENT_TYPE"])]
        if robot.document_type and len(robot.document_type) != 3:
            raise _invalid("Wrong document type!")
    if "FILTER" in given:
        robot.filter = as_map(given["FILTER"])
    return robot


def _register(call: Call, kind: str) -> bool:
    app = _app(call)
    given = {key.upper(): value for key, value in call.params.items()}
    code = str(given.get("CODE") or "")
    if not code:
        raise _invalid("Empty activity code!")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", code):
        raise _invalid("Wrong activity code!")
    if not given.get("HANDLER"):
        raise _invalid("Empty handler!")
    if not given.get("NAME"):
        raise _invalid("Empty activity NAME!")
    if code in app.robots:
        raise RestError("ERROR_ACTIVITY_ALREADY_INSTALLED", "Activity already installed!", 400)
    app.robots[code] = _fill(call, Robot(code, "", given["NAME"], 0, kind=kind), given)
    return True


def _change(call: Call, kind: str) -> bool:
    robot = _known(call, kind)
    fields = {key.upper(): value for key, value in as_map(call.any_case("FIELDS")).items()}
    if not fields:
        raise _invalid("No fields to update!")
    _fill(call, robot, fields)
    return True


def _known(call: Call, kind: str) -> Robot:
    app = _app(call)
    robot = app.robots.get(str(call.any_case("CODE") or ""))
    if robot is None or robot.kind != kind:
        raise RestError("ERROR_ACTIVITY_NOT_FOUND", "Activity not found!", 400)
    return robot


def _remove(call: Call, kind: str) -> bool:
    robot = _known(call, kind)
    del _app(call).robots[robot.code]
    return True


def _codes(call: Call, kind: str) -> list[str]:
    return [one.code for one in _app(call).robots.values() if one.kind == kind]


def _of_kind(run: Callable[[Call, str], Any], kind: str, call: Call) -> Any:
    return run(call, kind)


_VERBS: dict[str, Callable[[Call, str], Any]] = {"add": _register, "update": _change, "delete": _remove, "list": _codes}

for _kind in ("robot", "activity"):
    for _verb, _run in _VERBS.items():
        method(f"bizproc.{_kind}.{_verb}", scope="bizproc")(partial(_of_kind, _run, _kind))


def _running(call: Call) -> Running:
    found = call.application().running.get(str(call.any_case("EVENT_TOKEN") or ""))
    if found is None:
        raise RestError("ACCESS_DENIED", "Access denied!", 403)
    return found


@method("bizproc.event.send", scope="bizproc")
def event_send(call: Call) -> bool:
    """The robot's answer; a token answers once (B§10.3)."""
    running = _running(call)
    if running.answered:
        raise RestError("ACCESS_DENIED", "Access denied!", 403)
    values, log = as_map(call.any_case("RETURN_VALUES")), str(call.any_case("LOG_MESSAGE") or "")
    call.portal.automation.answer(running.token, values, log)
    running.answered = True
    running.values = values
    if log:
        running.log.append(log)
    return True


@method("bizproc.activity.log", scope="bizproc")
def activity_log(call: Call) -> bool:
    _running(call).log.append(str(call.any_case("LOG_MESSAGE") or ""))
    return True
