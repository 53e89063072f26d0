"""Set up once: everything proposed, every wrong answer named, resumed where it was left, edited later with its effects shown."""

from __future__ import annotations

from typing import Any

import pytest

from plugin.models import Job, SettingsVersion, SetUp
from plugin.usecases import open_app, set_up
from plugin.usecases.shown import SetUpShown
from sandbox.bitrix24.fields import COMPANY
from tests.stories.office import Office, Person
from tests.stories.seen import portal_row, row, rows, says, words
from tests.stories.test_sending import outcome, sendable


def connected(office: Office, portal: str = "harbour") -> Person:
    person = office.install(portal)
    person.connect_xero()
    return person


def shown(person: Person, step: int = 1) -> SetUpShown:
    """What the wizard's page is made of."""
    services = person.office.services
    return set_up.shown(services, open_app.visitor(services, person.portal_id, person.user, "en"), step)


def answers(person: Person, step: int, **changes: Any) -> dict[str, Any]:
    return {**person.proposals()[step], **changes}


def save(person: Person, step: int, **changes: Any) -> str:
    answer = person.post(f"/app/setup/{step}", answers(person, step, **changes))
    assert answer.status_code == 200, answer.text
    return answer.text


def stage(office: Office, name: str) -> str:
    return office.sandbox.bitrix24.portals["harbour"].stage_id(name)


def test_the_start_date_is_today_and_every_company_of_the_portal_is_ticked(office: Office) -> None:
    alice = connected(office)

    first = shown(alice)

    assert first.start_date is not None
    assert abs((first.start_date - office.services.now().date()).days) <= 1
    assert [(title, ticked) for _, title, ticked in first.sellers] == [("Harbour & Vine Trading Ltd", True), ("Harbour & Vine Australia Pty Ltd", True)]
    assert "Harbour &amp; Vine Australia" in alice.get("/app/setup").text


def test_ledgers_are_proposed_and_only_those_that_may_be_chosen_are_offered(office: Office) -> None:
    found = shown(connected(office), 2)

    assert (found.income.value, found.expense.value) == ("200", "300") if found.income and found.expense else False
    income, expense = ({one.value for one in options} for options in (found.income_options, found.expense_options))
    assert {"200", "201", "202", "260"} <= income
    assert not income & {"090", "209", "610", "300", "820", "860"}
    assert {"300", "400"} <= expense
    assert not expense & {"497", "498", "499", "200", "800"}


def test_ledgers_are_found_as_one_types_a_code_or_a_name(office: Office) -> None:
    alice = connected(office)

    assert "201 Sales - services" in alice.get("/app/setup/accounts", **{"kind": "income", "income-text": "20"}).text
    by_name = alice.get("/app/setup/accounts", **{"kind": "income", "income-text": "export sal"}).text
    assert "202 Sales - export" in by_name
    assert "201" not in by_name
    assert "209" not in alice.get("/app/setup/accounts", **{"kind": "income", "income-text": "old showroom"}).text


def test_stages_are_proposed_from_their_meaning_custom_ones_included(office: Office) -> None:
    found = shown(connected(office), 3)

    forward = {one.id.rpartition(":")[2]: one.status for one in found.stages}
    assert forward == {"N": "DRAFT", "UC_CHK4S2": "DRAFT", "S": "AUTHORISED", "UC_OVD7X1": "AUTHORISED", "P": "AUTHORISED", "D": ""}
    back = {one.word: one.stage_id.rpartition(":")[2] for one in found.statuses if one.stage_id}
    assert back == {"authorised": "S", "sent": "S", "overdue": "UC_OVD7X1", "paid": "P", "voided": "D", "deleted": "D"}


def test_each_tax_is_proposed_by_its_percent_and_no_tax_and_zero_stand_apart(office: Office) -> None:
    found = {one.key: one for one in shown(connected(office), 4).taxes}

    assert list(found) == ["none", "0", "10", "15"]
    assert (found["none"].chosen, found["0"].chosen, found["15"].chosen) == ("NONE", "ZERORATED", "OUTPUT2")
    assert found["10"].chosen == ""
    assert {one.value for one in found["0"].candidates} == {"NONE", "ZERORATED"}
    assert found["0"].needs_look
    assert not found["15"].needs_look
    offered = {option.value for line in found.values() for option in (*line.candidates, *line.others)}
    assert not offered & {"INPUT2", "OUTPUT", "INPUT", "GSTONIMPORTS"}


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("income", "209", "setup.account_invalid"),
        ("income", "090", "setup.account_invalid"),
        ("income", "300", "setup.account_invalid"),
        ("income", "no such", "setup.account_invalid"),
        ("income", "", "setup.account_missing"),
        ("expense", "499", "setup.account_invalid"),
        ("expense", "200", "setup.account_invalid"),
        ("expense", "", "setup.account_missing"),
    ],
)
def test_a_wrong_ledger_is_named_and_the_step_stays(office: Office, field: str, value: str, code: str) -> None:
    alice = connected(office)

    page = save(alice, 2, **{field: value})

    assert says(page, code, account=value)
    assert row(office, SetUp).step == 2


def test_an_account_that_was_archived_meanwhile_is_refused_at_the_check(office: Office) -> None:
    alice = connected(office)
    save(alice, 2, income="201")
    office.sandbox.xero.actions.archive_account("Harbour & Vine Trading Ltd", "201")
    forget_freshness(office)
    alice.get("/app/setup")

    answer = alice.post("/app/setup/confirm")

    assert answer.status_code == 409
    assert says(answer.text, "setup.account_invalid", account="201")
    assert rows(office, SettingsVersion) == []


def forget_freshness(office: Office) -> None:
    from sqlalchemy import update

    from plugin.models import Watermark

    with office.services.db.transaction() as tx:
        tx.execute(update(Watermark).values(read_at=None))


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("tax:15", "INPUT2", "setup.tax_not_for_sales"),
        ("tax:15", "OUTPUT", "setup.tax_not_for_sales"),
        ("tax:15", "ZERORATED", "setup.tax_rate_differs"),
        ("tax:0", "OUTPUT2", "setup.tax_rate_differs"),
        ("tax:none", "OUTPUT2", "setup.tax_rate_differs"),
        ("tax:15", "NOSUCH", "setup.tax_missing"),
    ],
)
def test_a_tax_that_cannot_be_is_named(office: Office, field: str, value: str, code: str) -> None:
    alice = connected(office)

    answer = alice.post("/app/setup/4", answers(alice, 4, **{field: value}))

    state = shown(alice, 4)
    assert row(office, SetUp).step == 4
    assert set_up_fault(alice, 4, field, value) == code
    assert state.step == 4
    assert answer.status_code == 200


def set_up_fault(person: Person, step: int, field: str, value: str) -> str:
    """The code of the fault that this value makes."""
    from werkzeug.datastructures import MultiDict

    services = person.office.services
    visitor = open_app.visitor(services, person.portal_id, person.user, "en")
    return set_up.save(services, visitor, step, MultiDict(answers(person, step, **{field: value}))).faults[field].code


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("start_date", "", "setup.date_missing"),
        ("start_date", "31/12/2026", "setup.date_invalid"),
        ("seller", "", "setup.seller_missing"),
        ("seller", "²", "setup.seller_missing"),
        ("number_prefix", "Rechnung-ß-", "setup.prefix_invalid"),
        ("number_prefix", "x" * 21, "setup.prefix_invalid"),
    ],
)
def test_a_wrong_first_step_is_named(office: Office, field: str, value: str, code: str) -> None:
    alice = connected(office)

    page = save(alice, 1, **{field: value})

    assert says(page, code, most=20)
    assert row(office, SetUp).step == 1


def test_a_stage_or_status_that_does_not_exist_is_named(office: Office) -> None:
    alice = connected(office)

    assert set_up_fault(alice, 3, "status:paid", "DT31_3:NOSUCH") == "setup.stage_unknown"
    assert set_up_fault(alice, 3, f"stage:{stage(office, 'N')}", "PAID") == "setup.status_unknown"
    assert row(office, SetUp).step == 3


def test_a_stage_that_was_removed_later_is_named_before_anything_is_confirmed(office: Office) -> None:
    alice = connected(office)
    save(alice, 3)
    crm = office.sandbox.bitrix24.portals["harbour"]
    crm.statuses = [one for one in crm.statuses if not one["STATUS_ID"].endswith("UC_OVD7X1")]
    age_facts(office)

    answer = alice.post("/app/setup/confirm")

    assert answer.status_code == 409
    assert says(answer.text, "setup.stage_unknown", stage="DT31_3:UC_OVD7X1")


def age_facts(office: Office) -> None:
    """What was read of the portal is old by now."""
    with office.services.db.transaction() as tx:
        held = tx.get_one(SetUp, row(office, SetUp).id)
        held.facts = {**(held.facts or {}), "at": "2020-01-01T00:00:00+00:00"}


def test_a_map_in_which_nothing_would_go_is_named(office: Office) -> None:
    alice = connected(office)
    every = {name: "" for name in alice.proposals()[3] if name.startswith("stage:")}

    assert says(save(alice, 3, **every), "setup.nothing_would_go")


def test_a_stage_set_to_do_not_send_keeps_its_invoices_here(office: Office) -> None:
    alice = office.ready(**{f"stage:{stage(office, 'N')}": ""})
    crm = office.sandbox.bitrix24.portals["harbour"]
    crm_id = next(one for one in sendable(office, 30) if crm.invoices[one]["stageId"] == crm.stage_id("N"))

    assert outcome(office, alice.send(crm_id)) == [("refused", "send.stage_not_sent")]


def test_an_unfinished_set_up_is_resumed_at_its_step_by_whichever_administrator(office: Office) -> None:
    alice = connected(office)
    save(alice, 1, number_prefix="HV-X-")
    save(alice, 2, income="201")

    tama = office.open(user=4)

    page = tama.get("/app/setup").text
    assert f"stage:{stage(office, 'N')}" in page
    assert shown(tama).number_prefix == "HV-X-"
    found = shown(tama, 2).income
    assert found is not None
    assert found.value == "201"
    assert rows(office, SettingsVersion) == []


def test_nothing_holds_before_it_is_confirmed(office: Office) -> None:
    alice = connected(office)
    save(alice, 1)

    assert alice.post("/app/batches", {"kind": "send", "id": [str(one) for one in sendable(office, 1)]}).status_code == 409
    assert office.sandbox.xero.controls.calls
    assert office.waiting() == []


def test_a_later_edit_says_what_it_affects_and_makes_a_new_version(office: Office) -> None:
    alice = office.ready()
    alice.send(*sendable(office, 2))
    save(alice, 2, income="201")

    page = words(alice.get("/app/setup/5").text)

    assert "The income account changes from 200 to 201." in page
    assert "keep what they have until they are sent again" in page
    assert [one.number for one in rows(office, SettingsVersion)] == [1]
    alice.post("/app/setup/confirm")
    assert [(one.number, one.body["income_account"]) for one in rows(office, SettingsVersion)] == [(1, "200"), (2, "201")]


def test_confirming_twice_or_without_a_change_makes_no_new_version(office: Office) -> None:
    alice = office.ready()

    assert alice.post("/app/setup/confirm").status_code == 200
    assert alice.post("/app/setup/confirm").status_code == 200

    assert [one.number for one in rows(office, SettingsVersion)] == [1]


def test_a_new_stage_and_a_new_rate_of_the_portal_appear_with_proposals_later(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    like = next(one for one in crm.statuses if one["STATUS_ID"] == crm.stage_id("S"))
    crm.statuses.append({**like, "ID": 999, "STATUS_ID": "DT31_3:UC_NEW", "NAME": "Disputed", "SORT": 45, "SYSTEM": "N", "SEMANTICS": None})
    crm.catalog.vats[99] = {**next(iter(crm.catalog.vats.values())), "id": 99, "name": "Old GST", "rate": 12.5}
    age_facts(office)

    found = shown(alice, 3)

    assert {one.name: one.status for one in found.stages}["Disputed"] == "AUTHORISED"
    assert {one.key: one.chosen for one in found.taxes}["12.5"] == ""


def test_a_second_sellers_documents_are_refused_with_that_reason(office: Office) -> None:
    crm = office.sandbox.bitrix24.portals["harbour"]
    seller = next(number for number, one in crm.companies.items() if one["title"] == "Harbour & Vine Trading Ltd")
    alice = office.ready(seller=[str(seller)])
    crm_id = next(number for number, one in sorted(crm.invoices.items()) if one["mycompanyId"] not in (0, None, seller) and crm.rows(number))

    assert outcome(office, alice.send(crm_id)) == [("refused", "send.other_seller")]


def test_the_start_date_holds_back_what_goes_by_itself_and_not_what_a_person_sends(office: Office) -> None:
    alice = office.ready(start_date=office.services.now().date().isoformat())
    assert rows(office, Job, kind="send") == []

    assert outcome(office, alice.send(*sendable(office, 1))) == [("created", None)]


def test_a_company_added_later_is_not_ticked_by_itself(office: Office) -> None:
    alice = office.ready()
    office.sandbox.bitrix24.portals["harbour"].add_item(COMPANY, title="Third of Ours Ltd", isMyCompany="Y")
    age_facts(office)

    assert {title: ticked for _, title, ticked in shown(alice).sellers}["Third of Ours Ltd"] is False


def test_the_stranger_neither_sees_nor_changes_these_choices(office: Office) -> None:
    office.ready(number_prefix="SECRET-")
    bob = connected(office, "stranger")

    assert "SECRET-" not in "".join(bob.get(f"/app/setup/{step}").text for step in (1, 2, 3, 4, 5))
    bob.set_up(number_prefix="BOB-")

    mine = [one.body["number_prefix"] for one in rows(office, SettingsVersion, portal_id=portal_row(office).id)]
    assert mine == ["SECRET-"]
