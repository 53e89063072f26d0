"""It runs by itself: what people do in the CRM reaches Xero without a click, once, and nothing that we do ourselves comes back as work."""

from __future__ import annotations

from typing import Any

import pytest

from plugin.models import Activity, Followed, Job, Link, SettingsVersion
from plugin.sentences import sentence
from sandbox.bitrix24.portal import Portal
from sandbox.bitrix24.switches import FACTS
from tests.stories.office import Office, Person
from tests.stories.seen import deliver, row, rows, says, words
from tests.stories.test_sending import number_of, sendable, writes

ROWS: list[dict[str, Any]] = [{"productName": "Delivery", "price": 115.0, "quantity": 2, "taxRate": 15, "taxIncluded": "Y"}]


def harbour(office: Office) -> Portal:
    return office.sandbox.bitrix24.portals["harbour"]


def automatic(office: Office, mode: str = "new", stage: str = "", **more: str) -> Person:
    """An office in which this runs by itself."""
    alice = office.ready()
    deliver(office)
    office.work()
    answer = alice.post("/app/setup/automatic", {"automatic": mode, "automatic_stage": harbour(office).stage_id(stage) if stage else "", **more})
    assert "Saved." in answer.text, answer.text
    office.sandbox.xero.controls.calls.clear()
    return alice


def live(office: Office, rounds: int = 4) -> None:
    """Everything that the portal tells reaches the app, and everything that follows from it is done, until it is quiet."""
    for _ in range(rounds):
        if not deliver(office):
            return
        office.work()
    assert not deliver(office), "it never becomes quiet"


def new_invoice(office: Office, rows: list[dict[str, Any]] | None = None, **fields: Any) -> int:
    crm = harbour(office)
    company = next(one["companyId"] for one in crm.invoices.values() if one.get("companyId") in crm.companies)
    return crm.add_invoice(ROWS if rows is None else rows, **{"title": "Made by hand", "companyId": company, "currencyId": "NZD", **fields})


def in_xero(office: Office, crm_id: int) -> Any:
    return office.sandbox.xero.invoice(number_of(office, crm_id))


def test_a_new_invoice_appears_in_xero_without_a_click(office: Office) -> None:
    automatic(office)
    crm_id = new_invoice(office)
    live(office)

    document = in_xero(office, crm_id)
    assert document is not None
    assert str(document.total) == "230.00"
    assert harbour(office).user_field_values(crm_id)["UF_CRM_SMART_INVOICE_XERO_NUMBER"] == document.number
    assert len([one for one in writes(office) if one.path.endswith("/Invoices")]) == 1
    said = row(office, Activity, code="activity.created", subject=f"invoice:{crm_id}")
    assert (said.cause, said.user_id) == ("automatic", None)


def test_an_edit_follows_and_what_we_wrote_ourselves_does_not(office: Office) -> None:
    automatic(office)
    crm_id = new_invoice(office)
    live(office)
    sent = len(writes(office))
    harbour(office).change_invoice(crm_id, [{**ROWS[0], "quantity": 3}])
    live(office)

    assert str(in_xero(office, crm_id).total) == "345.00"
    assert len(writes(office)) == sent + 1
    office.sandbox.xero.controls.calls.clear()
    harbour(office).change_invoice(crm_id, comments="Nothing that Xero knows of")
    live(office)
    assert list(office.sandbox.xero.controls.calls) == []


def test_a_burst_on_one_invoice_is_one_transfer(office: Office) -> None:
    automatic(office)
    crm_id = new_invoice(office)
    for quantity in range(3, 9):
        harbour(office).change_invoice(crm_id, [{**ROWS[0], "quantity": quantity}])
    live(office)

    assert str(in_xero(office, crm_id).total) == "920.00"
    assert len([one for one in writes(office) if one.path.endswith("/Invoices")]) == 1


def test_off_means_off(office: Office) -> None:
    alice = automatic(office, "off")
    crm_id = new_invoice(office)
    (sent,) = sendable(office, 1)
    alice.send(sent)
    live(office)
    office.sandbox.xero.controls.calls.clear()
    harbour(office).change_invoice(sent, title="Another title")
    live(office)

    assert in_xero(office, crm_id) is None
    assert list(office.sandbox.xero.controls.calls) == []


def test_an_invoice_waits_for_products_and_a_customer_and_then_goes(office: Office) -> None:
    automatic(office)
    crm_id = new_invoice(office, rows=[], companyId=0)
    live(office)
    assert [(one.crm_id, one.state, one.problem_code) for one in rows(office, Followed)] == [(crm_id, "waiting", "follow.no_rows")]
    harbour(office).change_invoice(crm_id, ROWS)
    live(office)
    assert [(one.state, one.problem_code) for one in rows(office, Followed)] == [("waiting", "follow.no_customer")]
    assert rows(office, Activity, code="activity.not_sent") == []
    company = next(iter(harbour(office).companies))
    harbour(office).change_invoice(crm_id, companyId=company)
    live(office)

    assert in_xero(office, crm_id) is not None
    assert rows(office, Followed) == []


def test_a_stage_sends_even_if_the_invoice_has_left_it_again(office: Office) -> None:
    automatic(office, "stage", stage="S")
    crm, stays, passes = harbour(office), new_invoice(office), new_invoice(office)
    live(office)
    assert (in_xero(office, stays), in_xero(office, passes)) == (None, None)
    crm.set_stage(passes, "S")
    crm.set_stage(passes, "N")
    live(office)

    assert in_xero(office, stays) is None
    assert in_xero(office, passes) is not None


def test_nothing_from_before_goes_by_itself(office: Office) -> None:
    crm = harbour(office)
    office.sandbox.bitrix24.controls.clock.advance(-2)
    before = new_invoice(office)
    office.sandbox.bitrix24.controls.clock.advance(2)
    automatic(office)
    old = new_invoice(office, begindate="2020-01-01")
    crm.change_invoice(before, title="Changed since")
    live(office)

    assert in_xero(office, before) is None
    assert in_xero(office, old) is None


def test_the_stage_after_export_is_set_and_orders_nothing(office: Office) -> None:
    crm = harbour(office)
    automatic(office, "new", stage_after_export=crm.stage_id("S"))
    crm_id = new_invoice(office)
    live(office)

    assert crm.invoices[crm_id]["stageId"] == crm.stage_id("S")
    assert in_xero(office, crm_id).status == "DRAFT"
    sent = len(writes(office))
    crm.change_invoice(crm_id, [{**ROWS[0], "quantity": 3}])
    live(office)
    assert (in_xero(office, crm_id).status, str(in_xero(office, crm_id).total)) == ("DRAFT", "345.00")
    assert len(writes(office)) == sent + 1
    crm.set_stage(crm_id, "N")
    live(office)
    crm.set_stage(crm_id, "S")
    live(office)
    assert in_xero(office, crm_id).status == "AUTHORISED"


def test_what_cannot_go_says_so_on_the_invoice_and_is_not_tried_again_until_it_changes(office: Office) -> None:
    automatic(office)
    crm_id = new_invoice(office, currencyId="NZD", isManualOpportunity="Y", opportunity=1)
    live(office)

    assert [(one.state, one.problem_code) for one in rows(office, Followed)] == [("problem", "send.manual_total")]
    assert harbour(office).user_field_values(crm_id)["UF_CRM_SMART_INVOICE_XERO_ERROR"]
    assert len(rows(office, Activity, code="activity.not_sent")) == 1
    harbour(office).change_invoice(crm_id, comments="Still the same for Xero")
    live(office)
    assert len(rows(office, Activity, code="activity.not_sent")) == 1
    harbour(office).change_invoice(crm_id, isManualOpportunity="N")
    live(office)
    assert in_xero(office, crm_id) is not None
    assert rows(office, Followed) == []


def test_the_settings_say_what_is_wrong_and_keep_what_held(office: Office) -> None:
    alice = automatic(office)
    held = len(rows(office, SettingsVersion))

    assert says(alice.post("/app/setup/automatic", {"automatic": "stage"}).text, "automatic.stage_missing")
    assert says(alice.post("/app/setup/automatic", {"automatic": "stage", "automatic_stage": "DT31_9:GONE"}).text, "setup.stage_unknown", stage="DT31_9:GONE")
    assert len(rows(office, SettingsVersion)) == held
    alice.set_up()  # the wizard's own draft is older than what runs by itself
    assert 'value="new" checked' in alice.get("/app/setup").text
    sam = office.open(user=2)
    assert sam.post("/app/setup/automatic", {"automatic": "off"}).status_code == 403


SWITCHES = [
    (name, position)
    for name, positions, _ in FACTS
    if name in ("event_duplicates", "event_order", "rows_fire_update", "requisite_fires_company", "dynamic_event_names", "event_name_case", "event_auth_extras")
    for position in positions[1:]
]


@pytest.mark.parametrize(("switch", "position"), SWITCHES)
def test_whatever_the_portal_does_it_is_one_transfer(patient_office: Any, switch: str, position: str) -> None:
    office: Office = patient_office
    office.sandbox.bitrix24.controls.switches.set(switch, position)
    automatic(office)
    crm_id = new_invoice(office)
    live(office)
    harbour(office).change_invoice(crm_id, [{**ROWS[0], "quantity": 3}])
    live(office)

    wanted = "230.00" if (switch, position) == ("rows_fire_update", "never") else "345.00"
    assert str(in_xero(office, crm_id).total) == wanted
    assert len([one for one in writes(office) if one.path.endswith("/Invoices")]) <= 2
    assert [one.problem_code for one in rows(office, Job) if one.problem_code] == []
    assert len(rows(office, Link, crm_kind="invoice", crm_id=crm_id)) == 1
    assert sentence("follow.no_rows", {}) not in words(str(rows(office, Activity)))


def contact_of(office: Office, company: int) -> Any:
    link = row(office, Link, crm_kind="company", crm_id=company)
    return next(one for one in office.sandbox.xero.contacts() if one.id == link.xero_id)


def test_a_customer_that_we_made_in_xero_follows_and_a_bookkeepers_word_stays(office: Office) -> None:
    automatic(office)
    crm = harbour(office)
    company = crm.add_item(4, title="Kowhai Glass Ltd", fm=[{"TYPE_ID": "EMAIL", "VALUE": "office@kowhai.example", "VALUE_TYPE": "WORK"}])
    new_invoice(office, companyId=company)
    live(office, 6)
    contact = contact_of(office, company)
    assert contact.name == "Kowhai Glass Ltd"
    office.sandbox.xero.controls.calls.clear()
    crm.change_item(4, company, comments="Nothing for Xero")
    live(office)
    assert [one for one in writes(office) if one.path.endswith("/Contacts")] == []
    crm.change_item(4, company, title="Kowhai Glass & Sons Ltd")
    live(office)

    assert contact_of(office, company).name == "Kowhai Glass & Sons Ltd"
    assert len([one for one in writes(office) if one.path.endswith("/Contacts")]) == 1
    assert len(rows(office, Activity, code="activity.contact_updated")) == 1


def test_a_contact_that_we_did_not_make_is_never_changed(office: Office) -> None:
    alice = automatic(office)
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    crm = harbour(office)
    company = crm.invoices[crm_id]["companyId"]
    with office.services.db.transaction() as tx:
        for link in tx.query(Link).filter_by(crm_kind="company", crm_id=company):
            link.how = "matched"
    office.sandbox.xero.controls.calls.clear()
    crm.change_item(4, company, title="Another name")
    live(office)

    assert [one for one in writes(office) if one.path.endswith("/Contacts")] == []
