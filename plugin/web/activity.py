"""What happened, sentence by sentence."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from plugin.usecases import activity_log
from plugin.web.here import services, visitor, whole
from plugin.web.render import page

blueprint = Blueprint("activity", __name__, url_prefix="/activity")


@blueprint.get("")
def listed() -> ResponseReturnValue:
    """Newest first, a page at a time."""
    number = whole(request.args.get("page", ""))
    rows, pages = activity_log.page(services(), visitor(), number)
    return page("activity.html", "activity", rows=rows, number=number, pages=pages)
