"""The connection proves itself: a button, the steps as they go, and the runs before."""

from __future__ import annotations

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from plugin.usecases import self_test
from plugin.web import failures
from plugin.web.here import services, visitor
from plugin.web.render import page, part

blueprint = Blueprint("self_test", __name__, url_prefix="/self-test")


@blueprint.before_request
def administrators() -> Response | None:
    """It speaks of the whole portal."""
    return None if visitor().admin else failures.administrators_only()


@blueprint.get("")
def shown() -> ResponseReturnValue:
    """The page."""
    return page("self_test/page.html", "dashboard", test=self_test.shown(services(), visitor()))


@blueprint.get("/now")
def now() -> ResponseReturnValue:
    """Its moving part, while a run goes on."""
    return part("self_test/body.html", test=self_test.shown(services(), visitor()))


@blueprint.post("")
def begin() -> ResponseReturnValue:
    """Order a run."""
    self_test.order(services(), visitor())
    return part("self_test/body.html", test=self_test.shown(services(), visitor()))
