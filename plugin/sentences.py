"""Codes and parameters become sentences here, in the reader's language, when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def sentence(code: str, params: Mapping[str, Any] | None = None, lang: str = "") -> str:
    """The sentence for a stored code."""
    return code


def repair(code: str) -> tuple[str, str] | None:
    """Label and action of the way out."""
    return None
