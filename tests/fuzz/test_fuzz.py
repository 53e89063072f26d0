"""5,000 requests of every kind at every address, on both databases; `make fuzz` fires 100,000."""

from __future__ import annotations

from tests.fuzz.fire import bombard
from tests.fuzz.target import Target
from tests.services import Kind

REQUESTS = 2_500


def test_whatever_comes_is_answered(target: Target, database_kind: Kind) -> None:
    bombard(target, REQUESTS, number={"sqlite": 20_261_121, "postgresql": 20_261_122}[database_kind])

    assert sum(target.count.values()) >= REQUESTS
    reached = {route for route, _ in target.count}
    assert {rule.rule for rule in target.routes()} <= reached
