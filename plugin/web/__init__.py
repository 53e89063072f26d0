"""Flask lives here and nowhere else: parse, call one verb, render. `register(app)` is the only door."""

from __future__ import annotations

from flask import Flask


def register(app: Flask) -> None:
    """Give the app its pages. `app.extensions["tallybridge"]` must hold the services before the first request."""
    from plugin.web import failures, frame, here, language, policy, public, render, xero_window

    app.config.setdefault("MAX_CONTENT_LENGTH", 4 * 1024 * 1024)
    app.url_map.converters["int"] = here.Id
    language.register(app)
    render.register(app)
    policy.register(app)
    failures.register(app)
    app.register_blueprint(public.blueprint)
    app.register_blueprint(xero_window.blueprint)
    app.register_blueprint(frame.blueprint)
