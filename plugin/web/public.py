"""What the world may call without a pass: Bitrix24's openings and events, health and figures. Each proves itself in its own way."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, make_response, render_template, request
from flask.typing import ResponseReturnValue

from plugin.usecases import automation, health, open_app, portal_events
from plugin.web import failures
from plugin.web.frame_pass import HEADER, PassRefused
from plugin.web.here import new_pass, passes, services
from plugin.web.opening import claimed_launch, opened_page

blueprint = Blueprint("public", __name__)


@blueprint.get("/")
@blueprint.get("/bitrix24/install")
@blueprint.get("/bitrix24/app")
@blueprint.get("/bitrix24/placement")
@blueprint.get("/bitrix24/events")
@blueprint.get("/bitrix24/robot")
def landing() -> ResponseReturnValue:
    """A neutral page for whoever comes without Bitrix24, and for its own checks."""
    return render_template("landing.html")


@blueprint.post("/bitrix24/install")
def install() -> ResponseReturnValue:
    """The installer page."""
    launch = claimed_launch()
    return opened_page(open_app.install(services(), launch), launch, installing=True)


@blueprint.post("/bitrix24/app")
@blueprint.post("/bitrix24/placement")
def open_frame() -> ResponseReturnValue:
    """The app page and every widget."""
    launch = claimed_launch()
    return opened_page(open_app.opened(services(), launch), launch)


@blueprint.post("/app/pass")
def renew_pass() -> ResponseReturnValue:
    """A new pass for the holder of an old one who shows a fresh token of the same person."""
    try:
        claims = passes().read_ended(request.headers.get(HEADER, ""))
    except PassRefused:
        return failures.pass_refused()
    person = open_app.renew(services(), claims.portal_id, claims.user_id, claims.lang, request.form.get("AUTH_ID", ""))
    answer = make_response("", 204)
    answer.headers[HEADER] = new_pass(person, claims.sid)
    return answer


@blueprint.post("/bitrix24/events")
def events() -> ResponseReturnValue:
    """An event of the portal: believed by its application token, stored, acknowledged."""
    return ("", 200) if portal_events.receive(services(), request.form.items(multi=True)) else ("", 403)


@blueprint.post("/bitrix24/robot")
def robot() -> ResponseReturnValue:
    """A call of the automation rule "Create / Edit on Xero": believed by its application token, kept, acknowledged."""
    return ("", 200) if automation.receive(services(), request.form.items(multi=True)) else ("", 403)


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Is this machine fit to serve?"""
    state = health.health(services())
    return jsonify(state), 200 if state.get("ok", True) else 503


@blueprint.get("/metrics")
def metrics() -> ResponseReturnValue:
    """Figures in Prometheus' text format."""
    return Response(health.metrics(services()), mimetype="text/plain; version=0.0.4")
