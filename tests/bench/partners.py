"""The partners for the bench, in a process of their own: `python -m tests.bench.partners OPTIONS` prints the app's environment as JSON, then serves.

A line of JSON on standard input is an order: {"do": "calls"}, {"do": "change", "ids": [7], "quantity": 2}, ...; each is answered by a line.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from copy import deepcopy
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from sandbox.controls import SeenCall
from sandbox.serve import Sandbox
from sandbox.settings import SandboxSettings

WRITE_SECONDS, READ_SECONDS = 1.2, 0.3
CUSTOMERS, PRODUCTS = 300, 200


@dataclass(frozen=True)
class Options:
    """How many invoices there are, how fast the clock of the limits runs, and who tells the app of changes."""

    count: int
    pace: float = 1.0
    app_url: str = "http://localhost:8080"
    events: bool = False
    webhooks: bool = False


@dataclass
class _Watch:
    """Since when invoices stand in a stage."""

    stage: str
    waiting: set[int]
    seen: dict[int, float] = field(default_factory=dict)


class Partners:
    """Both stand-ins with so many invoices, new customers and new items, limits on, and the partners' own latency."""

    def __init__(self, options: Options) -> None:
        self.pace = options.pace
        self.sandbox = Sandbox(SandboxSettings(app_url=options.app_url, pace=options.pace)).start()
        self.portal = self.sandbox.bitrix24.portals["harbour"]
        self.xero, self.bitrix24 = self.sandbox.xero.controls, self.sandbox.bitrix24.controls
        if not options.events:
            self.sandbox.bitrix24.delivery.hold()
        self.xero.switches.set("webhooks", "on" if options.webhooks else "off")
        self.ids = self._fill(options.count)
        self.watch = _Watch("", set())
        self.latency(WRITE_SECONDS, READ_SECONDS)

    def do(self, order: dict[str, Any]) -> Any:
        """Carry out one order of the bench: the name of a method and its arguments."""
        given = dict(order)
        return getattr(self, given.pop("do"))(**given)

    def latency(self, write: float, read: float) -> str:
        self.xero.latency[:] = [(r"^/api\.xro", "PUT|POST", write / self.pace), (r"^/api\.xro|^/connections", "GET", read / self.pace)]
        return "done"

    def _fill(self, count: int) -> list[int]:
        portal = self.portal
        companies = [portal.add_item(4, title=f"Bench Customer {number:04d} Ltd", typeId="CUSTOMER") for number in range(min(CUSTOMERS, count))]
        known = [number for number, one in sorted(portal.products.items()) if one.get("type") in (1, 4, 7)]
        products = [self._product(number) for number in range(min(PRODUCTS, count))] or known
        stage = portal.stage_id("N")
        made = []
        for number in range(count):
            rows = [_row(products, number + step, price) for step, price in enumerate((115.0, 23.0, 57.5))]
            made.append(portal.add_invoice(rows, title=f"Bench {number}", companyId=companies[number % len(companies)], stageId=stage, currencyId="NZD"))
        return made

    def _product(self, number: int) -> int:
        sample = next(iter(self.portal.products.values()))
        id_ = max(self.portal.products) + 1
        self.portal.products[id_] = {**sample, "id": id_, "name": f"Bench Product {number}", "code": f"BENCH-{number:04d}"}
        return id_

    def unlimited(self) -> str:
        """No limits any more: for the row that measures nothing but our own work."""
        self.xero.switches.set("limits", "off")
        self.bitrix24.switches.set("limits", "off")
        return "done"

    def organisations(self, count: int) -> list[str]:
        """So many organisations like the first one, connected by the same user; their tenants."""
        world = self.sandbox.xero.world
        harbour = next(iter(world.books))
        identity = world.identity
        held = next(one for one in identity.connections.values() if one.tenant_id == harbour)
        member = next(one for one in identity.memberships if one.tenant_id == harbour and one.user.id == held.user_id)
        made = []
        for _ in range(count):
            books = deepcopy(world.books[harbour])
            books.organisation.id = tenant = str(uuid.uuid4())
            world.books[tenant] = books
            identity.memberships.append(replace(member, tenant_id=tenant))
            mine = replace(held, id=str(uuid.uuid4()), tenant_id=tenant)
            identity.connections[mine.id] = mine
            made.append(tenant)
        return made

    # --- what was seen

    def calls(self) -> dict[str, Any]:
        """How many calls each side has had since `clear`, and how many of them a limit refused."""
        api, rest = self._api(), self._rest()
        return {
            "writes": sum(one.method in ("PUT", "POST") for one in api),
            "reads": sum(one.method == "GET" for one in api),
            "documents_at": sorted(one.at for one in _documents(api)),
            "at_once": max((one.in_flight for one in api), default=0),
            "bitrix24": len(rest),
            "bitrix24_at": sorted(one.at for one in rest),
            "refused": sum(one.status == 429 for one in api) + sum(one.status in (429, 503) for one in rest),
        }

    def first_write(self, since: float) -> dict[str, float]:
        """When Xero had the first document written since then, and for how long of that time a partner was at work."""
        at = min((one.at for one in _documents(self._api()) if one.at > since), default=0.0)
        spans = sorted((one.at - one.seconds, one.at) for one in (*self._api(), *self._rest()) if since < one.at <= at)
        busy, reached = 0.0, since
        for start, end in spans:
            busy += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        return {"at": at, "busy": busy}

    def page(self) -> float:
        """For how long Bitrix24 was at work since `clear`."""
        return sum(one.seconds for one in self._rest())

    def _api(self) -> list[SeenCall]:
        with self.xero.lock:
            return [one for one in self.xero.calls if one.path.startswith("/api.xro")]

    def _rest(self) -> list[SeenCall]:
        with self.bitrix24.lock:
            return [one for one in self.bitrix24.calls if one.path.startswith("/rest")]

    def clear(self) -> str:
        self.xero.calls.clear()
        self.bitrix24.calls.clear()
        return "done"

    def check(self, ids: list[int]) -> dict[str, int]:
        """How many are in Xero exactly once with the CRM's total, and how many carry their number back in the CRM."""
        by_number: dict[str, list[Decimal]] = {}
        for one in self.sandbox.xero.invoices():
            by_number.setdefault(one.number, []).append(one.total)
        wanted = [(str(self.portal.invoices[crm_id]["accountNumber"]), Decimal(str(self.portal.invoices[crm_id]["opportunity"]))) for crm_id in ids]
        written = sum(bool(self.portal.invoices[crm_id].get("UF_CRM_SMART_INVOICE_XERO_NUMBER")) for crm_id in ids)
        return {"right": sum(by_number.get(number) == [total] for number, total in wanted), "written": written}

    def written_with(self, ids: list[int]) -> dict[int, float]:
        """When each of these was written to Xero for the last time."""
        numbers = {one.id: one.number for one in self.sandbox.xero.invoices()}
        ours = {str(self.portal.invoices[crm_id]["accountNumber"]): crm_id for crm_id in ids}
        found: dict[int, float] = {}
        for call in _documents(self._api()):
            for element in json.loads(call.body).get("Invoices", ()):
                number = element.get("InvoiceNumber") or numbers.get(element.get("InvoiceID"), "")
                if number in ours:
                    found[ours[number]] = max(call.at, found.get(ours[number], 0.0))
        return found

    def transfers(self) -> int:
        """Documents written to Xero since `clear`, each as often as it went."""
        return sum(len(json.loads(call.body).get("Invoices", ())) for call in _documents(self._api()))

    # --- what people do

    def change(self, ids: list[int], quantity: int) -> float:
        for crm_id in ids:
            rows = [dict(row) for row in self.portal.rows(crm_id)]
            rows[0]["quantity"] = quantity
            self.portal.change_invoice(crm_id, rows=rows)
        return time.time()

    def approve(self, ids: list[int]) -> float:
        for crm_id in ids:
            self.sandbox.xero.approve(self.portal.invoices[crm_id]["accountNumber"])
        return time.time()

    def pay(self, ids: list[int]) -> float:
        for crm_id in ids:
            self.sandbox.xero.pay(self.portal.invoices[crm_id]["accountNumber"])
        return time.time()

    def unreliable(self) -> str:
        """From now on every second event and every third webhook is lost, and the rest comes in disorder."""
        delivery, webhooks = self.sandbox.bitrix24.delivery, self.sandbox.xero.webhooks
        put, announce = delivery.put, webhooks.announce
        counted = {"events": 0, "webhooks": 0}

        def second(parcel: Any) -> None:
            counted["events"] += 1
            if counted["events"] % 2:
                put(parcel)

        def third(tenant_id: str, events: list[Any]) -> None:
            counted["webhooks"] += len(events)
            announce(tenant_id, [one for place, one in enumerate(events, counted["webhooks"]) if place % 3])

        delivery.put, webhooks.announce = second, third  # type: ignore[method-assign]
        delivery.shuffle()
        self.xero.switches.set("webhook_order", "shuffled")
        return "done"

    def in_stage(self, ids: list[int], stage: str) -> int:
        wanted = self.portal.stage_id(stage)
        return sum(self.portal.invoices[crm_id]["stageId"] == wanted for crm_id in ids)

    def watch_stage(self, ids: list[int], stage: str) -> str:
        """From now on note when these invoices come into the stage of this name; `stages_seen` tells."""
        self.watch = _Watch(self.portal.stage_id(stage), set(ids))
        threading.Thread(target=self._look, args=(self.watch,), daemon=True).start()
        return "done"

    def _look(self, watch: _Watch) -> None:
        while watch.waiting and watch is self.watch:
            for crm_id in [one for one in watch.waiting if self.portal.invoices[one]["stageId"] == watch.stage]:
                watch.seen[crm_id] = time.time()
                watch.waiting.discard(crm_id)
            time.sleep(0.02)

    def stages_seen(self) -> dict[int, float]:
        return self.watch.seen

    def open(self, user: int = 1) -> dict[str, Any]:
        opening = self.portal.open_app(user)
        return {"url": opening.url, "fields": opening.fields}

    def install(self) -> str:
        self.portal.install(1)
        return "done"

    def finish(self) -> str:
        self.portal.finish_install(1)
        return "done"

    def application_token(self) -> dict[str, str]:
        """What an event of this portal carries, for whoever sends many of them."""
        assert self.portal.installation is not None
        return {name: str(value) for name, value in self.portal.event_auth(1).items()}


def _documents(calls: list[SeenCall]) -> list[SeenCall]:
    return [one for one in calls if one.method in ("PUT", "POST") and one.path.endswith("Invoices") and one.status == 200]


def _row(products: list[int], number: int, price: float) -> dict[str, Any]:
    place = number % len(products)
    return {"productId": products[place], "productName": f"Bench Product {place}", "price": price, "quantity": 2, "taxRate": 15}


def main() -> None:
    partners = Partners(Options(**json.loads(sys.argv[1])))
    tenant = next(iter(partners.sandbox.xero.organisations))
    told = {"environment": partners.sandbox.settings.app_environment(), "ids": partners.ids, "tenant": tenant}
    told["webhook_key"] = partners.sandbox.settings.xero_webhook_key
    print(json.dumps(told), flush=True)
    for line in sys.stdin:
        print(json.dumps(partners.do(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
