"""One Bitrix24 stand-in for each module of this folder, as new for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.bitrix24_served import Served


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    served = Served()
    yield served
    served.stop()


@pytest.fixture
def served(running: Served) -> Served:
    running.reset()
    running.session.cookies.clear()
    return running
