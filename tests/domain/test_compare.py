# mypy: disable-error-code="comparison-overlap"
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin.domain.compare import Conflict, Unchanged, Update, compare, push, with_line_ids
from plugin.domain.ledger import Document, Draft, Line, Tracking
from plugin.domain.problems import Problem
from tests.domain.build import D, held, invoice, line, row, send

SENT = send(invoice(row(name="One"), row("230.00", name="Two", row_id=2), row("23.00", "3", name="Three", row_id=3)))
HELD = held(SENT)
REGION = (Tracking("cat", "opt", "Region", "North"),)


def with_line(draft: Draft, position: int, **change: Any) -> Draft:
    return replace(draft, lines=tuple(replace(each, **change) if n == position else each for n, each in enumerate(draft.lines)))


def xero_line(position: int, document: Document = HELD, **change: Any) -> Document:
    lines = tuple(replace(each, **change) if n == position else each for n, each in enumerate(document.lines or ()))
    return replace(document, lines=lines)


def update(sent: Draft | None, now: Draft, document: Document, **more: Any) -> Update:
    found = compare(sent, now, document, **more)
    assert isinstance(found, Update), found
    return found


def conflict(sent: Draft | None, now: Draft, document: Document) -> dict[str, tuple[str | None, str, str]]:
    found = compare(sent, now, document)
    assert isinstance(found, Conflict), found
    return {each.field: (each.sent, each.crm, each.xero) for each in found.differences}


def refusal(now: Draft, document: Document, sent: Draft | None = SENT, **more: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        compare(sent, now, document, **more)
    return caught.value


def lines_of(found: Update) -> tuple[Line, ...]:
    assert found.lines is not None
    return found.lines


class TestHeader:
    def test_nothing_changed_sends_nothing(self) -> None:
        assert compare(SENT, SENT, HELD) == Unchanged()

    def test_only_what_the_crm_changed_goes(self) -> None:
        now = replace(SENT, reference="New", due_date=date(2026, 10, 1))
        assert update(SENT, now, HELD) == Update({"due_date": date(2026, 10, 1), "reference": "New"})

    def test_what_only_xero_changed_stays(self) -> None:
        assert compare(SENT, SENT, replace(HELD, reference="Bookkeeper", contact_id="merged")) == Unchanged()
        assert update(SENT, replace(SENT, due_date=date(2026, 10, 1)), replace(HELD, reference="Bookkeeper")).fields == {"due_date": date(2026, 10, 1)}

    def test_changed_on_both_sides_stops_with_all_three_values(self) -> None:
        found = conflict(SENT, replace(SENT, reference="New"), replace(HELD, reference="Bookkeeper"))
        assert found == {"reference": ("Website", "New", "Bookkeeper")}

    def test_changed_to_the_same_on_both_sides_is_no_change(self) -> None:
        assert compare(SENT, replace(SENT, reference="New"), replace(HELD, reference="New")) == Unchanged()

    def test_the_number_is_fixed_at_first_send(self) -> None:
        assert compare(SENT, replace(SENT, number="OTHER"), HELD) == Unchanged()

    def test_spaces_and_line_ends_are_no_change(self) -> None:
        assert (
            compare(with_line(SENT, 0, description="One\nmore "), with_line(SENT, 0, description="One\nmore "), xero_line(0, description="One\r\nmore"))
            == Unchanged()
        )


class TestLines:
    def test_a_changed_line_goes_with_all_the_others_and_their_ids(self) -> None:
        found = update(SENT, with_line(SENT, 1, unit_amount=D(250)), HELD)
        assert [(each.id, each.unit_amount) for each in lines_of(found)] == [("line-0", D(100)), ("line-1", D(250)), ("line-2", D(20))]
        assert found.fields == {"line_amount_types": "Exclusive"}

    def test_what_the_bookkeeper_set_on_a_line_goes_back_with_it(self) -> None:
        document = xero_line(1, account_code="260", tracking=REGION, tax_amount=D("29.99"))
        found = lines_of(update(SENT, with_line(SENT, 0, description="First"), document))
        assert (found[0].description, found[1].account_code, found[1].tracking, found[1].tax_amount) == ("First", "260", REGION, D("29.99"))

    def test_a_changed_amount_forgets_the_old_tax(self) -> None:
        document = xero_line(1, tax_amount=D("29.99"), line_amount=D(200), account_code="260")
        found = lines_of(update(SENT, with_line(SENT, 1, quantity=D(2)), document))[1]
        assert (found.quantity, found.tax_amount, found.line_amount, found.account_code) == (2, None, None, "260")

    def test_one_field_of_a_line_changed_on_both_sides_stops(self) -> None:
        found = conflict(SENT, with_line(SENT, 1, unit_amount=D(250)), xero_line(1, unit_amount=D(199)))
        assert found == {"lines[1].unit_amount": ("200", "250", "199")}

    def test_a_line_added_in_the_crm_goes_without_id(self) -> None:
        now = replace(SENT, lines=(*SENT.lines, line("Four", row_id=4)))
        assert [each.id for each in lines_of(update(SENT, now, HELD))] == ["line-0", "line-1", "line-2", ""]

    def test_a_line_removed_in_the_crm_is_left_out(self) -> None:
        now = replace(SENT, lines=(SENT.lines[0], SENT.lines[2]))
        assert [each.id for each in lines_of(update(SENT, now, HELD))] == ["line-0", "line-2"]

    def test_a_line_removed_in_the_crm_but_changed_in_xero_stops(self) -> None:
        now = replace(SENT, lines=(SENT.lines[0], SENT.lines[2]))
        assert conflict(SENT, now, xero_line(1, unit_amount=D(5))) == {"lines[1]": ("Two: 1 × 200", "", "Two: 1 × 5")}

    def test_a_line_removed_in_xero_stays_removed(self) -> None:
        document = replace(HELD, lines=(HELD.lines or ())[1:])
        assert compare(SENT, SENT, document) == Unchanged()
        found = lines_of(update(SENT, with_line(SENT, 1, description="Second"), document))
        assert [(each.id, each.description) for each in found] == [("line-1", "Second"), ("line-2", "Three")]

    def test_a_line_removed_in_xero_but_changed_in_the_crm_stops(self) -> None:
        document = replace(HELD, lines=(HELD.lines or ())[1:])
        assert list(conflict(SENT, with_line(SENT, 0, unit_amount=D(7)), document)) == ["lines[0]"]

    def test_a_line_added_in_xero_stops_whatever_was_to_go(self) -> None:
        document = replace(HELD, lines=(*(HELD.lines or ()), line("Freight", "50", id="line-9")))
        assert conflict(SENT, replace(SENT, reference="New"), document) == {"lines.added": ("", "", "Freight: 1 × 50")}
        assert conflict(SENT, replace(SENT, status="AUTHORISED"), document)
        assert compare(SENT, SENT, document) == Unchanged()

    def test_a_line_added_alike_on_both_sides_is_there_already(self) -> None:
        document = replace(HELD, lines=(*(HELD.lines or ()), line("Freight", "50", id="line-9")))
        assert compare(SENT, replace(SENT, lines=(*SENT.lines, line("Freight", "50", row_id=4))), document) == Unchanged()

    def test_lines_are_found_again_where_xero_moved_them_and_the_crm_renumbered_its_rows(self) -> None:
        document = replace(HELD, lines=tuple(reversed(HELD.lines or ())))
        now = replace(SENT, lines=tuple(replace(each, row_id=each.row_id + 100) for each in SENT.lines))
        assert compare(SENT, now, document) == Unchanged()
        found = lines_of(update(SENT, with_line(now, 0, unit_amount=D(7)), document))
        assert [(each.id, each.row_id) for each in found] == [("line-0", 101), ("line-1", 102), ("line-2", 103)]

    def test_recorded_ids_decide_between_equal_lines(self) -> None:
        twins = replace(SENT, lines=(line(id="a", row_id=1), line(id="b", row_id=2)))
        document = replace(HELD, lines=(line(id="b"), line(id="a", description="Changed")))
        found = lines_of(update(twins, with_line(twins, 1, quantity=D(2)), document))
        assert [(each.id, each.description, each.quantity) for each in found] == [("a", "Changed", 1), ("b", "Consulting", 2)]

    def test_after_a_write_every_line_is_kept_with_the_id_that_xero_gave_it(self) -> None:
        assert [each.id for each in with_line_ids(SENT, HELD).lines] == ["line-0", "line-1", "line-2"]
        assert [each.id for each in with_line_ids(SENT, replace(HELD, lines=(HELD.lines or ())[:2])).lines] == ["line-0", "line-1", ""]
        assert with_line_ids(SENT, replace(HELD, lines=None)) == SENT

    def test_tracking_set_on_both_sides_is_shown_by_name(self) -> None:
        south = (Tracking("cat", "opt2", "Region", "South"),)
        assert conflict(SENT, with_line(SENT, 0, tracking=REGION), xero_line(0, tracking=south)) == {
            "lines[0].tracking": ("", "Region: North", "Region: South")
        }

    def test_a_renamed_item_is_the_same_item(self) -> None:
        sent = with_line(SENT, 0, item_code="OLD", item_id="i")
        assert compare(sent, with_line(SENT, 0, item_code="NEW", item_id="i"), xero_line(0, item_code="NEW", item_id="i")) == Unchanged()

    def test_a_changed_item_account_or_discount_replaces_its_other_half(self) -> None:
        document = xero_line(0, account_id="acc-id", item_id="old")
        found = lines_of(update(SENT, with_line(SENT, 0, account_code="260", item_code="NEW", item_id="new", discount_rate=D(5)), document))[0]
        assert (found.account_code, found.account_id, found.item_id, found.discount_rate, found.discount_amount) == ("260", "", "new", 5, 0)

    def test_another_tax_form_in_the_crm_sends_the_form_and_all_lines(self) -> None:
        now = replace(with_line(SENT, 0, unit_amount=D(115)), line_amount_types="Inclusive")
        found = update(SENT, now, HELD)
        assert (found.fields, len(lines_of(found))) == ({"line_amount_types": "Inclusive"}, 3)

    @pytest.mark.parametrize("change", [{"line_amount_types": "Inclusive"}, {"currency": "USD"}])
    def test_new_amounts_on_a_basis_that_only_xero_changed_stop(self, change: dict[str, Any]) -> None:
        assert list(conflict(SENT, with_line(SENT, 0, unit_amount=D(7)), replace(HELD, **change))) == list(change)
        assert update(SENT, replace(SENT, reference="New"), replace(HELD, **change)).lines is None

    def test_lines_that_were_not_read_are_not_needed_only_where_the_crm_changed_none(self) -> None:
        unread = replace(HELD, lines=None)
        assert update(SENT, replace(SENT, reference="New"), unread).fields == {"reference": "New"}
        for now, sent in ((with_line(SENT, 0, quantity=D(2)), SENT), (replace(SENT, currency="USD"), SENT), (SENT, None)):
            with pytest.raises(ValueError, match="not read"):
                compare(sent, now, unread)


class TestStatus:
    """RULES 20."""

    def test_a_status_goes_only_if_the_crm_changed_it(self) -> None:
        approve = replace(SENT, status="AUTHORISED")
        assert update(SENT, approve, HELD) == Update({}, None, "AUTHORISED")
        assert compare(approve, approve, replace(HELD, status="DRAFT")) == Unchanged()

    def test_a_status_never_goes_back(self) -> None:
        assert compare(replace(SENT, status="AUTHORISED"), SENT, replace(HELD, status="AUTHORISED")) == Unchanged()

    def test_a_void_goes_alone(self) -> None:
        now = replace(with_line(SENT, 0, unit_amount=D(7)), status="VOIDED", reference="New")
        assert update(SENT, now, replace(HELD, status="AUTHORISED")) == Update({}, None, "VOIDED")
        assert update(SENT, now, HELD) == Update({}, None, "DELETED")
        assert compare(SENT, now, replace(HELD, status="VOIDED")) == Unchanged()
        assert compare(now, now, replace(HELD, status="AUTHORISED")) == Unchanged()

    def test_a_document_with_money_on_it_is_not_voided(self) -> None:
        found = refusal(replace(SENT, status="VOIDED"), replace(HELD, status="AUTHORISED", amount_paid=D(1)))
        assert (found.code, found.params) == ("edit.paid", {"fields": ["status"], "status": "AUTHORISED", "paid": "1", "credited": "0"})


class TestPermitted:
    """X§4.5."""

    paid = replace(HELD, status="PAID", amount_paid=SENT.total)
    part_paid = replace(HELD, status="AUTHORISED", amount_paid=D(1))

    @pytest.mark.parametrize("status", ["VOIDED", "DELETED"])
    def test_a_document_that_is_gone_is_sent_as_new_or_not_at_all(self, status: str) -> None:
        found = refusal(SENT, replace(HELD, status=status))
        assert (found.code, found.params) == ("edit.gone", {"status": status})

    @pytest.mark.parametrize("status", ["DRAFT", "SUBMITTED", "AUTHORISED"])
    def test_everything_may_change_while_nothing_is_paid(self, status: str) -> None:
        now = replace(with_line(SENT, 0, unit_amount=D(7)), status=status, date=date(2026, 9, 11), currency="USD", contact_id="x")
        found = update(replace(SENT, status=status), now, replace(HELD, status=status))
        assert set(found.fields) == {"date", "currency", "contact_id", "line_amount_types"}

    def test_once_paid_only_words_and_dates_of_payment_may_change(self) -> None:
        now = replace(with_line(SENT, 0, description="First", account_code="260"), reference="New", due_date=date(2026, 12, 1), contact_id="x", url="https://a")
        for document in (self.paid, self.part_paid):
            assert len(lines_of(update(SENT, now, document))) == 3

    def test_once_paid_amounts_dates_and_the_number_of_lines_stay(self) -> None:
        now = replace(with_line(SENT, 0, unit_amount=D(7), tax_type="ZERORATED"), date=date(2026, 9, 11), currency="USD")
        found = refusal(now, self.part_paid)
        assert (found.code, found.params["fields"]) == ("edit.paid", ["date", "currency", "lines.tax_type", "lines.unit_amount"])
        assert refusal(replace(SENT, lines=SENT.lines[1:]), self.paid).params["fields"] == ["lines"]
        assert refusal(replace(SENT, lines=(*SENT.lines, line("New", row_id=9))), self.paid).params["fields"] == ["lines"]

    def test_once_credited_the_customer_stays(self) -> None:
        document = replace(HELD, status="PAID", amount_credited=SENT.total)
        assert refusal(replace(SENT, contact_id="x"), document).params["fields"] == ["contact_id"]

    def test_nothing_changes_in_a_locked_period(self) -> None:
        now, lock = replace(SENT, reference="New"), date(2026, 9, 10)
        found = refusal(now, HELD, lock=lock)
        assert (found.code, found.params) == ("edit.locked", {"date": "2026-09-10", "lock": "2026-09-10"})
        assert compare(SENT, SENT, HELD, lock=lock) == Unchanged()
        assert update(SENT, now, HELD, lock=date(2026, 9, 9))

    def test_nothing_moves_into_a_locked_period(self) -> None:
        found = refusal(replace(SENT, date=date(2026, 9, 1)), HELD, lock=date(2026, 9, 5))
        assert found.params == {"date": "2026-09-01", "lock": "2026-09-05"}


class TestNeverSentByUs:
    def test_an_equal_document_only_gets_our_mark(self) -> None:
        assert update(None, SENT, replace(HELD, url="", reference="")).fields == {"reference": "Website", "url": SENT.url}
        assert compare(None, SENT, HELD) == Unchanged()

    def test_every_other_difference_is_a_persons_to_decide(self) -> None:
        document = xero_line(0, replace(HELD, due_date=date(2026, 12, 1), lines=(HELD.lines or ())[:2]), unit_amount=D(99))
        assert conflict(None, SENT, document) == {
            "due_date": (None, "2026-09-24", "2026-12-01"),
            "lines[0].unit_amount": (None, "100", "99"),
            "lines[2]": (None, "Three: 3 × 20", ""),
        }
        assert "lines.added" in conflict(None, replace(SENT, lines=SENT.lines[:1]), HELD)

    def test_push_lets_the_crm_win_everything(self) -> None:
        document = xero_line(0, replace(HELD, reference="Bookkeeper", lines=(*(HELD.lines or ()), line("Freight", "50", id="line-9"))), unit_amount=D(99))
        found = push(SENT, document)
        assert isinstance(found, Update)
        assert found.fields == {"line_amount_types": "Exclusive", "reference": "Website"}
        assert [(each.id, each.unit_amount) for each in lines_of(found)] == [("line-0", 100), ("line-1", 200), ("line-2", 20)]


values = st.sampled_from([D(1), D(2), D(3)])
some_lines = st.lists(st.builds(line, st.sampled_from("ABC"), values.map(str), values.map(str), row_id=st.integers(1, 4)), max_size=4).map(tuple)


@settings(max_examples=300, deadline=None)
@given(some_lines, some_lines)
def test_an_update_brings_xero_to_what_the_crm_says_where_xero_changed_nothing(before: tuple[Line, ...], after: tuple[Line, ...]) -> None:
    sent, now = replace(SENT, lines=before), replace(SENT, lines=after)
    found = compare(sent, now, held(sent))
    if isinstance(found, Update):
        content = [(each.description, each.unit_amount, each.quantity) for each in lines_of(found)]
        assert content == [(each.description, each.unit_amount, each.quantity) for each in after]
        ids = [each.id for each in lines_of(found) if each.id]
        assert len(ids) == len(set(ids))
    else:
        assert found == Unchanged()
        assert sorted(each.description for each in before) == sorted(each.description for each in after)


@settings(max_examples=300, deadline=None)
@given(some_lines, some_lines)
def test_whatever_xero_changed_is_left_alone_while_the_crm_changed_nothing(before: tuple[Line, ...], in_xero: tuple[Line, ...]) -> None:
    sent = replace(SENT, lines=before)
    assert compare(sent, sent, replace(held(sent), lines=in_xero)) == Unchanged()
