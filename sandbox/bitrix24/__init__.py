"""Bitrix24 in miniature: several portals and the separate authorisation server, as strict as the reference."""

from __future__ import annotations

from datetime import timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, Response, redirect, request

from sandbox.bitrix24 import demo, face, levers, oauth, rest
from sandbox.bitrix24.delivery import Delivery
from sandbox.bitrix24.install import Opening
from sandbox.bitrix24.portal import NotInstalled, Portal
from sandbox.bitrix24.switches import define_all
from sandbox.bitrix24.tokens import TokenBook
from sandbox.controls import Controls, attach, blueprint
from sandbox.settings import PORTALS, SandboxSettings

ZONES: dict[str, tzinfo] = {
    "harbour": ZoneInfo("Pacific/Auckland"),
    "stranger": ZoneInfo("Europe/London"),
    "onpremise": ZoneInfo("Europe/Berlin"),
    "oldinvoices": ZoneInfo("Australia/Sydney"),
    "westcoast": timezone(timedelta(hours=-8)),
}
CATEGORIES = {"harbour": 3, "stranger": 7, "onpremise": 1, "oldinvoices": 2, "westcoast": 11}

#: Everything but REST and OAuth is the stand-in's own: no faults, no record.
QUIET = r"^/(?!rest/|oauth/)"


class Bitrix24:
    """The stand-in: portals by name, one authorisation server, one set of levers."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.controls = Controls()
        define_all(self.controls.switches)
        self.tokens = TokenBook(self.controls, settings.bitrix24_client_id)
        self.delivery = Delivery(self.controls)
        self.portals: dict[str, Portal] = {}
        self.server = oauth.AuthorisationServer(settings, self.controls, self.tokens, lambda: self.portals)
        self._seed()

    def _seed(self) -> None:
        for name in PORTALS:
            url = self.settings.portal_urls.get(name, f"http://{name}.invalid")
            portal = Portal(name, url, self.settings, self.controls, self.tokens, self.delivery, ZONES[name], on_premise=name == "onpremise")
            portal.invoice_category = CATEGORIES[name]
            demo.SEEDS[name](portal)
            self.portals[name] = portal

    def reset(self) -> None:
        """Freshly seeded, levers at their defaults."""
        self.delivery.clear()
        self.controls.reset()
        self.tokens.clear()
        self._seed()

    def portal_app(self, name: str) -> Flask:
        """One portal's origin: REST under /rest/, the CRM everywhere else."""
        app = self._app(f"sandbox_{name}")

        @app.before_request
        def moved() -> Any:
            """A renamed portal answers 302 under its old name (B§2.8)."""
            portal = self.portals[name]
            if portal.old_origin and not request.path.startswith("/_sandbox") and request.host == portal.old_origin.partition("//")[2]:
                return redirect(portal.url + request.full_path.rstrip("?"), 302)
            return None

        attach(app, self.controls, QUIET)
        app.register_blueprint(rest.blueprint(lambda: self.portals[name]))
        app.register_blueprint(face.blueprint(lambda: self.portals[name]))
        app.register_blueprint(self._levers(lambda: self.portals[name]))
        return app

    def oauth_app(self) -> Flask:
        """The authorisation server's origin."""
        app = self._app("sandbox_oauth")
        attach(app, self.controls, QUIET_OAUTH)
        app.register_blueprint(oauth.blueprint(self.server))
        app.register_blueprint(self._levers(lambda: self.portals[PORTALS[0]]))
        return app

    def _levers(self, portal_of: Any) -> Any:
        made = blueprint(self.controls)
        levers.extend(made, self, portal_of)
        return made

    @staticmethod
    def _app(name: str) -> Flask:
        app = Flask(name, root_path=str(Path(__file__).parent), static_folder=None, template_folder=None)
        app.json.sort_keys = False  # type: ignore[attr-defined]

        @app.get("/healthz")
        def healthy() -> Response:
            return Response("ok", mimetype="text/plain")

        return app


QUIET_OAUTH = r"^/(_sandbox|healthz)"

__all__ = ["Bitrix24", "NotInstalled", "Opening", "Portal"]
