"""Connecting the portal to a Xero organisation, seen from inside the frame."""

from __future__ import annotations

from dataclasses import replace

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from plugin.usecases import connect_xero
from plugin.usecases.shown import ConnectionShown, Home
from plugin.web.here import services, visitor
from plugin.web.render import page, part

blueprint = Blueprint("connection", __name__, url_prefix="/connection")


def connection_page(state: ConnectionShown, home: Home | None = None) -> str:
    """Connect, choose an organisation, or the connected panel. A window at Xero that an earlier page opened may be gone: offer it anew."""
    if state.state == "waiting":
        state = replace(state, state="none")
    return page("connection/page.html", "settings", home=home, connection=state)


def still_waiting(state: ConnectionShown, was: str) -> bool:
    """Has nothing happened yet in the other window? `was` is how things stood before it was opened."""
    if state.state == "waiting":
        return True
    ended = {"none": state.problem is not None, "connected": not state.missing_scopes}
    return state.state == was and not ended.get(was, False)


@blueprint.get("")
def shown() -> ResponseReturnValue:
    """How the connection stands."""
    return connection_page(connect_xero.shown(services(), visitor()))


@blueprint.post("/ticket")
def ticket() -> ResponseReturnValue:
    """A one-use ticket for the window at Xero, and the panel that waits for it."""
    before = connect_xero.shown(services(), visitor()).state
    token = connect_xero.ticket(services(), visitor())
    return part("connection/waiting.html", was=before, ticket=token)


@blueprint.post("/organisation")
def choose() -> ResponseReturnValue:
    """Take one of the organisations of the last consent, and go on to what is missing next."""
    connect_xero.choose(services(), visitor(), request.form.get("tenant_id", ""))
    return redirect(url_for("frame.home"), 303)


@blueprint.post("/disconnect")
def disconnect() -> ResponseReturnValue:
    """End the connection; nothing is deleted on either side."""
    connect_xero.disconnect(services(), visitor())
    return shown()
