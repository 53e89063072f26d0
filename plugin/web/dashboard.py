"""How it goes: the dashboard, and the causes that stop documents."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from plugin.usecases import batches, dashboard, failures
from plugin.web.batches import in_dialog
from plugin.web.here import services, visitor
from plugin.web.render import page, part

blueprint = Blueprint("dashboard", __name__, url_prefix="/dashboard")


@blueprint.get("")
def shown() -> ResponseReturnValue:
    """The page."""
    return page("dashboard/page.html", "dashboard", shown=dashboard.dashboard(services(), visitor()))


@blueprint.get("/now")
def now() -> ResponseReturnValue:
    """Its moving part, which asks for itself while somebody looks."""
    return part("dashboard/body.html", shown=dashboard.dashboard(services(), visitor()))


@blueprint.get("/causes/<int:failure_id>")
def cause(failure_id: int) -> ResponseReturnValue:
    """One cause, with the documents that it stops."""
    failure, documents = failures.documents(services(), visitor(), failure_id)
    return page("dashboard/cause.html", "dashboard", failure=failure, documents=documents)


@blueprint.post("/causes/<int:failure_id>/again")
def again(failure_id: int) -> ResponseReturnValue:
    """Prepare all of them once more, together."""
    return in_dialog(batches.shown(services(), visitor(), failures.send_again(services(), visitor(), failure_id)))
