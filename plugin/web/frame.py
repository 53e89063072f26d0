"""Everything under /app: seen only with a frame pass."""

from __future__ import annotations

from flask import Blueprint, Response, g, request
from flask.typing import ResponseReturnValue

from plugin.usecases import NotHere, connect_xero, first_sync, open_app, rights
from plugin.web import activity, batches, calls, cards, dashboard, failures, guide, invoices, self_test, settings
from plugin.web.connection import connection_page, still_waiting
from plugin.web.frame_pass import HEADER, PassRefused
from plugin.web.here import passes, services, shown_pass, visitor
from plugin.web.render import instead, page, part

blueprint = Blueprint("frame", __name__, url_prefix="/app")


@blueprint.before_request
def find_visitor() -> Response | None:
    """The guard: the pass names the visitor, or nothing is shown."""
    try:
        claims = passes().read(shown_pass())
        g.visitor = open_app.visitor(services(), claims.portal_id, claims.user_id, claims.lang)
        if not {"frame.invoices", "frame.cards"} & {*request.blueprints}:
            g.visitor = rights.confirmed(services(), g.visitor)
    except (PassRefused, NotHere):
        return failures.pass_refused()
    return None


@blueprint.after_request
def renew_pass(response: Response) -> Response:
    """A page in use never runs into the end of its pass."""
    if g.get("visitor") is not None and HEADER in request.headers and (fresh := passes().renewed(request.headers[HEADER])):
        response.headers[HEADER] = fresh
    return response


@blueprint.get("/")
def home() -> ResponseReturnValue:
    """The first page: what is missing before work can start, else the invoices."""
    state = open_app.home(services(), visitor())
    if state.set_up:
        return invoices.listed()
    if not visitor().admin:
        return page("not_ready.html", "invoices", home=state)
    if not state.connected:
        return connection_page(connect_xero.shown(services(), visitor()), home=state)
    return settings.shown()


@blueprint.get("/connection")
def connection() -> ResponseReturnValue:
    """Asked again and again while the window at Xero is open; moves the page on when it is done."""
    state = connect_xero.shown(services(), visitor())
    if still_waiting(state, request.args.get("was", "")):
        return "", 204
    return instead(str(home()) if state.state == "connected" else connection_page(state))


@blueprint.get("/first-sync")
def first_synchronisation() -> ResponseReturnValue:
    """The progress card, which asks for itself while work runs."""
    return part("first_sync/card.html", sync=first_sync.progress(services(), visitor()))


blueprint.register_blueprint(invoices.blueprint)
blueprint.register_blueprint(cards.blueprint)
blueprint.register_blueprint(batches.blueprint)
blueprint.register_blueprint(activity.blueprint)
blueprint.register_blueprint(dashboard.blueprint)
blueprint.register_blueprint(calls.blueprint)
blueprint.register_blueprint(self_test.blueprint)
blueprint.register_blueprint(guide.blueprint)
blueprint.register_blueprint(settings.blueprint)
