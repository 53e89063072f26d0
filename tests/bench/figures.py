"""One line of the table: what was measured, against what is possible (`bound`) and what we promise (`reach`)."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import quantiles
from typing import Any


@dataclass(frozen=True)
class Figure:
    """`least`: more is better; without a reach the figure is only reported."""

    what: str
    figure: float
    bound: str
    reach: float | None
    unit: str = ""
    least: bool = False

    @property
    def ok(self) -> bool:
        if self.reach is None:
            return True
        return self.figure >= self.reach if self.least else self.figure <= self.reach

    @property
    def promise(self) -> str:
        return "-" if self.reach is None else f"{'>=' if self.least else '<='} {self.reach:g}"

    def as_json(self) -> dict[str, Any]:
        return {"what": self.what, "bound": self.bound, "reach": self.promise, "figure": round(self.figure, 3), "unit": self.unit, "ok": self.ok}


@dataclass(frozen=True)
class Size:
    """How much of everything: as the table says, or a tenth of it to see whether a row works."""

    small: bool

    def of(self, whole: int, small: int) -> int:
        return small if self.small else whole


def p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]


def p99(values: list[float]) -> float:
    return quantiles(values, n=100)[-1]
