"""The invoice list: live, in two requests a page, for the eyes of this visitor."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from plugin.usecases import list_invoices, open_app
from plugin.usecases.shown import InvoiceFilter, InvoicePage
from tests.stories.main_story import approve, change_quantity, document_of, sendable, without_customer
from tests.stories.office import Office, Person


def listed(office: Office, person: Person, **asked: object) -> InvoicePage:
    with office.app.test_request_context():
        visitor = open_app.visitor(office.services, person.portal_id, person.user, "en")
        return list_invoices.page(office.services, visitor, InvoiceFilter(**asked))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [10, 25, 50])
def test_a_page_costs_two_requests(office: Office, size: int) -> None:
    alice = office.ready()
    listed(office, alice, size=size)
    office.sandbox.bitrix24.controls.calls.clear()

    shown = listed(office, alice, size=size, page=2)

    assert len(shown.rows) <= size
    assert len([one for one in office.sandbox.bitrix24.controls.calls if "/rest/" in one.path]) <= 2


def test_a_page_asks_the_database_for_nothing_twice(office: Office) -> None:
    alice = office.ready()
    alice.send(*sendable(office, 3))
    alice.get("/app/invoices/list")
    asked: Counter[str] = Counter()

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked[statement] += statement.startswith("SELECT")

    event.listen(office.services.db.engine, "before_cursor_execute", note)
    alice.get("/app/invoices/list")
    event.remove(office.services.db.engine, "before_cursor_execute", note)

    # A token is looked at before each of the two requests, for it may have been renewed meanwhile.
    assert [statement for statement, times in asked.items() if times > 1 and "access_token" not in statement] == []


def test_every_invoice_is_on_exactly_one_page(office: Office) -> None:
    alice = office.ready()
    pages = listed(office, alice, size=10).pages

    seen = [row.id for number in range(1, pages + 1) for row in listed(office, alice, size=10, page=number).rows]

    assert sorted(seen) == sorted(office.sandbox.bitrix24.portals["harbour"].invoices)


def test_it_is_found_by_number_and_by_title(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    crm_id = crm.add_invoice(None, title="Sixty oak chairs for the terrace")

    assert [row.id for row in listed(office, alice, search="oak chairs for").rows] == [crm_id]
    assert crm_id in [row.id for row in listed(office, alice, search=crm.invoices[crm_id]["accountNumber"]).rows]


def test_states_of_transfer(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    sent, changed, voided = sendable(office, 3)
    bad = without_customer(crm)
    alice.send(sent, changed, voided, bad)
    approve(office, voided)
    office.sandbox.xero.void(document_of(office, voided).id)
    alice.fetch(voided)
    office.sandbox.bitrix24.controls.clock.advance(60)
    change_quantity(crm, changed, 8)

    every = {row.id: row.transfer for row in listed(office, alice, size=50).rows}
    assert [every[one] for one in (sent, changed, voided, bad)] == ["sent", "changed", "voided", "problem"]
    assert [row.id for row in listed(office, alice, state="changed").rows] == [changed]
    assert bad in [row.id for row in listed(office, alice, state="problem", size=50).rows]
    assert {sent, changed, voided} <= {row.id for row in listed(office, alice, state="sent", size=50).rows}
    assert not {sent, changed, voided} & {row.id for row in listed(office, alice, state="not_sent", size=50).rows}


def test_a_change_that_does_not_concern_xero_is_no_change_after_sending_again(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    office.sandbox.bitrix24.controls.clock.advance(60)
    crm.change_invoice(crm_id, comments="called the customer")
    assert [row.id for row in listed(office, alice, state="changed").rows] == [crm_id]

    alice.send(crm_id)

    assert listed(office, alice, state="changed").rows == ()


def test_a_change_made_while_the_result_is_written_back_is_still_a_change(office: Office) -> None:
    from plugin.sending import conductor

    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    (crm_id,) = sendable(office, 1)
    batch = alice.order(crm_id)
    alice.post(f"/app/batches/{batch}/confirm")
    conductor.conduct(office.services, 1, lambda: False)
    office.sandbox.bitrix24.controls.clock.advance(30)
    change_quantity(crm, crm_id, 11)
    office.work()

    assert [row.id for row in listed(office, alice, state="changed").rows] == [crm_id]


def test_periods_are_days_of_the_visitor(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    crm_id = crm.add_invoice(None, title="Made now")

    assert crm_id in [row.id for row in listed(office, alice, period="today", size=50).rows]
    yesterday = datetime.now(UTC).date() - timedelta(days=2)
    assert crm_id not in [row.id for row in listed(office, alice, period="custom", changed_to=yesterday, size=50).rows]


def test_where_smart_invoices_are_switched_off_the_list_says_so(office: Office) -> None:
    bob = office.install("oldinvoices")

    shown = listed(office, bob)

    assert shown.rows == ()
    assert shown.problem is not None
    assert shown.problem.code == "bitrix24.no_smart_invoices"
