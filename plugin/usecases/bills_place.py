"""Where a portal keeps bills: a smart process that an administrator chooses, or that we make for them, with a stage for each of Xero's statuses.

Bitrix24's invoices are what the portal itself sells; a supplier's bill among them would turn up in its sales figures (decision 0048).

Faults, by field: bills.no_process, bills.place_unknown, bring.no_place (bills_place); setup.stage_unknown (bill-stage:<word>); Bitrix24's own problems.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plugin import sentences
from plugin.bitrix24 import kinds, processes
from plugin.bitrix24.fields import ensure_fields
from plugin.domain.brought import propose_bill_stages
from plugin.domain.crm import Stage, Visitor
from plugin.domain.problems import Problem
from plugin.domain.settings import BILL_WORDS, Settings
from plugin.models import Portal
from plugin.services import Services
from plugin.talking import PortalRest, portal_rest
from plugin.usecases.shown import Option, Told
from plugin.wire import NoAnswer

#: In the form: make a smart process.
NEW = "new"
#: Names of the stages of one that we make, as statuses; in progress, in their order.
_IN_PROGRESS, _WON, _LOST = ("draft", "submitted", "authorised"), "paid", "voided"


@dataclass(frozen=True)
class Place:
    """The place as the settings show it. `chosen` is its entityTypeId, NEW, or "" where it cannot be told."""

    options: tuple[Option, ...] = ()
    chosen: str = ""
    title: str = ""
    stages: tuple[Option, ...] = ()
    stage_of: Mapping[str, str] = field(default_factory=dict)
    unread: Told | None = None  # why Bitrix24 tells nothing of its smart processes
    gone: Told | None = None  # the chosen one is there no more


@dataclass(frozen=True)
class Chosen:
    """What the settings become, or what is wrong with the choice."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, Told] = field(default_factory=dict)


def shown(services: Services, visitor: Visitor, settings: Settings) -> Place:
    """The portal's smart processes that suit, the chosen one with its stages. One request, three where one is chosen."""
    rest = portal_rest(services, visitor.portal_id, visitor.user_id, "people", timeout=15)
    try:
        found = processes.processes(rest)
        held = next((one for one in found if _is(one, settings)), None)
        stages = processes.stages(rest, held.type_id) if held is not None else ()
    except Problem as problem:
        return Place(unread=Told(problem.code, problem.params))
    except NoAnswer:
        return Place(unread=Told("bitrix24.no_answer"))
    title = sentences.sentence("bills.title", {}, _lang(services, visitor))
    options = [Option(str(one.type_id), one.title) for one in found if one.suits or one is held]
    named = _called(found, title)
    if named is None:
        options.insert(0, Option(NEW, title))
    chosen = held or named
    return Place(
        tuple(options),
        str(chosen.type_id) if chosen is not None else NEW,
        held.title if held is not None else "",
        _options(stages),
        settings.bill_status_to_stage,
        gone=Told("bring.no_place") if settings.bills_type and held is None else None,
    )


def _options(stages: tuple[Stage, ...]) -> tuple[Option, ...]:
    return tuple(Option(one.id, one.name) for one in stages)


def _called(found: Iterable[processes.Process], title: str) -> processes.Process | None:
    return next((one for one in found if one.suits and one.title == title), None)


def _lang(services: Services, visitor: Visitor) -> str:
    with services.db.reading() as session:
        return session.get_one(Portal, visitor.portal_id).lang


def choose(services: Services, visitor: Visitor, settings: Settings, form: Mapping[str, str]) -> Chosen:
    """Take the place and its map of stages from the form. A place chosen anew gets our fields and a proposed map.

    Making one is repeated safely: where the answer was lost, one of that title is there, and is taken.
    """
    wanted = form.get("bills_place", "")
    if not wanted:
        return Chosen() if settings.bills_type else Chosen(faults={"bills_place": Told("bills.no_process")})
    rest = portal_rest(services, visitor.portal_id, visitor.user_id, "people", timeout=30)
    try:
        place = _made(services, visitor, rest) if wanted == NEW else _found(rest, settings, wanted)
        if place is None:
            gone = wanted == str(settings.bills_type)
            return Chosen(faults={"bills_place": Told("bring.no_place" if gone else "bills.place_unknown")})
        if _is(place, settings):
            return _mapped(processes.stages(rest, place.type_id), form)
        _added, refused = ensure_fields(rest, kinds.process(place.type_id, place.id))
        if refused:
            raise next(iter(refused.values()))
        stages = processes.stages(rest, place.type_id)
    except Problem as problem:
        return Chosen(faults={"bills_place": Told(problem.code, problem.params)})
    except NoAnswer:
        return Chosen(faults={"bills_place": Told("bitrix24.no_answer")})
    return Chosen({"bills_type": place.type_id, "bills_process": place.id, "bill_status_to_stage": propose_bill_stages(stages)})


def _is(one: processes.Process, settings: Settings) -> bool:
    """Is this the place that is chosen? A new smart process may have the entityTypeId of a deleted one."""
    return (one.type_id, one.id) == (settings.bills_type, settings.bills_process)


def _found(rest: PortalRest, settings: Settings, wanted: str) -> processes.Process | None:
    return next((one for one in processes.processes(rest) if str(one.type_id) == wanted and (one.suits or _is(one, settings))), None)


def _made(services: Services, visitor: Visitor, rest: PortalRest) -> processes.Process | None:
    lang = _lang(services, visitor)
    title = sentences.sentence("bills.title", {}, lang)
    there = _called(processes.processes(rest), title)
    if there is not None:
        return there
    made = processes.make(rest, title)
    if not made.type_id:
        return None
    named = {word: sentences.sentence(f"status.{word}", {}, lang) for word in (*_IN_PROGRESS, _WON, _LOST)}
    processes.name_stages(rest, made.type_id, [named[word] for word in _IN_PROGRESS], named[_WON], named[_LOST])
    return made


def _mapped(stages: tuple[Stage, ...], form: Mapping[str, str]) -> Chosen:
    """The stages chosen in the form; a form without any keeps them."""
    asked = {word: form[f"bill-stage:{word}"][:64] for word in BILL_WORDS if f"bill-stage:{word}" in form}
    ids = {one.id for one in stages}
    faults = {f"bill-stage:{word}": Told("setup.stage_unknown", {"stage": stage}) for word, stage in asked.items() if stage and stage not in ids}
    if faults or not asked:
        return Chosen(faults=faults)
    return Chosen({"bill_status_to_stage": {word: stage for word, stage in asked.items() if stage}})
