"""Whatever stands in the CRM: it goes to Xero cleaned and right to the cent, or it stops with a sentence. Nothing is lost, nothing half done."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from plugin.models import BatchDocument, Job
from plugin.sentences import SENTENCES
from sandbox.bitrix24.fields import COMPANY
from sandbox.bitrix24.portal import Portal
from sandbox.xero.demo import HARBOUR
from tests.stories.main_story import document_of, outcomes, problem_of, sendable, total_of
from tests.stories.office import Office, Person
from tests.stories.patience import PatientOffice

SCRIPT = '<script>alert(1)</script><img src=x onerror="alert(2)">'
WORDS: dict[str, str] = {
    "long": "Ten thousand " * 770,
    "one long word": "x" * 10_000,
    "emoji": "Smiley 😀 family 👩‍👩‍👧‍👦 flag 🇳🇿",
    "right to left": "שלום עולם \u202eevil\u202c مرحبا",
    "control characters": "bell\x07 escape\x1b[31m tab\t line\nfeed \x7f",
    "nothing": "NUL\x00 inside",
    "noncharacter": "\ufffe and \uffff",
    "script": SCRIPT,
    "angle brackets": "A <b> & 'C' \"D\" </title>",
    "quotes": 'O\'Neil "The" `Co` ; DROP TABLE invoice; --',
    "braces": "{{7*7}} %(count)s %s ${x} [URL=http://evil]x[/URL]",
    "only blanks": " \u00a0\u2003 ",
    "combining": "Z" + "\u0301" * 300,
}
ROW = {"productName": "Chair", "price": 115, "quantity": 2, "taxRate": 15, "taxIncluded": "Y"}
SETTLED = ("created", "refused", "problem")


def crm_of(office: Office) -> Portal:
    return office.sandbox.bitrix24.portals["harbour"]


def new_invoice(office: Office, rows: list[dict[str, Any]] | None = None, **fields: Any) -> int:
    """Like the demo's, with these rows and fields instead."""
    crm = crm_of(office)
    like = crm.invoices[sendable(office, 1)[0]]
    given = {name: like[name] for name in ("companyId", "mycompanyId", "currencyId", "stageId")}
    raw = {name: fields.pop(name) for name in ("currencyId", "stageId") if name in fields}
    crm_id = crm.add_invoice([ROW] if rows is None else rows, **{"title": "A chair", **given, **fields})
    crm.invoices[crm_id] |= raw  # what Bitrix24 itself would not take by hand may stand there all the same
    return crm_id


def settled(office: Office, person: Person, batch: int, *crm_ids: int) -> dict[int, tuple[str, str | None]]:
    """What became of each, after checking that it is an end: no job left, a sentence for every problem, in Xero exactly if it says so."""
    crm = crm_of(office)
    with office.services.db.reading() as session:
        rows = {one.crm_id: one for one in session.scalars(select(BatchDocument).where(BatchDocument.batch_id == batch))}
        assert not session.scalars(select(Job.id).where(Job.state.in_(("waiting", "running")))).all()
    page = person.get(f"/app/batches/{batch}")
    assert page.status_code == 200
    assert SCRIPT not in page.text
    for crm_id in crm_ids:
        row = rows[crm_id]
        assert row.outcome in SETTLED, (crm_id, row.outcome)
        number = str(crm.invoices[crm_id]["accountNumber"]) if crm_id in crm.invoices else "gone"
        held = [one for one in office.sandbox.xero.invoices() if one.number == number]
        assert len(held) == (1 if row.outcome == "created" else 0), (crm_id, row.outcome, row.problem_code)
        if row.outcome == "created":
            assert document_of(office, crm_id).total == total_of(crm, crm_id)
        else:
            assert row.problem_code in SENTENCES, row.problem_code
            assert not str(row.problem_code).startswith("internal."), (row.problem_code, row.problem_params)
    return {crm_id: (rows[crm_id].outcome, rows[crm_id].problem_code) for crm_id in crm_ids}


def test_any_words_anywhere_go_through_or_are_explained(office: Office) -> None:
    alice = office.ready()
    crm = crm_of(office)
    made: dict[int, str] = {}
    for name, words in WORDS.items():
        company = crm.add_item(COMPANY, title=words if words.strip() else "x")
        made[new_invoice(office, [{**ROW, "productName": words}], title=words, companyId=company)] = name
        made[new_invoice(office, [{**ROW, "productName": words}], title=words)] = f"{name} without a customer of that name"
    ids = list(made)
    batch = alice.order(*ids)
    dialog = alice.get(f"/app/batches/{batch}/confirmation")
    assert dialog.status_code == 200
    assert SCRIPT not in dialog.text
    assert alice.post(f"/app/batches/{batch}/confirm").status_code == 200
    office.work(60)

    ended = settled(office, alice, batch, *ids)

    assert {made[one]: how for one, how in ended.items() if how != ("created", None)} == {}
    for path in ("/app/invoices", "/app/activity", "/app/batches"):
        answer = alice.get(path)
        assert answer.status_code == 200
        assert SCRIPT not in answer.text
    for one in office.sandbox.xero.contacts():
        assert one.name.isprintable(), one.name
    assert not any("[URL=http://evil]" in one["message"] for one in crm.notifications)


MONEY: dict[str, tuple[list[dict[str, Any]], dict[str, Any], set[str | None]]] = {
    "no rows": ([], {}, {"send.no_rows"}),
    "quantity 0": ([{**ROW, "quantity": 0}], {}, {None, "send.total_zero", "send.quantity_zero", "send.row_zero"}),
    "quantity 0 beside a good row": ([ROW, {**ROW, "quantity": 0}], {}, {None}),
    "everything discounted": ([{**ROW, "price": 0, "discountTypeId": 2, "discountRate": 100, "discountSum": 100}], {}, {None, "send.total_zero"}),
    "a price of nothing": ([{**ROW, "price": 0}], {}, {None, "send.total_zero"}),
    "a negative row in a positive invoice": ([ROW, {**ROW, "price": -15, "quantity": 1}], {}, {None}),
    "a negative total": ([{**ROW, "price": -115}], {}, {"send.total_negative", "send.negative_total"}),
    "without tax": ([{"productName": "Chair", "price": 100, "quantity": 1, "taxRate": None}], {}, {None, "send.tax_unmapped"}),
    "a tax that is not on the map": ([{**ROW, "taxRate": 7.77}], {}, {"send.tax_unmapped"}),
    "a tax of minus one": ([{**ROW, "taxRate": -1}], {}, {"send.tax_unmapped", "send.row_unreadable"}),
    "a fraction of a cent": ([{**ROW, "price": 0.01, "quantity": 0.3333}], {}, {None, "send.total_zero", "send.total_differs"}),
    "a fortune": ([{**ROW, "price": 99_999_999_999.99, "quantity": 1}], {}, {None, "xero.refused", "xero.invalid"}),
    "a currency that Xero does not have": ([ROW], {"currencyId": "XPF"}, {"send.currency", "send.currency_missing"}),
    "no customer": ([ROW], {"companyId": 0, "contactId": 0}, {"send.no_customer"}),
    "a stage that is not there": ([ROW], {"stageId": "DT31_3:NOWHERE"}, {None, "send.stage_unknown"}),
    "a customer who was deleted": ([ROW], {"companyId": 999_999}, {"send.no_customer", "send.customer_gone", "send.customer_unseen"}),
}


def test_any_money_is_right_to_the_cent_or_explained(office: Office) -> None:
    alice = office.ready()
    ids = {new_invoice(office, rows, **fields): name for name, (rows, fields, _) in MONEY.items()}
    good = sendable(office, 1)[0]
    batch = alice.send(*ids, good)

    ended = settled(office, alice, batch, *ids, good)

    assert ended[good] == ("created", None)
    assert {ids[one]: code for one, (_, code) in ended.items() if one in ids and code not in MONEY[ids[one]][2]} == {}


BETWEEN: dict[str, tuple[Callable[[Office, int], object], set[str | None]]] = {
    "the invoice is deleted": (lambda office, crm_id: crm_of(office).delete_invoice(crm_id), {"send.deleted", "send.may_not_see"}),
    "its rows are": (lambda office, crm_id: crm_of(office).change_invoice(crm_id, rows=[]), {"send.no_rows"}),
    "its customer is": (
        lambda office, crm_id: crm_of(office).delete_item(COMPANY, int(crm_of(office).invoices[crm_id]["companyId"])),
        {"send.no_customer", "send.customer_gone"},
    ),
    "its customer is taken out": (lambda office, crm_id: crm_of(office).change_invoice(crm_id, companyId=0, contactId=0), {"send.no_customer"}),
    "it gets a negative total": (
        lambda office, crm_id: crm_of(office).change_invoice(crm_id, rows=[{**ROW, "price": -5}]),
        {"send.total_negative", "send.negative_total"},
    ),
    "the account is archived": (
        lambda office, crm_id: office.sandbox.xero.actions.archive_account(HARBOUR, "200"),
        {"send.account_missing", "send.account_archived", "xero.account_archived", "xero.account", "xero.refused", "xero.account_invalid"},
    ),
    "the tax rate is deleted": (
        lambda office, crm_id: office.sandbox.xero.actions.tax_rate_status(HARBOUR, "OUTPUT2"),
        {"send.tax_missing"},
    ),
    "the number is taken in Xero": (
        lambda office, crm_id: crm_of(office).invoices[crm_id].update(accountNumber=office.sandbox.xero.invoices()[0].number),
        {"send.number_taken"},
    ),
}


@pytest.mark.parametrize("what", BETWEEN)
def test_between_confirmation_and_sending_anything_may_change(patient_office: PatientOffice, what: str) -> None:
    office = patient_office
    change, codes = BETWEEN[what]
    alice = office.ready()
    crm_id = new_invoice(office)
    batch = alice.order(crm_id)
    change(office, crm_id)
    alice.post(f"/app/batches/{batch}/confirm")
    office.work()

    ((outcome, code),) = outcomes(office, batch)

    assert code in codes, (outcome, code, problem_of(office, batch, crm_id))
    assert outcome == ("created" if code is None else "problem")
    assert code is None or code in SENTENCES
    assert [one for one in office.sandbox.xero.invoices() if one.reference == "A chair"] == []


def test_rights_taken_away_between_confirmation_and_sending_end_it(patient_office: PatientOffice) -> None:
    office = patient_office
    office.ready()
    crm = crm_of(office)
    sam = office.open(user=2)
    own = new_invoice(office, assignedById=2)
    batch = sam.order(own)
    crm.users[2].rights[31] = dict.fromkeys(("read", "add", "update", "delete", "import"), "none")
    sam.post(f"/app/batches/{batch}/confirm")
    office.work()

    assert outcomes(office, batch)[0][0] == "problem"
    assert outcomes(office, batch)[0][1] in ("send.may_not_see", "send.may_not_edit", "send.deleted")
    assert [one for one in office.sandbox.xero.invoices() if one.number == crm.invoices[own]["accountNumber"]] == []


def test_somebody_dismissed_between_confirmation_and_sending_sends_nothing_and_loses_nothing(patient_office: PatientOffice) -> None:
    office = patient_office
    office.ready()
    crm = crm_of(office)
    sam = office.open(user=2)
    own = new_invoice(office, assignedById=2)
    batch = sam.order(own)
    crm.dismiss(2)
    sam.post(f"/app/batches/{batch}/confirm")
    with pytest.raises(AssertionError, match="work was left"):
        office.work()

    ((_, _, state, code, _),) = office.waiting()
    assert (state, code) == ("waiting", "bitrix24.user_gone")
    assert code in SENTENCES
    assert [one for one in office.sandbox.xero.invoices() if one.number == crm.invoices[own]["accountNumber"]] == []
    assert sam.get("/app/batches").status_code == 409

    crm.users[2].active = True
    sam = office.open(user=2)
    office.work()
    assert outcomes(office, batch) == [("created", None)]


def test_an_administrator_no_longer_has_no_settings_a_minute_later(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.ready()
    batch = office.open(user=2).order(new_invoice(office, assignedById=2))
    assert alice.get(f"/app/batches/{batch}").status_code == 200
    crm_of(office).users[1].admin = False
    office.pass_time(61)

    assert alice.get("/app/setup").status_code == 403
    assert alice.post("/app/setup/connection/disconnect").status_code == 403
    assert alice.post("/app/setup/1", {"number_prefix": "X-"}).status_code == 403
    assert alice.get(f"/app/batches/{batch}").status_code == 404


def test_while_bitrix24_is_away_pages_of_our_own_show_with_the_rights_last_confirmed(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.ready()
    office.pass_time(61)
    office.sandbox.bitrix24.controls.fail("cut", path="/rest/", times=50)
    for path in ("/app/batches", "/app/activity", "/app/setup/connection"):
        assert alice.get(path).status_code == 200
    asked = len([one for one in office.sandbox.bitrix24.controls.calls if one.fault == "cut"])
    assert asked == 1


def test_the_question_is_asked_once_a_minute(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.ready()
    office.pass_time(61)
    office.sandbox.bitrix24.controls.calls.clear()
    for _ in range(5):
        assert alice.get("/app/batches").status_code == 200
    assert [one.path for one in office.sandbox.bitrix24.controls.calls] == ["/rest/profile"]


def test_amounts_stay_decimal(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.ready()
    crm_id = new_invoice(office, [{**ROW, "price": 0.1, "quantity": 3}, {**ROW, "price": 0.2, "quantity": 1}])
    alice.send(crm_id)
    assert document_of(office, crm_id).total == Decimal("0.50")
