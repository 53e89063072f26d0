"""The app under fire, on each database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.serve import Sandbox
from tests.fuzz.target import Target
from tests.stories.patience import PatientOffice


@pytest.fixture
def target(sandbox: Sandbox, database_url: str, redis_url: str) -> Iterator[Target]:
    office = PatientOffice(sandbox, database_url, redis_url)
    under_fire = Target(office)
    yield under_fire
    under_fire.close()
    office.close()
