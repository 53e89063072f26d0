"""The partners for the bench, in a process of their own: `python -m tests.bench.partners COUNT` prints the app's environment as JSON, then serves.

A line of JSON on standard input is an order: {"do": "calls"}, {"do": "clear"}, {"do": "touch", "count": 200}, ...; each is answered by a line.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import Any

from sandbox.serve import Sandbox
from sandbox.settings import SandboxSettings

WRITE_SECONDS, READ_SECONDS = 1.2, 0.3
CUSTOMERS, PRODUCTS = 300, 200


class Partners:
    """Both stand-ins with so many invoices, new customers and new items, limits on, and the partners' own latency."""

    def __init__(self, count: int, write: float, read: float) -> None:
        self.sandbox = Sandbox(SandboxSettings(app_url="http://localhost:8080")).start()
        self.portal = self.sandbox.bitrix24.portals["harbour"]
        self.sandbox.bitrix24.delivery.hold()
        self.sandbox.xero.controls.switches.set("webhooks", "off")
        self.ids = self._fill(count)
        self.latency(write, read)

    def latency(self, write: float, read: float) -> None:
        self.sandbox.xero.controls.latency[:] = [(r"^/api\.xro", "PUT|POST", write), (r"^/api\.xro|^/connections", "GET", read)]

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

    def do(self, order: dict[str, Any]) -> Any:
        """Carry out one order of the bench."""
        what = order["do"]
        if what == "calls":
            seen = [one for one in self.sandbox.xero.controls.calls if one.path.startswith("/api.xro")]
            rest = [one for one in self.sandbox.bitrix24.controls.calls if one.path.startswith("/rest")]
            return {
                "writes": sum(one.method in ("PUT", "POST") for one in seen),
                "reads": sum(one.method == "GET" for one in seen),
                "bitrix24": len(rest),
                "refused": sum(one.status == 429 for one in seen) + sum(one.status in (429, 503) for one in rest),
                "latency": sum(one.seconds for one in (*seen, *rest)),
                "write_at": [one.at for one in seen if one.method in ("PUT", "POST") and one.path.endswith("Invoices")],
            }
        if what == "clear":
            self.sandbox.xero.controls.calls.clear()
            self.sandbox.bitrix24.controls.calls.clear()
        elif what == "latency":
            self.latency(order["write"], order["read"])
        elif what == "change":
            for crm_id in order["ids"]:
                rows = [dict(row) for row in self.portal.rows(crm_id)]
                rows[0]["quantity"] = order["quantity"]
                self.portal.change_invoice(crm_id, rows=rows)
        elif what == "approve":
            for crm_id in order["ids"]:
                self.sandbox.xero.approve(self.portal.invoices[crm_id]["accountNumber"])
        elif what == "check":
            return self._check(order["ids"])
        elif what == "open":
            opening = self.portal.open_app(int(order.get("user", 1)))
            return {"url": opening.url, "fields": opening.fields}
        elif what == "install":
            self.portal.install(1)
        elif what == "finish":
            self.portal.finish_install(1)
        return "done"

    def _check(self, ids: list[int]) -> dict[str, int]:
        """How many are in Xero exactly once with the CRM's total."""
        by_number: dict[str, list[Decimal]] = {}
        for one in self.sandbox.xero.invoices():
            by_number.setdefault(one.number, []).append(one.total)
        wanted = [(str(self.portal.invoices[crm_id]["accountNumber"]), Decimal(str(self.portal.invoices[crm_id]["opportunity"]))) for crm_id in ids]
        written = sum(bool(self.portal.invoices[crm_id].get("UF_CRM_SMART_INVOICE_XERO_NUMBER")) for crm_id in ids)
        return {"right": sum(by_number.get(number) == [total] for number, total in wanted), "written": written}


def _row(products: list[int], number: int, price: float) -> dict[str, Any]:
    place = number % len(products)
    return {"productId": products[place], "productName": f"Bench Product {place}", "price": price, "quantity": 2, "taxRate": 15}


def main() -> None:
    partners = Partners(int(sys.argv[1]), WRITE_SECONDS, READ_SECONDS)
    tenant = next(iter(partners.sandbox.xero.organisations))
    print(json.dumps({"environment": partners.sandbox.settings.app_environment(), "ids": partners.ids, "tenant": tenant}), flush=True)
    for line in sys.stdin:
        print(json.dumps(partners.do(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
