"""Every status that Xero knows reaches its mapped stage by itself, quotes' too; lists without webhooks are read in their time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from plugin.models import DirectoryEntry
from tests.stories.main_story import document_of, fields_of, sendable
from tests.stories.patience import PatientOffice
from tests.stories.quote_story import document_of as quote_of
from tests.stories.quote_story import fields_of as quote_fields
from tests.stories.quote_story import harbour, quotes_in
from tests.stories.quote_story import send as send_quotes
from tests.stories.seen import row
from tests.stories.test_news import told
from tests.stories.test_sweeps import HOUR, later
from tests.stories.test_webhooks import event

#: Which stage each status leads to: none is the one in which the invoices stand.
STAGES = {
    "submitted": "UC_CHK4S2",
    "authorised": "S",
    "sent": "UC_CHK4S2",
    "overdue": "UC_OVD7X1",
    "part_paid": "UC_CHK4S2",
    "paid": "P",
    "voided": "D",
    "deleted": "D",
}
WORDS = {
    "submitted": "Awaiting approval",
    "authorised": "Awaiting payment",
    "sent": "Sent to customer",
    "overdue": "Overdue",
    "part_paid": "Part paid",
    "paid": "Paid",
    "voided": "Voided",
    "deleted": "Deleted",
}


@pytest.fixture
def office(patient_office: PatientOffice) -> PatientOffice:
    """Nothing is announced unless a story says so."""
    patient_office.sandbox.xero.controls.switches.set("webhooks", "off")
    return patient_office


@pytest.mark.parametrize("announced", [True, False])
def test_each_status_leads_to_its_stage(office: PatientOffice, announced: bool) -> None:
    crm, xero = harbour(office), office.sandbox.xero
    ids = sendable(office, len(STAGES))
    for crm_id in ids:
        crm.set_stage(crm_id, "N")
    alice = office.ready(**{f"status:{word}": crm.stage_id(code) for word, code in STAGES.items()})
    alice.send(*ids)
    by_word = dict(zip(STAGES, ids, strict=True))
    today = office.now().date()
    for word, crm_id in by_word.items():
        number = document_of(office, crm_id).id
        if word == "deleted":
            xero.delete(number)
        elif word == "submitted":
            xero.edit(number, Status="SUBMITTED")
        else:
            due = today - timedelta(days=3) if word == "overdue" else today + timedelta(days=20)
            xero.edit(number, Status="AUTHORISED", DueDate=due.isoformat(), Date=(today - timedelta(days=9)).isoformat())
        if word == "sent":
            xero.edit(number, SentToContact=True)
        elif word in ("part_paid", "paid"):
            xero.pay(number, "1.00" if word == "part_paid" else None)
        elif word == "voided":
            xero.void(number)
    if announced:
        assert told(office, *(event(office, document_of(office, one).id) for one in ids)) == 200
        office.work()
    else:
        later(office, 3 * HOUR)

    shown = {word: (fields_of(crm, crm_id)["STATUS"], crm.invoices[crm_id]["stageId"]) for word, crm_id in by_word.items()}
    assert shown == {word: (WORDS[word], crm.stage_id(code)) for word, code in STAGES.items()}


def test_a_quote_that_is_accepted_in_xero_moves_within_the_hour(office: PatientOffice) -> None:
    """Quotes have no webhook: the hourly list brings them."""
    alice = office.ready()
    (crm_id,) = quotes_in(office, "SENT")
    send_quotes(alice, crm_id)
    later(office, HOUR)
    office.sandbox.xero.actions.edit_quote(office.sandbox.xero.HARBOUR, quote_of(office, crm_id).id, Status="ACCEPTED")

    later(office, 1.1 * HOUR)

    assert quote_fields(office, crm_id)["STATUS"] == "Accepted"
    assert harbour(office).quotes[crm_id]["stageId"] == "APPROVED"


def test_lists_without_webhooks_are_read_once_a_day(office: PatientOffice) -> None:
    office.ready()
    xero = office.sandbox.xero
    books = xero.organisations[xero.HARBOUR]
    account = next(one for one in books.accounts if one.code == "200")
    account.name = "Sales of furniture"
    later(office, 2 * HOUR)
    assert row(office, DirectoryEntry, kind="account", code="200").body["name"] != "Sales of furniture"

    later(office, 24 * HOUR)

    assert row(office, DirectoryEntry, kind="account", code="200").body["name"] == "Sales of furniture"


def test_news_of_a_credit_note_is_heard(office: PatientOffice) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    xero, document = office.sandbox.xero, document_of(office, crm_id)
    xero.edit(document.id, Status="AUTHORISED")
    later(office, 3 * HOUR)
    line = {"Description": "Goodwill", "Quantity": 1, "UnitAmount": 10, "AccountCode": "200", "TaxType": "NONE"}
    element = {"Type": "ACCRECCREDIT", "Status": "AUTHORISED", "Contact": {"ContactID": document.contact_id}, "LineItems": [line]}
    note = xero.actions.create_credit_note(xero.HARBOUR, {**element, "Date": office.now().date().isoformat(), "CurrencyCode": document.currency})
    xero.actions.allocate(xero.HARBOUR, note.id, document.id, "10.00")

    assert told(office, event(office, note.id, eventCategory="CREDITNOTE")) == 200
    office.take_in()
    later(office, 61)

    assert fields_of(harbour(office), crm_id)["STATUS"] == "Part paid"
