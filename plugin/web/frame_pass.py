"""The frame pass: cookies do not exist in the iframe, so a short signed statement of who is looking travels in a header."""

from __future__ import annotations

import time
from dataclasses import astuple, dataclass, replace

from itsdangerous import BadData, SignatureExpired, URLSafeTimedSerializer

HEADER = "X-Frame-Pass"
#: A pass is good for an hour; a page in use gets a new one on the way, but only so long after Bitrix24 itself last confirmed the person.
LIFE = 3600
RENEW_AFTER = 300
CONFIRMED_FOR = 8 * 3600
#: How long an ended pass may still be exchanged for a new one, together with a fresh token from Bitrix24.
EXCHANGEABLE_FOR = 30 * 86400


class PassRefused(Exception):
    """No pass, a forged one, or one that has ended."""


@dataclass(frozen=True)
class Claims:
    """What a pass says. `confirmed_at` is when Bitrix24 last vouched for this person."""

    portal_id: int
    user_id: int
    lang: str
    sid: str = ""
    confirmed_at: int = 0


class FramePasses:
    """Issues passes and believes only its own."""

    def __init__(self, secret_key: str) -> None:
        self._serializer = URLSafeTimedSerializer(secret_key, salt="frame-pass")

    def issue(self, claims: Claims) -> str:
        """A new pass for somebody whom Bitrix24 confirmed just now."""
        return self._sign(replace(claims, confirmed_at=int(time.time())))

    def read(self, token: str) -> Claims:
        """Who is looking; raises PassRefused unless the pass is ours and still good."""
        return self._load(token, LIFE)[0]

    def read_ended(self, token: str) -> Claims:
        """Who was looking: for exchanging an ended pass together with a fresh token."""
        return self._load(token, EXCHANGEABLE_FOR)[0]

    def renewed(self, token: str) -> str | None:
        """A fresh pass in place of a good one that is getting old, or None if that is not due or no longer allowed."""
        claims, issued_at = self._load(token, LIFE)
        now = time.time()
        due = now - issued_at >= RENEW_AFTER
        return self._sign(claims) if due and now - claims.confirmed_at < CONFIRMED_FOR else None

    def _sign(self, claims: Claims) -> str:
        return str(self._serializer.dumps(astuple(claims)))

    def _load(self, token: str, life: int) -> tuple[Claims, float]:
        try:
            values, issued = self._serializer.loads(token, max_age=life, return_timestamp=True)
            return Claims(*values), issued.timestamp()
        except SignatureExpired as error:
            raise PassRefused("ended") from error
        except (BadData, TypeError) as error:
            raise PassRefused("not ours") from error
