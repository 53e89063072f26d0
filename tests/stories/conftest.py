"""The office that every story starts from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.serve import Sandbox
from tests.stories.office import Office


@pytest.fixture
def office(sandbox: Sandbox, database_url: str, redis_url: str) -> Iterator[Office]:
    """On both databases."""
    running = Office(sandbox, database_url, redis_url)
    yield running
    running.close()
