"""Two independent witnesses of the Xero stand-in: Xero's own Python library drives it, and Xero's schemas judge its answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from xero_python.accounting import (
    Account,
    AccountingApi,
    Address,
    Contact,
    Contacts,
    Invoice,
    Invoices,
    Item,
    Items,
    LineAmountTypes,
    LineItem,
    Payment,
    PaymentDelete,
    Payments,
    Phone,
    Purchase,
)
from xero_python.api_client import ApiClient
from xero_python.api_client.configuration import Configuration
from xero_python.api_client.oauth2 import OAuth2Token, TokenApi
from xero_python.exceptions import AccountingBadRequestException
from xero_python.identity import IdentityApi

from sandbox.serve import Sandbox
from tests.sandbox.xero_calls import Api

#: Xero's published schemas, where they lie beside this repository.
SCHEMAS = Path(__file__).parents[2].parent / "shared/reference/openapi/xero_accounting.yaml"


# --- Xero's own library


class Client:
    """`xero-python`, pointed at the stand-in."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = sandbox.settings
        for name in ("refresh_token_url", "client_credentials_token_url"):
            monkeypatch.setattr(TokenApi, name, f"{settings.xero_url}/connect/token")
        monkeypatch.setattr(TokenApi, "revoke_token_url", f"{settings.xero_url}/connect/revocation")
        self.token = {**sandbox.xero.tokens(), "expires_at": 0}
        self.token["scope"] = self.token["scope"].split()
        configuration = Configuration(oauth2_token=OAuth2Token(settings.xero_client_id, settings.xero_client_secret))
        self.client = ApiClient(configuration, oauth2_token_getter=lambda: self.token, oauth2_token_saver=self._save)
        self.accounting = AccountingApi(self.client)
        self.identity = IdentityApi(self.client)
        monkeypatch.setattr(self.accounting, "base_url", f"{settings.xero_url}/api.xro/2.0", raising=False)
        monkeypatch.setattr(self.identity, "base_url", settings.xero_url, raising=False)
        self.tenant = sandbox.xero.HARBOUR

    def _save(self, token: dict[str, Any]) -> None:
        self.token = {**self.token, **token}


@pytest.fixture
def client(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    sandbox.xero.controls.switches.set("webhooks", "off")
    made = Client(sandbox, monkeypatch)
    yield made
    made.client.pool.close()
    made.client.pool.join()


def sale(number: str, contact: str, account: str = "200") -> Invoice:
    line = LineItem(description="Chair", quantity=2.0, unit_amount=150.0, account_code=account, tax_type="OUTPUT2")
    return Invoice(
        type="ACCREC", status="AUTHORISED", invoice_number=number, contact=Contact(contact_id=contact), line_items=[line],
        date=date(2026, 11, 2), due_date=date(2026, 11, 22), line_amount_types=LineAmountTypes.EXCLUSIVE,
    )  # fmt: skip


def test_the_library_refreshes_and_lists_connections(client: Client, sandbox: Sandbox) -> None:
    before = client.token["refresh_token"]
    assert client.client.refresh_oauth2_token()["refresh_token"] != before
    assert [one.tenant_id for one in client.identity.get_connections()] == [client.tenant]
    organisation = client.accounting.get_organisations(client.tenant).organisations[0]
    assert (organisation.name, organisation.base_currency.value) == ("Harbour & Vine Trading Ltd", "NZD")


def test_the_library_reads_every_list(client: Client) -> None:
    api, tenant = client.accounting, client.tenant
    assert {one.code for one in api.get_accounts(tenant).accounts} >= {"200", "610", "860"}
    assert {one.tax_type for one in api.get_tax_rates(tenant).tax_rates} >= {"OUTPUT2", "ZERORATED", "NONE"}
    assert api.get_tracking_categories(tenant).tracking_categories[0].options[0].name == "North"
    assert [one.code.value for one in api.get_currencies(tenant).currencies] == ["NZD", "AUD"]
    assert api.get_branding_themes(tenant).branding_themes[0].name == "Standard"
    assert {one.organisation_role for one in api.get_users(tenant).users} == {"STANDARD", "FINANCIALADVISER", "INVOICEONLY"}
    assert api.get_organisation_actions(tenant).actions[0].status == "ALLOWED"
    assert api.get_credit_notes(tenant, page=1).credit_notes[0].credit_note_number == "CN-0001"
    assert api.get_quotes(tenant).quotes[0].quote_number == "QU-0001"
    assert len(api.get_items(tenant).items) == 12


def test_the_library_writes_batches_under_a_key(client: Client, sandbox: Sandbox) -> None:
    contact = sandbox.xero.contacts()[0].id
    batch = Invoices(invoices=[sale("SDK-1", contact), sale("SDK-2", contact, account="999")])
    answers = [client.accounting.create_invoices(client.tenant, batch, summarize_errors=False, unitdp=4, idempotency_key="sdk-key") for _ in range(2)]
    good, bad = answers[0].invoices
    assert (good.status_attribute_string, good.total, bad.status_attribute_string) == ("OK", 345, "ERROR")
    assert "999" in bad.validation_errors[0].message
    assert answers[1].invoices[0].invoice_id == good.invoice_id
    changed = Invoices(invoices=[Invoice(invoice_id=good.invoice_id, reference="Deal 7")])
    assert client.accounting.update_invoice(client.tenant, good.invoice_id, changed).invoices[0].reference == "Deal 7"
    with pytest.raises(AccountingBadRequestException):
        client.accounting.create_invoices(client.tenant, Invoices(invoices=[sale("SDK-1", contact)]))
    page = client.accounting.get_invoices(client.tenant, i_ds=[good.invoice_id], page=1, page_size=50)
    assert (page.pagination.item_count, page.invoices[0].line_items[0].unit_amount) == (1, 150)


def test_the_library_writes_contacts_items_and_payments(client: Client, sandbox: Sandbox) -> None:
    api, tenant = client.accounting, client.tenant
    person = Contact(
        name="Acme Ltd", contact_number="B24-1-C1", email_address="ap@acme.example",
        phones=[Phone(phone_type="DEFAULT", phone_number="111")], addresses=[Address(address_type="POBOX", city="Wellington")],
    )  # fmt: skip
    contact = api.create_contacts(tenant, Contacts(contacts=[person]), summarize_errors=False).contacts[0]
    item = Item(code="SDK-1", name="Thing", sales_details=Purchase(unit_price=12.3456, account_code="200", tax_type="OUTPUT2"))
    assert float(api.update_or_create_items(tenant, Items(items=[item]), summarize_errors=False, unitdp=4).items[0].sales_details.unit_price) == 12.3456
    invoice = api.create_invoices(tenant, Invoices(invoices=[sale("SDK-9", contact.contact_id)])).invoices[0]
    paid = Payment(invoice=Invoice(invoice_id=invoice.invoice_id), account=Account(code="090"), date=date(2026, 11, 20), amount=345.0)
    payment = api.create_payments(tenant, Payments(payments=[paid]), summarize_errors=False).payments[0]
    assert api.get_invoice(tenant, invoice.invoice_id).invoices[0].status == "PAID"
    api.delete_payment(tenant, payment.payment_id, PaymentDelete(status="DELETED"))
    assert api.get_invoice(tenant, invoice.invoice_id).invoices[0].status == "AUTHORISED"


# --- Xero's own schemas

#: In the reference (X§2.2, X§2.3, X§4.11) though not in the published schemas.
EXTRA = {
    "Invoice": {"DateString", "DueDateString"},
    "CreditNote": {"DateString", "ID"},
    "Payment": {"DateString"},
    "HistoryRecord": {"DateUTCString"},
    "Allocation": {"HasErrors"},
    "Contact": set(),
}
ENVELOPE = {"Id", "Status", "ProviderName", "DateTimeUTC", "pagination", "SummarizeErrors"}


@cache
def schemas() -> dict[str, Any]:
    """The published schemas, closed: a field they do not know is an error."""
    document = yaml.load(SCHEMAS.read_text(), yaml.CSafeLoader)
    found: dict[str, Any] = document["components"]["schemas"]
    for name, schema in found.items():
        if "properties" in schema:
            schema["additionalProperties"] = False
            schema["properties"] |= {extra: {} for extra in EXTRA.get(name, ())}
    return {"components": {"schemas": found}}


def check(kind: str, rows: list[dict[str, Any]]) -> None:
    validator = Draft202012Validator({**schemas(), "$ref": f"#/components/schemas/{kind}"})
    problems = [f"{'/'.join(map(str, one.absolute_path))}: {one.message[:200]}" for row in rows for one in validator.iter_errors(row)]
    assert problems == []


class TestSchemas:
    """Collected only where the published schemas lie beside the repository."""

    __test__ = SCHEMAS.is_file()

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("Organisation", "Organisation"),
            ("Organisation/Actions", "Action"),
            ("Accounts", "Account"),
            ("TaxRates", "TaxRate"),
            ("TrackingCategories", "TrackingCategory"),
            ("Currencies", "Currency"),
            ("BrandingThemes", "BrandingTheme"),
            ("Users", "User"),
            ("Items", "Item"),
            ("Contacts?page=1", "Contact"),
            ("Contacts", "Contact"),
            ("Contacts?summaryOnly=true", "Contact"),
            ("Invoices?page=1", "Invoice"),
            ("Invoices?summaryOnly=true", "Invoice"),
            ("Invoices/HV-1001", "Invoice"),
            ("Invoices/HV-1001/History", "HistoryRecord"),
            ("Invoices/HV-1001/OnlineInvoice", "OnlineInvoice"),
            ("Payments?page=1", "Payment"),
            ("CreditNotes?page=1", "CreditNote"),
            ("Quotes", "Quote"),
        ],
    )
    def test_answers(self, sandbox: Sandbox, path: str, kind: str) -> None:
        sandbox.xero.controls.switches.set("webhooks", "off")
        sandbox.xero.pay("HV-1001", "100")
        body = Api(sandbox).call("GET", path).json()
        key = next(one for one in body if one not in ENVELOPE)
        assert body[key]
        check(kind, body[key])

    def test_refusals(self, sandbox: Sandbox) -> None:
        api = Api(sandbox)
        answer = api.call("PUT", "Invoices", {"Invoices": [api.invoice("HV-1001")]}).json()
        assert set(answer) == {"ErrorNumber", "Type", "Message", "Elements"}
        check("Invoice", answer["Elements"])

    def test_what_the_tests_send(self, sandbox: Sandbox) -> None:
        check("Invoice", [Api(sandbox).invoice()])
