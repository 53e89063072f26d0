"""Bells through a real Redis, as the sweep rings them while workers are behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from redis import Redis

from plugin.bells import Bells
from tests.running import until

MANY = [f"organisation:{number}" for number in range(1, 301)] + [f"inbox:portal:{number}" for number in range(1, 301)]


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


def waiting(redis: Redis) -> Counter[str]:
    """How many bells wait for a worker, by whom they are for."""
    ids = [one.decode() for queue in ("bells", "bells-portal", "bells-inbox") for one in redis.lrange(f"rq:queue:{queue}", 0, -1)]
    return Counter(one.rpartition("-")[0] for one in ids)


def test_a_sweep_does_not_ring_for_whom_a_bell_waits_already(redis: Redis) -> None:
    bells = Bells(redis)
    bells.ring_again(MANY)
    until(lambda: waiting(redis).total() == len(MANY))
    assert redis.lpop("rq:queue:bells")  # a worker has the first one in hand, or died with it
    bells.ring_again([*MANY, "portal:7"])
    until(lambda: waiting(redis)["portal-7"] == 1)

    assert set(waiting(redis).values()) == {1}
    assert waiting(redis).total() == len(MANY) + 1


def test_a_bell_is_good_for_as_long_as_a_thousand_others_are_before_it(redis: Redis) -> None:
    bells = Bells(redis)
    bells.ring_again(["portal:7"])
    until(lambda: waiting(redis)["portal-7"] == 1)
    (name,) = redis.lrange("rq:queue:bells-portal", 0, -1)
    assert redis.ttl(f"rq:job:{name.decode()}") > 1_800


def test_a_click_rings_though_a_bell_waits(redis: Redis) -> None:
    """What was committed after a worker looked is not left to the sweep."""
    bells = Bells(redis)
    bells.ring_again(["organisation:7"])
    until(lambda: waiting(redis)["organisation-7"] == 1)
    bells.ring("organisation:7")
    until(lambda: waiting(redis)["organisation-7"] == 2)


def test_who_waits_for_a_worker_ends_the_turn_of_another(redis: Redis) -> None:
    bells = Bells(redis)
    bells.ring("organisation:7")
    until(lambda: waiting(redis)["organisation-7"] == 1)
    assert not bells.others_wait("organisation:7")
    assert bells.others_wait("organisation:8")
    assert not bells.others_wait("portal:7")
