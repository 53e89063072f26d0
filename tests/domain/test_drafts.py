import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin.domain.drafts import as_draft, draft_from_json, draft_to_json, fingerprint, invoice_fingerprint
from plugin.domain.ledger import Draft, Line, Tracking
from tests.domain.build import D, held, invoice, line, row, send

money = st.decimals(-1000, 1000, places=4)
lines = st.builds(
    Line,
    description=st.text(max_size=9),
    quantity=money,
    unit_amount=money,
    account_code=st.text(max_size=3),
    tax_type=st.text(max_size=3),
    id=st.text(max_size=3),
    line_amount=st.none() | money,
    tax_amount=st.none() | money,
    tracking=st.lists(st.builds(Tracking, st.text(max_size=3), st.text(max_size=3)), max_size=2).map(tuple),
)
drafts = st.builds(
    Draft,
    contact_id=st.text(max_size=3),
    date=st.dates(),
    due_date=st.dates(),
    currency=st.just("NZD"),
    line_amount_types=st.just("Exclusive"),
    lines=st.lists(lines, max_size=3).map(tuple),
    total=money,
    reference=st.text(max_size=9),
)


@settings(deadline=None)
@given(drafts)
def test_a_draft_survives_a_round_trip_through_json(draft: Draft) -> None:
    back = draft_from_json(json.loads(json.dumps(draft_to_json(draft))))
    assert back == draft
    assert fingerprint(back) == fingerprint(draft)


def test_a_draft_stored_before_a_field_existed_is_read_with_its_default() -> None:
    stored = draft_to_json(send(invoice()))
    del stored["url"], stored["lines"][0]["tracking"]
    stored["later"] = stored["lines"][0]["later"] = 1
    assert draft_from_json(stored).url == ""


def test_equal_content_has_equal_fingerprints_however_numbers_and_ids_are_written() -> None:
    one = send(invoice())
    other = replace(one, total=D("115.0000"), lines=(replace(one.lines[0], id="x", row_id=99, unit_amount=D(100), line_amount=D(1)),))
    assert fingerprint(one) == fingerprint(other)
    assert len(fingerprint(one)) == 64


@pytest.mark.parametrize("change", [{"reference": "x"}, {"status": "AUTHORISED"}, {"lines": ()}, {"lines": (line("Other"),)}])
def test_other_content_has_another_fingerprint(change: dict[str, Any]) -> None:
    assert fingerprint(replace(send(invoice()), **change)) != fingerprint(send(invoice()))


def test_the_fingerprint_is_the_same_tomorrow() -> None:
    assert fingerprint(send(invoice())) == "5f9d6a8aeef5f473f930d080ff64323722463bfa65631dc6c0f24536c9f605a8"


def test_what_we_write_back_does_not_change_an_invoices_fingerprint() -> None:
    ours = {"fields": {"xero_id": "1"}, "stage_id": "x", "updated_at": datetime(2027, 1, 1, tzinfo=UTC), "rows": (row(row_id=1),), "total": D(115)}
    moved = replace(row(row_id=1), id=555)
    assert invoice_fingerprint(invoice(**ours)) == invoice_fingerprint(invoice()) == invoice_fingerprint(invoice(rows=(moved,)))


@pytest.mark.parametrize(
    "change",
    [
        {"title": "x"},
        {"total": D(1)},
        {"company_id": None, "contact_id": 3},
        {"due_date": None},
        {"rows": (row("116.00"),)},
        {"rows": (row(tax_rate=None),)},
        {"rows": (row(tax_rate="0"),)},
    ],
)
def test_what_matters_for_sending_changes_an_invoices_fingerprint(change: dict[str, Any]) -> None:
    assert invoice_fingerprint(invoice(**change)) != invoice_fingerprint(invoice())


def test_no_tax_and_zero_percent_have_different_fingerprints() -> None:
    assert invoice_fingerprint(invoice(rows=(row("10.00", tax_rate=None),))) != invoice_fingerprint(invoice(rows=(row("10.00", tax_rate="0"),)))


def test_what_xero_holds_reads_as_a_draft() -> None:
    draft = send(invoice())
    assert fingerprint(as_draft(held(draft))) == fingerprint(draft)
    assert as_draft(held(draft, date=None, due_date=None, lines=None)).lines == ()
