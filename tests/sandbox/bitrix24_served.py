"""The Bitrix24 stand-in on real sockets, for the tests of this folder; an app of its own listens to what portals send."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import requests
from cheroot import wsgi
from flask import Flask, Response, request

from sandbox.bitrix24 import Bitrix24, Opening, Portal
from sandbox.bitrix24.php import nest
from sandbox.settings import PORTALS, SandboxSettings

HOST = "127.0.0.1"


def listen(app: Any, host: str = HOST) -> wsgi.Server:
    """A server on a free port, answering from a thread of its own."""
    server = wsgi.Server((host, 0), app, numthreads=4, shutdown_timeout=0)
    server.prepare()
    threading.Thread(target=server.serve, daemon=True).start()
    return server


@dataclass
class Reply:
    status: int
    body: Any

    @property
    def result(self) -> Any:
        assert "error" not in self.body, self.body
        return self.body["result"]

    @property
    def error(self) -> Any:
        return self.body["error"]


@dataclass
class HeardApp:
    """The app's side: keeps every event that reaches it."""

    events: list[dict[str, Any]] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)

    def flask(self) -> Flask:
        app = Flask("heard_app", static_folder=None)

        @app.post("/bitrix24/<path:path>")
        def heard(path: str) -> Response:
            if path in ("events", "robot"):
                self.events.append({"path": path, **nest(request.form.items(multi=True))})
                return Response("")
            return Response(self.pages.get(path, "<!doctype html><title>App</title>"), mimetype="text/html")

        @app.get("/b24jssdk.js")
        def sdk() -> Response:
            return Response(self.pages.get("sdk", ""), mimetype="text/javascript")

        return app

    def named(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one.get("event", one.get("code")) == name]


class Served:
    """Portals, authorisation server and app, all listening."""

    def __init__(self) -> None:
        self.heard = HeardApp()
        self._servers = [listen(self.heard.flask())]
        self.settings = SandboxSettings(app_url=f"http://localhost:{self._servers[0].bind_addr[1]}")
        gates: dict[str, Any] = {}
        for name in (*PORTALS, "oauth"):
            server = listen(lambda environ, start, name=name: gates[name](environ, start))
            self._servers.append(server)
            url = f"http://{HOST}:{server.bind_addr[1]}"
            if name == "oauth":
                self.settings.oauth_url = url
            else:
                self.settings.portal_urls[name] = url
        self.bitrix24 = Bitrix24(self.settings)
        gates |= {name: self.bitrix24.portal_app(name) for name in PORTALS} | {"oauth": self.bitrix24.oauth_app()}
        self.session = requests.Session()
        self.session.trust_env = False

    def stop(self) -> None:
        self.session.close()
        for server in self._servers:
            server.stop()

    def reset(self) -> None:
        self.bitrix24.reset()
        self.bitrix24.controls.switches.set("limits", "off")
        self.heard.events.clear()

    @property
    def harbour(self) -> Portal:
        return self.bitrix24.portals["harbour"]

    def switch(self, name: str, position: str) -> None:
        self.bitrix24.controls.switches.set(name, position)

    def installed(self, name: str = "harbour", user: int = 1) -> Opening:
        """The app installed, opened by this user."""
        portal = self.bitrix24.portals[name]
        if portal.installation is None:
            portal.install_fully()
        return portal.open_app(user)

    def call(self, method: str, params: dict[str, Any] | None = None, token: str = "", portal: str = "harbour") -> Reply:
        """One REST call with JSON, as an administrator of this portal unless a token is given."""
        if not token:
            token = self._token(portal)
        answer = self.session.post(f"{self.bitrix24.portals[portal].url}/rest/{method}", json={**(params or {}), "auth": token}, allow_redirects=False)
        return Reply(answer.status_code, answer.json() if answer.headers["Content-Type"].startswith("application/json") else answer.text)

    def _token(self, name: str) -> str:
        portal = self.bitrix24.portals[name]
        if portal.installation is None:
            portal.install_fully()
        return self.bitrix24.tokens.for_event(portal.member_id, 1).access

    def token_of(self, user: int, name: str = "harbour") -> str:
        self._token(name)
        return self.bitrix24.tokens.for_event(self.bitrix24.portals[name].member_id, user).access

    def oauth(self, verb: str = "POST", **given: str) -> Reply:
        """/oauth/token/ with the app's own keys unless told otherwise."""
        body = {"client_id": self.settings.bitrix24_client_id, "client_secret": self.settings.bitrix24_client_secret, **given}
        answer = self.session.request(verb, f"{self.settings.oauth_url}/oauth/token/", **{"data" if verb == "POST" else "params": body})
        return Reply(answer.status_code, answer.json())

    def trusted(self, token: str) -> Reply:
        answer = self.session.get(f"{self.settings.oauth_url}/rest/app.info", params={"auth": token})
        return Reply(answer.status_code, answer.json())

    def heard_events(self, name: str) -> list[dict[str, Any]]:
        """Events of this name once everything has been delivered."""
        assert self.bitrix24.delivery.flush(5)
        return self.heard.named(name)
