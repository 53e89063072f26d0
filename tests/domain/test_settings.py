import json
from dataclasses import fields
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin.domain.settings import STAGE_STATUSES, STATUS_WORDS, Settings, tax_key

words = st.text(max_size=8)
settings = st.builds(
    Settings,
    start_date=st.none() | st.dates(),
    sellers=st.lists(st.integers(1, 99), max_size=3).map(tuple),
    income_account=words,
    account_by_product=st.dictionaries(st.integers(1, 99), words, max_size=3),
    account_by_section=st.dictionaries(st.integers(0, 99), words, max_size=3),
    stage_to_status=st.dictionaries(words, st.sampled_from(STAGE_STATUSES), max_size=3),
    status_to_stage=st.dictionaries(st.sampled_from(STATUS_WORDS), words, max_size=3),
    taxes=st.dictionaries(words, words, max_size=3),
    tax_by_section=st.dictionaries(st.integers(1, 99), words, max_size=3),
    create_items=st.booleans(),
    number_policy=st.sampled_from(["crm", "xero"]),
    reference_fields=st.lists(words, max_size=3).map(tuple),
)


@given(settings)
def test_settings_survive_a_round_trip_through_json(each: Settings) -> None:
    assert Settings.from_json(json.loads(json.dumps(each.to_json()))) == each


def test_absent_keys_take_their_default_and_unknown_ones_are_ignored() -> None:
    assert Settings.from_json({"income_account": "200", "of_a_later_version": 1, "sellers": None}) == Settings(income_account="200")


def test_every_setting_is_stored() -> None:
    assert set(Settings().to_json()) == {each.name for each in fields(Settings)}


def test_the_start_date_is_stored_as_text() -> None:
    assert Settings(start_date=date(2026, 9, 1)).to_json()["start_date"] == "2026-09-01"


@pytest.mark.parametrize(("rate", "key"), [(None, "none"), ("0", "0"), ("0.00", "0"), ("15.00", "15"), ("12.50", "12.5"), ("100", "100")])
def test_no_tax_and_zero_percent_are_separate_lines_of_the_tax_map(rate: str | None, key: str) -> None:
    assert tax_key(None if rate is None else Decimal(rate)) == key


def test_a_stage_that_nobody_mapped_sends_a_draft() -> None:
    assert Settings(stage_to_status={"A": ""}).status_for("B") == "DRAFT"
    assert Settings(stage_to_status={"A": ""}).status_for("A") == ""
