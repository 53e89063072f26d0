"""An office at work: the app in this process, both partners over real sockets, and the verbs through HTTP as a browser sends them."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from plugin import create_app, inbox, portal_work
from plugin.config import Config
from plugin.models import Job
from plugin.sending import conductor
from plugin.services import Services
from plugin.usecases import take_events, take_webhooks
from sandbox.bitrix24.portal import Portal
from sandbox.serve import Sandbox

HARBOUR_ORGANISATION = "Harbour & Vine Trading Ltd"


@dataclass
class Person:
    """Somebody with the app open in a portal."""

    office: Office
    portal: Portal
    user: int
    frame_pass: str
    html: str

    def get(self, path: str, **query: Any) -> TestResponse:
        return self._kept(self.office.client.get(path, query_string=query, headers=self._headers()))

    def post(self, path: str, data: Any = None) -> TestResponse:
        return self._kept(self.office.client.post(path, data=data or {}, headers=self._headers()))

    def _headers(self) -> dict[str, str]:
        return {"X-Frame-Pass": self.frame_pass, "HX-Request": "true"}

    def _kept(self, answer: TestResponse) -> TestResponse:
        self.frame_pass = answer.headers.get("X-Frame-Pass", self.frame_pass)
        return answer

    def connect_xero(self, login: str = "olivia", organisation: str = HARBOUR_ORGANISATION) -> str:
        """Press "Connect to Xero", log in there, allow. Returns the page that the new window shows at the end."""
        panel = self.post("/app/setup/connection/ticket").text
        ticket = re.search(r"/xero/connect\?ticket=([\w-]+)", panel)
        assert ticket, panel
        window = self.office.app.test_client()
        away = window.get(f"/xero/connect?ticket={ticket[1]}")
        assert away.status_code == 302, away.text
        tenant = next(one for one, books in self.office.sandbox.xero.organisations.items() if books.organisation.name == organisation)
        back = requests.post(away.location, data={"login": login, "organisation": tenant, "decision": "allow"}, allow_redirects=False, timeout=5)
        assert back.status_code in (302, 303), back.text
        return window.get(_path(back.headers["Location"])).text

    def set_up(self, **changes: Any) -> None:
        """Go through the wizard, taking what it proposes except for these changes."""
        setup = self.proposals()
        for step in (1, 2, 3, 4):
            data = {**setup[step], **{name: value for name, value in changes.items() if name in setup[step]}}
            answer = self.post(f"/app/setup/{step}", data)
            assert answer.status_code == 200, answer.text
        answer = self.post("/app/setup/confirm")
        assert answer.status_code == 200, answer.text

    def proposals(self) -> dict[int, dict[str, Any]]:
        """What the wizard's forms hold when they are first shown, by step."""
        from plugin.usecases import open_app, set_up

        with self.office.app.test_request_context():
            services = self.office.services
            visitor = open_app.visitor(services, self.portal_id, self.user, "en")
            shown = set_up.shown(services, visitor, 1)
        taxes = {f"tax:{row.key}": row.chosen or (row.candidates[0].value if row.candidates else "") for row in shown.taxes}
        stages = {f"stage:{row.id}": row.status for row in shown.stages} | {f"status:{row.word}": row.stage_id for row in shown.statuses}
        first = {
            "start_date": shown.start_date.isoformat() if shown.start_date else "",
            "seller": [str(number) for number, _, ticked in shown.sellers if ticked],
            "number_policy": shown.number_policy,
            "number_prefix": shown.number_prefix,
        }
        second = {
            "income": shown.income.value if shown.income else "",
            "expense": shown.expense.value if shown.expense else "",
            "create_contacts": "1",
            "create_items": "1",
            "item_code_source": shown.item_code_source,
        }
        return {1: first, 2: second, 3: stages, 4: taxes}

    @property
    def portal_id(self) -> int:
        from plugin.models import Portal as PortalRow

        with self.office.services.db.reading() as session:
            return session.scalars(select(PortalRow.id).where(PortalRow.member_id == self.portal.member_id)).one()

    def order(self, *crm_ids: int, kind: str = "send", **more: str) -> int:
        """Tick these rows and press the button. Returns the batch."""
        answer = self.post("/app/batches", {"kind": kind, "id": [str(one) for one in crm_ids], **more})
        assert answer.status_code == 200, answer.text
        found = re.search(r"/app/batches/(\d+)", answer.text)
        assert found, answer.text
        return int(found[1])

    def send(self, *crm_ids: int, **more: str) -> int:
        """Create / Edit on Xero for these rows, confirmed, and the work done."""
        batch = self.order(*crm_ids, **more)
        answer = self.post(f"/app/batches/{batch}/confirm")
        assert answer.status_code == 200, answer.text
        self.office.work()
        return batch

    def fetch(self, *crm_ids: int) -> int:
        """Update from Xero for these rows, and the work done."""
        batch = self.order(*crm_ids, kind="pull")
        self.office.work()
        return batch


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def bells_with_work(services: Services) -> list[str]:
    """Every bell behind which something is ordered, or was told."""
    with services.db.reading() as session:
        ordered = set(session.scalars(select(Job.bell).where(Job.state.in_(("waiting", "running")))))
        return sorted(ordered | set(inbox.bells_of_open(session, services.now())))


def answer(services: Services, bell: str) -> None:
    """Do what waits behind a bell, as a worker does."""
    kind, _, number = bell.rpartition(":")
    acts = {"organisation": conductor.conduct, "portal": portal_work.work, "inbox:portal": take_events.drain, "inbox:organisation": take_webhooks.drain}
    acts[kind](services, int(number), lambda: False)


class Office:
    """The app, its services, and a worker that works when it is told to."""

    def __init__(self, sandbox: Sandbox, database_url: str, redis_url: str, **more: str) -> None:
        """`more`: further names of the environment."""
        environment = sandbox.settings.app_environment()
        self.sandbox = sandbox
        self.config = Config.from_env(
            {
                **environment,
                "SECRET_KEY": "a secret of sixteen characters and more",
                "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                **more,
            }
        )
        self.app: Flask = create_app(self.config)
        self.services: Services = self.app.extensions["tallybridge"]
        self.client: FlaskClient = self.app.test_client()

    def close(self) -> None:
        self.services.counts.flush()
        self.services.call_log.close()
        self.services.db.engine.dispose()

    def install(self, portal: str = "harbour", user: int = 1) -> Person:
        """Install the app as this administrator, finish the installer, and open it."""
        place = self.sandbox.bitrix24.portals[portal]
        place.install(user)
        opening = place.open_app(user)
        answer = self.client.post(_path(opening.url), data=opening.fields)
        assert answer.status_code == 200, answer.text
        place.finish_install(user)
        return self.open(portal, user)

    def open(self, portal: str = "harbour", user: int = 1, **more: Any) -> Person:
        """Open the app in its iframe."""
        place = self.sandbox.bitrix24.portals[portal]
        opening = place.open_app(user, **more)
        answer = self.client.post(_path(opening.url), data=opening.fields)
        assert answer.status_code == 200, answer.text
        found = re.search(r'name="frame-pass" content="([^"]+)"', answer.text) or re.search(r'data-pass="([^"]+)"', answer.text)
        assert found, answer.text
        return Person(self, place, user, found[1], answer.text)

    def ready(self, portal: str = "harbour", user: int = 1, **changes: Any) -> Person:
        """Installed, connected, set up, first synchronisation done."""
        person = self.install(portal, user)
        person.connect_xero()
        person.set_up(**changes)
        self.work()
        return person

    def work(self, seconds: float = 30) -> None:
        """Do all the work that is due, as workers do when bells ring; waits for short retries."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            bells = bells_with_work(self.services)
            if not bells:
                return
            for bell in bells:
                answer(self.services, bell)
            time.sleep(0.02)
        raise AssertionError(f"work was left after {seconds} s: {self.waiting()}")

    def take_in(self) -> None:
        """What partners told the app becomes orders, as workers do a moment after each message."""
        with self.services.db.reading() as session:
            bells = inbox.bells_of_open(session, self.services.now())
        for bell in bells:
            answer(self.services, bell)

    def waiting(self) -> list[tuple[str, str, str, str | None, Any]]:
        with self.services.db.reading() as session:
            return [(job.kind, job.subject, job.state, job.problem_code, job.problem_params) for job in session.scalars(select(Job).where(Job.state != "done"))]
