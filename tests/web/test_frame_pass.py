"""The frame pass: who is looking, for how long, and never on somebody else's word."""

from __future__ import annotations

import pytest
import time_machine

from plugin.web.frame_pass import CONFIRMED_FOR, LIFE, RENEW_AFTER, Claims, FramePasses, PassRefused

MERE = Claims(portal_id=1, user_id=7, lang="en", sid="sid")


@pytest.fixture
def passes() -> FramePasses:
    return FramePasses("sixteen characters and more")


def test_a_pass_names_whom_it_was_made_for(passes: FramePasses) -> None:
    claims = passes.read(passes.issue(MERE))
    assert (claims.portal_id, claims.user_id, claims.lang, claims.sid) == (1, 7, "en", "sid")


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", "ä"])
def test_what_is_no_pass_is_refused(passes: FramePasses, token: str) -> None:
    with pytest.raises(PassRefused):
        passes.read(token)


def test_a_pass_under_another_key_is_refused(passes: FramePasses) -> None:
    with pytest.raises(PassRefused):
        passes.read(FramePasses("another key of some length").issue(MERE))


def test_a_changed_pass_is_refused(passes: FramePasses) -> None:
    payload, rest = passes.issue(MERE).split(".", 1)
    forged = payload[:-1] + ("A" if payload[-1] != "A" else "B")
    with pytest.raises(PassRefused):
        passes.read(f"{forged}.{rest}")


def test_a_pass_ends_but_may_be_exchanged(passes: FramePasses) -> None:
    with time_machine.travel("2026-11-21T09:00:00Z", tick=False) as clock:
        token = passes.issue(MERE)
        clock.shift(LIFE + 1)
        with pytest.raises(PassRefused):
            passes.read(token)
        assert passes.read_ended(token).user_id == 7


def test_a_pass_in_use_is_renewed_when_it_gets_old(passes: FramePasses) -> None:
    with time_machine.travel("2026-11-21T09:00:00Z", tick=False) as clock:
        token = passes.issue(MERE)
        assert passes.renewed(token) is None
        clock.shift(RENEW_AFTER)
        fresh = passes.renewed(token)
        assert fresh
        clock.shift(LIFE - 1)
        assert passes.read(fresh).user_id == 7


def test_use_alone_keeps_no_pass_alive_for_ever(passes: FramePasses) -> None:
    with time_machine.travel("2026-11-21T09:00:00Z", tick=False) as clock:
        token = passes.issue(MERE)
        for _ in range(CONFIRMED_FOR // 3000):
            clock.shift(3000)
            token = passes.renewed(token) or token
        clock.shift(3000)
        assert passes.renewed(token) is None
