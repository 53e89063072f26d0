"""What a view needs to know about this request: the services and the visitor."""

from __future__ import annotations

from typing import cast

from flask import current_app, g

from plugin.domain.crm import Visitor
from plugin.services import Services
from plugin.web.frame_pass import Claims, FramePasses


def services() -> Services:
    """The parts that create_app put together."""
    return cast(Services, current_app.extensions["tallybridge"])


def visitor() -> Visitor:
    """The person in the frame; the guard of the blueprint has found them."""
    return cast(Visitor, g.visitor)


def passes() -> FramePasses:
    """Frame passes under this installation's key."""
    return FramePasses(services().config.secret_key)


def new_pass(person: Visitor, sid: str = "") -> str:
    """A pass for a person whom Bitrix24 has just confirmed."""
    return passes().issue(Claims(person.portal_id, person.user_id, person.lang, sid))
