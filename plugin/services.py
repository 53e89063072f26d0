"""What every verb is handed: the doors to the database, the wire and the limits. `create_app` fills it once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from redis import Redis

from plugin.bells import Bells
from plugin.call_log import CallLog
from plugin.config import Config
from plugin.counts import Counts
from plugin.db import Database
from plugin.limits import Bitrix24Limits, XeroLimits
from plugin.news import NewsMemory
from plugin.wire import Wire


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Services:
    """The parts, met."""

    config: Config
    db: Database
    wire: Wire
    redis: Redis
    bells: Bells
    counts: Counts
    xero_limits: XeroLimits
    bitrix24_limits: Bitrix24Limits
    call_log: CallLog
    news: NewsMemory
    now: Callable[[], datetime] = _utc_now

    def redis_answers(self) -> bool:
        """Is Redis there? Asked by pages and health checks; fails fast."""
        try:
            return bool(self.redis.ping())
        except Exception:  # any failure of the client means the same here
            return False
