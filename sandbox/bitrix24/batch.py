"""`batch`: up to fifty commands in order, with references to earlier results (B§4.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandbox.bitrix24.errors import RestError
from sandbox.bitrix24.php import as_map, empty_map, parse_query

REFERENCE = re.compile(r"\$(result|next|total)((?:\[[^\]]*\])*)")
MOST = 50


class Batch:
    """The running memory of one batch."""

    def __init__(self, unresolved: str) -> None:
        self.result: dict[str, Any] = {}
        self.error: dict[str, Any] = {}
        self.total: dict[str, Any] = {}
        self.next: dict[str, Any] = {}
        self.time: dict[str, Any] = {}
        self._unresolved = unresolved

    def answer(self) -> dict[str, Any]:
        """Empty maps are `[]` (B§4.2)."""
        return {
            "result": empty_map(self.result),
            "result_error": empty_map(self.error),
            "result_total": empty_map(self.total),
            "result_next": empty_map(self.next),
            "result_time": empty_map(self.time),
        }

    def resolve(self, value: Any) -> Any:
        """References inside parameters: alone they become the raw value, inside a longer string only scalars."""
        if isinstance(value, dict):
            return {key: self.resolve(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.resolve(one) for one in value]
        if not isinstance(value, str) or "$" not in value:
            return value
        whole = REFERENCE.fullmatch(value)
        if whole:
            return self._look_up(whole)
        return REFERENCE.sub(self._inside, value)

    def _inside(self, found: re.Match[str]) -> str:
        value = self._look_up(found)
        return found[0] if isinstance(value, dict | list) else "" if value is None else str(value)

    def _look_up(self, found: re.Match[str]) -> Any:
        """Walk down the path; what does not exist yields the last existing level (B§4.2, platform)."""
        here: Any = {"result": self.result, "next": self.next, "total": self.total}[found[1]]
        for part in re.findall(r"\[([^\]]*)\]", found[2]):
            below = (
                here[int(part)] if isinstance(here, list) and part.isdigit() and int(part) < len(here) else here.get(part) if isinstance(here, dict) else None
            )
            if below is None:
                return {"parent": here, "empty": "", "literal": found[0]}[self._unresolved]
            here = below
        return here


def commands(raw: Any, over_length: str) -> list[tuple[str, str]]:
    """The commands by key, in order."""
    found = [(key, str(value)) for key, value in as_map(raw).items()]
    if len(found) > MOST and over_length == "whole":
        raise RestError("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded", 400)
    return found


def run(raw: Any, halt: bool, unresolved: str, over_length: str, execute: Callable[[str, dict[str, Any]], tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    """Run the commands; `execute` does one and returns its result with total, next and time."""
    memory = Batch(unresolved)
    for place, (key, text) in enumerate(commands(raw, over_length)):
        name, _, query = text.partition("?")
        try:
            if place >= MOST:
                raise RestError("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded", 400)
            result, more = execute(name.strip(), memory.resolve(parse_query(query)))
        except RestError as refusal:
            memory.error[key] = refusal.body()
            if halt:
                break
            continue
        memory.result[key] = result
        for part, target in (("total", memory.total), ("next", memory.next), ("time", memory.time)):
            if more.get(part) is not None:
                target[key] = more[part]
    return memory.answer()
