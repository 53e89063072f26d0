"""Dates, moments, amounts and ids as Bitrix24 writes them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin.bitrix24.values import amount, decode_date, ident, iso, moment, names, optional_amount
from plugin.domain.problems import Problem


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-06-18T02:00:00+02:00", date(2024, 6, 18)),
        ("2026-03-20T03:00:00+01:00", date(2026, 3, 20)),
        ("2024-06-17T19:00:00-05:00", date(2024, 6, 18)),
        ("2026-08-21T13:00:00+13:00", date(2026, 8, 21)),
        ("2026-08-20T13:00:00-11:00", date(2026, 8, 21)),
        ("2026-08-21T00:00:00+13:00", date(2026, 8, 21)),
        ("2026-08-21T00:00:00-05:00", date(2026, 8, 21)),
        ("2026-08-21", date(2026, 8, 21)),
        ("", None),
        (None, None),
    ],
)
def test_a_date_field_is_the_nearest_midnight(written: str | None, meant: date | None) -> None:
    assert decode_date(written) == meant


@given(day=st.dates(date(2000, 1, 2), date(2099, 12, 30)), then=st.integers(-11, 13), now=st.integers(-11, 13).flatmap(lambda hours: st.just(hours)))
def test_a_date_survives_every_server_zone_and_its_summer_time(day: date, then: int, now: int) -> None:
    if abs(then - now) > 1:
        now = then
    shifted = datetime(day.year, day.month, day.day, tzinfo=timezone(timedelta(hours=then))) + timedelta(hours=now)
    assert decode_date(shifted.isoformat()) == day


def test_moments_keep_their_instant() -> None:
    assert moment("2026-08-21T18:00:08+03:00") == datetime(2026, 8, 21, 15, 0, 8, tzinfo=UTC)
    assert moment("") is None


def test_a_moment_is_written_with_its_offset_or_not_at_all() -> None:
    assert iso(datetime(2026, 8, 21, 13, tzinfo=timezone(timedelta(hours=3)))) == "2026-08-21T10:00:00+00:00"
    with pytest.raises(ValueError, match="zone"):
        iso(datetime(2026, 8, 21))  # noqa: DTZ001


@pytest.mark.parametrize(("written", "meant"), [(0, None), ("0", None), (None, None), ("", None), ("12", 12), (12, 12), ({}, None), ("x", None)])
def test_no_link_is_written_in_several_ways(written: object, meant: int | None) -> None:
    assert ident(written) == meant


def test_no_tax_is_not_a_zero_rate() -> None:
    assert optional_amount(None) is None
    assert optional_amount(0) == Decimal(0)
    assert amount(None) == Decimal(0)
    assert amount("66666.67") == Decimal("66666.67")


@pytest.mark.parametrize("read", [amount, moment, decode_date])
def test_what_cannot_be_read_is_named(read: object) -> None:
    with pytest.raises(Problem) as raised:
        read("next Tuesday maybe")  # type: ignore[operator]
    assert raised.value.code == "bitrix24.unreadable"


@pytest.mark.parametrize("written", ["crm,placement im", "crm placement,im", ["crm", "placement", "im"]])
def test_scopes_are_parted_by_spaces_or_commas(written: object) -> None:
    assert names(written) == {"crm", "placement", "im"}
