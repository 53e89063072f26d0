"""One call of one method: who calls, with which parameters; and the table of methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.bitrix24.crm import Actor
from sandbox.bitrix24.errors import RestError, missing, wrong_auth_type
from sandbox.bitrix24.install import Installation
from sandbox.bitrix24.people import User
from sandbox.bitrix24.php import as_map
from sandbox.bitrix24.portal import Portal

PAGE = 50


@dataclass
class Call:
    """What a method sees."""

    portal: Portal
    user: User
    name: str
    params: dict[str, Any]
    app: Installation | None = None
    total: int | None = None
    next: int | None = None

    @property
    def actor(self) -> Actor:
        return Actor(self.user.id, connector=str(self.params.get("auth_connector") or ""))

    def get(self, name: str, default: Any = None) -> Any:
        """A parameter by its documented name."""
        return self.params.get(name, default)

    def any_case(self, name: str, default: Any = None) -> Any:
        """Legacy methods accept mixed case (B§3.1)."""
        if name in self.params:
            return self.params[name]
        lowered = name.lower()
        return next((value for key, value in self.params.items() if key.lower() == lowered), default)

    def need(self, name: str) -> Any:
        """A required parameter (error 100)."""
        if self.params.get(name) in (None, ""):
            raise missing(name)
        return self.params[name]

    def need_map(self, name: str) -> dict[str, Any]:
        value = self.need(name)
        if not isinstance(value, dict | list):
            raise missing(name)
        return as_map(value)

    def need_id(self, name: str = "id") -> int:
        try:
            return int(self.need(name))
        except (TypeError, ValueError) as error:
            raise RestError("100", f"Invalid value {{{self.params[name]}}} to match with parameter {{{name}}}. Should be value of type int.", 400) from error

    def start(self) -> int:
        try:
            return int(self.any_case("start", 0) or 0)
        except (TypeError, ValueError):
            return 0

    def page(self, rows: list[Any], size: int = PAGE) -> list[Any]:
        """One page of rows; `start=-1` counts nothing (B§4.3)."""
        start = self.start()
        if start < 0:
            self.total = 0
            return rows[:size]
        self.total = len(rows) if self.portal.switch("list_total") == "exact" or not rows else max(0, len(rows) - 1)
        if start + size < len(rows):
            self.next = start + size
        return rows[start : start + size]

    def admin_only(self, text: str = "Access denied!") -> None:
        """Methods for administrators of the portal (B§11.1)."""
        if not (self.user.admin or self.user.system):
            code, _, status = self.portal.switch("admin_refusal").rpartition("_")
            raise RestError(code, text, int(status))

    def application(self) -> Installation:
        """The app's own context; a webhook has none (B§1.1)."""
        if self.app is None:
            raise wrong_auth_type()
        return self.app


@dataclass(frozen=True)
class Method:
    name: str
    scope: str
    run: Callable[[Call], Any]
    in_batch: bool = True
    also_scopes: tuple[str, ...] = field(default=())

    def allowed(self, scopes: tuple[str, ...]) -> bool:
        return not self.scope or (any(one in scopes for one in self.scope.split("|")) and all(one in scopes for one in self.also_scopes))


METHODS: dict[str, Method] = {}


def method(name: str, scope: str = "", in_batch: bool = True, also: tuple[str, ...] = ()) -> Callable[[Callable[[Call], Any]], Callable[[Call], Any]]:
    """Register a method under its documented name; names are matched without case (B§3.1)."""

    def register(run: Callable[[Call], Any]) -> Callable[[Call], Any]:
        METHODS[name.lower()] = Method(name, scope, run, in_batch, also)
        return run

    return register
