"""Which events are the echo of our own writing, and which are people."""

from datetime import UTC, datetime, timedelta

from plugin.usecases.take_events import ECHO_LATE, echo_of_ours

DUE = datetime(2026, 9, 1, 10, tzinfo=UTC)
WRITTEN = DUE + timedelta(seconds=1)


def after(seconds: float) -> datetime:
    return WRITTEN + timedelta(seconds=seconds)


def test_one_writing_explains_one_event() -> None:
    writings = [(DUE, WRITTEN)]
    assert echo_of_ours(after(0.2), writings)
    assert not echo_of_ours(after(0.4), writings), "the second one is a person, however soon after our writing"


def test_an_event_before_the_writing_or_long_after_it_is_a_person() -> None:
    writings = [(DUE, WRITTEN)]
    assert not echo_of_ours(DUE - timedelta(seconds=0.1), writings)
    assert not echo_of_ours(after(ECHO_LATE + 0.1), writings)
    assert writings, "nothing was used up"
