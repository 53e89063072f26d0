"""RULES 38: whatever the references leave open may be either way, and the main story passes all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.bitrix24.switches import FACTS
from sandbox.serve import Sandbox
from sandbox.xero.switches import ALL
from tests.stories.main_story import tell
from tests.stories.office import Office


POSITIONS = [
    pytest.param(partner, name, position, id=f"{partner}-{name}-{position}")
    for partner, facts in (("bitrix24", FACTS), ("xero", ALL))
    for name, positions, _ in facts
    for position in positions[1:]
]


@pytest.fixture
def small_office(sandbox: Sandbox, sqlite_url: str, redis_url: str) -> Iterator[Office]:
    """On SQLite only: a partner's answer does not depend on our database."""
    running = Office(sandbox, sqlite_url, redis_url)
    yield running
    running.close()


def test_the_main_story_with_every_fact_as_expected(office: Office) -> None:
    tell(office)


@pytest.mark.parametrize(("partner", "name", "position"), POSITIONS)
def test_the_main_story_whatever_the_partner_does(small_office: Office, partner: str, name: str, position: str) -> None:
    getattr(small_office.sandbox, partner).controls.switches.set(name, position)

    tell(small_office)
