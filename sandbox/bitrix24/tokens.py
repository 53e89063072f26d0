"""The authorisation server's memory: pairs of tokens, each for one user of one portal and one app (B§2.2–2.4)."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox.controls import Controls

ACCESS_LIFE = timedelta(hours=1)
REFRESH_LIFE = timedelta(days=180)
CODE_LIFE = timedelta(seconds=30)


@dataclass
class Pair:
    """An access token of an hour and the refresh token that came with it."""

    access: str
    refresh: str
    member_id: str
    user_id: int
    client_id: str
    access_until: datetime
    refresh_until: datetime
    dead: bool = False
    rotated: bool = False


@dataclass
class Code:
    """An authorisation code of thirty seconds (B§2.1)."""

    code: str
    member_id: str
    user_id: int
    until: datetime


class TokenBook:
    """Every token ever given out that may still mean something."""

    def __init__(self, controls: Controls, client_id: str) -> None:
        self._controls, self._client_id = controls, client_id
        self._lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        self._by_access: dict[str, Pair] = {}
        self._by_refresh: dict[str, Pair] = {}
        self._codes: dict[str, Code] = {}
        self._for_events: dict[tuple[str, int], Pair] = {}

    def issue(self, member_id: str, user_id: int, client_id: str = "") -> Pair:
        """A fresh pair."""
        now = self._controls.clock.now()
        pair = Pair(secrets.token_hex(35), secrets.token_hex(35), member_id, user_id, client_id or self._client_id, now + ACCESS_LIFE, now + REFRESH_LIFE)
        with self._lock:
            self._by_access[pair.access] = self._by_refresh[pair.refresh] = pair
        return pair

    def for_event(self, member_id: str, user_id: int) -> Pair:
        """The pair whose access token goes into events; renewed every ten minutes."""
        now = self._controls.clock.now()
        with self._lock:
            pair = self._for_events.get((member_id, user_id))
            if pair is None or pair.dead or pair.access_until - now < timedelta(minutes=50):
                pair = self._for_events[member_id, user_id] = self.issue(member_id, user_id)
            return pair

    def issue_code(self, member_id: str, user_id: int) -> str:
        code = secrets.token_hex(16)
        self._codes[code] = Code(code, member_id, user_id, self._controls.clock.now() + CODE_LIFE)
        return code

    def by_access(self, token: str) -> Pair | None:
        return self._by_access.get(token)

    def expired(self, pair: Pair) -> bool:
        return self._controls.clock.now() >= pair.access_until

    def rotate(self, refresh: str) -> Pair | None:
        """A new pair for this refresh token; whether the old one goes on living is a switch."""
        with self._lock:
            old = self._by_refresh.get(refresh)
            if old is None or old.dead or self._controls.clock.now() >= old.refresh_until:
                return None
            if old.rotated and self._controls.switches.get("oauth_previous_refresh") == "dies":
                return None
            old.rotated = True
            return self.issue(old.member_id, old.user_id, old.client_id)

    def peek(self, refresh: str) -> Pair | None:
        return self._by_refresh.get(refresh)

    def redeem(self, code: str) -> Pair | None:
        """A pair for a code, once."""
        with self._lock:
            found = self._codes.pop(code, None)
            if found is None or self._controls.clock.now() >= found.until:
                return None
            return self.issue(found.member_id, found.user_id)

    def kill(self, member_id: str, user_id: int | None = None) -> None:
        """Uninstalling kills every token of the app on that portal."""
        with self._lock:
            for pair in self._by_access.values():
                if pair.member_id == member_id and user_id in (None, pair.user_id):
                    pair.dead = True
            self._for_events = {key: pair for key, pair in self._for_events.items() if not pair.dead}

    def rebind(self, member_id: str, user_id: int, system_user: int) -> None:
        """The tokens of somebody dismissed may be moved to the portal's system user (B§2.6)."""
        with self._lock:
            for pair in self._by_access.values():
                if pair.member_id == member_id and pair.user_id == user_id:
                    pair.user_id = system_user

    def count(self, member_id: str) -> int:
        return sum(1 for pair in self._by_access.values() if pair.member_id == member_id and not pair.dead)

    def expire(self, member_id: str, user_id: int | None = None) -> None:
        """A lever: access tokens of a portal run out now."""
        now = self._controls.clock.now()
        for pair in self._by_access.values():
            if pair.member_id == member_id and user_id in (None, pair.user_id):
                pair.access_until = now
