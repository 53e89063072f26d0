"""The office that every story starts from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.serve import Sandbox
from tests.stories.office import Office
from tests.stories.patience import PatientOffice


@pytest.fixture
def office(sandbox: Sandbox, database_url: str, redis_url: str) -> Iterator[Office]:
    """On both databases."""
    running = Office(sandbox, database_url, redis_url)
    yield running
    running.close()


@pytest.fixture
def patient(sandbox: Sandbox, database_url: str, redis_url: str) -> Iterator[PatientOffice]:
    """On both databases, with clocks that can be moved."""
    running = PatientOffice(sandbox, database_url, redis_url)
    yield running
    running.close()


@pytest.fixture
def patient_office(sandbox: Sandbox, sqlite_url: str, redis_url: str) -> Iterator[PatientOffice]:
    """On SQLite, in which time passes as quickly as the work allows."""
    running = PatientOffice(sandbox, sqlite_url, redis_url)
    yield running
    running.close()
