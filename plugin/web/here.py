"""What a view needs to know about this request: the services and the visitor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from flask import current_app, g, request
from werkzeug.routing import IntegerConverter, Map

from plugin.domain.crm import Visitor
from plugin.services import Services
from plugin.web.frame_pass import HEADER, Claims, FramePasses

#: No id and no page is larger; a database would refuse the number before it could find nothing under it.
LARGEST = 2**31 - 1


class Id(IntegerConverter):
    """`<int:…>` in an address: what no database can hold is not here."""

    def __init__(self, map: Map, *arguments: Any, **more: Any) -> None:
        super().__init__(map, *arguments, **{"max": LARGEST, **more})


def whole(written: str, default: int = 1) -> int:
    """A number in a request; what is none, or beyond all sense, counts as not given."""
    short = written.isascii() and written.isdigit() and len(written) <= 10
    return int(written) if short and int(written) <= LARGEST else default


def whole_numbers(written: Iterable[str]) -> list[int]:
    """The ids in a request, without what is none."""
    return [number for number in (whole(one, 0) for one in written) if number]


def services() -> Services:
    """The parts that create_app put together."""
    return cast(Services, current_app.extensions["tallybridge"])


def visitor() -> Visitor:
    """The person in the frame; the guard of the blueprint has found them."""
    return cast(Visitor, g.visitor)


def passes() -> FramePasses:
    """Frame passes under this installation's key."""
    return FramePasses(services().config.secret_key)


#: Downloads are asked for by a form of the page itself, for a script would have to hold the whole file: the pass travels in its body.
FORM_FIELD = "frame_pass"
DOWNLOADS = ("frame.activity.export",)


def shown_pass() -> str:
    """The pass that this request shows: in its header, and in the body of a form where that downloads something."""
    if request.endpoint in DOWNLOADS and FORM_FIELD in request.form:
        return request.form[FORM_FIELD]
    return request.headers.get(HEADER, "")


def new_pass(person: Visitor, sid: str = "") -> str:
    """A pass for a person whom Bitrix24 has just confirmed."""
    return passes().issue(Claims(person.portal_id, person.user_id, person.lang, sid))
