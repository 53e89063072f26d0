"""Pages out of templates, and the few filters that know locales."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from babel.dates import format_skeleton, format_time
from babel.numbers import format_currency
from babel.units import format_unit
from flask import Flask, Response, current_app, g, make_response, render_template, request, url_for
from flask_babel import format_date, format_decimal, format_timedelta, get_locale, get_timezone

from plugin import sentences
from plugin.usecases import open_app
from plugin.usecases.shown import COLUMNS, Home, Told
from plugin.web import charts
from plugin.web.here import services, visitor
from plugin.web.words import WORDS

#: Where each way out of a problem leads: the action of `sentences.repair` to the address of its page.
WAYS_OUT: dict[str, tuple[str, dict[str, Any]]] = {
    "connect": ("frame.settings.connection.shown", {}),
    "organisation": ("frame.settings.step", {"number": 1}),
    "ledgers": ("frame.settings.step", {"number": 2}),
    "stages": ("frame.settings.step", {"number": 3}),
    "taxes": ("frame.settings.step", {"number": 4}),
    "setup": ("frame.settings.shown", {}),
    "takeover": ("frame.settings.shown", {}),
}


def page(template: str, current: str, home: Home | None = None, **values: Any) -> str:
    """A whole page for the frame: navigation, banner, content. `current` names its entry in the navigation."""
    home = home or open_app.home(services(), visitor())
    return render_template(template, home=home, current=current, visitor=visitor(), **values)


def part(template: str, **values: Any) -> str:
    """A piece that replaces part of a page."""
    return render_template(template, visitor=visitor(), **values)


def instead(html: str, status: int = 200) -> Response:
    """Show this as the whole page, whatever part the request meant to replace."""
    response = make_response(html, status)
    response.headers["HX-Retarget"] = "#app"
    response.headers["HX-Reswap"] = "innerHTML"
    return response


def shell(start: str, token: str, title: str) -> str:
    """The document that the iframe shows first; it fetches the page at `start` with its pass."""
    return render_template("shell.html", start=start, token=token, title=title)


class _Reader(NamedTuple):
    """How amounts and moments are written on this page."""

    locale: str
    zone: Any
    year: int


def _reader() -> _Reader:
    """Asked once a request: a list of fifty rows writes hundreds of values."""
    found: _Reader | None = g.get("reader")
    if found is None:
        found = g.reader = _Reader(str(get_locale()), get_timezone(), services().now().year)
    return found


def money(amount: Decimal | None, currency: str) -> str:
    """An amount as the reader's locale writes it; nothing for nothing."""
    return "" if amount is None else _written_amount(amount, currency or "XXX", _reader().locale)


@lru_cache(8192)
def _written_amount(amount: Decimal, currency: str, locale: str) -> str:
    """Kept, as are moments: a list of fifty rows would spend most of its time on them, and shows the same ones again and again."""
    return str(format_currency(amount, currency, locale=locale))


@lru_cache(8192)
def _written_moment(value: datetime, skeleton: str, zone: Any, locale: str, timed: bool) -> str:
    day_ = str(format_skeleton(skeleton, value, tzinfo=zone, locale=locale)).replace(" ", "\N{NO-BREAK SPACE}")
    return f"{day_}, {format_time(value, 'short', tzinfo=zone, locale=locale)}" if timed else day_


def moment(value: datetime | None) -> str:
    """Day and time in the visitor's zone, with the year only when it is not this one."""
    if value is None:
        return ""
    aware, reader = value if value.tzinfo else value.replace(tzinfo=UTC), _reader()
    return _written_moment(aware, "MMMd" if aware.year == reader.year else "yMMMd", reader.zone, reader.locale, True)


def moment_exact(value: datetime) -> str:
    """Day and time to the second, in the visitor's zone."""
    return f"{short_day(value)}, {format_time(value, 'medium', tzinfo=get_timezone(), locale=get_locale())}"


def day(value: date | None) -> str:
    """A calendar date."""
    return "" if value is None else format_date(value, "medium", rebase=False)


def short_day(value: datetime | None) -> str:
    """Day and month in the visitor's zone, for narrow cells."""
    if value is None:
        return ""
    aware, reader = value if value.tzinfo else value.replace(tzinfo=UTC), _reader()
    return _written_moment(aware, "MMMd", reader.zone, reader.locale, False)


def lasting(seconds: float | None) -> str:
    """A stretch of time in words."""
    return "" if seconds is None else format_timedelta(timedelta(seconds=seconds), granularity="second", threshold=1.5)


def brief(seconds: float | None) -> str:
    """A short stretch of time: tenths of a second while it is one."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return str(format_unit(round(seconds, 1 if seconds >= 1 else 2), "second", "long", locale=get_locale()))
    return lasting(seconds)


def number(value: int | None) -> str:
    """A count as the reader's locale writes it."""
    return "–" if value is None else str(format_decimal(value))


def ago(value: datetime) -> str:
    """How long ago something was."""
    return str(format_timedelta(value - services().now(), granularity="second", threshold=1.2, add_direction=True))


def told(one: Told) -> str:
    """The sentence for a stored problem or activity, in the reader's language."""
    return sentences.sentence(one.code, one.params)


def way_out(one: Told) -> tuple[str, str] | None:
    """Label and address of the button that repairs this, if there is one."""
    found = sentences.repair(one.code)
    if found is None or found[1] not in WAYS_OUT:
        return None
    endpoint, values = WAYS_OUT[found[1]]
    return found[0], url_for(endpoint, **values)


def asset(name: str) -> str:
    """The address of a static file; it changes with the content, so that browsers may keep it. A page of rows asks hundreds of times.

    Put together by hand: a request whose Host is no name has no routes to ask, and its refusal has a stylesheet too.
    """
    addresses: dict[str, str] = g.setdefault("asset_addresses", {})
    if name not in addresses:
        addresses[name] = f"{request.script_root}{current_app.static_url_path}/{name}?v={_fingerprint(name)}"
    return addresses[name]


def _fingerprint(name: str) -> str:
    known: dict[str, str] = current_app.extensions.setdefault("tallybridge.assets", {})
    if name not in known or current_app.debug:
        file = Path(current_app.static_folder or "") / name
        known[name] = sha256(file.read_bytes()).hexdigest()[:10] if file.exists() else "0"
    return known[name]


def register(app: Flask) -> None:
    """Teach the templates the words, the filters and the addresses."""
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        money=money, moment=moment, moment_exact=moment_exact, brief=brief, ago=ago, day=day, short_day=short_day, lasting=lasting, number=number
    )
    app.jinja_env.filters.update(field_words=sentences.field_words)
    app.jinja_env.globals.update(
        WORDS, COLUMNS=COLUMNS, told=told, changed=sentences.changed, way_out=way_out, asset=asset, chart=charts.chart, get_locale=get_locale
    )
