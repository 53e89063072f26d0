"""The stand-in's own levers over HTTP, beside those that all stand-ins share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from sandbox.bitrix24.automation import Binding
from sandbox.bitrix24.fields import INVOICE, QUOTE
from sandbox.bitrix24.portal import NotInstalled, Portal

if TYPE_CHECKING:
    from sandbox.bitrix24 import Bitrix24

Act = Callable[[Portal, dict[str, Any]], Any]


def plain(value: Any) -> Any:
    """A stored value as JSON."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(one) for one in value]
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, datetime | date) else value


def state(portal: Portal) -> dict[str, Any]:
    """A portal as JSON, for tests in other processes."""
    app = portal.installation
    return {
        "name": portal.name,
        "url": portal.url,
        "member_id": portal.member_id,
        "invoices": [_document(portal, INVOICE, one) for one in portal.invoices.values()],
        "quotes": [_document(portal, QUOTE, one) for one in portal.quotes.values()],
        "processes": [plain(one) | {"items": [_document(portal, id_, item) for item in portal.items(id_).values()]} for id_, one in portal.processes.items()],
        "stage_names": portal.stage_names,
        "companies": [plain(one) for one in portal.companies.values()],
        "contacts": [plain(one) for one in portal.contacts.values()],
        "products": [plain(one) for one in portal.catalog.products.values()],
        "prices": [plain(one) for one in portal.catalog.prices.values()],
        "requisites": [plain(one) for one in portal.requisites.values()],
        "addresses": [plain(one) for one in portal.addresses.values()],
        "user_fields": [plain(one) for one in portal.user_fields.values()],
        "timeline": plain(portal.timeline),
        "runs": [plain(vars(one) | {"rules": len(one.rules)}) for one in portal.automation.runs],
        "fired": plain(portal.automation.fired),
        "notifications": plain(portal.notifications),
        "users": [vars(one) for one in portal.users.values()],
        "tokens": portal.tokens.count(portal.member_id),
        "app_options": portal.app_options,
        "installation": None
        if app is None
        else {
            "installed": app.installed,
            "version": app.version,
            "application_token": app.application_token,
            "scopes": list(app.scopes),
            "handlers": [vars(one) for one in app.handlers],
            "placements": [vars(one) for one in app.placements],
            "robots": [vars(one) for one in app.robots.values()],
            "running": [vars(one) for one in app.running.values()],
        },
    }


def _document(portal: Portal, type_id: int, item: dict[str, Any]) -> dict[str, Any]:
    return {**plain(item), "rows": portal.rows(item["id"], type_id)}


def _rights(portal: Portal, given: dict[str, Any]) -> None:
    """{"user", "type", "rights": {"read": "own", …}}; without rights everything is taken."""
    table = portal.users[int(given["user"])].rights
    types = [int(given["type"])] if given.get("type") else list(portal.crm.types)
    for type_id in types:
        table[type_id] = dict(given.get("rights") or dict.fromkeys(("read", "add", "update", "delete", "import"), "none"))


def _user(portal: Portal, given: dict[str, Any]) -> None:
    """Set any attribute of a user: admin, active, extranet, may_use_app, view_catalog, change_prices, may_finish."""
    for name, value in given.items():
        if name in ("admin", "active", "extranet", "may_use_app", "view_catalog", "change_prices", "may_finish"):
            setattr(portal.users[int(given["user"])], name, bool(value))


def _trouble(portal: Portal, given: dict[str, Any]) -> list[str]:
    """overload, deleted, not_commercial, internal_error on or off."""
    (portal.troubles.discard if given.get("on") is False else portal.troubles.add)(str(given["name"]))
    return sorted(portal.troubles)


def _expired(portal: Portal, given: dict[str, Any]) -> None:
    portal.payment_event(expired=given.get("on") is not False)


def _portal(portal: Portal, given: dict[str, Any]) -> None:
    """Set language, plan, smart_invoices."""
    for name in ("language", "plan", "smart_invoices"):
        if name in given:
            setattr(portal, name, given[name])


def _scopes(portal: Portal, given: dict[str, Any]) -> None:
    assert portal.installation is not None
    portal.installation.scopes = tuple(given["scopes"])


def _rule(portal: Portal, given: dict[str, Any]) -> None:
    """{"stage", "type", "robot": code or "comment": text}: a rule at the end of the stage's."""
    type_id = int(given.get("type", INVOICE))
    stage = portal.stage_id(str(given["stage"]), type_id)
    portal.automation.add_rule(type_id, stage, str(given.get("robot", "")), given.get("properties"), str(given.get("comment", "")))


def _trigger(portal: Portal, given: dict[str, Any]) -> None:
    """{"stage", "type", "code", "backwards"}."""
    type_id = int(given.get("type", INVOICE))
    stage = portal.stage_id(str(given["stage"]), type_id)
    portal.automation.bindings.append(Binding(str(given["code"]), type_id, stage, bool(given.get("backwards"))))


def _process(portal: Portal, given: dict[str, Any]) -> dict[str, Any]:
    """{"title", "entity_type", "options": {"isStagesEnabled": false, …}}: a smart process, with what a place for bills needs unless told otherwise."""
    options = {str(name): bool(on) for name, on in (given.get("options") or {}).items()}
    return portal.add_process(str(given["title"]), int(given.get("user", 1)), int(given.get("entity_type", 0)), **options)


def _who(given: dict[str, Any]) -> dict[str, Any]:
    return {"user": int(given.get("user", 1)), "robot": bool(given.get("robot", False))}


ACTS: dict[str, Act] = {
    "add_invoice": lambda portal, given: portal.add_invoice(given.get("rows"), **_who(given), **given.get("fields", {})),
    "change_invoice": lambda portal, given: portal.change_invoice(int(given["id"]), given.get("rows"), **_who(given), **given.get("fields", {})),
    "delete_invoice": lambda portal, given: portal.delete_invoice(int(given["id"]), int(given.get("user", 1))),
    "add_item": lambda portal, given: portal.add_item(int(given["type"]), given.get("rows"), **_who(given), **given.get("fields", {})),
    "change_item": lambda portal, given: portal.change_item(int(given["type"]), int(given["id"]), given.get("rows"), **_who(given), **given.get("fields", {})),
    "delete_item": lambda portal, given: portal.delete_item(int(given["type"]), int(given["id"]), int(given.get("user", 1))),
    "add_process": _process,
    "remove_process": lambda portal, given: portal.remove_process(int(given["entity_type"])),
    "set_stage": lambda portal, given: portal.set_stage(int(given["id"]), str(given["stage"]), **_who(given), type_id=int(given.get("type", INVOICE))),
    "install": lambda portal, given: portal.install(int(given.get("user", 1))).application_token,
    "install_finish": lambda portal, given: portal.finish_install(int(given.get("user", 1))),
    "uninstall": lambda portal, given: portal.uninstall(bool(given.get("clean", False))),
    "update_app": lambda portal, given: portal.update_app(int(given.get("user", 1))),
    "rename": lambda portal, given: portal.rename(str(given.get("to", ""))),
    "dismiss_user": lambda portal, given: portal.dismiss(int(given["user"])),
    "system_user": lambda portal, given: portal.move_to_system_user(int(given["user"])),
    "take_rights": _rights,
    "set_rights": _rights,
    "set_user": _user,
    "set_scopes": _scopes,
    "plan_expired": _expired,
    "trouble": _trouble,
    "plan": lambda portal, given: setattr(portal, "plan", str(given["plan"])),
    "set_portal": _portal,
    "expire_tokens": lambda portal, given: portal.tokens.expire(portal.member_id, given.get("user")),
    "require_confirm": lambda portal, given: portal.confirm_methods.__setitem__(str(given["method"]).lower(), None),
    "confirm_method": lambda portal, given: portal.confirm_method(str(given["method"]).lower(), bool(given.get("allowed", True))),
    "call_robot": lambda portal, given: portal.call_robot(
        str(given["code"]), int(given.get("type", INVOICE)), int(given["id"]), given.get("properties"), int(given.get("user", 1))
    ),
    "rule_on_stage": _rule,
    "trigger_on_stage": _trigger,
    "method_cost": lambda portal, given: portal.limits.costs.__setitem__(str(given["method"]).lower(), float(given["seconds"])),
    "foreign_token": lambda portal, given: portal.tokens.issue(portal.member_id, int(given.get("user", 1)), "app.someoneelse.00000009").access,
}


def extend(levers: Blueprint, bitrix24: Bitrix24, portal_of: Callable[[], Portal]) -> None:
    """Add reset, state, act, open and events to the shared levers."""

    def chosen() -> Portal:
        name = request.args.get("portal", "")
        return bitrix24.portals[name] if name else portal_of()

    @levers.post("/reset")
    def reset() -> Response:
        bitrix24.reset()
        return jsonify(reset=True)

    @levers.get("/state")
    def dump() -> Response:
        portal = chosen()
        with portal.lock:
            return jsonify(state(portal))

    @levers.post("/act")
    def act() -> Any:
        given = request.get_json() or {}
        name = str(given.get("act"))
        if name not in ACTS:
            return jsonify(error=f"No such act: {name}", acts=sorted(ACTS)), 400
        return jsonify(done=plain(ACTS[name](chosen(), given)))

    @levers.get("/open")
    def open_app() -> Any:
        options = {key[8:-1]: value for key, value in request.args.items() if key.startswith("options[")}
        try:
            opening = chosen().open_app(int(request.args.get("user", 1)), request.args.get("placement", "DEFAULT"), options, request.args.get("handler", ""))
        except NotInstalled as notice:
            return jsonify(error=str(notice)), 409
        return jsonify(url=opening.url, fields=opening.fields, frame=opening.frame_name, sid=opening.sid)

    @levers.post("/events")
    def events() -> Response:
        """{"hold", "drop": n, "name": regex, "shuffle", "duplicate", "delay"}."""
        given, delivery = request.get_json() or {}, bitrix24.delivery
        if "hold" in given:
            (delivery.hold if given["hold"] else delivery.release)()
        if given.get("drop"):
            delivery.drop(int(given["drop"]), str(given.get("name", ".*")))
        if "shuffle" in given:
            delivery.shuffle(bool(given["shuffle"]))
        if "duplicate" in given:
            delivery.duplicate(bool(given["duplicate"]))
        if "delay" in given:
            delivery.delay = float(given["delay"])
        return jsonify(waiting=delivery.waiting())

    @levers.get("/events")
    def sent() -> Response:
        return jsonify(
            waiting=bitrix24.delivery.waiting(),
            delivered=[
                {
                    "name": one.parcel.name,
                    "portal": one.parcel.portal,
                    "handler": one.parcel.handler,
                    "status": one.status,
                    "at": one.at,
                    "error": one.error,
                    "body": plain(one.parcel.body),
                }
                for one in bitrix24.delivery.log
            ],
        )
