"""Activity: what changed, who or what caused it, found by words and filters, taken as a file; each sees what they may."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from plugin import activity, durations, jobs, sweep
from plugin.models import Activity, Job
from plugin.web import sheets
from tests.stories.main_story import approve, change_quantity, document_of, sendable
from tests.stories.office import Office, Person
from tests.stories.patience import PatientOffice
from tests.stories.test_rights import own_of


def sentences(person: Person, /, **filters: str) -> list[str]:
    """What the list says, newest first."""
    answer = person.get("/app/activity/list", **filters)
    assert answer.status_code == 200, answer.text
    return re.findall(r"</time>\s*<p>([^<]*)</p>", answer.text)


def export(office: Office, person: Person, format: str, /, **filters: str) -> bytes:
    """The file, asked for as the page's own form does: with the pass in the body, and none in a header."""
    with office.client.post("/app/activity/export", data={"format": format, "frame_pass": person.frame_pass, **filters}) as answer:
        assert answer.status_code == 200, answer.text
        assert "attachment" in answer.headers["Content-Disposition"]
        return answer.data


def table(raw: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))


def test_a_transfer_says_what_changed_and_what_caused_it(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    alice.send(crm_id)
    crm = office.sandbox.bitrix24.portals["harbour"]
    change_quantity(crm, crm_id, 9)
    alice.send(crm_id)
    page = alice.get("/app/activity/list", document=str(crm_id)).text
    assert re.search(r"line 1: quantity: <del>\d+</del> <span[^>]*>→</span> <ins>9</ins>", page), page
    approve(office, crm_id)
    office.sandbox.xero.pay(document_of(office, crm_id).id)
    with office.services.db.transaction() as tx:
        order = jobs.Order(alice.portal_id, jobs.PULL, f"invoice:{crm_id}", "organisation:1", 1, jobs.EVENTS, cause=jobs.XERO)
        jobs.order(tx, order, office.services.now())
    office.work()
    page = alice.get("/app/activity/list", document=crm.invoices[crm_id]["accountNumber"]).text
    assert "By itself, Xero told us" in page
    assert re.search(r"status: <del>[^<]+</del> <span[^>]*>→</span> <ins>Paid</ins>", page), page
    assert "In Bitrix24" in page
    assert "go.xero.com" in page


def test_words_filters_and_files_agree(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.ready()
    first, second = sendable(office, 2)
    alice.send(first)
    alice.send(second)
    number = office.sandbox.bitrix24.portals["harbour"].invoices[first]["accountNumber"]
    assert any(number in one for one in sentences(alice))
    assert all(number in one for one in sentences(alice, search=f"created {number}"))
    assert len(sentences(alice, search=f"created {number.lower()}")) == 1
    assert sentences(alice, search="100%_nothing") == []
    created = sentences(alice, group="sent", search="was created")
    assert len(created) == 2
    assert len(sentences(alice, document=number)) == len(sentences(alice, document=f"invoice:{first}")) == 1
    assert sentences(alice, group="stopped") == []
    assert sentences(alice, person="auto", group="sent", search="was created") == []
    assert len(sentences(alice, person="1", group="sent", search="was created")) == 2
    assert sentences(alice, period="custom", first="2001-01-01", last="2001-01-02") == []
    assert sentences(alice, period="today", search=number)

    lines = table(export(office, alice, "csv", search="was created"))
    assert [line[1] for line in lines[1:]] == created
    with zipfile.ZipFile(io.BytesIO(export(office, alice, "xlsx", search="was created"))) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert number in sheet
    assert "<f>" not in sheet
    assert sheet.count("<row ") == 3


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =HYPERLINK(1)", "|cmd", "%0A=1"])
def test_no_cell_becomes_a_formula(evil: str) -> None:
    assert sheets.harmless(evil).startswith("'")
    assert sheets.harmless("Invoice 7 = paid") == "Invoice 7 = paid"


def test_a_name_that_is_a_formula_stays_a_name(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.install()
    with office.services.db.transaction() as tx:
        activity.record(tx, alice.portal_id, "activity.service_taken", office.now(), user_id=1, user_name="=cmd|' /C calc'!A0")
    line = table(export(office, alice, "csv", search="calc"))[1]
    assert line[3].startswith("'=cmd")
    with zipfile.ZipFile(io.BytesIO(export(office, alice, "xlsx", search="calc"))) as book:
        assert "<f>" not in book.read("xl/worksheets/sheet1.xml").decode()


def test_a_long_file_flows_and_is_whole(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.install()
    with office.services.db.transaction() as tx:
        rows = [activity.row(alice.portal_id, "activity.updated", office.now() - timedelta(minutes=n), version=f"v{n}") for n in range(3_500)]
        activity.record_many(tx, rows)
    lines = table(export(office, alice, "csv", search="version"))
    assert len({line[1] for line in lines[1:]}) == len(lines) - 1 == 3_500
    assert len(sentences(alice, search="version", page="70")) == 50


def test_files_need_the_pass_and_take_it_nowhere_else(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.install()
    for data in ({"format": "csv"}, {"format": "csv", "frame_pass": "forged"}):
        assert office.client.post("/app/activity/export", data=data).status_code == 401
    assert office.client.get("/app/activity/export", query_string={"frame_pass": alice.frame_pass}).status_code in (401, 405)
    assert office.client.post("/app/setup/take-over", data={"frame_pass": alice.frame_pass}).status_code == 401


def test_a_sales_person_sees_their_own_and_what_bitrix24_shows_them_now(office: Office) -> None:
    alice = office.ready()
    sam = office.open(user=2)
    crm = office.sandbox.bitrix24.portals["harbour"]
    mine = own_of(office, 2)
    other = next(one for one in sendable(office, 15) if crm.invoices[one]["assignedById"] != 2)
    alice.send(mine, other)
    assert sentences(sam) == []
    assert len(sentences(sam, document=f"invoice:{mine}")) == 1
    assert sentences(sam, document=f"invoice:{other}") == []
    assert len(table(export(office, sam, "csv", document=f"invoice:{mine}"))) == 2
    assert len(table(export(office, sam, "csv", document=f"invoice:{other}"))) == 1
    assert len(table(export(office, sam, "csv", person="1"))) == 1
    assert "Everybody" not in sam.get("/app/activity").text
    crm.invoices[mine]["assignedById"] = 1
    assert sentences(sam, document=f"invoice:{mine}") == []

    stranger = office.install("stranger")
    for filters in ({}, {"document": f"invoice:{mine}"}, {"document": crm.invoices[mine]["accountNumber"]}, {"person": "1"}):
        assert not any("HV-" in one for one in sentences(stranger, **filters))
        assert "HV-" not in export(office, stranger, "csv", **filters).decode()


def test_a_year_is_kept(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.install()
    with office.services.db.transaction() as tx:
        tx.execute(update(Activity).values(at=office.now() - timedelta(seconds=durations.KEEP_ACTIVITY + 60)))
        activity.record(tx, alice.portal_id, "activity.updated", office.now() - timedelta(seconds=durations.KEEP_ACTIVITY - 3600), version="old")
    sweep.daily(office.services)
    with office.services.db.reading() as session:
        assert [one.params["version"] for one in session.scalars(select(Activity))] == ["old"]
        assert session.scalars(select(Job)).all() is not None
