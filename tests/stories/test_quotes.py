"""Quotes: sent with everything, moved along Xero's legal steps, brought back, and turned into invoices."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from plugin.models import Activity, Link
from plugin.sending import conductor
from sandbox.bitrix24.crm import Actor
from sandbox.bitrix24.fields import QUOTE
from sandbox.serve import Sandbox
from tests.stories.main_story import document_of as invoice_of
from tests.stories.main_story import notes_of, outcomes, reads, sendable, writes
from tests.stories.office import Office
from tests.stories.patience import PatientOffice
from tests.stories.quote_story import (
    change,
    change_quantity,
    document_of,
    fetch,
    fields_of,
    harbour,
    held,
    make_quotes,
    ordered,
    quotes_in,
    send,
    total_of,
)
from tests.stories.seen import row, rows, words


@pytest.fixture
def small_office(sandbox: Sandbox, sqlite_url: str, redis_url: str) -> Iterator[Office]:
    """On SQLite only: a partner's answer does not depend on our database."""
    running = Office(sandbox, sqlite_url, redis_url)
    yield running
    running.close()


def test_a_quote_goes_with_products_customer_prices_expiry_and_terms(office: Office) -> None:
    alice = office.ready()
    (crm_id,) = quotes_in(office, "DRAFT")
    terms = "<p>Net 30 days.</p><p>Prices hold till the end of the month &amp; no longer.</p>"
    change(office, crm_id, terms=terms, termsType=3, content="Two oak tables", contentType=1)

    batch = send(alice, crm_id)

    assert outcomes(office, batch) == [("created", None)]
    quote, item = document_of(office, crm_id), harbour(office).quotes[crm_id]
    assert (quote.status, quote.number, quote.title) == ("DRAFT", str(item["quoteNumber"]), item["title"])
    assert (quote.total, quote.currency) == (total_of(office, crm_id), item["currencyId"])
    assert (quote.date, quote.expiry) == (item["begindate"], item["actualDate"])
    assert (quote.terms, quote.summary) == ("Net 30 days.\nPrices hold till the end of the month & no longer.", "Two oak tables")
    assert [bool(line.item_id and line.account_id) and line.tax_type for line in quote.lines] == ["OUTPUT2", "OUTPUT2"]
    assert fields_of(office, crm_id)["STATUS"] == "Draft"
    assert "1 of 1 quotes exported" in alice.get(f"/app/batches/{batch}").text
    assert any("1 of 1 quotes exported" in one["message"] for one in harbour(office).notifications)

    change_quantity(office, crm_id, 9)
    change(office, crm_id, terms="Net 60 days.", termsType=1)
    assert outcomes(office, send(alice, crm_id)) == [("updated", None)]
    later = document_of(office, crm_id)
    assert (later.total, later.terms, later.number) == (total_of(office, crm_id), "Net 60 days.", quote.number)
    assert {line.id for line in later.lines} == {line.id for line in quote.lines}
    office.sandbox.xero.controls.calls.clear()
    assert outcomes(office, send(alice, crm_id)) == [("unchanged", None)]
    assert writes(office) == []


def test_stages_move_the_quote_along_its_legal_steps_and_come_back(office: Office) -> None:
    alice = office.ready()
    drafts, (sent,) = quotes_in(office, "DRAFT", 2), quotes_in(office, "SENT")
    (accepted,), (declined,) = quotes_in(office, "APPROVED"), quotes_in(office, "DECLAINED")

    assert {one for one, _ in outcomes(office, send(alice, *drafts, sent, accepted, declined))} == {"created"}
    wanted = {drafts[0]: "DRAFT", sent: "SENT", accepted: "ACCEPTED", declined: "DECLINED"}
    assert {crm_id: document_of(office, crm_id).status for crm_id in wanted} == wanted
    assert [harbour(office).quotes[one]["stageId"] for one in (accepted, declined)] == ["APPROVED", "DECLAINED"]
    assert [fields_of(office, one)["STATUS"] for one in (accepted, declined)] == ["Accepted", "Declined"]

    # A draft that is accepted passes through sent; an accepted one goes back to sent, as Xero permits.
    change(office, drafts[0], stageId="APPROVED")
    change(office, accepted, stageId="SENT")
    assert outcomes(office, send(alice, drafts[0], accepted)) == [("updated", None)] * 2
    assert [document_of(office, one).status for one in (drafts[0], accepted)] == ["ACCEPTED", "SENT"]

    # What Xero forbids is explained, and nothing moves.
    change(office, sent, stageId="DRAFT")
    batch = send(alice, sent)
    assert outcomes(office, batch) == [("refused", "quote.move_refused")]
    assert "does not let a quote go from Sent to customer to Draft" in words(alice.get(f"/app/batches/{batch}").text)
    assert document_of(office, sent).status == "SENT"

    # The customer declines in Xero: the stage follows, and that orders nothing.
    office.sandbox.xero.actions.edit_quote(harbour_books(office), document_of(office, accepted).id, Status="DECLINED")
    assert outcomes(office, fetch(alice, accepted)) == [("updated", None)]
    assert harbour(office).quotes[accepted]["stageId"] == "DECLAINED"
    assert fields_of(office, accepted)["STATUS"] == "Declined"
    office.sandbox.xero.controls.calls.clear()
    assert outcomes(office, send(alice, accepted))[0][0] == "unchanged"
    assert writes(office) == []


def harbour_books(office: Office) -> str:
    return office.sandbox.xero.actions.tenant("Harbour & Vine Trading Ltd")


def test_an_accepted_quote_is_changed_only_by_opening_it_again(small_office: Office) -> None:
    office, alice = small_office, small_office.ready()
    (crm_id,) = quotes_in(office, "APPROVED")
    send(alice, crm_id)
    change_quantity(office, crm_id, 5)

    batch = send(alice, crm_id)
    assert outcomes(office, batch) == [("refused", "edit.quote_closed")]
    assert "Overwrite Xero" in alice.get(f"/app/batches/{batch}").text
    assert document_of(office, crm_id).total != total_of(office, crm_id)

    assert outcomes(office, send(alice, crm_id, push="1")) == [("updated", None)]
    assert (document_of(office, crm_id).status, document_of(office, crm_id).total) == ("ACCEPTED", total_of(office, crm_id))


def test_what_both_sides_changed_is_a_persons_to_decide(small_office: Office) -> None:
    office, alice = small_office, small_office.ready()
    (crm_id,) = quotes_in(office, "SENT")
    send(alice, crm_id)
    office.sandbox.xero.actions.edit_quote(harbour_books(office), document_of(office, crm_id).id, Terms="The bookkeeper's", Title="Hers too")
    change(office, crm_id, terms="The sales person's", termsType=1)

    assert outcomes(office, send(alice, crm_id)) == [("refused", "edit.conflict")]
    assert document_of(office, crm_id).terms == "The bookkeeper's"
    assert outcomes(office, send(alice, crm_id, push="1")) == [("updated", None)]
    assert document_of(office, crm_id).terms == "The sales person's"

    # What only Xero has changed stays, also in fields that a call would reset by leaving them out.
    office.sandbox.xero.actions.edit_quote(harbour_books(office), document_of(office, crm_id).id, Title="Hers again", Reference="PO 7")
    change_quantity(office, crm_id, 4)
    assert outcomes(office, send(alice, crm_id)) == [("updated", None)]
    quote = document_of(office, crm_id)
    assert (quote.title, quote.reference, quote.terms, quote.total) == ("Hers again", "PO 7", "The sales person's", total_of(office, crm_id))


@pytest.mark.parametrize("numbers", ["crm", "xero"])
@pytest.mark.parametrize("kind", ["lost", "cut"])
def test_an_answer_lost_after_a_create_makes_no_second_quote(patient_office: PatientOffice, numbers: str, kind: str) -> None:
    """Found again by our number, else by our mark in the reference (RULES 11); the steps that were left are taken all the same."""
    office = patient_office
    alice = office.ready(number_policy=numbers)
    (draft,), (accepted,) = quotes_in(office, "DRAFT"), quotes_in(office, "APPROVED")
    before = len(held(office))
    batch = ordered(alice, draft, accepted)
    office.sandbox.xero.controls.fail(kind, path="/Quotes$", method="PUT")
    conductor.conduct(office.services, 1, lambda: False)
    office.pass_time(400)

    office.work()

    assert {one for one, _ in outcomes(office, batch)} <= {"created", "updated"}
    assert len(held(office)) == before + 2
    assert [document_of(office, one).status for one in (draft, accepted)] == ["DRAFT", "ACCEPTED"]
    if numbers == "xero":
        assert document_of(office, draft).reference.endswith(f"-Q{draft}")


def test_an_answer_lost_between_two_steps_goes_on_from_there(patient_office: PatientOffice) -> None:
    office = patient_office
    alice = office.ready()
    (crm_id,) = quotes_in(office, "APPROVED")
    batch = ordered(alice, crm_id)
    office.sandbox.xero.controls.fail("lost", path="/Quotes$", method="POST")

    office.work()

    assert {one for one, _ in outcomes(office, batch)} <= {"created", "updated"}
    assert document_of(office, crm_id).status == "ACCEPTED"
    assert fields_of(office, crm_id)["STATUS"] == "Accepted"


def test_a_copied_quote_is_a_quote_of_its_own_and_a_taken_number_is_told(small_office: Office) -> None:
    office, alice, crm = small_office, small_office.ready(), harbour(small_office)
    (crm_id,) = quotes_in(office, "SENT")
    send(alice, crm_id)
    item = crm.quotes[crm_id]
    copied = {name: item[name] for name in ("title", "companyId", "begindate", "actualDate", "mycompanyId", "stageId")}
    copied |= {name: value for name, value in item.items() if name.startswith("UF_CRM_QUOTE_XERO_")}
    copy = crm.crm.create(QUOTE, copied, Actor(1))["id"]
    crm.crm.set_rows(QUOTE, copy, [{**dict(one), "quantity": 2} for one in crm.rows(crm_id, QUOTE)], Actor(1))

    assert outcomes(office, send(alice, copy)) == [("created", None)]
    assert document_of(office, copy).id != document_of(office, crm_id).id
    assert len({one.xero_id for one in rows(office, Link, crm_kind="quote")}) == 2

    (other,) = quotes_in(office, "DRAFT")
    change(office, other, quoteNumber=document_of(office, crm_id).number)
    assert outcomes(office, send(alice, other)) == [("problem", "send.number_taken")]


def test_a_quote_that_became_an_invoice_is_invoiced_in_xero(office: Office) -> None:
    alice, crm = office.ready(), harbour(office)
    (quote_id,) = quotes_in(office, "SENT")
    send(alice, quote_id)
    (invoice_id,) = sendable(office, 1)
    crm.change_invoice(invoice_id, parentId7=quote_id)
    before = len(office.sandbox.xero.invoices())

    assert outcomes(office, alice.send(invoice_id)) == [("created", None)]

    quote = document_of(office, quote_id)
    assert quote.status == "INVOICED"
    assert invoice_of(office, invoice_id).reference.endswith(f" / {quote.number}")
    assert len(office.sandbox.xero.invoices()) == before + 1
    assert fields_of(office, quote_id)["STATUS"] == "Invoiced"
    assert crm.quotes[quote_id]["stageId"] == "APPROVED"
    assert row(office, Activity, code="activity.quote_invoiced").subject == f"quote:{quote_id}"

    # Nothing of it is undone by sending again, and the stage that we wrote orders nothing.
    office.sandbox.xero.controls.calls.clear()
    assert outcomes(office, send(alice, quote_id)) == [("unchanged", None)]
    assert outcomes(office, alice.send(invoice_id)) == [("unchanged", None)]
    assert writes(office) == []
    change(office, quote_id, stageId="SENT")
    assert outcomes(office, send(alice, quote_id)) == [("refused", "quote.invoiced")]


def test_an_invoice_that_was_in_xero_before_its_quote_still_makes_it_invoiced(small_office: Office) -> None:
    office, alice, crm = small_office, small_office.ready(), harbour(small_office)
    (quote_id,) = quotes_in(office, "SENT")
    (invoice_id,) = sendable(office, 1)
    crm.change_invoice(invoice_id, parentId7=quote_id)
    assert outcomes(office, alice.send(invoice_id)) == [("created", None)]
    alive = len(office.sandbox.xero.invoices())

    assert outcomes(office, send(alice, quote_id)) == [("created", None)]

    assert document_of(office, quote_id).status == "INVOICED"
    assert fields_of(office, quote_id)["STATUS"] == "Invoiced"
    assert len(office.sandbox.xero.invoices()) == alive
    office.sandbox.xero.controls.calls.clear()
    assert outcomes(office, send(alice, quote_id)) == [("unchanged", None)]
    assert writes(office) == []

    # A quote whose invoice was voided meanwhile is no invoiced one.
    other = next(one for one in quotes_in(office, "APPROVED", 2) if one != quote_id)
    (second,) = sendable(office, 1)
    crm.change_invoice(second, parentId7=other)
    alice.send(second)
    office.sandbox.xero.edit(invoice_of(office, second).number, Status="DELETED")
    alice.fetch(second)
    send(alice, other)
    assert document_of(office, other).status == "ACCEPTED"


def test_a_person_takes_back_what_xero_accepted(small_office: Office) -> None:
    """The stage that we moved it into is what the CRM said last, not the one that was sent."""
    office, alice = small_office, small_office.ready()
    (quote_id,) = quotes_in(office, "SENT")
    send(alice, quote_id)
    office.sandbox.xero.actions.edit_quote(harbour_books(office), document_of(office, quote_id).id, Status="ACCEPTED")
    fetch(alice, quote_id)
    assert harbour(office).quotes[quote_id]["stageId"] == "APPROVED"
    assert outcomes(office, send(alice, quote_id)) == [("unchanged", None)]

    change(office, quote_id, stageId="SENT")

    assert outcomes(office, send(alice, quote_id)) == [("updated", None)]
    assert document_of(office, quote_id).status == "SENT"
    assert outcomes(office, send(alice, quote_id)) == [("unchanged", None)]


def test_where_xero_makes_an_invoice_of_its_own_it_is_taken_back_and_not_asked_for_again(small_office: Office) -> None:
    """X§6.11 leaves open whether INVOICED creates an invoice: never two for one."""
    office, alice, crm = small_office, small_office.ready(), harbour(small_office)
    office.sandbox.xero.controls.switches.set("quote_invoiced", "creates_invoice")
    first, second = quotes_in(office, "SENT", 2)
    send(alice, first, second)
    invoices = sendable(office, 2)
    for invoice_id, quote_id in zip(invoices, (first, second), strict=True):
        crm.change_invoice(invoice_id, parentId7=quote_id)
    alive = len([one for one in office.sandbox.xero.invoices() if one.status != "DELETED"])

    for invoice_id in invoices:
        assert outcomes(office, alice.send(invoice_id)) == [("created", None)]

    assert len([one for one in office.sandbox.xero.invoices() if one.status != "DELETED"]) == alive + 2
    assert [document_of(office, one).status for one in (first, second)] == ["INVOICED", "SENT"]
    assert row(office, Activity, code="activity.quote_stays_accepted").subject == f"quote:{second}"


def test_people_send_only_the_quotes_that_bitrix24_lets_them(small_office: Office) -> None:
    office, crm = small_office, harbour(small_office)
    office.ready()
    sam, vera = office.open(user=2), office.open(user=3)
    own = next(number for number, one in sorted(crm.quotes.items()) if one["assignedById"] == 2)
    other = next(number for number, one in sorted(crm.quotes.items()) if one["assignedById"] != 2)

    page = sam.get("/app/invoices", document="quote").text
    assert f'id="row-{own}"' in page
    assert f'id="row-{other}"' not in page
    assert outcomes(office, send(sam, own, other)) == [("created", None), ("refused", "send.may_not_see")]
    assert fields_of(office, own)["SENDING"] in ("", "None")
    assert outcomes(office, send(vera, other)) == [("problem", "send.may_not_edit")]
    assert len(held(office)) == len({one.id for one in held(office)})


def test_an_expiry_that_was_taken_away_stays_in_xero_and_that_is_said(small_office: Office) -> None:
    office, alice = small_office, small_office.ready()
    (crm_id,) = quotes_in(office, "DRAFT")
    send(alice, crm_id)
    expiry = document_of(office, crm_id).expiry
    assert expiry is not None
    change(office, crm_id, actualDate="", closedate="")
    change_quantity(office, crm_id, 3)

    batch = send(alice, crm_id)

    assert outcomes(office, batch) == [("updated", None)]
    assert (document_of(office, crm_id).expiry, document_of(office, crm_id).total) == (expiry, total_of(office, crm_id))
    assert "note.expiry_stays" in notes_of(office, batch)
    assert "Xero keeps the expiry date" in words(alice.get(f"/app/batches/{batch}").text)
    assert outcomes(office, send(alice, crm_id)) == [("unchanged", None)]


def test_a_strangers_portal_sees_nothing_of_it(small_office: Office) -> None:
    office, alice = small_office, small_office.ready()
    (crm_id,) = quotes_in(office, "SENT")
    batch = send(alice, crm_id)
    bob = office.install("stranger")
    number = document_of(office, crm_id).number

    assert bob.get(f"/app/batches/{batch}").status_code == 404
    assert bob.get(f"/app/invoices/{crm_id + 10_000}", document="quote").status_code == 404
    for path in ("/app/batches", "/app/activity"):
        assert f"Quote {number} was" not in words(bob.get(path).text)
    assert f"Quote {number} was created in Xero" in words(alice.get("/app/activity").text)


def test_a_money_quote_agrees_to_the_cent_where_xero_keeps_two_decimals(small_office: Office) -> None:
    office, alice = small_office, small_office.ready()
    (crm_id,) = quotes_in(office, "DRAFT")
    prices = ((0.35, 3), (19.99, 2.5), (7.77, 7), (1234.56, 0.25))
    change(office, crm_id, [{"productName": f"Part {n}", "price": price, "quantity": amount, "taxRate": 15} for n, (price, amount) in enumerate(prices)])

    batch = send(alice, crm_id)

    assert outcomes(office, batch) == [("created", None)]
    assert document_of(office, crm_id).total == total_of(office, crm_id)
    assert "note.total_differs" not in notes_of(office, batch)
    assert all(line.unit_amount == round(line.unit_amount, 2) for line in document_of(office, crm_id).lines if isinstance(line.unit_amount, Decimal))


def test_many_quotes_take_few_calls(small_office: Office) -> None:
    office, alice = small_office, small_office.ready()
    ids = make_quotes(office, 60, stage="SENT")
    send(alice, ids[0])
    office.sandbox.xero.controls.calls.clear()

    assert {one for one, _ in outcomes(office, send(alice, *ids))} == {"created", "unchanged"}
    assert len([one for one in writes(office) if one.path.endswith("/Quotes")]) == 4  # two calls create, two mark as sent

    for crm_id in ids:
        change_quantity(office, crm_id, 3)
    office.sandbox.xero.controls.calls.clear()
    assert {one for one, _ in outcomes(office, send(alice, *ids))} == {"updated"}
    assert len([one for one in writes(office) if one.path.endswith("/Quotes")]) == 2
    assert len([one for one in reads(office) if one.path.endswith("/Quotes")]) <= 2

    office.sandbox.xero.actions.edit_quote(harbour_books(office), document_of(office, ids[7]).id, Status="ACCEPTED")
    office.sandbox.xero.controls.calls.clear()
    alice.post("/app/batches", {"kind": "pull", "all_linked": "on", "document": "quote"})
    office.work()
    assert harbour(office).quotes[ids[7]]["stageId"] == "APPROVED"
    assert len([one for one in reads(office) if "/Quotes" in one.path]) <= 3


#: Open facts that a quote may meet on its way: what both partners do with its fields, rows, stages, lines and answers.
OPEN = {
    "xero": {
        "quote_draft_to_accepted": ["allowed"],
        "quote_page_size": ["ignored", "refused"],
        "quote_unit_places": ["4"],
        "quote_tracking_by_name": ["no"],
        "quote_new_status": ["draft_only"],
        "response_order": ["shuffled"],
        "ims_empty": ["304"],
        "line_fields_omitted": ["reset"],
        "line_order": ["reversed"],
        "rounding": ["bankers"],
        "request_keys": ["exact"],
        "item_code_case": ["sensitive"],
        "discount_rate_places": ["2"],
        "summarize_true_saves": ["no"],
        "empty_string": ["kept"],
    },
    "bitrix24": {
        "date_fields_out": ["local_midnight"],
        "no_link_value": ["null"],
        "stage_semantics_progress": ["P"],
        "rows_array_rights": ["each_owner"],
        "rows_set_ids": ["kept"],
        "zero_tax_float": ["zero"],
        "address_anchor_in": ["ignored"],
        "userfield_filter_entity": ["ignored", "refused"],
        "timeline_comment_entity": ["dynamic_31", "SI", "none"],
        "comment_bumps_updated": ["yes"],
        "batch_unresolved": ["empty", "literal"],
        "catalog_list_shape": ["top_level"],
        "list_total": ["lagging"],
    },
}
POSITIONS = [
    pytest.param(partner, name, position, id=f"{partner}-{name}-{position}")
    for partner, facts in OPEN.items()
    for name, positions in facts.items()
    for position in positions
]


@pytest.mark.parametrize(("partner", "name", "position"), POSITIONS)
def test_the_story_of_a_quote_whatever_the_partners_do(small_office: Office, partner: str, name: str, position: str) -> None:
    getattr(small_office.sandbox, partner).controls.switches.set(name, position)
    office, alice = small_office, small_office.ready()
    ids = [*quotes_in(office, "DRAFT"), *quotes_in(office, "SENT"), *quotes_in(office, "APPROVED"), *quotes_in(office, "DECLAINED")]

    assert {one for one, _ in outcomes(office, send(alice, *ids))} == {"created"}
    for crm_id in ids[:2]:
        change_quantity(office, crm_id, 6)
    assert outcomes(office, send(alice, *ids)) == [("updated", None), ("updated", None), ("unchanged", None), ("unchanged", None)]
    assert [document_of(office, one).status for one in ids] == ["DRAFT", "SENT", "ACCEPTED", "DECLINED"]
    assert all(document_of(office, one).total == total_of(office, one) for one in ids)
    office.sandbox.xero.actions.edit_quote(harbour_books(office), document_of(office, ids[1]).id, Status="ACCEPTED")
    fetch(alice, *ids)
    assert harbour(office).quotes[ids[1]]["stageId"] == "APPROVED"
