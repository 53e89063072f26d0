"""What a person sees when something does not work: always a sentence, never a stack."""

from __future__ import annotations

import logging
from uuid import uuid4

from flask import Flask, Response, g, make_response, render_template, request
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException

from plugin.domain.problems import Problem
from plugin.usecases import NotAllowed, NotHere
from plugin.usecases.shown import Told
from plugin.web.render import instead, told, way_out

log = logging.getLogger(__name__)

STATUS_OF = {"never": 409, "later": 503, "after": 503, "reconnect": 409}


def shown(status: int, title: str, sentence: str, way: tuple[str, str] | None = None, reference: str = "") -> Response:
    """The panel: inside the frame in place of the page, in the open dialog if one asked, or as a document of its own."""
    values = {"title": title, "sentence": sentence, "way": way, "reference": reference, "visitor": g.get("visitor")}
    if "HX-Request" not in request.headers:
        return make_response(render_template("failure_document.html", **values), status)
    if request.headers.get("HX-Target") == "dialog-content":
        return make_response(render_template("failure_dialog.html", **values), status)
    return instead(render_template("failure_page.html", **values), status)


def pass_refused() -> Response:
    """Nobody can be recognised: the pass is missing, forged, or has ended."""
    return shown(401, _("Please open the app again"), _("Open the app again from Bitrix24: this page has been open for too long, or the app was removed."))


def administrators_only() -> Response:
    """A page of the settings for somebody who is no administrator."""
    return shown(403, _("For administrators"), _("Only an administrator of your Bitrix24 may do this. Ask one of them."))


def _problem(problem: Problem) -> Response:
    one = Told(problem.code, problem.params)
    return shown(STATUS_OF[problem.retry.kind], _("This could not be done"), told(one), way_out(one))


def _not_here(_error: Exception) -> Response:
    return shown(404, _("Not found"), _("What you are looking for is not here, or not yours to see."))


def _not_allowed(_error: Exception) -> Response:
    return administrators_only()


def _http(error: HTTPException) -> Response:
    if error.code is None or error.code < 400:
        return make_response(error.get_response())
    sentences = {
        404: _("What you are looking for is not here, or not yours to see."),
        405: _("This page is opened from Bitrix24."),
        413: _("That is more than this page accepts at once."),
    }
    return shown(error.code, _("This could not be done"), sentences.get(error.code, _("The request was not understood. Go back and try again.")))


def _unexpected(error: Exception) -> Response:
    reference = uuid4().hex[:8]
    log.exception("unexpected failure %s", reference, exc_info=error)
    sentence = _("Something went wrong on our side and was recorded. Try again in a minute.")
    return shown(500, _("Something went wrong"), sentence, reference=reference)


def register(app: Flask) -> None:
    """Answer every failure with a sentence."""
    app.register_error_handler(Problem, _problem)
    app.register_error_handler(NotHere, _not_here)
    app.register_error_handler(NotAllowed, _not_allowed)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)
