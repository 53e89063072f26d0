"""The partners' limits, shared by every process through Redis. Each take is one atomic script on Redis's own clock.

Xero (X§3.1, keyed by its organisation): 5 in flight, 60 a minute, the day's allowance; the app's minute over all
organisations. Bulk holds at most 54 and 4 and leaves a tenth of the day (RULES 28). What Xero's headers say corrects our
count. An empty limiter lets one call go and learns from its headers; without headers bulk waits a minute (RULES 29), while
the few calls of a person who connects or clicks still go, one after the other.
A slot is a lease of fifteen seconds that its process renews: who is killed with five calls in the air gives them back soon.

Bitrix24 (B§4.1, per portal and source address): a bucket that drains two a second and blocks above fifty, and each
method's operating time. Background work leaves the upper part of the bucket to people (RULES 30).
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any, Literal

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout
from redis.retry import Retry

from plugin import durations
from plugin.domain.problems import Problem, after

Lane = Literal["people", "bulk"]

MINUTE_CALLS, MINUTE_BULK = 60, 54
IN_FLIGHT, IN_FLIGHT_BULK = 5, 4
#: A call counts from its start until a minute after its answer: whenever in between it reached Xero, no minute holds more than sixty.
#: A little is added because two clocks never run alike.
WINDOW_MS = 60_250
#: Slots in use are written again so often. Where Redis was emptied they are there again by the time that more than one call may start.
SLOT_RENEW = 1.0
#: No call lasts so long: what is still held then was forgotten, and would block the organisation for as long as this process lives.
SLOT_LONGEST = 180.0
#: Calls of bulk are made ready when the first of them may start so soon, and with it those that follow until then: to read of the CRM what they
#: carry takes a few seconds, and few requests only if it is read together.
SOON_MS, FAR_MS = 5_000, 20_000
NEWBORN_MS = 2_000
BLIND_MS = 60_000
#: Bulk at its pace of 54 a minute starts a call every 1.1 s: after so long without one its four slots are what holds it back.
LEND_MS = 1_100
#: News goes at once while the minute is young. Then a call of people or news is followed by news only so much later, and what happens meanwhile
#: shares a call: so a busy minute leaves room for people. Beside bulk, which takes what the minute has left, news goes a few times a minute.
NEWS_FREE, NEWS_MS, NEWS_FULL_MS, NEWS_BESIDE_BULK_MS, BULK_LATELY_MS = 10, 1_200, 1_900, 5_000, 10_000
#: Where a run of news reads before it writes, the write carries most of both. A reading that several runs share puts off none of them:
#: each of their writes carries a part of it, so that they go at an even pace.
SHARE_OF_WRITE, SHARE_OF_READ, SHARE_OF_SHARED = 1.21, 0.3, 0.0
DAY_WAIT_MS = 900_000
DAY_RESERVE = 0.10
APP_MINUTE = 9_500
#: A day of the smallest tier, where Xero has not told more.
SMALLEST_DAY = 1_000

_TAKE_XERO = """
local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)
local bulk = ARGV[1] == 'bulk'; local slot = ARGV[2]
local log, slots, state, app = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
redis.call('ZREMRANGEBYSCORE', log, '-inf', now - tonumber(ARGV[3]))
redis.call('ZREMRANGEBYSCORE', slots, '-inf', now)
redis.call('ZREMRANGEBYSCORE', app, '-inf', now - tonumber(ARGV[3]))
local hold = tonumber(redis.call('HGET', state, 'hold') or '0')
if hold > now then return {0, hold - now, redis.call('HGET', state, 'why') or 'hold'} end
local everybody = tonumber(redis.call('GET', KEYS[5]) or '0')
if everybody > now then return {0, everybody - now, 'app'} end
for i = 17, #ARGV do
  -- What this process has in the air, where Redis has forgotten it.
  redis.call('ZADD', slots, 'NX', now + tonumber(ARGV[10]), ARGV[i]); redis.call('ZADD', log, 'NX', now, ARGV[i])
end
local flying = redis.call('ZCARD', slots)
redis.call('HSETNX', state, 'born', now)
local blind = tonumber(redis.call('HGET', state, 'blind') or '0')
if bulk and blind > now then return {0, blind - now, 'unknown'} end
-- What is not known yet is learnt by one call at a time.
local soon = bulk and 200 or 20
local known = redis.call('HGET', state, 'known') == '1' and blind <= now and now - tonumber(redis.call('HGET', state, 'born')) >= tonumber(ARGV[13])
if not known and flying > 0 then return {0, soon, 'unknown'} end
local slots_mine = tonumber(bulk and ARGV[7] or ARGV[6])
if bulk and flying == slots_mine and slots_mine < tonumber(ARGV[6]) then
  -- The fifth is lent to slow bulk while no person wants it: four calls of six seconds would not fill the minute.
  local latest = tonumber(redis.call('HGET', state, 'latest') or '0')
  local wanted = tonumber(redis.call('HGET', state, 'wanted') or '0')
  if wanted < now then
    local lent_in = tonumber(ARGV[12]) - (now - latest)
    if lent_in > 0 then return {0, lent_in, 'concurrent'} end
    slots_mine = tonumber(ARGV[6])
  end
end
if flying >= slots_mine then
  if not bulk then redis.call('HSET', state, 'wanted', now + tonumber(ARGV[10])) end
  return {0, soon, 'concurrent'}
end
local used = redis.call('ZCARD', log)
local most = tonumber(bulk and ARGV[5] or ARGV[4])
if used >= most then
  local first = redis.call('ZRANGE', log, used - most, used - most, 'WITHSCORES')
  return {0, math.max(1, tonumber(first[2]) + tonumber(ARGV[3]) - now), 'minute'}
end
if redis.call('ZCARD', app) >= tonumber(ARGV[8]) then return {0, 1000, 'app'} end
local day = redis.call('HGET', state, 'day')
if day then
  local floor = bulk and math.floor(tonumber(redis.call('HGET', state, 'day_max') or '1000') * tonumber(ARGV[9])) or 0
  if tonumber(day) <= floor then
    local since = tonumber(redis.call('HGET', state, 'day_at') or '0')
    if now - since < tonumber(ARGV[11]) then return {0, tonumber(ARGV[11]) - (now - since), 'day'} end
  end
  redis.call('HINCRBY', state, 'day', -1)
end
if bulk then redis.call('HSET', state, 'latest', now)
else
  -- Each call of people and news takes its share of time from the news that comes after it, for no longer than three of them.
  local paced, most = tonumber(redis.call('HGET', state, 'paced') or '0'), now + 3 * tonumber(ARGV[14])
  if used < tonumber(ARGV[16]) then paced = 0 end
  redis.call('HSET', state, 'paced', math.max(paced, math.min(math.max(now, paced) + tonumber(ARGV[15]), most)))
end
redis.call('ZADD', log, now, slot); redis.call('ZADD', app, now, slot)
redis.call('ZADD', slots, now + tonumber(ARGV[10]), slot)
redis.call('PEXPIRE', log, 120000); redis.call('PEXPIRE', app, 120000); redis.call('PEXPIRE', slots, 600000); redis.call('EXPIRE', state, 90000)
return {1, 0, ''}
"""

#: If the minute has room for a call of bulk soon: for how many in a while. Else how long until soon. Takes nothing.
_ROOM_XERO = """
local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)
local log, state = KEYS[1], KEYS[2]
local window, most, soon, far = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local hold = tonumber(redis.call('HGET', state, 'hold') or '0')
local blind = tonumber(redis.call('HGET', state, 'blind') or '0')
local closed = math.max(hold, blind)
if closed > now then return {0, closed - now} end
redis.call('ZREMRANGEBYSCORE', log, '-inf', now - window)
if redis.call('ZCOUNT', log, '(' .. (now - window + soon), '+inf') < most then
  return {most - redis.call('ZCOUNT', log, '(' .. (now - window + far), '+inf'), 0}
end
local held = redis.call('ZCARD', log)
local first = redis.call('ZRANGE', log, held - most, held - most, 'WITHSCORES')
return {0, math.max(1, tonumber(first[2]) + window - soon - now)}
"""

#: In how long news may make its next call. Takes nothing. Beyond its own pace it waits where the minute is nearly full.
_NEWS_XERO = """
local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)
local used = redis.call('ZCOUNT', KEYS[1], now - tonumber(ARGV[1]), '+inf')
if used < tonumber(ARGV[2]) then return 0 end
local at, share = tonumber(redis.call('HGET', KEYS[2], 'paced') or '0'), tonumber(ARGV[4])
local bulk = now - tonumber(redis.call('HGET', KEYS[2], 'latest') or '0') < tonumber(ARGV[7])
if used >= tonumber(ARGV[3]) then at = at - share + tonumber(bulk and ARGV[6] or ARGV[5]) end
return math.max(0, math.ceil(at - now))
"""

_GIVE_XERO = """
local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)
local log, slots, state = KEYS[1], KEYS[2], KEYS[3]
redis.call('ZREM', slots, ARGV[1]); redis.call('ZADD', log, 'XX', now, ARGV[1])
local minute, day, hold, why = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
if hold > 0 and why == 'xero.limit_app' then redis.call('SET', KEYS[5], now + hold, 'PX', hold)
elseif hold > 0 then redis.call('HSET', state, 'hold', now + hold, 'why', why) end
-- What is still in the air may not be in what this answer says.
local flying = redis.call('ZCARD', slots)
if minute >= 0 then
  local expected = tonumber(ARGV[6]) - redis.call('ZCARD', log)
  if minute < expected then
    for i = 1, expected - minute + flying do redis.call('ZADD', log, now, ARGV[1] .. ':' .. i) end
  end
  redis.call('HSET', state, 'known', '1', 'minute', minute)
elseif redis.call('HGET', state, 'known') ~= '1' then
  redis.call('HSET', state, 'blind', now + tonumber(ARGV[7]), 'known', '1')
end
if day >= 0 then
  local most = tonumber(redis.call('HGET', state, 'day_max') or '0')
  redis.call('HSET', state, 'day', math.max(0, day - flying), 'day_at', now, 'day_max', math.max(most, day, day > 1000 and 5000 or 1000))
end
redis.call('EXPIRE', state, 90000); redis.call('PEXPIRE', log, 120000)
return 1
"""

_RENEW_XERO = """
local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('PEXPIRE', KEYS[1], 600000)
return redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
"""

_TAKE_BITRIX = """
local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)
local key = KEYS[1]; local rate, most = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 2, #KEYS do
  local rests = tonumber(redis.call('GET', KEYS[i]) or '0') * 1000
  if rests > now then return {0, math.ceil(rests - now), 'operating'} end
end
local hold = tonumber(redis.call('HGET', key, 'hold') or '0')
if hold > now then return {0, hold - now, 'bucket'} end
local level = tonumber(redis.call('HGET', key, 'level') or '0'); local at = tonumber(redis.call('HGET', key, 'at') or now)
level = math.max(0, level - (now - at) * rate / 1000)
if level + 1 > most then
  redis.call('HSET', key, 'level', tostring(level), 'at', now)
  return {0, math.max(1, math.ceil((level + 1 - most) * 1000 / rate)), 'bucket'}
end
redis.call('HSET', key, 'level', tostring(level + 1), 'at', now); redis.call('EXPIRE', key, 3600)
return {1, 0, ''}
"""


@dataclass(frozen=True)
class Slot:
    """Permission for one call; give it back when the answer is there."""

    tenant: str
    id: str


@dataclass(frozen=True)
class Wait:
    """Not now: in how many seconds to ask again, and which limit says so."""

    seconds: float
    why: str


class _Patient(Redis):
    """After a question without an answer the next ones are not asked for a second: a Redis that hangs costs a page one wait, not one for each."""

    _silent_until = 0.0

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if time.monotonic() < self._silent_until:
            raise RedisTimeout("Redis did not answer a moment ago")
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except RedisTimeout:
            self._silent_until = time.monotonic() + 1.0
            raise


@dataclass(frozen=True)
class Allowance:
    """An organisation's calls that are left in this minute and day, and seconds of a pause. The day is unknown before its first answer."""

    minute: int
    minute_most: int
    day: int | None
    day_most: int | None
    hold: float


def patient_redis(url: str) -> Redis:
    """A connection that fails fast instead of blocking a page or a worker for seconds.

    A connection that was closed is opened anew; an answer that did not come is not asked for again, for the work may be done.
    """
    return _Patient.from_url(url, retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)), socket_connect_timeout=0.3, socket_timeout=0.5)


def no_redis() -> Problem:
    """Without Redis nothing is sent and everything is kept (RULES 29)."""
    return Problem("limits.no_redis", after(5))


class XeroLimits:
    """Slots for calls to Xero."""

    def __init__(self, redis: Redis, pace: float = 1.0) -> None:
        self._redis, self._pace = redis, pace
        self._take = redis.register_script(_TAKE_XERO)
        self._give = redis.register_script(_GIVE_XERO)
        self._renew = redis.register_script(_RENEW_XERO)
        self._room = redis.register_script(_ROOM_XERO)
        self._news = redis.register_script(_NEWS_XERO)
        self._lock = threading.Lock()
        #: What is in the air, and since when.
        self._held: dict[Slot, float] = {}
        self._renewing = False

    def take(self, tenant: str, lane: Lane, share: float = 1.0) -> Slot | Wait:
        """One slot, or how long to wait; never blocks. Raises a problem when Redis is away.

        `share`: for how much the call counts in the pace of news.
        """
        slot = uuid.uuid4().hex
        values: list[str | int | float] = [lane, slot, self._ms(WINDOW_MS), MINUTE_CALLS, MINUTE_BULK, IN_FLIGHT, IN_FLIGHT_BULK, APP_MINUTE, DAY_RESERVE]
        values += [self._ms(durations.LEASE * 1000), self._ms(DAY_WAIT_MS), self._ms(LEND_MS), self._ms(NEWBORN_MS), self._ms(NEWS_MS)]
        values += [int(share * self._ms(NEWS_MS)), NEWS_FREE]
        with self._lock:
            values += [one.id for one in self._in_the_air() if one.tenant == tenant]
        try:
            granted, wait, why = self._take(keys=self._keys(tenant), args=values)
        except RedisError as error:
            raise no_redis() from error
        if not granted:
            return Wait(int(wait) / 1000, why.decode() if isinstance(why, bytes) else str(why))
        taken = Slot(tenant, slot)
        self._hold(taken)
        return taken

    def room(self, tenant: str) -> int | Wait:
        """How many calls bulk may start within a while, or how long until it is time to make the next one ready. Takes nothing.

        So much work is claimed and read as can also be sent; the rest stays in the database.
        """
        keys = self._keys(tenant)
        try:
            calls, wait = self._room(keys=[keys[0], keys[2]], args=[self._ms(WINDOW_MS), MINUTE_BULK, self._ms(SOON_MS), self._ms(FAR_MS)])
        except RedisError as error:
            raise no_redis() from error
        return int(calls) or Wait(int(wait) / 1000, "minute")

    def news(self, tenant: str) -> float:
        """Seconds until what has just happened may take its next call; 0 for now. Takes nothing.

        Whoever orders one look a change would have used up the minute after sixty changes; what happens until then shares a call.
        """
        keys = self._keys(tenant)
        shares = (NEWS_MS, NEWS_FULL_MS, NEWS_BESIDE_BULK_MS, BULK_LATELY_MS)
        values = [self._ms(WINDOW_MS), NEWS_FREE, MINUTE_BULK, *(self._ms(one) for one in shares)]
        try:
            return int(self._news(keys=[keys[0], keys[2]], args=values)) / 1000
        except RedisError as error:
            raise no_redis() from error

    def last_portal(self, tenant: str) -> int:
        """Portals that share an organisation take turns: whose turn was the last. 0 where nobody knows."""
        try:
            return int(self._redis.get(f"xero:{tenant}:last") or 0)
        except RedisError:
            return 0

    def served(self, tenant: str, portal_id: int) -> None:
        """This portal has had its turn."""
        try:
            self._redis.set(f"xero:{tenant}:last", portal_id, ex=3600)
        except RedisError:
            return

    def _ms(self, milliseconds: float) -> int:
        return max(1, int(milliseconds / self._pace))

    def _hold(self, slot: Slot) -> None:
        """Keep it while the call lasts, from a thread that lives as long as anything is held."""
        with self._lock:
            self._held[slot] = time.monotonic()
            if not self._renewing:
                self._renewing = True
                threading.Thread(target=self._keep_slots, name="slots", daemon=True).start()

    def _keep_slots(self) -> None:
        while True:
            time.sleep(SLOT_RENEW / self._pace)
            with self._lock:  # held meanwhile, so that none is written again after it was given back
                if not self._in_the_air():
                    self._renewing = False
                    return
                for slot in self._in_the_air():
                    try:
                        self._renew(keys=self._keys(slot.tenant)[1:2], args=[slot.id, self._ms(durations.LEASE * 1000)])
                    except Exception:
                        break  # tried again in a moment; without Redis nobody takes slots. This thread must not end while anything is held

    def _in_the_air(self) -> list[Slot]:
        """What is held, without what was forgotten. The lock is held."""
        latest = time.monotonic() - SLOT_LONGEST / self._pace
        self._held = {slot: since for slot, since in self._held.items() if since > latest}
        return list(self._held)

    def give_back(self, slot: Slot, *, minute_left: int | None, day_left: int | None, hold: float = 0.0, why: str = "") -> None:
        """Return a slot with what the headers said; `hold` seconds pause the whole organisation (a 429)."""
        values: list[str | int | float] = [
            slot.id,
            -1 if minute_left is None else minute_left,
            -1 if day_left is None else day_left,
            int(hold * 1000),
            why,
            MINUTE_CALLS,
            self._ms(BLIND_MS),
        ]
        with self._lock:
            self._held.pop(slot, None)
        try:
            self._give(keys=self._keys(slot.tenant), args=values)
        except RedisError:
            return  # the slot's own lease runs out

    def give_back_unused(self, slot: Slot) -> None:
        """Return a slot of a call that was not made after all: it counts nowhere, and says nothing of what Xero allows."""
        log, slots, state, app, _ = self._keys(slot.tenant)
        with self._lock:
            self._held.pop(slot, None)
        try:
            for key in (slots, log, app):
                self._redis.zrem(key, slot.id)
            if self._redis.hexists(state, "day"):
                self._redis.hincrby(state, "day", 1)
        except RedisError:
            return  # the slot's own lease runs out

    def spend(self, tenant: str, purpose: str, share: float) -> bool:
        """May one more call of the day go to this purpose, which may have such a share of it? It is counted when it may. A problem without Redis."""
        seen = self.allowance(tenant)
        most = int(((seen.day_most if seen else None) or SMALLEST_DAY) * share)
        try:
            seconds, _ = self._redis.time()
            key = f"xero:{tenant}:spent:{purpose}:{int(seconds) // 86400}"
            used = int(self._redis.incr(key))
            self._redis.expire(key, 2 * 86400)
        except RedisError as error:
            raise no_redis() from error
        return used <= most

    def allowance(self, tenant: str) -> Allowance | None:
        """What is left of minute and day as the headers said last, for the pages; nothing when Redis is away."""
        try:
            seconds, micro = self._redis.time()
            log, _, name = self._keys(tenant)[:3]
            state: Any = self._redis.hgetall(name)
            now = seconds * 1000 + micro // 1000
            used: Any = self._redis.zcount(log, now - self._ms(WINDOW_MS), "+inf")
        except RedisError:
            return None
        day, most, hold = (int(state[word]) if word in state else None for word in (b"day", b"day_max", b"hold"))
        return Allowance(max(0, MINUTE_CALLS - int(used)), MINUTE_CALLS, day, most, max(0.0, ((hold or 0) - now) / 1000))

    def _keys(self, tenant: str) -> list[str]:
        return [f"xero:{tenant}:log", f"xero:{tenant}:slots", f"xero:{tenant}:state", "xero:app", "xero:app:hold"]


#: Requests that people keep for themselves at the top of the bucket.
_BUCKET, _PEOPLE_ONLY = 45, 12
_DRAIN = 2.0
OPERATING_SECONDS = 480.0
OPERATING_SHARE = 0.8


@dataclass(frozen=True)
class Room:
    """A portal's limits as we know them: requests that fit now, seconds of a pause, and methods that rest until their budget is renewed."""

    left: int
    most: int
    hold: float
    resting: tuple[str, ...]


class Bitrix24Limits:
    """The bucket and the operating time of each portal."""

    def __init__(self, redis: Redis, pace: float = 1.0) -> None:
        self._redis, self._pace = redis, pace
        self._take = redis.register_script(_TAKE_BITRIX)

    def take(self, portal: str, lane: Lane, methods: tuple[str, ...] = ()) -> Wait | None:
        """Nothing when the request may go; else how long to wait. Without Redis people's pages still load, bulk waits."""
        keys = [f"bitrix24:{portal}", *(f"bitrix24:{portal}:operating:{one.lower()}" for one in dict.fromkeys(methods))]
        try:
            granted, wait, why = self._take(keys=keys, args=[_DRAIN * self._pace, _BUCKET if lane == "people" else _BUCKET - _PEOPLE_ONLY])
        except RedisError as error:
            if lane == "people":
                return None
            raise no_redis() from error
        return None if granted else Wait(int(wait) / 1000, why.decode() if isinstance(why, bytes) else str(why))

    def room(self, portal: str) -> Room | None:
        """What is left of the bucket now and which methods rest, for the pages; nothing when Redis is away."""
        try:
            seconds, micro = self._redis.time()
            now = seconds + micro / 1e6
            state: Any = self._redis.hgetall(f"bitrix24:{portal}")
            resting: Any = self._redis.zrangebyscore(f"bitrix24:{portal}:resting", now, "+inf")
        except RedisError:
            return None
        level = max(0.0, float(state.get(b"level", 0)) - (now - float(state.get(b"at", now * 1000)) / 1000) * _DRAIN * self._pace)
        hold = max(0.0, float(state.get(b"hold", 0)) / 1000 - now)
        return Room(max(0, int(_BUCKET - level)), _BUCKET, hold, tuple(name.decode() for name in resting))

    def halt(self, portal: str, seconds: float) -> None:
        """The portal said 503: all of its workers stop for a while."""
        try:
            seconds_now, micro = self._redis.time()
            self._redis.hset(f"bitrix24:{portal}", "hold", int((seconds_now + seconds) * 1000 + micro / 1000))
        except RedisError:
            return

    def learn(self, portal: str, operating: dict[str, tuple[float, float]]) -> None:
        """Remember methods near the end of their operating time: method → (seconds used, unix time of the reset)."""
        try:
            for method, (used, reset_at) in operating.items():
                if used > OPERATING_SECONDS * OPERATING_SHARE and reset_at:
                    key = f"bitrix24:{portal}:operating:{method.lower()}"
                    self._redis.set(key, reset_at, ex=600)
                    self._redis.zadd(f"bitrix24:{portal}:resting", {method.lower(): reset_at})
                    self._redis.expire(f"bitrix24:{portal}:resting", 3600)
        except RedisError:
            return


def process_name() -> str:
    """Who holds a lease: this process, and no other one that ever was."""
    return f"{os.uname().nodename[:24]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
