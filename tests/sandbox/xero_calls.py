"""A plain client of the Xero stand-in, for its own tests: what goes over the wire is what the test wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import requests

from sandbox.serve import Sandbox
from sandbox.xero import Xero


@dataclass
class Api:
    """Calls the Accounting API with one user's token."""

    sandbox: Sandbox
    user: str = "olivia"
    tenant: str = Xero.HARBOUR
    scopes: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        token = self.xero.tokens(self.user, self.tenant, self.scopes)["access_token"]
        self.headers |= {"Authorization": f"Bearer {token}", "Xero-Tenant-Id": self.tenant, "Accept": "application/json"}
        self.session = requests.Session()

    @property
    def xero(self) -> Xero:
        return self.sandbox.xero

    def call(self, verb: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **params: str) -> requests.Response:
        url = f"{self.sandbox.settings.xero_url}/api.xro/2.0/{path}"
        return self.session.request(verb, url, json=body, params=params, headers=self.headers | (headers or {}), timeout=10)

    def get(self, path: str, **params: str) -> Any:
        return self.call("GET", path, **params).json()

    def write(self, verb: str, path: str, *elements: dict[str, Any], **params: str) -> list[dict[str, Any]]:
        """The elements of the answer, with each one's own outcome."""
        plural = path.partition("/")[0]
        given = {plural: list(elements)}
        if "/" not in path:
            params = {"summarizeErrors": "false", **params}
        answer = self.call(verb, path, given, **params).json()
        return answer.get(plural) or answer["Elements"]

    def one(self, verb: str, path: str, element: dict[str, Any], **params: str) -> dict[str, Any]:
        return self.write(verb, path, element, **params)[0]

    def refusal(self, verb: str, path: str, element: dict[str, Any], **params: str) -> str:
        """What Xero says is wrong with the element; empty when it was accepted."""
        return " | ".join(one["Message"] for one in self.one(verb, path, element, **params).get("ValidationErrors", []))

    def contact_id(self, name: str = "Pipi Street Interiors") -> str:
        contact = self.xero.contact_by_name(name, self.tenant)
        assert contact is not None
        return contact.id

    def invoice(self, number: str = "B24-1", **more: Any) -> dict[str, Any]:
        """A complete sales invoice to send."""
        line = {"Description": "Chair", "Quantity": 2, "UnitAmount": 150, "AccountCode": "200", "TaxType": "OUTPUT2"}
        return {
            "Type": "ACCREC",
            "Status": "AUTHORISED",
            "Contact": {"ContactID": self.contact_id()},
            "InvoiceNumber": number,
            "Date": "2026-11-02",
            "DueDate": "2026-11-22",
            "LineAmountTypes": "Exclusive",
            "LineItems": [line],
            **more,
        }
