"""Who is acting in the face: chosen in the header, kept in a cookie per portal."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, redirect, request

from sandbox.bitrix24.people import User
from sandbox.bitrix24.portal import Portal

PortalOf = Callable[[], Portal]


def acting(portal: Portal) -> User:
    """The chosen user, else the first."""
    chosen = request.cookies.get(f"acting_{portal.name}", "")
    user = portal.users.get(int(chosen)) if chosen.isdigit() else None
    return user if user is not None and user.active else next(one for one in portal.users.values() if one.active)


def act_as(portal: Portal, user_id: int) -> Response:
    """Switch, and stay on the page."""
    answer = Response(status=303, headers={"Location": back("/")})
    if user_id in portal.users:
        answer.set_cookie(f"acting_{portal.name}", str(user_id), samesite="Lax")
    return answer


def back(otherwise: str) -> str:
    """The page that the form says it was on; only a path of this portal."""
    wanted = request.form.get("back", "")
    return wanted if wanted.startswith("/") and not wanted.startswith("//") else otherwise


def leave(otherwise: str) -> Response:
    answer = redirect(back(otherwise), 303)
    assert isinstance(answer, Response)
    return answer
