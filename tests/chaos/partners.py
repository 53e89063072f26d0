"""The partners for fault trials, in a process of their own: `python -m tests.chaos.partners PACE APP_URL` prints the app's environment, then serves.

A line of JSON on standard input is an order, such as {"do": "new", ...}; each is answered by a line. See `Partners`.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from random import Random
from typing import Any

from sandbox.bitrix24.fields import COMPANY
from sandbox.controls import Controls, Fault
from sandbox.serve import Sandbox
from sandbox.settings import SandboxSettings
from sandbox.xero import Xero
from sandbox.xero.books import Invoice

ALICE, SAM, TOM = 1, 2, 4
READ_SECONDS, WRITE_SECONDS, REST_SECONDS = 0.01, 0.04, 0.005


class Partners:
    """Both stand-ins with new invoices on demand, faults and standstills at exact calls, and an account of what both sides hold."""

    def __init__(self, pace: float, app_url: str) -> None:
        self.sandbox = Sandbox(SandboxSettings(app_url=app_url, pace=pace)).start()
        self.portal = self.sandbox.bitrix24.portals["harbour"]
        self.xero: Controls = self.sandbox.xero.controls
        self.bitrix24: Controls = self.sandbox.bitrix24.controls
        self.standing: list[Fault] = []
        #: What each invoice has said, oldest first.
        self.versions: dict[int, list[dict[str, Any]]] = {}
        self.companies: list[str] = []
        self.codes: list[str] = []
        self.made = 0
        self.told: set[str] = set()
        self.reset()

    def do(self, order: dict[str, Any]) -> Any:
        """Carry out one order: the name of a method and its arguments."""
        given = dict(order)
        return getattr(self, given.pop("do"))(**given)

    def reset(self) -> str:
        """Levers as at the start of a trial; what both sides hold stays."""
        self.release()
        for controls in (self.xero, self.bitrix24):
            with controls.lock:
                controls.faults.clear()
                controls.calls.clear()
                controls.switches.reset()
        self.offline(on=False)
        self.sandbox.xero.world.limits.begin_day()  # a hundred and fifty trials fill no real day
        self.bitrix24.latency[:] = [("^/rest/|^/oauth/", ".*", REST_SECONDS)]
        self.xero.latency[:] = [(r"^/api\.xro", "PUT|POST", WRITE_SECONDS), ("", ".*", READ_SECONDS)]
        return "done"

    def new(self, count: int, seed: int) -> list[int]:
        """So many invoices of new and known customers, with new and known products and free rows."""
        chance = Random(seed)
        self.made += 1
        names = [f"Chaos {self.made} Customer {number} Ltd" for number in range(chance.randint(1, min(count, 6)))]
        customers = [self.portal.add_item(COMPANY, title=name, typeId="CUSTOMER") for name in names]
        self.companies += names
        products = [self._product(number) for number in range(chance.randint(0, 3))]
        ids = []
        for number in range(count):
            rows = [self._row(chance, products) for _ in range(chance.randint(1, 3))]
            customer = chance.choice(customers)
            crm_id = self.portal.add_invoice(
                rows, title=f"Chaos {self.made}.{number}", companyId=customer, stageId=self.portal.stage_id("N"), currencyId="NZD", assignedById=ALICE
            )
            self.versions[crm_id] = [self._said(crm_id)]
            ids.append(crm_id)
        return ids

    def _product(self, number: int) -> int:
        sample = next(one for one in self.portal.products.values() if one.get("code"))
        id_ = max(self.portal.products) + 1
        code = f"CH{self.made}-{number}"
        self.portal.products[id_] = {**sample, "id": id_, "name": f"Chaos Product {self.made}.{number}", "code": code}
        self.codes.append(code)
        return id_

    def _row(self, chance: Random, products: list[int]) -> dict[str, Any]:
        price = chance.choice((115, 23, 57.5, 9.99, 1034.2))
        row = {"productName": f"Chair {chance.randint(1, 9)}", "price": price, "quantity": chance.randint(1, 9), "taxRate": 15, "taxIncluded": "Y"}
        if products and chance.random() < 0.6:
            product = chance.choice(products)
            row |= {"productId": product, "productName": self.portal.products[product]["name"]}
        return row

    def _said(self, crm_id: int) -> dict[str, Any]:
        invoice = self.portal.invoices[crm_id]
        return {
            "total": f"{float(invoice['opportunity']):.2f}",
            "quantities": [float(row["quantity"]) for row in self.portal.rows(crm_id)],
            "customer": self.portal.companies[invoice["companyId"]]["title"],
        }

    def edit(self, id: int, quantity: int) -> str:
        """Somebody changes the quantity of the first row."""
        rows = [dict(row) for row in self.portal.rows(id)]
        rows[0]["quantity"] = quantity
        self.portal.change_invoice(id, rows=rows)
        self.versions[id].append(self._said(id))
        return "done"

    def make_in_xero(self, count: int, seed: int) -> list[str]:
        """The bookkeeper writes so many invoices and bills, to customers old and new. Returns the ids."""
        chance, made = Random(seed + 2), []
        today = self.xero.clock.now().date()
        for number in range(count):
            if chance.random() < 0.5:
                name = f"Bookkeeper's {self.made}.{number} Ltd"
                self.sandbox.xero.actions.create_contact(Xero.HARBOUR, {"Name": name})
                self.companies.append(name)
            else:
                name = chance.choice([one.name for one in self.sandbox.xero.contacts() if one.status == "ACTIVE"])
            kind = chance.choice(("ACCREC", "ACCREC", "ACCPAY"))
            line = {
                "Description": f"Made in Xero {number}",
                "Quantity": chance.randint(1, 5),
                "UnitAmount": chance.choice(("10", "99.95", "0.07")),
                "AccountCode": "429" if kind == "ACCPAY" else "200",
            }
            element = {"Type": kind, "Contact": {"Name": name}, "Date": today.isoformat(), "DueDate": today.isoformat(), "LineItems": [line]}
            made.append(self.sandbox.xero.actions.create_invoice(Xero.HARBOUR, element | {"Status": chance.choice(("DRAFT", "AUTHORISED"))}).id)
        return made

    def brought(self, ids: list[str]) -> dict[str, Any]:
        """What the CRM holds under the mark of each of these documents, and which customers it holds twice."""
        found: dict[str, list[dict[str, Any]]] = {one: [] for one in ids}
        bills = [one for type_id in self.portal.processes for one in self.portal.items(type_id).values()]
        for document in (*self.portal.invoices.values(), *bills):
            if str(document.get("xmlId") or "").lower() in found:
                found[str(document["xmlId"]).lower()].append({"id": document["id"], "total": f"{float(document['opportunity']):.2f}"})
        totals = {one.id: f"{one.total:.2f}" for one in self.sandbox.xero.invoices() if one.id in found}
        names = [str(one["title"]) for one in self.portal.companies.values()]
        return {"invoices": found, "totals": totals, "twice": self._news({name for name in self.companies if names.count(name) > 1})}

    def approve(self, ids: list[int]) -> int:
        """The bookkeeper approves these in Xero, where they are drafts."""
        done = 0
        for crm_id in ids:
            for document in self._documents(crm_id):
                if document.status in ("DRAFT", "SUBMITTED"):
                    self.sandbox.xero.approve(document.id)
                    done += 1
        return done

    def switches(self, partner: str, positions: dict[str, str]) -> str:
        for name, position in positions.items():
            self._controls(partner).switches.set(name, position)
        return "done"

    def _controls(self, partner: str) -> Controls:
        return self.xero if partner == "xero" else self.bitrix24

    def arm(self, partner: str, fault: dict[str, Any]) -> int:
        """Arm a fault; its number among those that stand still, for `reached`."""
        armed = self._controls(partner).fail(**fault)
        self.standing.append(armed)
        return len(self.standing) - 1

    def reached(self, number: int) -> bool:
        return self.standing[number].reached.is_set()

    def release(self) -> str:
        """Whoever stands still goes on, and nobody will stand still any more."""
        for fault in self.standing:
            fault.released.set()
        for controls in (self.xero, self.bitrix24):
            with controls.lock:
                controls.faults[:] = [one for one in controls.faults if one not in self.standing or not one.kind.startswith("hold")]
        self.standing.clear()
        return "done"

    def offline(self, on: bool) -> str:
        self.sandbox.xero.actions.organisation_set(Xero.HARBOUR, offline=on)
        return "done"

    def expire(self, partner: str) -> str:
        """Access tokens run out now."""
        if partner == "bitrix24":
            self.portal.tokens.expire(self.portal.member_id)
            return "done"
        identity = self.sandbox.xero.world.identity
        for token in identity.access.values():
            token.expires = identity.now - timedelta(seconds=1)
        return "done"

    def leave(self, minute: int) -> str:
        """Another app of the customer has used most of the minute."""
        self.sandbox.xero.actions.leave(Xero.HARBOUR, minute=minute)
        return "done"

    def install(self) -> str:
        self.portal.install(ALICE)
        return "done"

    def finish(self) -> str:
        self.portal.finish_install(ALICE)
        return "done"

    def open(self, user: int) -> dict[str, Any]:
        opening = self.portal.open_app(user)
        return {"url": opening.url, "fields": opening.fields}

    def account(self, ids: list[int]) -> dict[str, Any]:
        """What both sides hold of these invoices, what exists twice anywhere, and which calls were refused by a limit."""
        invoices = self.sandbox.xero.invoices()
        by_number: dict[str, list[Invoice]] = {}
        by_url: dict[str, list[Invoice]] = {}
        for one in invoices:
            by_number.setdefault(one.number, []).append(one)
            by_url.setdefault(one.url, []).append(one)
        names = [one.name for one in self.sandbox.xero.contacts() if one.status == "ACTIVE"]
        codes = [one.code for one in self.sandbox.xero.items()]
        calls = list(self.xero.calls)
        return {
            "invoices": {crm_id: self._one(crm_id, by_number, by_url) for crm_id in ids},
            "twice": {
                "contacts": self._news({name for name in self.companies if names.count(name) > 1}),
                "items": self._news({code for code in self.codes if codes.count(code) > 1}),
                "documents": self._news({url for url, found in by_url.items() if url and len(found) > 1}),
            },
            "refused": [f"{one.method} {one.path} {one.status}" for one in calls if one.status == 429 and not one.fault],
            "bitrix24_refused": [one.path for one in self.bitrix24.calls if one.status in (429, 503) and not one.fault],
            "calls": len([one for one in calls if one.path.startswith("/api.xro")]),
            "faults": [f"{one.method} {one.path} {one.fault}" for one in (*calls, *self.bitrix24.calls) if one.fault],
        }

    def _news(self, names: set[str]) -> list[str]:
        """What was not told before, so that one failure is not every later trial's as well."""
        news = names - self.told
        self.told |= news
        return sorted(news)

    def _documents(self, crm_id: int) -> list[Invoice]:
        number, url = self._marks(crm_id)
        return [one for one in self.sandbox.xero.invoices() if one.number == number or one.url == url]

    def _marks(self, crm_id: int) -> tuple[str, str]:
        return str(self.portal.invoices[crm_id]["accountNumber"]), f"{self.portal.url}/crm/type/31/details/{crm_id}/"

    def _one(self, crm_id: int, by_number: dict[str, list[Invoice]], by_url: dict[str, list[Invoice]]) -> dict[str, Any]:
        number, url = self._marks(crm_id)
        found = {one.id: one for one in (*by_number.get(number, ()), *by_url.get(url, ()))}
        fields = {name.rpartition("XERO_")[2]: str(value or "") for name, value in self.portal.user_field_values(crm_id).items() if "_XERO_" in name}
        return {
            "number": number,
            "versions": self.versions[crm_id],
            "fields": fields,
            "documents": [self._document(one) for one in found.values()],
            "lines": len([one for one in self.portal.timeline_of(crm_id) if one["kind"] == "log"]),
        }

    def _document(self, one: Invoice) -> dict[str, Any]:
        contact = next(each for each in self.sandbox.xero.contacts() if each.id == one.contact_id)
        return {
            "id": one.id,
            "number": one.number,
            "status": one.status,
            "total": f"{one.total:.2f}",
            "quantities": [float(line.quantity or 0) for line in one.lines],
            "customer": contact.name,
        }


def main() -> None:
    partners = Partners(float(sys.argv[1]), sys.argv[2])
    print(json.dumps({"environment": partners.sandbox.settings.app_environment(), "tenant": Xero.HARBOUR}), flush=True)
    for line in sys.stdin:
        try:
            answer = {"done": partners.do(json.loads(line))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
