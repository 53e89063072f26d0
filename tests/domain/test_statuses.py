from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin.domain.crm import Stage
from plugin.domain.settings import STATUS_WORDS, Settings
from plugin.domain.statuses import LEGAL, forward_only, has_money, may_become, next_stage, propose_stages, status_word
from tests.domain.build import D, held, invoice, send

TODAY = date(2026, 9, 20)
DOCUMENT = held(send(invoice()))
LATE = {"status": "AUTHORISED", "due_date": date(2026, 9, 19)}


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"status": "DRAFT"}, "draft"),
        ({"status": "DRAFT", "due_date": date(2026, 1, 1)}, "draft"),
        ({"status": "SUBMITTED"}, "submitted"),
        ({"status": "AUTHORISED"}, "authorised"),
        ({"status": "AUTHORISED", "sent": True}, "sent"),
        ({**LATE, "sent": True}, "overdue"),
        ({**LATE, "due_date": TODAY}, "authorised"),
        ({**LATE, "amount_paid": D(1)}, "part_paid"),
        ({**LATE, "amount_credited": D(1)}, "part_paid"),
        ({"status": "PAID", "amount_paid": D(115)}, "paid"),
        ({"status": "VOIDED", "amount_due": D(0)}, "voided"),
        ({"status": "DELETED"}, "deleted"),
    ],
)
def test_the_word_follows_the_precedence(fields: dict[str, Any], word: str) -> None:
    assert status_word(replace(DOCUMENT, **fields), TODAY) == word


@pytest.mark.parametrize(
    ("current", "wanted", "sent"),
    [
        ("DRAFT", "DRAFT", None),
        ("DRAFT", "SUBMITTED", "SUBMITTED"),
        ("DRAFT", "AUTHORISED", "AUTHORISED"),
        ("SUBMITTED", "AUTHORISED", "AUTHORISED"),
        ("SUBMITTED", "DRAFT", None),
        ("AUTHORISED", "DRAFT", None),
        ("AUTHORISED", "AUTHORISED", None),
        ("AUTHORISED", "VOIDED", "VOIDED"),
        ("DRAFT", "VOIDED", "DELETED"),
        ("SUBMITTED", "VOIDED", "DELETED"),
        ("PAID", "VOIDED", None),
        ("PAID", "AUTHORISED", None),
        ("VOIDED", "DRAFT", None),
        ("DELETED", "AUTHORISED", None),
        ("DRAFT", "", None),
    ],
)
def test_the_crm_moves_a_status_forward_only(current: str, wanted: str, sent: str | None) -> None:
    assert forward_only(current, wanted) == sent


def test_a_document_with_money_on_it_is_not_voided() -> None:
    assert forward_only("AUTHORISED", "VOIDED", paid=True) is None
    assert has_money(replace(DOCUMENT, amount_credited=D(1)))
    assert not has_money(DOCUMENT)


@given(st.sampled_from(sorted(LEGAL)), st.sampled_from(["DRAFT", "SUBMITTED", "AUTHORISED", "VOIDED", ""]), st.booleans())
def test_whatever_goes_is_a_step_that_xero_allows(current: str, wanted: str, paid: bool) -> None:
    step = forward_only(current, wanted, paid=paid)
    assert step is None or may_become(current, step, paid=paid)


class TestStageFromStatus:
    """RULES 20."""

    settings = Settings(
        stage_to_status={"N": "DRAFT", "OK": "AUTHORISED", "S": "AUTHORISED", "P": "AUTHORISED", "V": "VOIDED", "D": ""},
        status_to_stage={"authorised": "S", "sent": "S", "paid": "P", "voided": "D", "deleted": "D", "overdue": "L"},
    )

    @pytest.mark.parametrize(
        ("word", "current", "stage"),
        [
            ("paid", "S", "P"),
            ("paid", "P", None),
            ("draft", "S", None),
            ("part_paid", "S", None),
            ("authorised", "N", "S"),
            ("authorised", "OK", None),
            ("authorised", "P", None),
            ("sent", "OK", "S"),
            ("overdue", "S", "L"),
            ("voided", "S", "D"),
            ("voided", "V", None),
            ("deleted", "V", None),
        ],
    )
    def test_a_stage_moves_unless_it_stands_for_that_status_already(self, word: str, current: str, stage: str | None) -> None:
        assert next_stage(word, current, self.settings) == stage

    def test_a_paid_stage_does_not_hold_once_the_payment_is_gone(self) -> None:
        assert next_stage("authorised", "P", self.settings, was="paid") == "S"
        assert next_stage("authorised", "OK", self.settings, was="paid") is None

    @given(st.sampled_from(STATUS_WORDS), st.sampled_from(["N", "OK", "S", "P", "V", "D", "L"]), st.sampled_from(["", *STATUS_WORDS]))
    def test_moving_twice_moves_once(self, word: str, current: str, was: str) -> None:
        moved = next_stage(word, current, self.settings, was=was)
        assert moved is None or next_stage(word, moved, self.settings, was=word) is None


def stage(code: str, name: str, sort: int, semantics: str = "") -> Stage:
    return Stage(f"DT31_1:{code}", name, "", semantics, sort, 1)


DEFAULT = [stage("N", "New", 10), stage("S", "Sent to customer", 20), stage("P", "Paid", 30, "S"), stage("D", "Not paid", 40, "F")]


class TestProposal:
    def test_the_default_pipeline_is_understood(self) -> None:
        forward, back = propose_stages(DEFAULT)
        assert forward == {"DT31_1:N": "DRAFT", "DT31_1:S": "AUTHORISED", "DT31_1:P": "AUTHORISED", "DT31_1:D": ""}
        assert back == {"authorised": "DT31_1:S", "sent": "DT31_1:S", "paid": "DT31_1:P", "voided": "DT31_1:D", "deleted": "DT31_1:D"}

    def test_stages_of_ones_own_are_understood_by_name_and_order(self) -> None:
        own = [stage("N", "Новый", 10), stage("A", "На согласовании", 15), stage("B", "Packing", 17), stage("C", "Счёт отправлен", 20)]
        more = [stage("E", "Частично оплачен", 25), stage("F", "Overdue!", 27), stage("P", "Оплачен", 30, "S")]
        forward, back = propose_stages([*reversed(more), *own])
        assert [forward[each.id] for each in (*own, *more)] == ["DRAFT", "SUBMITTED", "DRAFT", *["AUTHORISED"] * 4]
        assert back == {
            "authorised": "DT31_1:C",
            "sent": "DT31_1:C",
            "part_paid": "DT31_1:E",
            "overdue": "DT31_1:F",
            "paid": "DT31_1:P",
        }

    def test_without_a_sent_stage_nothing_is_approved_before_it_is_won(self) -> None:
        forward, back = propose_stages([stage("X", "One", 10), stage("Y", "Two", 20), stage("Z", "Done", 30, "S")])
        assert forward == {"DT31_1:X": "DRAFT", "DT31_1:Y": "DRAFT", "DT31_1:Z": "AUTHORISED"}
        assert back == {"paid": "DT31_1:Z"}

    def test_an_overdue_stage_is_approved_wherever_it_stands(self) -> None:
        forward, back = propose_stages([stage("N", "New", 10), stage("L", "Overdue", 15), stage("S", "Sent", 20)])
        assert (forward["DT31_1:L"], back["overdue"]) == ("AUTHORISED", "DT31_1:L")

    def test_no_stages_give_no_map(self) -> None:
        assert propose_stages([]) == ({}, {})
