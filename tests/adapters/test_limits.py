"""The limiter on a real Redis: never more than Xero allows, corrected by its headers, people before bulk."""

from __future__ import annotations

import multiprocessing
import random
import time
import uuid
from collections.abc import Iterator

import pytest
from redis import Redis

from plugin import limits as module
from plugin.domain.problems import Problem
from plugin.limits import Bitrix24Limits, Slot, Wait, XeroLimits, patient_redis

#: The minute lasts two seconds where a test has to see its end.
PACE = 30.0


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    client = patient_redis(redis_url)
    yield client
    client.close()


@pytest.fixture
def limits(redis: Redis) -> XeroLimits:
    return XeroLimits(redis)


def tenant() -> str:
    return uuid.uuid4().hex


def taken(limits: XeroLimits, organisation: str, lane: str = "people") -> Slot:
    slot = limits.take(organisation, lane)  # type: ignore[arg-type]
    assert isinstance(slot, Slot), slot
    return slot


def known(limits: XeroLimits, organisation: str, minute_left: int = 60) -> None:
    """One call has told what is left, some time ago."""
    limits.give_back(taken(limits, organisation), minute_left=minute_left, day_left=4000)
    limits._redis.hset(f"xero:{organisation}:state", "born", 0)


def test_an_empty_limiter_lets_one_call_go_and_waits_for_its_headers(limits: XeroLimits) -> None:
    organisation = tenant()
    first = taken(limits, organisation)
    assert isinstance(limits.take(organisation, "people"), Wait)
    limits.give_back(first, minute_left=59, day_left=4999)
    assert isinstance(limits.take(organisation, "people"), Slot)


def test_without_headers_bulk_waits_a_minute_and_a_person_does_not(limits: XeroLimits) -> None:
    organisation = tenant()
    limits.give_back(taken(limits, organisation), minute_left=None, day_left=None)
    wait = limits.take(organisation, "bulk")
    assert isinstance(wait, Wait)
    assert wait.seconds > 50
    assert isinstance(limits.take(organisation, "people"), Slot)


def test_a_slot_that_was_not_used_counts_nowhere_and_says_nothing(limits: XeroLimits) -> None:
    organisation = tenant()
    for _ in range(3):
        limits.give_back_unused(taken(limits, organisation, "bulk"))  # nothing is blind, nothing flies
    known(limits, organisation)
    for _ in range(70):
        limits.give_back_unused(taken(limits, organisation))
    seen = limits.allowance(organisation)
    assert seen is not None
    assert (seen.day, seen.minute) == (4000, 59)


def test_a_slot_that_nobody_gave_back_does_not_block_for_ever(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process lives on and renews what it holds; where Redis was emptied, one forgotten slot would let nobody call."""
    monkeypatch.setattr(module, "SLOT_LONGEST", 0.5 * PACE)
    limits, organisation = XeroLimits(redis, PACE), tenant()
    taken(limits, organisation)
    redis.delete(*(limits._keys(organisation)))
    time.sleep(0.3)
    assert isinstance(limits.take(organisation, "people"), Wait)
    time.sleep(0.8)
    limits.give_back(taken(limits, organisation), minute_left=None, day_left=None)


def test_bulk_holds_four_and_leaves_the_fifth_to_people(limits: XeroLimits) -> None:
    organisation = tenant()
    known(limits, organisation)
    for _ in range(4):
        taken(limits, organisation, "bulk")
    assert isinstance(limits.take(organisation, "bulk"), Wait)
    taken(limits, organisation, "people")
    assert isinstance(limits.take(organisation, "people"), Wait)


def test_headers_that_say_less_than_we_count_are_believed(limits: XeroLimits) -> None:
    organisation = tenant()
    known(limits, organisation, minute_left=2)
    for _ in range(2):
        limits.give_back(taken(limits, organisation), minute_left=None, day_left=None)
    wait = limits.take(organisation, "people")
    assert isinstance(wait, Wait)
    assert wait.why == "minute"


def test_a_tenth_of_the_day_is_kept_for_people(limits: XeroLimits) -> None:
    organisation = tenant()
    limits.give_back(taken(limits, organisation), minute_left=59, day_left=90)
    wait = limits.take(organisation, "bulk")
    assert isinstance(wait, Wait)
    assert wait.why == "day"
    assert isinstance(limits.take(organisation, "people"), Slot)


def test_a_pause_holds_everybody_for_that_long(limits: XeroLimits) -> None:
    organisation = tenant()
    known(limits, organisation)
    before = time.monotonic()
    limits.give_back(taken(limits, organisation), minute_left=0, day_left=100, hold=26, why="minute")
    wait = limits.take(organisation, "people")
    spent = time.monotonic() - before
    assert isinstance(wait, Wait)
    assert 24 - spent < wait.seconds <= 26


def spent(limits: XeroLimits, organisation: str, calls: int, lane: str = "people") -> None:
    for _ in range(calls):
        limits.give_back(taken(limits, organisation, lane), minute_left=None, day_left=None)


def test_news_goes_at_once_while_the_minute_is_young(limits: XeroLimits) -> None:
    organisation = tenant()
    known(limits, organisation)
    spent(limits, organisation, 8)
    assert limits.news(organisation) == 0


def test_after_that_a_call_is_followed_by_news_only_a_moment_later(limits: XeroLimits) -> None:
    """A read and a write keep it back for twice as long as one read; many clicks for no longer than three calls."""
    organisation = tenant()
    known(limits, organisation)
    spent(limits, organisation, 10, "bulk")  # has a pace of its own, and counts in the minute only
    assert 1.0 < limits.news(organisation) <= 1.2
    spent(limits, organisation, 1)
    assert 2.1 < limits.news(organisation) <= 2.4
    spent(limits, organisation, 20)
    assert 3.3 < limits.news(organisation) <= 3.6


def test_news_leaves_the_end_of_the_minute_to_people_and_a_share_to_bulk(limits: XeroLimits) -> None:
    organisation = tenant()
    known(limits, organisation)
    spent(limits, organisation, 53)
    alone = limits.news(organisation)
    assert alone > 3.6
    organisation = tenant()
    known(limits, organisation)
    spent(limits, organisation, 52, "bulk")
    spent(limits, organisation, 1)
    assert 5.9 < limits.news(organisation) <= 6.2


def test_a_minute_of_news_alone_never_uses_it_up(redis: Redis) -> None:
    """As often as it may, for three minutes of a clock that runs thirty times as fast: a person's call is free at every moment."""
    limits, organisation = XeroLimits(redis, PACE), tenant()
    known(limits, organisation)
    until, refused, calls = time.monotonic() + 6, 0, 0
    while time.monotonic() < until:
        if (wait := limits.news(organisation)) > 0:
            time.sleep(wait)
            continue
        slot = limits.take(organisation, "people")
        refused += isinstance(slot, Wait)
        if isinstance(slot, Slot):
            limits.give_back(slot, minute_left=None, day_left=None)
            calls += 1
    assert refused == 0
    assert calls > 100


def test_a_call_counts_until_a_minute_after_its_answer(redis: Redis) -> None:
    """Whenever it arrived in between: sixty that leave early and arrive late never meet sixty that come a minute after the first left."""
    limits, organisation = XeroLimits(redis, PACE), tenant()
    known(limits, organisation)
    first = taken(limits, organisation)
    for _ in range(58):
        limits.give_back(taken(limits, organisation), minute_left=None, day_left=None)
    time.sleep(1.2)
    limits.give_back(first, minute_left=None, day_left=None)
    time.sleep(0.9)  # 2.1 s of 2 since it left, 0.9 since it was answered
    for _ in range(59):
        limits.give_back(taken(limits, organisation), minute_left=None, day_left=None)
    assert isinstance(limits.take(organisation, "people"), Wait)


def test_an_emptied_redis_does_not_forget_what_this_process_has_in_the_air(redis: Redis, limits: XeroLimits) -> None:
    organisation = tenant()
    known(limits, organisation)
    for _ in range(5):
        taken(limits, organisation)
    redis.delete(*redis.keys(f"xero:{organisation}:*"))
    assert isinstance(limits.take(organisation, "people"), Wait)


def test_an_emptied_redis_is_told_by_every_process_what_it_has_in_the_air(redis: Redis) -> None:
    limits, others, organisation = XeroLimits(redis, PACE), XeroLimits(redis, PACE), tenant()
    known(limits, organisation)
    for _ in range(5):
        taken(others, organisation)
    redis.delete(*redis.keys(f"xero:{organisation}:*"))
    time.sleep(0.3)  # a second, of thirty times the speed, and some more
    assert isinstance(limits.take(organisation, "people"), Wait)


def test_until_two_seconds_have_passed_an_empty_limiter_lets_one_call_go_at_a_time(limits: XeroLimits) -> None:
    organisation = tenant()
    limits.give_back(taken(limits, organisation), minute_left=59, day_left=4999)
    taken(limits, organisation)
    wait = limits.take(organisation, "people")
    assert isinstance(wait, Wait)
    assert wait.why == "unknown"


def test_a_second_installation_is_believed_and_what_is_in_the_air_is_left_out(limits: XeroLimits) -> None:
    """It has used forty of the minute that we know nothing of; three of our calls are on their way."""
    organisation = tenant()
    known(limits, organisation)
    flying = [taken(limits, organisation) for _ in range(3)]
    limits.give_back(taken(limits, organisation), minute_left=15, day_left=3000)
    allowed = 0
    for slot in flying:
        limits.give_back(slot, minute_left=None, day_left=None)
    while isinstance(more := limits.take(organisation, "people"), Slot):
        allowed += 1
        limits.give_back(more, minute_left=None, day_left=None)
    assert allowed <= 15 - len(flying)


def test_the_last_calls_of_the_day_are_not_given_twice(limits: XeroLimits) -> None:
    """An answer speaks of the moment it was made: what left later is not in it."""
    organisation = tenant()
    limits.give_back(taken(limits, organisation), minute_left=59, day_left=3)
    limits._redis.hset(f"xero:{organisation}:state", "born", 0)
    flying = [taken(limits, organisation) for _ in range(3)]
    limits.give_back(flying[0], minute_left=58, day_left=2)
    wait = limits.take(organisation, "people")
    assert isinstance(wait, Wait)
    assert wait.why == "day"


def test_the_fifth_slot_is_lent_to_slow_calls_while_no_person_wants_it(redis: Redis) -> None:
    limits, organisation = XeroLimits(redis, PACE), tenant()
    known(limits, organisation)
    flying = [taken(limits, organisation, "bulk") for _ in range(4)]
    assert isinstance(limits.take(organisation, "bulk"), Wait)
    time.sleep(0.1)
    flying.append(taken(limits, organisation, "bulk"))
    assert isinstance(limits.take(organisation, "people"), Wait)  # who comes now waits for the next answer
    limits.give_back(flying.pop(), minute_left=None, day_left=None)
    time.sleep(0.1)
    assert isinstance(limits.take(organisation, "bulk"), Wait)
    taken(limits, organisation, "people")


def test_the_apps_own_minute_closes_every_organisation(limits: XeroLimits) -> None:
    mine, other = tenant(), tenant()
    known(limits, mine)
    known(limits, other)
    limits.give_back(taken(limits, mine), minute_left=50, day_left=100, hold=0.4, why="xero.limit_app")
    wait = limits.take(other, "people")
    assert isinstance(wait, Wait)
    assert wait.why == "app"
    time.sleep(0.5)
    taken(limits, other)


def test_too_many_at_once_pauses_one_organisation_only(limits: XeroLimits) -> None:
    mine, other = tenant(), tenant()
    known(limits, mine)
    known(limits, other)
    limits.give_back(taken(limits, mine), minute_left=50, day_left=100, hold=2, why="xero.limit_concurrent")
    assert isinstance(limits.take(mine, "people"), Wait)
    taken(limits, other)


def test_room_says_how_much_bulk_may_claim_and_how_long_to_wait_for_more(limits: XeroLimits) -> None:
    organisation = tenant()
    known(limits, organisation, minute_left=60)
    assert limits.room(organisation) == 53
    limits.give_back(taken(limits, organisation), minute_left=3, day_left=4000)
    room = limits.room(organisation)
    assert isinstance(room, Wait)
    assert 50 < room.seconds < 61


def test_without_redis_nothing_is_sent_and_it_says_so_at_once() -> None:
    limits = XeroLimits(patient_redis("unix:///nowhere/at/all.sock"))
    started = time.monotonic()
    with pytest.raises(Problem) as problem:
        limits.take(tenant(), "bulk")
    assert problem.value.code == "limits.no_redis"
    assert time.monotonic() - started < 1


def _hammer(url: str, organisation: str, seconds: float, found: multiprocessing.Queue[list[tuple[float, float]]]) -> None:
    limits, calls = XeroLimits(patient_redis(url)), []
    end = time.time() + seconds
    while time.time() < end:
        slot = limits.take(organisation, "people")
        if isinstance(slot, Wait):
            time.sleep(0.01)
            continue
        began = time.time()
        time.sleep(0.02)
        calls.append((began, time.time()))
        limits.give_back(slot, minute_left=None, day_left=None)
    found.put(calls)


def test_eight_processes_never_exceed_five_at_once_nor_sixty_a_minute(redis_url: str, limits: XeroLimits) -> None:
    organisation = tenant()
    known(limits, organisation)
    spawn = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[list[tuple[float, float]]] = spawn.Queue()
    workers = [spawn.Process(target=_hammer, args=(redis_url, organisation, 4.0, found)) for _ in range(8)]
    for worker in workers:
        worker.start()
    calls = sorted(call for _ in workers for call in found.get(timeout=30))
    for worker in workers:
        worker.join()
    at_once = max(sum(began <= moment < ended for began, ended in calls) for moment, _ in calls)
    assert at_once <= 5
    assert len(calls) == 59  # one of the sixty told us what was left


def _arrive(url: str, organisation: str, seconds: float, found: multiprocessing.Queue[list[float]]) -> None:
    """Calls that arrive at some moment between their start and their answer, as on a machine that is busy."""
    limits, chance, arrived = XeroLimits(patient_redis(url), PACE), random.Random(), []
    end = time.time() + seconds
    while time.time() < end:
        slot = limits.take(organisation, "people")
        if isinstance(slot, Wait):
            time.sleep(min(slot.seconds, 0.05))
            continue
        time.sleep(chance.uniform(0, 0.06))
        arrived.append(time.time())
        time.sleep(chance.uniform(0, 0.02))
        limits.give_back(slot, minute_left=None, day_left=None)
    found.put(arrived)


def test_no_minute_of_xeros_holds_more_than_sixty_whatever_is_slow(redis_url: str, limits: XeroLimits) -> None:
    """Eight processes over several minutes, of two seconds each."""
    organisation = tenant()
    known(limits, organisation)
    spawn = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[list[float]] = spawn.Queue()
    workers = [spawn.Process(target=_arrive, args=(redis_url, organisation, 7.0, found)) for _ in range(8)]
    for worker in workers:
        worker.start()
    arrived = sorted(moment for _ in workers for moment in found.get(timeout=60))
    for worker in workers:
        worker.join()
    most = max(sum(first <= other < first + 60 / PACE for other in arrived) for first in arrived)
    assert most <= 60
    assert len(arrived) > 100


def test_bitrix24s_bucket_keeps_its_upper_part_for_people(redis: Redis) -> None:
    limits, portal = Bitrix24Limits(redis), tenant()
    granted = sum(limits.take(portal, "bulk") is None for _ in range(60))
    assert 30 <= granted <= 35
    assert limits.take(portal, "people") is None


def test_a_busy_portal_halts_all_of_its_workers(redis: Redis) -> None:
    limits, portal = Bitrix24Limits(redis), tenant()
    limits.halt(portal, 2.0)
    wait = limits.take(portal, "people")
    assert wait is not None
    assert 1 < wait.seconds <= 2


def test_a_method_near_its_operating_time_waits_and_others_go(redis: Redis) -> None:
    limits, portal = Bitrix24Limits(redis), tenant()
    limits.learn(portal, {"crm.item.update": (400.0, time.time() + 120)})
    assert limits.take(portal, "bulk", ("crm.item.update",)) is not None
    assert limits.take(portal, "bulk", ("crm.item.list",)) is None
