"""The place where work on one organisation's books happens: who works, when, and under which switches."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from sandbox.controls import Controls
from sandbox.xero.books import Books, Note
from sandbox.xero.words import Rounding, to_millisecond


@dataclass
class Desk:
    """`user` appears in histories; `places` is what `unitdp` asked for (X§2.4)."""

    books: Books
    controls: Controls
    user: str = "System Generated"
    by_app: bool = False
    places: int = 2
    back_orders: bool = False
    bank_admin: bool = True
    rounding: Rounding = field(init=False)
    now: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.rounding = Rounding(self.switch("rounding") == "bankers")
        self.now = to_millisecond(self.controls.clock.now())

    def switch(self, name: str) -> str:
        return self.controls.switches.get(name)

    def is_on(self, name: str, position: str) -> bool:
        return self.switch(name) == position

    @property
    def today(self) -> date:
        """Today in the organisation's own time zone (X§2.3)."""
        return self.now.astimezone(ZoneInfo(self.books.organisation.zone)).date()

    def cents(self, amount: Decimal) -> Decimal:
        return self.rounding.to(amount, 2)

    def note(self, document_id: str, changes: str, details: str = "") -> None:
        """Write a line of history."""
        self.books.note(document_id, Note(self.now, changes, details, self.user))
