"""Small charts as SVG, drawn on the server: numbers in, places of bars and marks out. The table beside them says the same in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plugin.usecases.shown import Speed

WIDTH, HEIGHT, FLOOR = 336, 96, 84


@dataclass(frozen=True)
class Mark:
    """One stretch: the bar of the half, the mark of the 95 %, in the chart's own units."""

    x: float
    width: float
    half_top: float
    half_height: float
    most_y: float | None


@dataclass(frozen=True)
class Chart:
    marks: tuple[Mark, ...]
    top: float
    width: int = WIDTH
    height: int = HEIGHT
    floor: int = FLOOR


def chart(speeds: Sequence[Speed]) -> Chart:
    """Bars for the half, a mark for the 95 %; the highest mark reaches the top."""
    top = max((one.most for one in speeds if one.most), default=1.0)
    step = WIDTH / max(1, len(speeds))
    marks = []
    for place, one in enumerate(speeds):
        half = (one.half or 0.0) / top * (FLOOR - 8)
        most = None if one.most is None else round(FLOOR - one.most / top * (FLOOR - 8), 1)
        marks.append(Mark(round(place * step + step * 0.15, 1), round(step * 0.7, 1), round(FLOOR - half, 1), round(half, 1), most))
    return Chart(tuple(marks), top)
