"""Calls: what was said to the partners, found by document or by request, for administrators only, without keys and people."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import delete, func, select, update

from plugin import call_log
from plugin.models import Exchange, Link, Portal
from plugin.usecases import portal_events
from plugin.wire import About, Talked
from sandbox.serve import Sandbox
from tests.stories.main_story import document_of, sendable
from tests.stories.office import Office, Person
from tests.stories.patience import PatientOffice


def calls_of(person: Person, search: str = "", **more: str) -> list[str]:
    """The requests that the list shows, newest first."""
    answer = person.get("/app/calls/list", search=search, **more)
    assert answer.status_code == 200, answer.text
    return re.findall(r'hx-get="/app/calls/\d+">([^<]+)</a>', answer.text)


def test_a_document_s_calls_are_found_by_its_number_its_id_and_the_request_s_number(office: Office) -> None:
    alice = office.ready()
    first, second = sendable(office, 2)
    alice.send(first)
    number, document = office.sandbox.bitrix24.portals["harbour"].invoices[first]["accountNumber"], document_of(office, first)

    for search in (number, str(first), document.id):
        found = calls_of(alice, search)
        assert any("PUT /api.xro/2.0/Invoices" in one for one in found), (search, found)
        assert any("POST /rest/" in one for one in found), (search, found)
    assert not any("PUT" in one for one in calls_of(alice, str(second)))
    assert calls_of(alice, "HV-0000") == []

    with office.services.db.reading() as session:
        put = session.scalars(select(Exchange).where(Exchange.verb == "PUT", Exchange.path.contains("Invoices"))).one()
    assert put.partner_id
    assert put.status == 200
    assert put.seconds > 0
    for search in (put.request_id, put.partner_id):
        assert calls_of(alice, search) == ["PUT /api.xro/2.0/Invoices?summarizeErrors=false&amp;unitdp=4"]
    page = alice.get(f"/app/calls/{put.id}").text
    assert number in page
    assert document.id in page
    assert "LineItems" in page
    assert all("xero" not in one.lower() or "/rest/" in one for one in calls_of(alice, partner="bitrix24"))
    assert calls_of(alice, number, troubled="1") == []


def test_a_refusal_and_a_lost_answer_are_seen_as_such(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.ready()
    (crm_id,) = sendable(office, 1)
    office.sandbox.xero.controls.fail("cut", path="/Invoices", method="PUT")
    alice.send(crm_id)

    lost = alice.get("/app/calls/list", troubled="1", partner="xero").text
    assert "No answer" in lost
    number = re.search(r"/app/calls/(\d+)", lost)
    assert number
    assert "ConnectionError" in alice.get(f"/app/calls/{number[1]}").text


def test_nobody_else_sees_them(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.ready()
    alice.send(*sendable(office, 1))
    assert calls_of(alice)
    with office.services.db.reading() as session:
        every = list(session.scalars(select(Exchange.id)))

    sam = office.open(user=2)
    for path in ("/app/calls", "/app/calls/list", f"/app/calls/{every[0]}"):
        assert sam.get(path).status_code == 403, path
    stranger = office.install("stranger")
    own = set(calls_of(stranger))
    assert not any("api.xro" in one for one in own)
    with office.services.db.reading() as session:
        mine = set(session.scalars(select(Exchange.id).where(Exchange.portal_id == stranger.portal_id)))
    for number in every:
        assert number not in mine
        assert stranger.get(f"/app/calls/{number}").status_code == 404
    assert office.client.get("/app/calls").status_code == 401


def test_keys_and_people_are_not_kept(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.ready()
    first, *others = sendable(office, 4)
    alice.send(first, *others)
    office.services.call_log.flush()
    crm = office.sandbox.bitrix24.portals["harbour"]
    people = {str(one["title"]) for held in (crm.companies, crm.invoices) for one in held.values()}
    people |= {str(one.get("lastName")) for one in crm.contacts.values()}
    with office.services.db.reading() as session:
        kept = "\n".join(f"{one.path} {one.request} {one.answer} {one.documents}" for one in session.scalars(select(Exchange)))
    assert len(kept) > 2000
    assert sorted(one for one in people if len(one) > 3 and one in kept) == []
    assert not re.search(r"[\w.]+@[\w.]+\.\w+", kept)
    assert not re.search(r'"auth": "(?!…)', kept)


def test_an_uninstalled_portal_s_calls_go_at_once(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.ready()
    alice.send(*sendable(office, 1))
    office.services.call_log.flush()
    portal_events.uninstall(office.services, alice.portal_id, clean=False)
    office.services.call_log.flush()
    with office.services.db.reading() as session:
        assert not session.scalar(select(func.count()).select_from(Exchange).where(Exchange.portal_id == alice.portal_id, Exchange.request != ""))
    portal_events.erase(office.services, alice.portal_id)
    with office.services.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Exchange)) == 0


def a_call(portal: int, size: int = 10) -> Talked:
    body = b'{"id": "' + b"x" * size + b'"}'
    return Talked("POST", "https://portal.example/rest/crm.item.get", body, None, "ReadTimeout", 0.1, "a" * 32, About({portal: ()}))


def test_recording_never_waits_and_never_grows_without_bound(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.install()
    log = office.services.call_log
    log.flush()
    with office.services.db.transaction() as tx:
        # The writer cannot write while this is open; whoever calls does not notice.
        tx.execute(update(Portal).values(lang="en"))
        longest = 0.0
        for _ in range(call_log.LINES_MOST + 500):
            started = time.perf_counter()
            log.take(a_call(alice.portal_id))
            longest = max(longest, time.perf_counter() - started)
        assert longest < 5, "it waited for the database"
    assert log.lost >= 500 - call_log.WRITE_MOST  # the writer holds one helping at most while it waits
    log.take(a_call(99_999))  # of a portal that is gone: it does not take the others along
    log.take(a_call(alice.portal_id))
    log.flush()
    mine = select(func.count()).select_from(Exchange).where(Exchange.portal_id == alice.portal_id)
    with office.services.db.reading() as session:
        assert (session.scalar(mine) or 0) >= call_log.LINES_MOST - call_log.WRITE_MOST
    many = [threading.Thread(target=log.take, args=(a_call(alice.portal_id, 400_000),)) for _ in range(30)]
    for one in many:
        one.start()
    for one in many:
        one.join()
    assert log._bytes <= call_log.BYTES_MOST


def test_old_lines_go_and_many_lines_lose_their_bodies_first(sandbox: Sandbox, database_url: str, redis_url: str) -> None:
    office = Office(sandbox, database_url, redis_url)
    alice = office.install()
    office.services.call_log.flush()
    now = office.services.now()
    values = {"partner": "xero", "verb": "GET", "path": "/x", "seconds": 0.1, "waited": 0.0, "sent": 1, "received": 1, "partner_id": "", "problem": ""}
    values |= {"documents": "", "answer": "b", "request": "a", "portal_id": alice.portal_id}
    with office.services.db.transaction() as tx:
        tx.execute(delete(Exchange))
        for days in (15, 5, 5, 1, 1, 1):
            tx.add(Exchange(**values, request_id=str(days), at=now - timedelta(days=days)))
            tx.flush()
        most, call_log.KEEP_ROWS = call_log.KEEP_ROWS, 2
        try:
            call_log.trim(tx, now)
        finally:
            call_log.KEEP_ROWS = most
        left = [(one.request_id, one.request) for one in tx.scalars(select(Exchange).order_by(Exchange.id).execution_options(populate_existing=True))]
    assert left == [("1", ""), ("1", "a"), ("1", "a")]
    office.close()


def test_portals_that_share_an_organisation_do_not_see_each_other_s_documents(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.install()
    log = office.services.call_log
    other = office.install("stranger")
    talked = Talked("PUT", "https://api.example/api.xro/2.0/Invoices", b"{}", None, "", 0.1, "b" * 32, None)
    about = About({alice.portal_id: ("invoice:1", "A-1"), other.portal_id: ("invoice:2", "O-2")}, None)
    log.take(replace(talked, about=about, body=b'{"InvoiceNumber": "O-2"}'))
    for person, mine, theirs in ((alice, "A-1", "O-2"), (other, "O-2", "A-1")):
        assert len(calls_of(person, mine)) == 1
        assert calls_of(person, theirs) == []
        found = re.search(r"/app/calls/(\d+)", person.get("/app/calls/list", search=mine).text)
        assert found
        assert theirs not in person.get(f"/app/calls/{found[1]}").text
    with office.services.db.reading() as session:
        assert not session.scalar(select(func.count()).select_from(Link))
