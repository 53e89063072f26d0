"""A problem: a cause that stops a piece of work, with what may be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Retry:
    """Whether the same work may be tried again: never by itself, later, after so many seconds, or once reconnected."""

    kind: Literal["never", "later", "after", "reconnect"]
    seconds: float = 0.0


NEVER = Retry("never")
LATER = Retry("later")
RECONNECT = Retry("reconnect")


def after(seconds: float) -> Retry:
    """Try again when this many seconds have passed."""
    return Retry("after", seconds)


class Problem(Exception):
    """Something a person can read about and act on.

    Stored as code and parameters (plain JSON values); the sentence is made when it is read, in the reader's language
    (`plugin.sentences`). `code` looks like "xero.invoice_paid": partner or part of the product, then the cause.
    """

    def __init__(self, code: str, retry: Retry = NEVER, **params: Any) -> None:
        super().__init__(code, params)
        self.code = code
        self.retry = retry
        self.params = {name: value if isinstance(value, (int, bool, list, dict)) or value is None else str(value) for name, value in params.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.code, self.retry, self.params))


def _rebuild(code: str, retry: Retry, params: dict[str, Any]) -> Problem:
    return Problem(code, retry, **params)
