"""Xero in miniature: identity server, Accounting API, webhooks and a face, on one port."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from flask import Flask, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from sandbox.controls import Controls, attach
from sandbox.controls import blueprint as common_levers
from sandbox.settings import SandboxSettings
from sandbox.xero import demo, face, levers, oauth, switches
from sandbox.xero.actions import Actions
from sandbox.xero.api import Api, unknown_path
from sandbox.xero.books import Account, Books, Contact, CreditNote, Invoice, Item, Payment, Quote
from sandbox.xero.gate import API
from sandbox.xero.webhooks import Delivery, Webhooks
from sandbox.xero.world import World


class Xero:
    """The stand-in. Tests in the same process look inside through its accessors; others use `/_sandbox/`."""

    #: Tenant ids of the demonstration.
    HARBOUR, AUSTRALIA, BOB, DEMO = demo.HARBOUR, demo.AUSTRALIA, demo.BOB, demo.DEMO

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.controls = Controls()
        switches.define(self.controls.switches)
        self.world = World(self.controls, settings)
        #: What people do in Xero's own pages.
        self.actions = Actions(self.world)

    def app(self) -> Flask:
        """The WSGI application of the one Xero port."""
        app = Flask("sandbox.xero", root_path=__path__[0], template_folder="templates", static_folder="static")
        gate = self.world.gate
        attach(app, self.controls, admit=gate.admit)
        app.after_request(gate.finish)
        app.teardown_request(lambda _: gate.end())
        for part in (common_levers(self.controls), levers.blueprint(self.world, self.actions), oauth.blueprint(self.world)):
            app.register_blueprint(part)
        app.register_blueprint(Api(self.world).blueprint)
        app.register_blueprint(face.blueprint(self.world, self.actions))

        @app.errorhandler(NotFound)
        @app.errorhandler(MethodNotAllowed)
        def unknown(error: HTTPException) -> Any:
            return unknown_path(self.world, error) if _is_api() else error

        return app

    def reset(self) -> None:
        """As freshly seeded: books, tokens, levers; waiting deliveries are forgotten."""
        self.world.reset()

    @property
    def webhooks(self) -> Webhooks:
        return self.world.webhooks

    @property
    def deliveries(self) -> list[Delivery]:
        return list(self.world.webhooks.deliveries)

    # Looking inside.

    @property
    def organisations(self) -> dict[str, Books]:
        """All books by tenant id."""
        return self.world.books

    def books(self, tenant: str) -> Books:
        """The books of a tenant id or an organisation's name."""
        return self.world.books[self.actions.tenant(tenant)]

    def invoices(self, tenant: str = HARBOUR) -> list[Invoice]:
        with self.world.lock:
            return list(self.books(tenant).invoices)

    def invoice(self, number: str, tenant: str = HARBOUR) -> Invoice | None:
        """The newest sales invoice or bill with this number, or the one with this id."""
        with self.world.lock:
            found = [one for one in self.books(tenant).invoices if number in (one.number, one.id)]
        return found[-1] if found else None

    def contacts(self, tenant: str = HARBOUR) -> list[Contact]:
        with self.world.lock:
            return list(self.books(tenant).contacts)

    def contact_by_name(self, name: str, tenant: str = HARBOUR) -> Contact | None:
        """The active contact, else the archived one."""
        with self.world.lock:
            return self.books(tenant).active_contact(name) or self.books(tenant).archived_contact(name)

    def items(self, tenant: str = HARBOUR) -> list[Item]:
        with self.world.lock:
            return list(self.books(tenant).items)

    def item(self, code: str, tenant: str = HARBOUR) -> Item | None:
        with self.world.lock:
            return next(iter(self.books(tenant).items.find("code", code)), None)

    def account(self, code: str, tenant: str = HARBOUR) -> Account | None:
        with self.world.lock:
            return self.books(tenant).account(code)

    def payments(self, tenant: str = HARBOUR) -> list[Payment]:
        with self.world.lock:
            return list(self.books(tenant).payments)

    def credit_notes(self, tenant: str = HARBOUR) -> list[CreditNote]:
        with self.world.lock:
            return list(self.books(tenant).credit_notes)

    def quotes(self, tenant: str = HARBOUR) -> list[Quote]:
        with self.world.lock:
            return list(self.books(tenant).quotes)

    # Doing what people do; more of it under `actions`.

    def approve(self, invoice: str, tenant: str = HARBOUR) -> Invoice:
        return self.actions.approve(tenant, invoice)

    def pay(self, invoice: str, amount: Decimal | str | None = None, tenant: str = HARBOUR, account: str = "090", day: date | None = None) -> Payment:
        return self.actions.pay(tenant, invoice, amount, account, day)

    def void(self, invoice: str, tenant: str = HARBOUR) -> Invoice:
        return self.actions.void(tenant, invoice)

    def delete(self, invoice: str, tenant: str = HARBOUR) -> Invoice:
        return self.actions.delete(tenant, invoice)

    def edit(self, invoice: str, tenant: str = HARBOUR, **changes: Any) -> Invoice:
        return self.actions.edit(tenant, invoice, **changes)

    def tokens(self, user: str = "olivia", tenant: str = HARBOUR, scopes: str = "") -> dict[str, Any]:
        """A connection and its tokens, without the browser: for tests of the API alone."""
        wanted = scopes or ("openid profile email offline_access accounting.invoices accounting.contacts accounting.settings accounting.payments")
        with self.world.lock:
            identity = self.world.identity
            callback = f"{self.settings.app_url}/xero/callback"
            code = identity.consent(identity.users[user], tenant, tuple(wanted.split()), callback, "")
            return identity.exchange(code, callback, "")


def _is_api() -> bool:
    return request.path.startswith(API)


__all__ = ["Xero"]
