"""Quotes: the way between statuses, who may order what, the proposed map, content by three versions, money with two decimals."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from random import Random

import pytest

from plugin.domain.automatic import Known, judge
from plugin.domain.compare import Conflict, Unchanged, Update, compare, push
from plugin.domain.crm import Invoice, Stage
from plugin.domain.drafts import draft_from_json, draft_to_json, fingerprint
from plugin.domain.ledger import Document, Draft
from plugin.domain.money import line_amount, xero_totals
from plugin.domain.numbers import reference_mark
from plugin.domain.problems import Problem
from plugin.domain.quotes import STEPS, further, ordered, propose_stages, way
from plugin.domain.settings import Settings
from plugin.domain.statuses import next_stage, status_word
from plugin.domain.translate import compose_reference
from tests.domain.build import DAY, SETTINGS, TAX_RATES, D, held, invoice, row, send

QUOTE_SETTINGS = replace(
    SETTINGS,
    quote_stage_to_status={"DRAFT": "DRAFT", "SENT": "SENT", "APPROVED": "ACCEPTED", "DECLAINED": "DECLINED", "UC_OFF": "", "UC_GONE": "DELETED"},
    quote_status_to_stage={"sent": "SENT", "accepted": "APPROVED", "declined": "DECLAINED", "invoiced": "APPROVED"},
)


def quote(*rows: object, stage: str = "DRAFT", **more: object) -> Invoice:
    return invoice(*rows, kind="quote", stage_id=stage, number="Q-7", **more)  # type: ignore[arg-type]


def draft(stage: str = "DRAFT", **more: object) -> Draft:
    return send(quote(stage=stage, **more), QUOTE_SETTINGS, number="Q-7")


def in_xero(sent: Draft, **more: object) -> Document:
    return held(sent, type="QUOTE", title=sent.title, summary=sent.summary, terms=sent.terms, **more)


@pytest.mark.parametrize(
    ("current", "wanted", "steps"),
    [
        ("DRAFT", "DRAFT", ()),
        ("DRAFT", "ACCEPTED", ("SENT", "ACCEPTED")),
        ("DRAFT", "DECLINED", ("SENT", "DECLINED")),
        ("DRAFT", "INVOICED", ("SENT", "ACCEPTED", "INVOICED")),
        ("DECLINED", "ACCEPTED", ("SENT", "ACCEPTED")),
        ("ACCEPTED", "DELETED", ("DELETED",)),
        ("SENT", "DRAFT", None),
        ("DELETED", "SENT", None),
    ],
)
def test_the_way_is_the_shortest_legal_one(current: str, wanted: str, steps: tuple[str, ...] | None) -> None:
    assert way(current, wanted) == steps


def test_every_way_consists_of_legal_steps_and_ends_where_it_should() -> None:
    for current in STEPS:
        for wanted in STEPS:
            passed = way(current, wanted)
            if passed:
                assert all(after in STEPS[before] for before, after in zip((current, *passed), passed, strict=False))
                assert passed[-1] == wanted
                assert "DELETED" not in passed[:-1]


@pytest.mark.parametrize(
    ("sent", "wanted", "xero", "steps"),
    [
        ("DRAFT", "SENT", "DRAFT", ("SENT",)),  # the CRM moved it
        ("SENT", "SENT", "ACCEPTED", ()),  # only Xero moved it
        ("DRAFT", "SENT", "ACCEPTED", ()),  # Xero has come further
        ("DRAFT", "ACCEPTED", "SENT", ("ACCEPTED",)),  # the CRM goes further than Xero
        ("ACCEPTED", "SENT", "ACCEPTED", ("SENT",)),  # the CRM takes it back, as Xero permits
        ("SENT", "ACCEPTED", "DECLINED", None),  # both sides contradict
        (None, "SENT", "ACCEPTED", ()),  # linked only
        (None, "DECLINED", "ACCEPTED", None),
        ("SENT", "ACCEPTED", "INVOICED", ()),
        ("DECLINED", "DELETED", "DECLINED", ("DELETED",)),
    ],
)
def test_who_may_order_a_status(sent: str | None, wanted: str, xero: str, steps: tuple[str, ...] | None) -> None:
    assert ordered(sent, wanted, xero) == steps


@pytest.mark.parametrize(
    ("sent", "wanted", "xero", "code"),
    [("SENT", "DRAFT", "SENT", "quote.move_refused"), ("SENT", "DRAFT", "ACCEPTED", "quote.move_refused"), ("ACCEPTED", "SENT", "INVOICED", "quote.invoiced")],
)
def test_a_forbidden_move_is_explained(sent: str, wanted: str, xero: str, code: str) -> None:
    with pytest.raises(Problem) as told:
        ordered(sent, wanted, xero)
    assert told.value.code == code
    assert told.value.params["after"] == wanted


def test_what_comes_after_what() -> None:
    assert further("INVOICED", "DRAFT")
    assert further("ACCEPTED", "SENT")
    assert not further("DECLINED", "ACCEPTED")
    assert not further("DRAFT", "DRAFT")


def test_the_map_is_proposed_from_meaning() -> None:
    stages = [
        Stage("DRAFT", "Neu", "", "", 10, 0),
        Stage("SENT", "Beim Kunden", "", "", 20, 0),
        Stage("UC_REVIEW", "In Prüfung", "", "", 30, 0),
        Stage("APPROVED", "Zugesagt", "", "S", 40, 0),
        Stage("DECLAINED", "Abgelehnt", "", "F", 50, 0),
    ]
    forward, back = propose_stages(stages)
    assert forward == {"DRAFT": "DRAFT", "SENT": "SENT", "UC_REVIEW": "SENT", "APPROVED": "ACCEPTED", "DECLAINED": "DECLINED"}
    assert back == {"sent": "SENT", "accepted": "APPROVED", "declined": "DECLAINED", "invoiced": "APPROVED", "deleted": "DECLAINED"}
    assert propose_stages([]) == ({}, {})
    named = [*stages, Stage("UC_INV", "Invoiced", "", "S", 45, 0)]
    assert propose_stages(named)[0]["UC_INV"] == "INVOICED"
    assert propose_stages(named)[1]["invoiced"] == "UC_INV"


def test_a_status_leads_to_the_quotes_own_stages() -> None:
    assert next_stage("accepted", "SENT", QUOTE_SETTINGS, kind="quote") == "APPROVED"
    assert next_stage("invoiced", "APPROVED", QUOTE_SETTINGS, kind="quote") is None
    assert next_stage("draft", "SENT", QUOTE_SETTINGS, kind="quote") is None
    assert status_word(in_xero(draft("APPROVED")), DAY) == "accepted"


def test_the_draft_says_what_a_quote_says() -> None:
    made = draft(summary=" Two tables \r\nof oak ", terms="Net 30", title="T" * 120)
    assert (made.kind, made.status, made.url, made.title, made.summary, made.terms) == ("quote", "DRAFT", "", "T" * 100, "Two tables \nof oak", "Net 30")
    assert draft(due_date=None).due_date is None
    assert draft_from_json(draft_to_json(made)) == made
    assert fingerprint(made) != fingerprint(replace(made, terms="Net 60"))


def test_a_stage_that_is_not_sent_and_a_lock_date() -> None:
    for stage in ("UC_OFF", "UC_GONE"):
        with pytest.raises(Problem) as told:
            draft(stage)
        assert told.value.code == "send.stage_not_sent"
    assert draft(date=date(2026, 2, 1)).status == "DRAFT"  # nothing of a quote stands in a ledger that is closed


def test_content_changes_as_three_versions_say() -> None:
    before, now = draft("SENT", terms="Net 30"), draft("SENT", terms="Net 60")
    assert compare(before, now, in_xero(before)) == Update({"terms": "Net 60"}, None, None, ())
    assert compare(before, before, in_xero(before)) == Unchanged()
    conflict = compare(before, now, replace(in_xero(before), terms="Net 90"))
    assert isinstance(conflict, Conflict)
    assert [(one.field, one.crm, one.xero) for one in conflict.differences] == [("terms", "Net 60", "Net 90")]
    both = compare(draft("DRAFT", terms="Net 30"), draft("APPROVED", terms="Net 60"), in_xero(draft("DRAFT", terms="Net 30")))
    assert both == Update({"terms": "Net 60"}, None, None, ("SENT", "ACCEPTED"))


def test_contradicting_statuses_are_a_persons_to_decide() -> None:
    before, now = draft("SENT"), draft("APPROVED")
    found = compare(before, now, replace(in_xero(before), status="DECLINED"))
    assert isinstance(found, Conflict)
    assert [(one.field, one.sent, one.crm, one.xero) for one in found.differences] == [("status", "SENT", "ACCEPTED", "DECLINED")]
    assert push(now, replace(in_xero(before), status="DECLINED")) == Update({}, None, None, ("SENT", "ACCEPTED"))


def test_an_accepted_quote_is_opened_again_only_on_a_yes() -> None:
    before, now = draft("APPROVED", terms="Net 30"), draft("APPROVED", terms="Net 60")
    with pytest.raises(Problem) as told:
        compare(before, now, in_xero(before))
    assert (told.value.code, told.value.params) == ("edit.quote_closed", {"fields": ["terms"], "status": "ACCEPTED"})
    assert push(now, in_xero(before)) == Update({"terms": "Net 60"}, None, None, ("SENT", "ACCEPTED"))
    with pytest.raises(Problem) as invoiced:
        push(now, replace(in_xero(before), status="INVOICED"))
    assert invoiced.value.code == "quote.invoiced"


def test_a_deleted_quote_is_gone() -> None:
    before = draft()
    with pytest.raises(Problem) as told:
        compare(before, before, replace(in_xero(before), status="DELETED"))
    assert told.value.code == "edit.gone"


def test_prices_keep_two_decimals_and_the_total_is_the_crms() -> None:
    """Xero keeps two decimals of a quote's price (X§2.4): a thousand quotes agree to the cent, also where Xero would round what we send."""
    random = Random(17)
    for _ in range(1_000):
        rows = tuple(
            row(
                str(Decimal(random.randint(1, 99_999)) / 100),
                str(Decimal(random.choice((1, 2, 3, 7, 12, 250, 1_500))) / random.choice((1, 1, 1, 4))),
                random.choice(("15", "15", "0", None)),
                discount=random.choice(("0", "0", "5", "12.5")),
                row_id=number,
            )
            for number in range(1, random.randint(2, 6))
        )
        exact = sum((each.price * each.quantity for each in rows), Decimal(0)).quantize(Decimal("0.01"), "ROUND_HALF_UP")
        given = quote(*rows, **({"total": exact} if random.random() < 0.5 else {}))
        made = send(given, QUOTE_SETTINGS)
        assert all(line.unit_amount == round(line.unit_amount, 2) for line in made.lines)
        rates = {line.tax_type: TAX_RATES[line.tax_type].rate for line in made.lines}
        assert xero_totals(made.lines, made.line_amount_types, rates).total == given.total == made.total


def test_a_row_that_carries_a_cent_goes_as_one_piece() -> None:
    rows = tuple(row("0.33", "1.5", "15", row_id=number) for number in (1, 2))  # 0.495 each: 0.99, rounded by row 1.00
    made = send(quote(*rows, total=D("0.99")), QUOTE_SETTINGS)
    assert sum(map(line_amount, made.lines)) == D("0.99")
    assert [line.quantity for line in made.lines].count(D(1)) == 1
    assert any("1.5 × 0.33" in line.description for line in made.lines)


def test_marks_and_names_in_the_reference() -> None:
    given = quote()
    mark = reference_mark("AB12-cd34-ef56", given)
    assert mark == "B24-ab12cd34-Q7"
    assert compose_reference(given, ("title",), "", mark) == f"Website / {mark}"
    assert compose_reference(replace(given, title="x" * 400), ("title",), mark).endswith(f" / {mark}")
    assert len(compose_reference(replace(given, title="x" * 400), ("title",), mark)) == 255
    assert compose_reference(invoice(), ("title", "number"), "Q-7") == "Website / INV-7 / Q-7"
    assert compose_reference(invoice(title="Q-7"), ("title",), "Q-7") == "Q-7"
    assert compose_reference(invoice(title=""), ("title",), "Q-7") == "Q-7"


def test_settings_of_before_quotes_still_read() -> None:
    assert Settings.from_json({"stage_to_status": {"DT31_1:N": "DRAFT"}}).status_for("SENT", "quote") == "DRAFT"


def test_by_itself_a_quote_follows_its_own_map() -> None:
    """Its stages are not those of invoices: what is not sent stays, a deletion goes only where there is something to delete."""
    settings = replace(QUOTE_SETTINGS, automatic="new")
    known = Known(seen="before", stage_id="SENT", changed_since=True)
    assert judge(quote(), settings, None, reached=True) == "nothing"  # a person or a rule sends it first
    assert judge(quote(), settings, known, reached=True) == "go"
    assert judge(quote(stage="UC_OFF"), settings, known, reached=True) == "nothing"
    assert judge(quote(stage="UC_OFF"), settings, None, reached=True) == "nothing"
    assert judge(quote(stage="UC_GONE"), settings, None, reached=True) == "nothing"
    assert judge(quote(stage="UC_GONE"), settings, known, reached=True) == "go"
