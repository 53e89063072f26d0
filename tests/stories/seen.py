"""What stories about installing, connecting and setting up look at, and how messages reach the app."""

from __future__ import annotations

import html
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import requests
from flask.testing import FlaskClient
from sqlalchemy import func, select

from plugin.models import Base, Portal
from plugin.sentences import sentence
from sandbox.bitrix24.php import flatten
from tests.stories.office import HARBOUR_ORGANISATION, Office, Person, answer, bells_with_work

Row = TypeVar("Row", bound=Base)


def words(page: str) -> str:
    """A page as somebody reads it."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def says(page: str, code: str, **params: Any) -> bool:
    """Does the page show the sentence of this code?"""
    return sentence(code, params, "en") in words(page)


def rows(office: Office, model: type[Row], **where: Any) -> list[Row]:
    """Rows as they lie in the database."""
    with office.services.db.reading() as session:
        return list(session.scalars(select(model).filter_by(**where)))


def row(office: Office, model: type[Row], **where: Any) -> Row:
    (found,) = rows(office, model, **where)
    return found


def portal_row(office: Office, name: str = "harbour") -> Portal:
    return row(office, Portal, member_id=office.sandbox.bitrix24.portals[name].member_id)


def rows_of_portal(office: Office, portal_id: int) -> dict[str, int]:
    """How many rows each table holds of a portal."""
    found = {}
    with office.services.db.reading() as session:
        for table in Base.metadata.sorted_tables:
            column = table.c.get("portal_id") if table.name != "portal" else table.c.id
            if column is not None and (count := session.scalar(select(func.count()).select_from(table).where(column == portal_id))):
                found[table.name] = count
    return found


def deliver(office: Office, name: str = "") -> list[int]:
    """Hand the app what the portals have sent so far (of this name) in this process; the statuses it answered."""
    delivery = office.sandbox.bitrix24.delivery
    assert delivery.flush()
    parcels = [one.parcel for one in delivery.log if name in one.parcel.name]
    delivery.log.clear()
    return [office.client.post(urlsplit(one.handler).path, data=dict(flatten(one.body))).status_code for one in parcels]


def ring(office: Office) -> None:
    """Answer every bell that has work once, whether or not the work succeeds."""
    for bell in bells_with_work(office.services):
        answer(office.services, bell)


def post_opening(office: Office, path: str, portal: str = "harbour", user: int = 1, query: dict[str, str] | None = None, **fields: str | None) -> Any:
    """The opening POST of a portal with some of its fields forged; None leaves one out."""
    opening = office.sandbox.bitrix24.portals[portal].open_app(user)
    given = {**opening.fields, **fields}
    parts = dict(parse_qsl(urlsplit(opening.url).query))
    return office.client.post(path, query_string={**parts, **(query or {})}, data={name: value for name, value in given.items() if value is not None})


@dataclass
class Trap:
    """A host that must never be talked to."""

    url: str
    heard: list[bytes] = field(default_factory=list)


@contextmanager
def trap() -> Iterator[Trap]:
    """Somebody's own server, which notes every connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Trap(f"http://127.0.0.1:{server.getsockname()[1]}")

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(1)
                    found.heard.append(connection.recv(4096))

        threading.Thread(target=listen, daemon=True).start()
        yield found


@dataclass
class Window:
    """The window that "Connect to Xero" opens: a browser of its own."""

    office: Office
    browser: FlaskClient
    ticket: str

    def leave(self) -> str:
        """Go to Xero; the address there."""
        away = self.browser.get(f"/xero/connect?ticket={self.ticket}")
        assert away.status_code == 302, away.text
        return str(away.location)

    def decide(self, address: str, login: str = "olivia", organisation: str = HARBOUR_ORGANISATION, decision: str = "allow") -> requests.Response:
        """Log in at Xero and answer."""
        tenant = self.office.sandbox.xero.actions.tenant(organisation)
        form = {"login": login, "organisation": tenant, "decision": decision}
        return requests.post(address, data=form, allow_redirects=False, timeout=5)

    def back(self, answer: requests.Response, browser: FlaskClient | None = None) -> str:
        """Follow Xero's answer into the app; what the window shows."""
        assert answer.status_code in (302, 303), answer.text
        parts = urlsplit(answer.headers["Location"])
        return (browser or self.browser).get(f"{parts.path}?{parts.query}").text


def open_window(person: Person) -> Window:
    """Press "Connect to Xero"."""
    panel = person.post("/app/setup/connection/ticket").text
    ticket = re.search(r"/xero/connect\?ticket=([\w-]+)", panel)
    assert ticket, panel
    return Window(person.office, person.office.app.test_client(), ticket[1])
