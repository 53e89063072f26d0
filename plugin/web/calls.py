"""The calls to the partners, for administrators."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from plugin.usecases import read_calls
from plugin.web import failures
from plugin.web.here import services, visitor, whole
from plugin.web.render import page, part

blueprint = Blueprint("calls", __name__, url_prefix="/calls")


@blueprint.before_request
def administrators() -> Response | None:
    """Calls are for administrators of the portal and for support."""
    return None if visitor().admin else failures.administrators_only()


@blueprint.get("")
def listed() -> ResponseReturnValue:
    """The page: search and the list, newest first."""
    return page("calls/page.html", "dashboard", **_found())


@blueprint.get("/list")
def narrowed() -> ResponseReturnValue:
    """Only the list, for another page of it or another search."""
    return part("calls/list.html", **_found())


@blueprint.get("/<int:number>")
def one(number: int) -> ResponseReturnValue:
    """One call, with what is kept of its request and answer."""
    return page("calls/one.html", "dashboard", call=read_calls.one(services(), visitor(), number))


def _found() -> dict[str, Any]:
    number = whole(request.args.get("page", ""))
    partner = request.args.get("partner", "")
    asked = read_calls.CallFilter(
        request.args.get("search", "").strip()[:100], partner if partner in ("xero", "bitrix24") else "", request.args.get("troubled") == "1"
    )
    calls, pages = read_calls.page(services(), visitor(), asked, number)
    return {"calls": calls, "asked": asked, "number": number, "pages": pages}
