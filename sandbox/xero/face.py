"""Xero in miniature for people: lists, one invoice with its buttons, contacts, items, settings and levers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from sandbox.xero import quotes
from sandbox.xero.books import BILL, SALES, Books, Contact, Document, Invoice
from sandbox.xero.contacts import balances
from sandbox.xero.errors import Refused
from sandbox.xero.limits import DAY, MINUTE

if TYPE_CHECKING:
    from sandbox.xero.actions import Actions
    from sandbox.xero.world import World

TABS = (
    ("all", "All", ()),
    ("draft", "Draft", ("DRAFT",)),
    ("approval", "Awaiting approval", ("SUBMITTED",)),
    ("payment", "Awaiting payment", ("AUTHORISED",)),
    ("paid", "Paid", ("PAID",)),
    ("closed", "Voided and deleted", ("VOIDED", "DELETED")),
)
STATUS_WORDS = {
    "DRAFT": "Draft",
    "SUBMITTED": "Awaiting approval",
    "AUTHORISED": "Awaiting payment",
    "PAID": "Paid",
    "VOIDED": "Voided",
    "DELETED": "Deleted",
}
PAGE = 50
#: How many lines the form of a new bill has; more are added to the bill itself.
BILL_LINES = 2


def money(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:,.2f}"


def number(amount: Decimal | None) -> str:
    """A quantity, rate or price, without needless zeros."""
    if amount is None:
        return ""
    return f"{amount.normalize():f}"


def day(value: date | None) -> str:
    return "" if value is None else f"{value.day} {value:%b %Y}"


@dataclass
class Room:
    """One organisation's pages: its books, who looks at them, and the way back."""

    world: World
    actions: Actions
    books: Books

    @property
    def short(self) -> str:
        return self.books.organisation.short_code.lstrip("!")

    @property
    def user(self) -> str:
        members = [one for one in self.world.identity.memberships if one.tenant_id == self.books.tenant_id and one.role == "STANDARD"]
        return members[0].user.name if members else "System Generated"

    def contact(self, document: Document) -> Contact:
        return self.books.contacts[document.contact_id]

    def shown(self, template: str, **what: Any) -> str:
        return render_template(f"xero/{template}", room=self, organisation=self.books.organisation, organisations=_organisations(self.world), **what)

    def back(self, endpoint: str, said: str = "", refused: str = "", **values: Any) -> Response:
        return redirect(url_for(f"face.{endpoint}", short=self.short, said=said or None, refused=refused or None, **values))


def _organisations(world: World) -> list[tuple[str, str]]:
    return [(one.organisation.short_code.lstrip("!"), one.organisation.name) for one in world.books.values()]


class Face:
    """The routes."""

    def __init__(self, world: World, actions: Actions) -> None:
        self._world = world
        self._actions = actions
        self.blueprint = Blueprint("face", __name__)
        self.blueprint.add_app_template_filter(money, "money")
        self.blueprint.add_app_template_filter(number, "number")
        self.blueprint.add_app_template_filter(day, "day")
        self.blueprint.add_app_template_filter(lambda status: STATUS_WORDS.get(status, str(status).title()), "status_word")
        for path, verb, view in self._routes():
            self._add(path, verb, view)

    def _routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        room = "/face/<short>"
        return [
            (room, "GET", self.invoices),
            (f"{room}/invoices", "GET", self.invoices),
            (f"{room}/bills/new", "GET", self.new_bill),
            (f"{room}/bills/new", "POST", self.create_bill),
            (f"{room}/invoices/<id_>", "GET", self.invoice),
            (f"{room}/invoices/<id_>/<act>", "POST", self.invoice_act),
            (f"{room}/quotes/<id_>", "GET", self.quote),
            (f"{room}/quotes/<id_>/<act>", "POST", self.quote_act),
            (f"{room}/contacts", "GET", self.contacts),
            (f"{room}/contacts/<id_>", "GET", self.contact),
            (f"{room}/contacts/<id_>/<act>", "POST", self.contact_act),
            (f"{room}/items", "GET", self.items),
            (f"{room}/others", "GET", self.others),
            (f"{room}/settings", "GET", self.settings),
            (f"{room}/settings/<act>", "POST", self.settings_act),
        ]

    def _add(self, path: str, verb: str, view: Callable[..., Any]) -> None:
        def page(short: str, **parts: str) -> Any:
            with self._world.lock:
                books = next((one for one in self._world.books.values() if one.organisation.short_code.lstrip("!") == short.lstrip("!")), None)
                if books is None:
                    abort(404)
                return view(Room(self._world, self._actions, books), **parts)

        name = view.__name__ if path != "/face/<short>" else "home"
        self.blueprint.add_url_rule(path, name, page, methods=[verb])

    # Invoices.

    def invoices(self, room: Room) -> str:
        kind = BILL if request.args.get("kind") == "bills" else SALES
        tab = request.args.get("tab", "all")
        words = request.args.get("q", "").strip().casefold()
        mine = [one for one in room.books.invoices if one.type == kind]
        counts = {key: sum(1 for one in mine if not statuses or one.status in statuses) for key, _, statuses in TABS}
        wanted = next((statuses for key, _, statuses in TABS if key == tab), ())
        rows = [one for one in mine if not wanted or one.status in wanted]
        if words:
            rows = [one for one in rows if words in f"{one.number} {one.reference} {room.contact(one).name}".casefold()]
        rows.sort(key=lambda one: (one.date, one.number), reverse=True)
        page = max(1, request.args.get("page", 1, int))
        return room.shown(
            "invoices.html", tabs=TABS, counts=counts, tab=tab, kind=kind, rows=rows[(page - 1) * PAGE : page * PAGE], total=len(rows), page=page,
            pages=-(-len(rows) // PAGE), today=_today(room), bills=kind == BILL,
        )  # fmt: skip

    def new_bill(self, room: Room, refused: str = "") -> str:
        """The form of a bill, with what was typed into it before it was refused."""
        suppliers = sorted((one.name for one in room.books.contacts if one.status == "ACTIVE"), key=str.casefold)
        typed = request.form or {"Date": _today(room).isoformat()}
        return room.shown("bill.html", typed=typed, refused=refused, suppliers=suppliers, places=range(BILL_LINES), **_choices(room))

    def create_bill(self, room: Room) -> Any:
        """A bill typed in by hand: a draft, waiting for approval, or approved at once."""
        form = request.form
        more = {"LineAmountTypes": form.get("LineAmountTypes") or "Exclusive"}
        lines = [_new_line(f"-{place}") for place in range(BILL_LINES) if form.get(f"Description-{place}") or form.get(f"UnitAmount-{place}")]
        try:
            bill = self._actions.create_bill(
                room.books.tenant_id, form.get("Supplier", "").strip(), lines, form.get("InvoiceNumber", "").strip(), form.get("Date"), form.get("DueDate"),
                form.get("Status", "DRAFT"), room.user, **more,
            )  # fmt: skip
        except Refused as refused:
            return self.new_bill(room, str(refused)), 400
        return room.back("invoice", said="Saved", id_=bill.id)

    def invoice(self, room: Room, id_: str) -> str:
        invoice = room.books.invoices.get(id_)
        if invoice is None:
            abort(404)
        banks = [one for one in room.books.accounts if (one.type == "BANK" or one.payments) and one.status == "ACTIVE" and one.code]
        return room.shown(
            "invoice.html", invoice=invoice, contact=room.contact(invoice), lines=self._lines(room, invoice), payments=room.books.payments_of(invoice),
            credits=room.books.allocations_of(invoice), notes=list(reversed(room.books.notes.get(invoice.id, []))), banks=banks,
            local=_local(room), **_choices(room),
        )  # fmt: skip

    @staticmethod
    def _lines(room: Room, invoice: Invoice) -> list[dict[str, Any]]:
        books = room.books
        shown = []
        for line in invoice.lines:
            account, item = books.accounts.get(line.account_id), books.items.get(line.item_id)
            rate = books.tax_rates.get(line.tax_type)
            options = [option.name for category in books.tracking for option in category.options if (category.id, option.id) in line.tracking]
            shown.append({"line": line, "account": account, "item": item, "rate": rate.name if rate else line.tax_type, "tracking": ", ".join(options)})
        return shown

    def invoice_act(self, room: Room, id_: str, act: str) -> Response:
        tenant, form = room.books.tenant_id, request.form
        acts: dict[str, tuple[str, Callable[[], Any]]] = {
            "approve": ("Approved", lambda: self._actions.approve(tenant, id_, room.user)),
            "submit": ("Submitted for approval", lambda: self._actions.edit(tenant, id_, room.user, Status="SUBMITTED")),
            "void": ("Voided", lambda: self._actions.void(tenant, id_, room.user)),
            "delete": ("Deleted", lambda: self._actions.delete(tenant, id_, room.user)),
            "pay": ("Payment recorded", lambda: self._actions.pay(tenant, id_, form.get("amount") or None, form.get("account", "090"), user=room.user)),
            "unpay": ("Payment removed", lambda: self._actions.unpay(tenant, form.get("payment", ""), room.user)),
            "edit": ("Saved", lambda: self._actions.edit(tenant, id_, room.user, **self._edit(room.books.invoices[id_]))),
            "line": ("Line added", lambda: self._actions.add_line(tenant, id_, room.user, **_new_line())),
        }
        if act not in acts or room.books.invoices.get(id_) is None:
            abort(404)
        said, work = acts[act]
        return self._try(work, room, "invoice", said, id_=id_)

    @staticmethod
    def _edit(invoice: Invoice) -> dict[str, Any]:
        """What the form changes; lines only where a description differs."""
        form = request.form
        name_of_number = "InvoiceNumber" if invoice.type == BILL else "Reference"
        changes: dict[str, Any] = {name: form[name] for name in (name_of_number, "DueDate", "Date") if name in form}
        texts = {line.id: form.get(f"description-{line.id}", line.description) for line in invoice.lines}
        if any(texts[line.id] != line.description for line in invoice.lines):
            changes["LineItems"] = [{"LineItemID": line.id, "Description": texts[line.id].replace("\r\n", "\n")} for line in invoice.lines]
        return changes

    @staticmethod
    def _try(work: Callable[[], Any], room: Room, endpoint: str, said: str, **values: Any) -> Response:
        try:
            work()
        except Refused as refused:
            return room.back(endpoint, refused=str(refused), **values)
        return room.back(endpoint, said=said, **values)

    # Contacts, items and the rest.

    def contacts(self, room: Room) -> str:
        words = request.args.get("q", "").strip().casefold()
        archived = request.args.get("archived") == "1"
        rows = [one for one in room.books.contacts if (one.status == "ARCHIVED") == archived and words in one.name.casefold()]
        rows.sort(key=lambda one: one.name.casefold())
        desk = self._world.desk(room.books.tenant_id)
        owed = {one.id: balances(desk, one)["AccountsReceivable"] for one in rows[:200]}
        return room.shown("contacts.html", rows=rows[:200], total=len(rows), archived=archived, owed=owed)

    def contact(self, room: Room, id_: str) -> str:
        contact = room.books.contacts.get(id_)
        if contact is None:
            abort(404)
        invoices = sorted(room.books.invoices.find("contact", contact.id), key=lambda one: one.date, reverse=True)
        others = sorted((one for one in room.books.contacts if one.status == "ACTIVE" and one.id != contact.id), key=lambda one: one.name)
        winner = room.books.contacts.get(contact.merged_to) if contact.merged_to else None
        return room.shown(
            "contact.html", contact=contact, rows=invoices, others=others, winner=winner, today=_today(room),
            notes=list(reversed(room.books.notes.get(contact.id, []))), local=_local(room), bills=False,
        )  # fmt: skip

    def contact_act(self, room: Room, id_: str, act: str) -> Response:
        tenant, form = room.books.tenant_id, request.form
        fields = {name: form[name] for name in ("Name", "EmailAddress", "TaxNumber") if name in form}
        acts: dict[str, tuple[str, Callable[[], Any]]] = {
            "archive": ("Archived", lambda: self._actions.archive_contact(tenant, id_, room.user)),
            "restore": ("Restored", lambda: self._actions.restore_contact(tenant, id_, room.user)),
            "merge": ("Merged", lambda: self._actions.merge_contacts(tenant, id_, form.get("winner", ""), room.user)),
            "edit": ("Saved", lambda: self._actions.edit_contact(tenant, id_, room.user, **fields)),
        }
        if act not in acts:
            abort(404)
        said, work = acts[act]
        return self._try(work, room, "contact", said, id_=id_)

    def items(self, room: Room) -> str:
        return room.shown("items.html", rows=sorted(room.books.items, key=lambda one: one.code))

    def quote(self, room: Room, id_: str) -> str:
        """One quote: its lines, and what its status may become."""
        quote = room.books.quotes.get(id_) or abort(404)
        notes = list(reversed(room.books.notes.get(quote.id, [])))
        return room.shown("quote.html", quote=quote, contact=room.contact(quote), next=quotes.NEXT[quote.status], notes=notes, local=_local(room))

    def quote_act(self, room: Room, id_: str, act: str) -> Response:
        """`act` is the status that it shall have, or `edit`."""
        fields = {name: request.form[name] for name in ("Title", "Terms", "Reference") if name in request.form}
        if id_ not in {one.id for one in room.books.quotes} or (act != "edit" and act.upper() not in quotes.STATUSES):
            abort(404)
        changes = fields if act == "edit" else {"Status": act.upper()}
        work = lambda: self._actions.edit_quote(room.books.tenant_id, id_, room.user, **changes)  # noqa: E731
        return self._try(work, room, "quote", "Saved" if act == "edit" else f"Marked as {act}", id_=id_)

    def others(self, room: Room) -> str:
        """Quotes and credit notes."""
        return room.shown("others.html", quotes=list(room.books.quotes), credit_notes=list(room.books.credit_notes))

    # Settings.

    def settings(self, room: Room) -> str:
        identity, tenant = self._world.identity, room.books.tenant_id
        users = {one.user.id: one.user.name for one in identity.memberships}
        connections = [(one, users.get(one.user_id, "")) for one in identity.connections.values() if one.tenant_id == tenant]
        members = [one for one in identity.memberships if one.tenant_id == tenant]
        accounts = sorted(room.books.accounts, key=lambda one: (one.code or "zzz", one.name))
        return room.shown("settings.html", accounts=accounts, connections=connections, members=members, local=_local(room))

    def settings_act(self, room: Room, act: str) -> Response:
        tenant, form = room.books.tenant_id, request.form
        acts: dict[str, tuple[str, Callable[[], Any]]] = {
            "archive": ("Account archived", lambda: self._actions.archive_account(tenant, form.get("code", ""))),
            "restore": ("Account restored", lambda: self._actions.archive_account(tenant, form.get("code", ""), "ACTIVE")),
            "locks": ("Lock dates saved", lambda: self._actions.lock_date(tenant, form.get("period") or None, form.get("year") or None)),
            "disconnect": ("App disconnected", lambda: self._actions.disconnect(tenant)),
            "role": ("Role changed", lambda: self._actions.set_role(tenant, form.get("user", ""), form.get("role", ""))),
        }
        if act not in acts:
            abort(404)
        said, work = acts[act]
        return self._try(work, room, "settings", said)


def _new_line(end: str = "") -> dict[str, Any]:
    """A line out of the fields of the form whose names end so."""
    form = request.form
    line = {"Description": form.get(f"Description{end}", ""), "Quantity": form.get(f"Quantity{end}") or "1", "UnitAmount": form.get(f"UnitAmount{end}") or "0"}
    return line | {name: form[f"{name}{end}"] for name in ("AccountCode", "TaxType") if form.get(f"{name}{end}")}


def _choices(room: Room) -> dict[str, Any]:
    """What the boxes of a line offer."""
    accounts = [one for one in room.books.accounts if one.type != "BANK" and not one.system and one.status == "ACTIVE"]
    return {"accounts": accounts, "rates": [one for one in room.books.tax_rates.values() if one.status == "ACTIVE"]}


def _today(room: Room) -> date:
    return room.world.desk(room.books.tenant_id).today


def _local(room: Room) -> Callable[[datetime], str]:
    """Times as this organisation reads them."""
    zone = ZoneInfo(room.books.organisation.zone)
    return lambda moment: f"{day(moment.astimezone(zone).date())}, {moment.astimezone(zone):%H:%M}"


def blueprint(world: World, actions: Actions) -> Blueprint:
    """The face, the way in at `/`, the ends of real deep links, and the levers page."""
    routes = Face(world, actions).blueprint

    @routes.get("/")
    @routes.get("/face/")
    def start() -> Response:
        return redirect(url_for("face.invoices", short=_organisations(world)[0][0]))

    @routes.get("/face/app/<short>/invoicing/view/<id_>")
    def deep_invoice(short: str, id_: str) -> Response:
        """Where `https://go.xero.com/app/{sc}/invoicing/view/{id}` would lead (X§7)."""
        return redirect(url_for("face.invoice", short=short.lstrip("!"), id_=id_))

    @routes.get("/face/app/<short>/contacts/contact/<id_>")
    def deep_contact(short: str, id_: str) -> Response:
        return redirect(url_for("face.contact", short=short.lstrip("!"), id_=id_))

    @routes.get("/face/levers")
    def levers() -> str:
        with world.lock:
            return render_template("xero/levers.html", **_levers(world))

    @routes.post("/face/levers/<act>")
    def pull(act: str) -> Response:
        said = _pull(world, act)
        return redirect(url_for("face.levers", said=said))

    return routes


def _levers(world: World) -> dict[str, Any]:
    remaining = [(one.organisation.name, world.limits.remaining(one.tenant_id)) for one in world.books.values()]
    day_limit = DAY[world.switch("limits")]
    return {
        "organisations": _organisations(world),
        "switches": world.controls.switches.all(),
        "faults": world.controls.faults,
        "remaining": remaining,
        "minute_limit": MINUTE,
        "day_limit": day_limit,
        "waiting": world.webhooks.waiting,
        "deliveries": list(world.webhooks.deliveries)[-12:][::-1],
        "now": world.controls.clock.now(),
        "calls": list(world.controls.calls)[-15:][::-1],
    }


def _pull(world: World, act: str) -> str:
    """One lever of the page; the sentence that says what was done."""
    form, controls = request.form, world.controls
    if act == "switch":
        controls.switches.set(form["name"], form["position"])
        return f"{form['name']} is now {form['position']}"
    if act == "fault":
        more = {"seconds": float(form.get("seconds") or 5)} if form["kind"] == "slow" else {"status": int(form.get("status") or 503)}
        headers = {"Retry-After": "20", "X-Rate-Limit-Problem": "minute"} if more.get("status") == 429 else {}
        controls.fail(form["kind"], path=form.get("path") or "/api.xro", times=int(form.get("times") or 1), headers=headers, **more)
        return "The fault is armed"
    if act == "calm":
        with controls.lock:
            controls.faults.clear()
        return "No fault is armed any more"
    if act == "clock":
        controls.clock.advance(float(form.get("hours") or 1) * 3600)
        return "The clock was moved on"
    if act == "release":
        world.webhooks.release()
        return "Held deliveries were released"
    if act == "reset":
        world.reset()
        return "Everything is as it was at the start"
    return "There is no such lever"
