"""The limiter on a real Redis: never more than Xero allows, corrected by its headers, people before bulk."""

from __future__ import annotations

import multiprocessing
import time
import uuid
from collections.abc import Iterator

import pytest
from redis import Redis

from plugin.domain.problems import Problem
from plugin.limits import Bitrix24Limits, Slot, Wait, XeroLimits, patient_redis


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
    limits.give_back(taken(limits, organisation), minute_left=0, day_left=100, hold=26, why="minute")
    wait = limits.take(organisation, "people")
    assert isinstance(wait, Wait)
    assert 24 < wait.seconds <= 26


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
