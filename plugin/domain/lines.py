"""Lines of three versions of a document: which is which, and what becomes of them (RULES 19)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from plugin.domain.ledger import Line
from plugin.domain.money import ZERO, plain

LINE_FIELDS = ("description", "quantity", "unit_amount", "account_code", "tax_type", "item_code", "discount_rate", "discount_amount", "tracking")
AMOUNT_FIELDS = ("quantity", "unit_amount", "tax_type", "discount_rate", "discount_amount")

Identity = Callable[[Line], str]


@dataclass(frozen=True)
class FieldDifference:
    """One field on which the CRM and Xero disagree; `sent` is None where we never sent it. A line's field is called `lines[1].quantity`."""

    field: str
    sent: str | None
    crm: str
    xero: str


@dataclass
class Merge:
    """The lines to send, whether the CRM changed any of them, and what stands against it."""

    lines: list[Line] = field(default_factory=list)
    changed: bool = False
    differences: list[FieldDifference] = field(default_factory=list)
    added_in_xero: list[FieldDifference] = field(default_factory=list)


def by_id(line: Line) -> str:
    """A line is known by its LineItemID where we have recorded it."""
    return line.id


def by_row(line: Line) -> str:
    """A line is known by its CRM row; row ids may change (B§8.6), then content decides."""
    return str(line.row_id or "")


def match_lines(left: Sequence[Line], right: Sequence[Line], identity: Identity) -> dict[int, int]:
    """Pairs of positions: by identity, by equal content at the same position, by equal content anywhere, then by position (RULES 19)."""
    rules: tuple[Callable[[int, int], bool], ...] = (
        lambda i, j: bool(identity(left[i])) and identity(left[i]) == identity(right[j]),
        lambda i, j: i == j and same_content(left[i], right[j]),
        lambda i, j: same_content(left[i], right[j]),
        lambda i, j: i == j,
    )
    pairs: dict[int, int] = {}
    for rule in rules:
        _pair_by(rule, len(left), len(right), pairs)
    return pairs


def _pair_by(rule: Callable[[int, int], bool], left: int, right: int, pairs: dict[int, int]) -> None:
    taken = set(pairs.values())
    free = [j for j in range(right) if j not in taken]
    if not free:
        return
    for i in (i for i in range(left) if i not in pairs):
        found = next((j for j in free if rule(i, j)), None)
        if found is not None:
            pairs[i] = found
            free.remove(found)


def same_content(one: Line, other: Line) -> bool:
    """Whether two lines say the same."""
    return not changed_fields(one, other)


def changed_fields(one: Line, other: Line) -> tuple[str, ...]:
    """The names of the fields on which two lines differ."""
    return tuple(name for name in LINE_FIELDS if not _same(name, one, other))


def _same(name: str, one: Line, other: Line) -> bool:
    if name == "item_code" and one.item_id and one.item_id == other.item_id:
        return True
    return bool(_value(name, one) == _value(name, other))


def _value(name: str, line: Line) -> Any:
    """A field as it is compared: line ends and spaces around, case of codes, and a discount amount beside a rate do not matter."""
    value = getattr(line, name)
    if name == "description":
        return comparable(value)
    if name == "item_code":
        return value.casefold()
    if name == "tracking":
        return frozenset((each.category_id, each.option_id) for each in value)
    if name == "discount_amount":
        return ZERO if line.discount_rate else value
    return value


def comparable(text: str) -> str:
    """Text as Xero may give it back: other line ends, no spaces around."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def shown(value: Any) -> str:
    """A value of a field as text for a person."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, tuple):
        return ", ".join(f"{each.category}: {each.option}" for each in value)
    return str(value if value is not None else "")


def describe(line: Line) -> str:
    """A whole line as text for a person."""
    return f"{line.description.splitlines()[0] if line.description else ''}: {plain(line.quantity)} × {plain(line.unit_amount)}"


def merge_lines(sent: Sequence[Line], now: Sequence[Line], held: Sequence[Line]) -> Merge:
    """The three-way merge of all lines: only what the CRM changed goes, what only Xero changed stays (RULES 19)."""
    in_xero = match_lines(sent, held, by_id)
    from_crm = {n: s for s, n in match_lines(sent, now, by_row).items()}
    extra = [held[j] for j in range(len(held)) if j not in in_xero.values()]
    result = Merge()
    for n, line in enumerate(now):
        if n not in from_crm:
            _take_new(line, extra, result)
            continue
        base = sent[from_crm[n]]
        partner = in_xero.get(from_crm[n])
        if partner is None:
            _take_removed_in_xero(n, base, line, result)
        else:
            result.lines.append(_merge_line(n, base, line, held[partner], result))
    for s, base in enumerate(sent):
        if s not in from_crm.values() and s in in_xero:
            _take_removed_in_crm(s, base, held[in_xero[s]], result)
    result.added_in_xero = [FieldDifference("lines.added", "", "", describe(line)) for line in extra]
    return result


def _take_new(line: Line, extra: list[Line], result: Merge) -> None:
    """A line added in the CRM; where Xero was given the same one, it is there already."""
    twin = next((each for each in extra if same_content(each, line)), None)
    if twin:
        extra.remove(twin)
        result.lines.append(replace(twin, row_id=line.row_id))
    else:
        result.lines.append(replace(line, id=""))
        result.changed = True


def _take_removed_in_xero(position: int, base: Line, line: Line, result: Merge) -> None:
    """Removed in Xero only: stays removed. Changed in the CRM as well: both sides."""
    if not same_content(base, line):
        result.differences.append(FieldDifference(f"lines[{position}]", describe(base), describe(line), ""))


def _take_removed_in_crm(position: int, base: Line, held: Line, result: Merge) -> None:
    """Removed in the CRM only: goes. Changed in Xero as well: both sides."""
    result.changed = True
    if not same_content(base, held):
        result.differences.append(FieldDifference(f"lines[{position}]", describe(base), "", describe(held)))


def _merge_line(position: int, base: Line, line: Line, held: Line, result: Merge) -> Line:
    """One line of three versions. It keeps its LineItemID and whatever only Xero knows of it."""
    ours, theirs, apart = changed_fields(base, line), changed_fields(base, held), changed_fields(line, held)
    going = [name for name in ours if name in apart]
    for name in (name for name in going if name in theirs):
        values = (shown(getattr(each, name)) for each in (base, line, held))
        result.differences.append(FieldDifference(f"lines[{position}].{name}", *values))
    result.changed = result.changed or bool(going)
    merged = replace(held, row_id=line.row_id, **{name: getattr(line, name) for name in going})
    if "account_code" in going:
        merged = replace(merged, account_id="")
    if "item_code" in going:
        merged = replace(merged, item_id=line.item_id)
    if "discount_rate" in going:
        merged = replace(merged, discount_amount=line.discount_amount)
    amounts = any(name in AMOUNT_FIELDS for name in going)
    return replace(merged, line_amount=None, tax_amount=None) if amounts else merged
