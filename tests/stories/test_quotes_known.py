"""Quotes that are in Xero before we are: found by the first synchronisation and linked, never made twice (RULES 10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from plugin.models import Doubt, Link
from plugin.usecases import first_sync, open_app
from sandbox.serve import Sandbox
from sandbox.xero.books import Quote
from tests.stories.main_story import outcomes
from tests.stories.office import HARBOUR_ORGANISATION, Office
from tests.stories.quote_story import document_of, fields_of, harbour, held, quotes_in, send, total_of
from tests.stories.seen import row, rows, words


@pytest.fixture
def office(sandbox: Sandbox, sqlite_url: str, redis_url: str) -> Iterator[Office]:
    """On SQLite only: whom a quote belongs to does not depend on our database."""
    running = Office(sandbox, sqlite_url, redis_url)
    yield running
    running.close()


def typed_there(office: Office, crm_id: int, **more: Any) -> Quote:
    """The same quote, typed into Xero by somebody before the app came."""
    xero, item = office.sandbox.xero, harbour(office).quotes[crm_id]
    tenant, name = xero.actions.tenant(HARBOUR_ORGANISATION), harbour(office).companies[item["companyId"]]["title"]
    contact = next((one for one in xero.contacts() if one.name == name), None) or xero.actions.create_contact(tenant, {"Name": name})
    line = {"Description": "As agreed", "Quantity": "1", "UnitAmount": str(total_of(office, crm_id)), "AccountCode": "200", "TaxType": "OUTPUT2"}
    element = {"Contact": {"ContactID": contact.id}, "Date": item["begindate"].isoformat(), "LineAmountTypes": "INCLUSIVE", "LineItems": [line]}
    return xero.actions.create_quote(tenant, {**element, "QuoteNumber": str(item["quoteNumber"]), "CurrencyCode": item["currencyId"], **more})


def test_a_quote_of_the_same_number_customer_and_total_is_linked_and_shows_its_status(office: Office) -> None:
    (crm_id,) = quotes_in(office, "DRAFT")
    quote = typed_there(office, crm_id, Status="SENT")
    before = len(held(office))

    alice = office.ready()

    link = row(office, Link, crm_kind="quote", crm_id=crm_id)
    assert (link.xero_id, link.how) == (quote.id, "linked")
    assert (fields_of(office, crm_id)["NUMBER"], fields_of(office, crm_id)["STATUS"]) == (quote.number, "Sent to customer")
    assert harbour(office).quotes[crm_id]["stageId"] == "DRAFT"  # it moves on a yes only
    assert "1 quotes linked" in words(alice.get("/app/first-sync").text)
    alice.post("/app/setup/stages")
    office.work()
    assert harbour(office).quotes[crm_id]["stageId"] == "SENT"

    assert outcomes(office, send(alice, crm_id)) == [("refused", "edit.conflict")]  # its lines differ, and are a person's to decide
    assert len(held(office)) == before
    assert outcomes(office, send(alice, crm_id, push="1")) == [("updated", None)]
    assert document_of(office, crm_id).id == quote.id


def test_a_doubtful_quote_is_a_persons_to_decide(office: Office) -> None:
    (crm_id,) = quotes_in(office, "SENT")
    quote = typed_there(office, crm_id, QuoteNumber="OLD-7", Reference=str(harbour(office).quotes[crm_id]["quoteNumber"]))
    alice = office.ready()
    doubt = row(office, Doubt, crm_subject=f"quote:{crm_id}", xero_id=quote.id)
    assert "OLD-7" in words(alice.get("/app/setup/doubtful").text)
    stranger = office.install("stranger")
    assert stranger.post(f"/app/setup/doubtful/{doubt.id}", {"same": "yes"}).status_code in (404, 409)

    assert alice.post(f"/app/setup/doubtful/{doubt.id}", {"same": "yes"}).status_code == 200
    office.work()

    assert row(office, Link, crm_kind="quote", crm_id=crm_id).xero_id == quote.id
    assert fields_of(office, crm_id)["NUMBER"] == "OLD-7"


def test_without_quotes_in_the_crm_xero_is_not_asked_for_any(office: Office) -> None:
    alice = office.ready()
    harbour(office).quotes.clear()
    assert harbour(office).quotes == {}
    office.sandbox.xero.controls.calls.clear()
    first_sync.again(office.services, open_app.visitor(office.services, alice.portal_id, alice.user, "en"))
    office.work()

    assert [one.path for one in office.sandbox.xero.controls.calls if "/Quotes" in one.path] == []
    assert rows(office, Link, crm_kind="quote") == []


def test_another_total_and_number_is_another_quote(office: Office) -> None:
    (crm_id,) = quotes_in(office, "SENT")
    line = {"Description": "Else", "Quantity": "1", "UnitAmount": "1.15", "AccountCode": "200", "TaxType": "OUTPUT2"}
    typed_there(office, crm_id, QuoteNumber="SOMETHING-ELSE", LineItems=[line])
    office.ready()

    assert rows(office, Link, crm_kind="quote") == []
    assert rows(office, Doubt, crm_subject=f"quote:{crm_id}") == []
