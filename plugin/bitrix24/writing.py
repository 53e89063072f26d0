"""What the app writes into documents: the visitor's trial of their right, and results (RULES 24, 30)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from plugin.bitrix24.client import Command, Rest
from plugin.bitrix24.fields import BY_SHORT, Value, encoded
from plugin.bitrix24.kinds import CrmKind
from plugin.bitrix24.packing import groups
from plugin.bitrix24.people import log_command
from plugin.bitrix24.robots import paid_command
from plugin.domain.problems import NEVER, Problem

TRIALS = 20  # updates run automation; more would near the 60 s of a request (B§4.2)
WEIGHT = 45  # of one request: 15 updates that move a stage, or 45 that do not
STAGE_WEIGHT = 3


@dataclass(frozen=True)
class WriteBack:
    """What one document gets: our fields by short name, a stage, a line in its history. All are optional."""

    crm_id: int
    fields: Mapping[str, Value]
    stage_id: str | None = None
    log: tuple[str, str] | None = None
    #: Automation hears that it is paid, after its fields say so.
    paid: bool = False

    @property
    def weight(self) -> int:
        update = STAGE_WEIGHT if self.stage_id else bool(self.fields)
        return update + bool(self.log) + self.paid


@dataclass(frozen=True)
class Written:
    """What became of each document, by its id, and of which automation has heard that they are paid."""

    problems: Mapping[int, Problem | None]
    heard: frozenset[int] = frozenset()


def may_edit(rest: Rest, kind: CrmKind, ids: Iterable[int], stamp: str) -> dict[int, Problem | None]:
    """Write "Xero: sending" as this person: the one way to learn whether they may edit (B§11.2). None means yes."""
    found: dict[int, Problem | None] = {}
    for group in groups(dict.fromkeys(ids), TRIALS):
        found |= _write(rest, kind, [WriteBack(id_, {"xero_sending": stamp}) for id_ in group]).problems
    return found


def write_back(rest: Rest, kind: CrmKind, items: Sequence[WriteBack]) -> Written:
    """Write results, packed. A refused stage costs only the stage: the fields are written all the same. Safe to repeat, log lines and payments apart."""
    found: dict[int, Problem | None] = {}
    heard: frozenset[int] = frozenset()
    for request in _requests(items):
        written = _write(rest, kind, request)
        found |= written.problems
        heard |= written.heard
    again = [replace(one, stage_id=None, log=None, paid=False) for one in items if one.stage_id and one.fields and _is_stage(found[one.crm_id])]
    for request in _requests(again):
        for id_, problem in _write(rest, kind, request).problems.items():
            found[id_] = problem or found[id_]
    return Written(found, heard)


def _is_stage(problem: Problem | None) -> bool:
    return problem is not None and problem.code == "bitrix24.stage_refused"


def _requests(items: Iterable[WriteBack]) -> Iterator[list[WriteBack]]:
    request: list[WriteBack] = []
    for one in items:
        if request and sum(other.weight for other in request) + one.weight > WEIGHT:
            yield request
            request = []
        request.append(one)
    if request:
        yield request


def _write(rest: Rest, kind: CrmKind, request: list[WriteBack]) -> Written:
    commands: dict[str, Command] = {}
    for number, one in enumerate(request):
        if one.fields or one.stage_id:
            commands[f"u{number}"] = ("crm.item.update", _update(kind, one))
        if one.log:
            commands[f"l{number}"] = log_command(kind.type_id, one.crm_id, *one.log)
        if one.paid:
            commands[f"t{number}"] = paid_command(kind.type_id, one.crm_id)
    if not commands:
        return Written({one.crm_id: None for one in request})
    reply = rest.batch(commands)
    found: dict[int, Problem | None] = {}
    for number, one in enumerate(request):
        outcome = _outcome(kind, one, reply.errors.get(f"u{number}"), reply.results.get(f"u{number}"))
        found[one.crm_id] = outcome or _extra_lost(reply.errors.get(f"l{number}")) or _extra_lost(reply.errors.get(f"t{number}"))
    # A trigger that the portal will never take has no error code of its own, and is not told again.
    unheard = {one.crm_id for number, one in enumerate(request) if _extra_lost(reply.errors.get(f"t{number}")) is not None}
    return Written(found, frozenset(one.crm_id for one in request if one.paid) - unheard)


def _extra_lost(problem: Problem | None) -> Problem | None:
    """A line in the history, or a word to automation, is an extra: a portal that will never take it has its fields all the same."""
    return problem if problem is not None and problem.retry.kind != "never" else None


def _update(kind: CrmKind, one: WriteBack) -> dict[str, Any]:
    fields = {**encoded(kind, one.fields), **({"stageId": one.stage_id} if one.stage_id else {})}
    return {"entityTypeId": kind.type_id, "useOriginalUfNames": "Y", "id": one.crm_id, "fields": fields}


def _outcome(kind: CrmKind, one: WriteBack, problem: Problem | None, result: Any) -> Problem | None:
    if problem is not None:
        if one.stage_id and problem.code == "bitrix24.unknown" and problem.params["error"] in ("", "-"):
            # Stage rights and mandatory stage fields have no code of their own, only a sentence (B§8.5).
            return Problem("bitrix24.stage_refused", NEVER, **{**problem.params, "id": one.crm_id, "stage": one.stage_id})
        return problem
    item = result.get("item") if isinstance(result, Mapping) else None
    names = [BY_SHORT[short].name(kind) for short in one.fields if short in kind.own_fields]
    lost = [name for name in names if isinstance(item, Mapping) and name not in item]
    # A field that the portal does not have is ignored without an error; the answer shows it (B§8.1).
    return Problem("bitrix24.field_missing", NEVER, id=one.crm_id, field=lost[0]) if lost else None
