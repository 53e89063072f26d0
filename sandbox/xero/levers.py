"""The levers over HTTP that only this stand-in has: reset, state, acts, webhooks."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from sandbox.xero import contacts, credit_notes, invoices, items, ledgers, payments, quotes
from sandbox.xero.desk import Desk
from sandbox.xero.errors import Refused
from sandbox.xero.words import to_json

if TYPE_CHECKING:
    from sandbox.xero.actions import Actions
    from sandbox.xero.world import World

ACTS = (
    "create_invoice", "create_bill", "edit", "approve", "void", "delete", "add_line", "pay", "unpay", "create_credit_note", "allocate", "edit_quote",
    "create_contact", "edit_contact", "archive_contact", "restore_contact", "merge_contacts", "create_item", "archive_account",
    "tax_rate_status", "archive_option", "lock_date", "organisation_set", "disconnect", "set_role", "revoke", "leave", "limits", "fill",
)  # fmt: skip


def _state_of(desk: Desk, world: World) -> dict[str, Any]:
    books = desk.books
    return {
        "organisation": ledgers.render_organisation(desk),
        "tenantId": books.tenant_id,
        "contacts": [contacts.render(desk, one) for one in books.contacts],
        "invoices": [invoices.render(desk, one) | {"CreatedByApp": one.by_app} for one in books.invoices],
        "items": [items.render(desk, one) for one in books.items],
        "payments": [payments.render(desk, one) for one in books.payments],
        "creditNotes": [credit_notes.render(desk, one) for one in books.credit_notes],
        "quotes": [quotes.render(desk, one) for one in books.quotes],
        "accounts": [ledgers.render_account(one) for one in books.accounts],
        "remaining": dict(zip(("minute", "day", "appMinute"), world.limits.remaining(books.tenant_id), strict=True)),
    }


def state(world: World) -> dict[str, Any]:
    """Everything, in the API's own words."""
    with world.lock:
        found = [_state_of(Desk(books, world.controls, places=4), world) for books in world.books.values()]
        connections = [asdict(one) for one in world.identity.connections.values()]
    deliveries = [{name: getattr(one, name) for name in ("events", "first", "last", "status", "attempt")} for one in world.webhooks.deliveries]
    return {"organisations": found, "connections": connections, "webhooks": {"waiting": world.webhooks.waiting, "deliveries": deliveries}}


def blueprint(world: World, actions: Actions) -> Blueprint:
    """Under `/_sandbox/`, beside the common levers."""
    levers = Blueprint("xero_levers", __name__, url_prefix="/_sandbox")

    @levers.post("/reset")
    def reset() -> Response:
        world.reset()
        return jsonify(reset=True)

    @levers.get("/state")
    def show() -> Response:
        return Response(to_json(_plain(state(world))), 200, mimetype="application/json")

    @levers.post("/act")
    def act() -> Response:
        """`{"act": "pay", "tenant": …, "invoice": …}`: the name of an action and its arguments."""
        given = dict(request.get_json())
        name = given.pop("act", "")
        if name not in ACTS:
            return Response(to_json({"error": f"There is no act {name}", "acts": list(ACTS)}), 400, mimetype="application/json")
        try:
            result = getattr(actions, name)(**given)
        except (Refused, TypeError, KeyError, StopIteration, ValueError) as refused:
            return Response(to_json({"error": str(refused) or type(refused).__name__}), 400, mimetype="application/json")
        return Response(to_json({"done": name, "result": _plain(_identified(result))}), 200, mimetype="application/json")

    @levers.post("/webhooks/release")
    def release() -> Response:
        world.webhooks.release()
        return jsonify(waiting=world.webhooks.waiting)

    @levers.post("/webhooks/intent")
    def intent() -> Response:
        return jsonify(statuses=world.webhooks.intent_to_receive())

    @levers.post("/webhooks/delay")
    def delay() -> Response:
        world.webhooks.delay = float(request.get_json()["seconds"])
        return jsonify(seconds=world.webhooks.delay)

    return levers


def _identified(result: object) -> object:
    """A row becomes its id, number and status."""
    if hasattr(result, "id"):
        return {name: getattr(result, name) for name in ("id", "number", "status", "name") if hasattr(result, name)}
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
