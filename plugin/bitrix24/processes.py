"""Smart processes: record types that a portal adds to its CRM, and where bills are kept (documentation of `crm.type.*`).

Only an administrator of the CRM may list and make them. A plan may have none, or no more of them: bitrix24.plan_restricts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plugin.bitrix24.client import BATCH, Command, Rest
from plugin.bitrix24.packing import rows_under
from plugin.bitrix24.stages import stage_of
from plugin.bitrix24.values import ident, text, yes
from plugin.domain.crm import Stage

#: What a bill needs of its process: a supplier, an amount with rows, stages, and dates.
NEEDED = ("isClientEnabled", "isLinkWithProductsEnabled", "isStagesEnabled", "isBeginCloseDatesEnabled")
#: What one that we make has besides: bills may be told apart by one's own company, and automation may run on them.
_BESIDES = ("isMycompanyEnabled", "isAutomationEnabled", "isDocumentsEnabled", "isRecyclebinEnabled")
#: What one pays, and to whom, is not everybody's business: Bitrix24 would open a new pipeline to all.
_OPEN_TO_ALL = "isSetOpenPermissions"


@dataclass(frozen=True)
class Process:
    """A smart process; `type_id` and `id` are different numbers, and one does not follow from the other."""

    type_id: int
    id: int
    title: str
    suits: bool  # it has everything that a bill needs


def processes(rest: Rest) -> tuple[Process, ...]:
    """The portal's smart processes, in the order of their titles."""
    found: list[Process] = []
    start: int | None = 0
    while start is not None:
        reply = rest.call("crm.type.list", {"order": {"id": "ASC"}, "start": start})
        found += [_process(row) for row in rows_under(reply, "types")]
        start = reply.next if reply.next and reply.next >= start + BATCH else None
    return tuple(sorted((one for one in found if one.type_id and one.id), key=lambda one: (one.title.casefold(), one.type_id)))


def _process(row: Mapping[str, Any]) -> Process:
    return Process(ident(row.get("entityTypeId")) or 0, ident(row.get("id")) or 0, text(row.get("title")), all(yes(row.get(name)) for name in NEEDED))


def make(rest: Rest, title: str) -> Process:
    """A new smart process for bills, seen by administrators until they give others the right. Bitrix24 knows no key: look for one of that title first."""
    fields = {"title": title, **dict.fromkeys((*NEEDED, *_BESIDES), "Y"), _OPEN_TO_ALL: "N"}
    made = rest.call("crm.type.add", {"fields": fields}).result
    return _process(made["type"] if isinstance(made, Mapping) and isinstance(made.get("type"), Mapping) else {})


def stages(rest: Rest, type_id: int) -> tuple[Stage, ...]:
    """The stages of the pipeline in which an item begins that names none, in order."""
    return tuple(stage for _, stage in _stages(rest, type_id))


def _stages(rest: Rest, type_id: int) -> list[tuple[int, Stage]]:
    """Each stage with the number of its row in the list of statuses. That pipelines may be listed where the process has but one is not documented."""
    told = rest.call("crm.item.fields", {"entityTypeId": type_id}).result
    fields = told.get("fields") if isinstance(told, Mapping) else None
    field = fields.get("stageId") if isinstance(fields, Mapping) else None
    entity = text(field.get("statusType")) if isinstance(field, Mapping) else ""
    if not entity:
        return []
    category = {"id": entity.rpartition("_")[2]}
    reply = rest.call("crm.status.list", {"filter": {"ENTITY_ID": entity}, "order": {"SORT": "ASC"}})
    return [(ident(row.get("ID")) or 0, stage_of(row, category, "bill")) for row in rows_under(reply, "")]


def name_stages(rest: Rest, type_id: int, in_progress: Sequence[str], won: str, lost: str) -> None:
    """Call the stages of a process just made by these names, as many as it has of each meaning. What is refused keeps its name."""
    names = {"": iter(in_progress), "S": iter((won,)), "F": iter((lost,))}
    commands: dict[str, Command] = {}
    for number, stage in _stages(rest, type_id):
        name = next(names[stage.semantics], "")
        if name:
            commands[f"s{number}"] = ("crm.status.update", {"id": number, "fields": {"NAME": name}})
    if commands:
        rest.batch(commands)
