"""The first synchronisation: fills the directory, links what is on both sides, lists what is doubtful, moves nothing without a yes."""

from __future__ import annotations

import re

from plugin.models import Activity, DirectoryEntry, Doubt, FirstRun, Job, Link
from plugin.usecases import first_sync, open_app
from plugin.usecases.shown import FirstSync
from sandbox.bitrix24.fields import COMPANY
from sandbox.seed import COMPANIES, KNOWN_INVOICES
from sandbox.xero.demo import stable_id
from tests.stories.office import HARBOUR_ORGANISATION, Office, Person
from tests.stories.patience import PatientOffice
from tests.stories.seen import ring, row, rows, says, words
from tests.stories.test_sending import outcome, sendable, writes

KNOWN = [number for number, *_ in KNOWN_INVOICES]


def progress(person: Person) -> FirstSync:
    services = person.office.services
    return first_sync.progress(services, open_app.visitor(services, person.portal_id, person.user, "en"))


def pairs(person: Person) -> dict[str, int]:
    """Doubtful pairs on the page: what the CRM calls it → number of the pair."""
    services = person.office.services
    visitor = open_app.visitor(services, person.portal_id, person.user, "en")
    return {one.crm_label: one.id for one in first_sync.doubtful(services, visitor)}


def company(office: Office, name: str) -> int:
    return next(number for number, one in office.sandbox.bitrix24.portals["harbour"].companies.items() if one["title"] == name)


def without_tax_number(office: Office, *names: str) -> None:
    """Companies whose tax number the CRM does not know: only name and e-mail are left to compare."""
    ids = {company(office, name) for name in names}
    for one in office.sandbox.bitrix24.portals["harbour"].requisites.values():
        if one["ENTITY_ID"] in ids:
            one["RQ_VAT_ID"] = ""


def test_certain_pairs_are_linked_by_themselves(office: Office) -> None:
    office.ready()

    linked = {one.crm_id: one.xero_id for one in rows(office, Link, crm_kind="company")}

    certain = {company(office, one.name): stable_id("contact", one.key) for one in COMPANIES if one.in_xero == "same"}
    assert certain.items() <= linked.items()
    never = {company(office, one.name) for one in COMPANIES if one.in_xero in ("archived", "taxnumber", "no")}
    assert not never & linked.keys()


def test_a_company_is_linked_by_its_tax_number_however_its_name_is_written(office: Office) -> None:
    office.sandbox.xero.actions.create_contact(HARBOUR_ORGANISATION, {"Name": "T.S. Dunedin", "TaxNumber": "000-021-777"})
    crm = office.sandbox.bitrix24.portals["harbour"]
    paper = company(office, "Paper Crane Gift Store")
    next(one for one in crm.requisites.values() if one["ENTITY_ID"] == paper)["RQ_VAT_ID"] = "000 021 777"

    office.ready()

    contact = office.sandbox.xero.contact_by_name("T.S. Dunedin")
    assert contact is not None
    assert {one.crm_id: one.xero_id for one in rows(office, Link, crm_kind="company")}[paper] == contact.id


def test_invoices_that_are_on_both_sides_are_linked_and_show_xeros_number_and_status(office: Office) -> None:
    office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]

    for number in KNOWN:
        invoice, document = crm.invoice_by_number(number), office.sandbox.xero.invoice(number)
        assert document is not None
        link = row(office, Link, crm_kind="invoice", crm_id=invoice["id"])
        assert (link.xero_id, link.number, link.how) == (document.id, number, "linked")
        assert crm.user_field_values(invoice["id"])["UF_CRM_SMART_INVOICE_XERO_NUMBER"] == number
    assert len(rows(office, Link, crm_kind="invoice")) == len(KNOWN)


def test_nothing_is_written_to_xero(office: Office) -> None:
    office.ready()

    assert writes(office) == []


def test_sending_what_was_linked_makes_no_second_document(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    before = len(office.sandbox.xero.invoices())

    alice.send(*(crm.invoice_by_number(number)["id"] for number in KNOWN))

    assert len(office.sandbox.xero.invoices()) == before


def test_stages_stay_until_somebody_says_yes(office: Office) -> None:
    crm = office.sandbox.bitrix24.portals["harbour"]
    before = {number: crm.invoice_by_number(number)["stageId"] for number in KNOWN}

    alice = office.ready()

    assert {number: crm.invoice_by_number(number)["stageId"] for number in KNOWN} == before
    assert progress(alice).would_move == 3
    assert "3" in words(alice.get("/app/first-sync").text)
    alice.post("/app/setup/stages")
    office.work()
    assert {crm.invoice_by_number(number)["stageId"] for number in KNOWN} == {crm.stage_id("UC_OVD7X1")}
    assert progress(alice).would_move == 0


def test_sales_people_may_not_say_that_yes(office: Office) -> None:
    office.ready()
    sam = office.open(user=2)

    assert sam.post("/app/setup/stages").status_code == 403
    assert sam.post("/app/setup/first-sync").status_code == 403
    assert rows(office, Job, state="waiting") == []


def test_doubtful_pairs_are_listed_with_their_reasons(office: Office) -> None:
    without_tax_number(office, "Three Oaks Vineyard Ltd")
    alice = office.ready()

    page = words(alice.get("/app/setup/doubtful").text)

    assert {"Three Oaks Vineyard Ltd", "Saltbush Trading Ltd"} <= pairs(alice).keys()
    assert "3 Oaks Vineyard Limited" in page
    assert "Different tax numbers" in page
    assert progress(alice).doubtful == len(pairs(alice)) > 0


def test_a_doubtful_pair_that_is_the_same_is_linked_and_leaves_the_list(office: Office) -> None:
    without_tax_number(office, "Three Oaks Vineyard Ltd")
    alice = office.ready()
    pair = pairs(alice)["Three Oaks Vineyard Ltd"]

    assert alice.post(f"/app/setup/doubtful/{pair}", {"same": "yes"}).status_code == 200

    link = row(office, Link, crm_kind="company", crm_id=company(office, "Three Oaks Vineyard Ltd"))
    assert (link.xero_id, link.how) == (stable_id("contact", "three-oaks"), "decided")
    assert "Three Oaks Vineyard Ltd" not in pairs(alice)
    assert alice.post(f"/app/setup/doubtful/{pair}", {"same": "yes"}).status_code == 404


def test_a_pair_that_is_not_the_same_never_comes_back(office: Office) -> None:
    alice = office.ready()
    pair = pairs(alice)["Saltbush Trading Ltd"]
    alice.post(f"/app/setup/doubtful/{pair}", {"same": "no"})
    alice.post("/app/setup/first-sync")
    office.work()

    assert "Saltbush Trading Ltd" not in pairs(alice)
    assert company(office, "Saltbush Trading Ltd") not in {one.crm_id for one in rows(office, Link)}


def test_what_a_person_refused_is_not_linked_when_it_looks_certain_later(office: Office) -> None:
    alice = office.ready()
    alice.post(f"/app/setup/doubtful/{pairs(alice)['Saltbush Trading Ltd']}", {"same": "no"})
    office.sandbox.xero.actions.edit_contact(HARBOUR_ORGANISATION, stable_id("contact", "saltbush-trading"), TaxNumber="")

    alice.post("/app/setup/first-sync")
    office.work()

    assert company(office, "Saltbush Trading Ltd") not in {one.crm_id for one in rows(office, Link, crm_kind="company")}


def test_a_doubtful_invoice_is_decided_by_a_person_and_its_stage_still_waits_for_a_yes(office: Office) -> None:
    crm = office.sandbox.bitrix24.portals["harbour"]
    known = crm.invoice_by_number("HV-1001")
    office.sandbox.xero.edit("HV-1001", InvoiceNumber="OLD-1001", Reference="HV-1001")
    before = known["stageId"]
    alice = office.ready()
    assert not [one for one in rows(office, Link, crm_kind="invoice") if one.crm_id == known["id"]]
    (pair,) = [number for label, number in pairs(alice).items() if label.startswith("HV-1001")]

    assert alice.post(f"/app/setup/doubtful/{pair}", {"same": "yes"}).status_code == 200
    office.work()

    assert row(office, Link, crm_kind="invoice", crm_id=known["id"]).number == "OLD-1001"
    assert crm.user_field_values(known["id"])["UF_CRM_SMART_INVOICE_XERO_NUMBER"] == "OLD-1001"
    assert crm.invoices[known["id"]]["stageId"] == before
    assert progress(alice).would_move == 3


def test_a_pair_whose_document_is_gone_says_so(office: Office) -> None:
    office.sandbox.xero.edit("HV-1001", InvoiceNumber="OLD-1001", Reference="HV-1001")
    alice = office.ready()
    (pair,) = [number for label, number in pairs(alice).items() if label.startswith("HV-1001")]
    office.sandbox.xero.void("OLD-1001")

    answer = alice.post(f"/app/setup/doubtful/{pair}", {"same": "yes"})

    assert answer.status_code == 409
    assert "OLD-1001" in words(answer.text)
    assert row(office, Doubt, id=pair).decided is None


def test_the_directory_holds_accounts_taxes_items_and_contacts(office: Office) -> None:
    office.ready()
    kinds = [one.kind for one in rows(office, DirectoryEntry)]

    assert kinds.count("contact") == len(office.sandbox.xero.contacts())
    assert kinds.count("item") == len(office.sandbox.xero.items())
    assert {"account", "tax"} <= set(kinds)


def test_the_card_shows_progress_and_the_person_goes_on_meanwhile(office: Office) -> None:
    alice = office.install()
    alice.connect_xero()
    alice.set_up()
    assert progress(alice).state == "running"
    card = alice.get("/app/first-sync").text
    assert re.search(r"hx-(get|trigger)", card)

    (crm_id,) = sendable(office, 1)
    batch = alice.order(crm_id)
    alice.post(f"/app/batches/{batch}/confirm")
    office.work()

    assert outcome(office, batch) == [("created", None)]
    done = progress(alice)
    assert (done.state, done.documents_linked) == ("done", len(KNOWN) + 1)
    assert done.contacts_linked >= 10
    assert "activity.first_sync" in {one.code for one in rows(office, Activity)}


def test_the_list_makes_room_after_a_day_unless_a_pair_still_waits_for_somebody(patient: PatientOffice) -> None:
    without_tax_number(patient, "Three Oaks Vineyard Ltd")
    alice = patient.ready()
    patient.pass_time(90_000)
    assert "First synchronisation" in words(patient.open().get("/app/invoices").text)

    alice = patient.open()
    for pair in pairs(alice).values():
        alice.post(f"/app/setup/doubtful/{pair}", {"same": "no"})

    assert "First synchronisation" not in words(alice.get("/app/invoices").text)
    assert "First synchronisation" in words(alice.get("/app/setup").text)


def test_a_run_that_was_interrupted_goes_on_and_links_nothing_twice(patient: PatientOffice) -> None:
    alice = patient.install()
    alice.connect_xero()
    alice.set_up()
    patient.sandbox.xero.controls.fail("cut", path="/api.xro/2.0/Invoices", method="GET", times=2)
    ring(patient)
    assert progress(alice).state == "running"
    assert progress(alice).problem is not None
    links = len(rows(patient, Link))

    patient.work()

    assert progress(alice).state == "done"
    assert progress(alice).problem is None
    assert links < len(rows(patient, Link)) == len({(one.crm_kind, one.crm_id) for one in rows(patient, Link)})


def test_a_bitrix24_that_is_busy_only_makes_it_later(patient: PatientOffice) -> None:
    alice = patient.install()
    alice.connect_xero()
    alice.set_up()
    patient.sandbox.bitrix24.controls.fail("status", path="/rest/crm.item.list", status=503, body='{"error":"QUERY_LIMIT_EXCEEDED"}', times=2)

    patient.work()

    assert progress(alice).state == "done"


def test_again_finds_what_changed_since_even_a_moment_ago(office: Office) -> None:
    alice = office.ready()
    crm = office.sandbox.bitrix24.portals["harbour"]
    made = crm.add_item(COMPANY, title="Newly Everywhere Ltd")
    office.sandbox.xero.actions.create_contact(HARBOUR_ORGANISATION, {"Name": "Newly Everywhere Ltd"})

    assert alice.post("/app/setup/first-sync").status_code == 200
    office.work()

    assert made in {one.crm_id for one in rows(office, Link, crm_kind="company")}


def test_a_pair_that_was_settled_otherwise_leaves_the_list_with_the_next_run(office: Office) -> None:
    without_tax_number(office, "Bluegum Bistro Pty Ltd")
    alice = office.ready()
    assert "Bluegum Bistro Pty Ltd" in pairs(alice)
    office.sandbox.bitrix24.portals["harbour"].change_item(COMPANY, company(office, "Bluegum Bistro Pty Ltd"), title="Blue Gum Bistro Pty Limited")

    alice.post("/app/setup/first-sync")
    office.work()

    assert not {"Bluegum Bistro Pty Ltd", "Blue Gum Bistro Pty Limited"} & pairs(alice).keys()


def test_a_disconnection_ends_the_run_and_reconnecting_takes_it_up(office: Office) -> None:
    alice = office.install()
    alice.connect_xero()
    alice.set_up()
    alice.post("/app/setup/connection/disconnect")
    assert (row(office, FirstRun).state, row(office, FirstRun).problem_code) == ("problem", "portal.disconnected")
    assert office.waiting() == []

    alice.connect_xero()
    office.work()

    assert progress(alice).state == "done"


def test_a_document_of_one_portal_is_neither_linked_nor_offered_to_another_on_the_same_organisation(office: Office) -> None:
    alice = office.ready()
    bob = office.install("stranger")  # has companies and invoices of the same names and amounts
    bob.connect_xero()
    bob.set_up(number_prefix="BOB-")
    office.work()

    assert rows(office, Link, portal_id=bob.portal_id, crm_kind="company")
    assert rows(office, Link, portal_id=bob.portal_id, crm_kind="invoice") == []
    assert not [label for label in pairs(bob) if label.startswith(tuple(KNOWN))]
    assert len(rows(office, Link, portal_id=alice.portal_id, crm_kind="invoice")) == len(KNOWN)


def test_the_stranger_sees_and_decides_nothing_of_it(office: Office) -> None:
    without_tax_number(office, "Three Oaks Vineyard Ltd")
    alice = office.ready()
    number = pairs(alice)["Three Oaks Vineyard Ltd"]
    bob = office.install("stranger")

    assert bob.post(f"/app/setup/doubtful/{number}", {"same": "yes"}).status_code in (404, 409)
    bob.connect_xero(organisation="Demo Company (NZ)")
    bob.set_up()
    assert bob.post(f"/app/setup/doubtful/{number}", {"same": "yes"}).status_code == 404
    assert "Three Oaks" not in bob.get("/app/setup/doubtful").text
    assert row(office, Doubt, id=number).decided is None
    assert not says(bob.get("/app/first-sync").text, "xero.no_answer")
