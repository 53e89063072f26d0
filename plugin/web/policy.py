"""The headers that every answer carries: a strict content policy, framed only by the visitor's own portal."""

from __future__ import annotations

from flask import Flask, Response, g

#: Nothing inline, nothing from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors {ancestors}; base-uri 'none'"
)


def framed_by(origin: str) -> None:
    """Let this one answer be shown inside pages of that origin."""
    g.frame_ancestors = origin


def _add(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY.format(ancestors=g.get("frame_ancestors", "'none'"))
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=(), payment=()"
    if response.mimetype == "text/html":
        response.headers["Cache-Control"] = "no-store"
    return response


def register(app: Flask) -> None:
    """Add the headers to whatever this app answers."""
    app.after_request(_add)
