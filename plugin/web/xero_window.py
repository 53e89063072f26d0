"""Xero's side of the door: the window in which somebody logs in, and Xero's webhooks."""

from __future__ import annotations

from flask import Blueprint, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from plugin.usecases import connect_xero, receive_webhooks
from plugin.web.here import services

blueprint = Blueprint("xero_window", __name__)

#: First-party in the new window only; Lax, because Xero sends the browser back from its own site.
COOKIE = "tallybridge_connect"
COOKIE_LIFE = 900


@blueprint.get("/xero/connect")
def connect() -> ResponseReturnValue:
    """A one-use ticket buys the cookie of this window and the way to Xero."""
    begun = connect_xero.begin(services(), request.args.get("ticket", ""))
    answer = make_response(redirect(begun.redirect_url))
    answer.set_cookie(COOKIE, begun.cookie_value, max_age=COOKIE_LIFE, path="/xero/", httponly=True, secure=_is_https(), samesite="Lax")
    answer.headers["Cache-Control"] = "no-store"
    return answer


@blueprint.get("/xero/callback")
def callback() -> ResponseReturnValue:
    """Xero's answer: connected, or a refusal in a sentence."""
    finished = connect_xero.finish(services(), request.args, request.cookies.get(COOKIE))
    answer = make_response(render_template("connection/callback.html", finished=finished), 200 if finished.problem is None else 400)
    answer.delete_cookie(COOKIE, path="/xero/", httponly=True, secure=_is_https(), samesite="Lax")
    return answer


@blueprint.post("/xero/webhooks")
def webhooks() -> ResponseReturnValue:
    """Believed by the signature over the raw bytes; the answer is empty and sets no cookie."""
    believed = receive_webhooks.receive(services(), request.get_data(cache=False), request.headers.get("x-xero-signature"))
    return ("", 200) if believed else ("", 401)


def _is_https() -> bool:
    return services().config.public_url.startswith("https://")
