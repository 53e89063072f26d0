"""The methods of the REST API, one module a subject."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

MODULES = (
    "basic",
    "items",
    "productrows",
    "types",
    "directories",
    "clients",
    "requisites",
    "catalog",
    "userfields",
    "placements",
    "events",
    "timeline",
    "robots",
    "triggers",
    "payments",
)


@dataclass(frozen=True)
class Bare:
    """A body whose keys stand at the top level instead of under `result` (B§9.4)."""

    body: dict[str, Any]


def load() -> None:
    """Register every method."""
    for name in MODULES:
        importlib.import_module(f"sandbox.bitrix24.methods.{name}")
