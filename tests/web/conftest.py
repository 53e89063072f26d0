"""The pages in front of verbs that answer at once: for guards, headers and documents. Stories go through the real verbs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from plugin import web
from plugin.config import Config
from plugin.domain.crm import Visitor
from plugin.usecases import open_app, rights
from plugin.usecases.shown import Home
from plugin.web.frame_pass import HEADER, Claims, FramePasses

SECRET = "sixteen characters and more"
MERE = Visitor(portal_id=1, member_id="a" * 32, domain="acme.bitrix24.test", user_id=7, name="Mere Tamati", admin=True, lang="en")
SIONE = replace(MERE, user_id=8, name="Sione Fifita", admin=False)


@dataclass
class Site:
    """The app, and requests of one visitor with a good pass."""

    app: Flask
    client: FlaskClient
    passes: FramePasses
    visitor: Visitor = MERE

    def headers(self) -> dict[str, str]:
        token = self.passes.issue(Claims(self.visitor.portal_id, self.visitor.user_id, self.visitor.lang))
        return {HEADER: token, "HX-Request": "true"}

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, headers=self.headers(), **more)

    def post(self, path: str, **more: Any) -> TestResponse:
        return self.client.post(path, headers=self.headers(), **more)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    app = Flask("plugin", template_folder="../templates", static_folder="../static", static_url_path="/static")
    config = Config(public_url="https://app.test", secret_key=SECRET)
    app.extensions["tallybridge"] = SimpleNamespace(config=config, now=lambda: datetime(2026, 11, 21, 9, 0, tzinfo=UTC))
    web.register(app)
    here = Site(app, app.test_client(), FramePasses(SECRET))
    monkeypatch.setattr(open_app, "visitor", lambda *_: here.visitor)
    monkeypatch.setattr(rights, "confirmed", lambda _services, visitor: visitor)
    monkeypatch.setattr(open_app, "home", lambda *_: Home("Kauri Trading", connected=True, set_up=True))
    return here
