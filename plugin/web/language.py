"""Which language, time zone and direction a page is written in."""

from __future__ import annotations

from functools import lru_cache

from flask import Flask, g, has_request_context, request
from flask_babel import Babel

from plugin.sentences import TRANSLATIONS, written_locale


def chosen_locale() -> str:
    """The visitor's language, else the one in the address that Bitrix24 opened, else the browser's first; English for workers."""
    if not has_request_context():
        return "en"
    visitor = g.get("visitor")
    if visitor is not None:
        return written_locale(visitor.lang)
    claimed = request.args.get("LANG", "") or (request.accept_languages.best or "en")
    return written_locale(claimed[:12])


def chosen_timezone() -> str | None:
    """The visitor's own time zone as Bitrix24 names it."""
    visitor = g.get("visitor") if has_request_context() else None
    zone = visitor.timezone if visitor is not None else ""
    return zone if zone in _zones() else None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    from zoneinfo import available_timezones

    return frozenset(available_timezones())


def register(app: Flask) -> None:
    """Attach Flask-Babel."""
    Babel(app, default_translation_directories=str(TRANSLATIONS), locale_selector=chosen_locale, timezone_selector=chosen_timezone)
