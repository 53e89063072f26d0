"""What runs by itself, as an administrator chooses it: off, from a stage on, or every new invoice; the stage afterwards; what follows a deletion.

Faults, by field: automatic.stage_missing, setup.stage_unknown (stage), automatic.stage_not_sent (stage).
Problems: portal.not_connected, portal.not_set_up. Activities: activity.settings_changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast

from plugin import activity
from plugin.domain.crm import Visitor
from plugin.domain.problems import Problem
from plugin.domain.settings import Settings
from plugin.portals import change_settings, current_settings, live_connection
from plugin.services import Services
from plugin.usecases import NotAllowed, set_up
from plugin.usecases.shown import AutomaticShown, Option, Told

MODES = ("off", "stage", "new")
CHOSEN = ("automatic", "automatic_stage", "automatic_since", "stage_after_export", "when_deleted")
AFTER_DELETION = ("ask", "delete")


def shown(services: Services, visitor: Visitor) -> AutomaticShown | None:
    """What holds now; nothing before the set-up is confirmed."""
    if not visitor.admin:
        raise NotAllowed
    with services.db.reading() as session:
        live = live_connection(session, visitor.portal_id)
        held = current_settings(session, visitor.portal_id, live.organisation_id) if live is not None else None
    return None if held is None else _shown(services, visitor, held[1], {})


def save(services: Services, visitor: Visitor, form: Mapping[str, str]) -> AutomaticShown:
    """Take the choices; with faults the same form comes back saying what is wrong. They hold for what happens from now on."""
    if not visitor.admin:
        raise NotAllowed
    now = services.now()
    stages = {one.id: one for one in set_up.stages(services, visitor)}
    with services.db.transaction() as tx:
        live = live_connection(tx, visitor.portal_id)
        if live is None:
            raise Problem("portal.not_connected")
        set_up.lock_settings(tx, live)
        held = current_settings(tx, visitor.portal_id, live.organisation_id)
        if held is None:
            raise Problem("portal.not_set_up")
        before = held[1]
        mode, after = form.get("automatic", ""), form.get("when_deleted", "")
        choices = replace(
            before,
            automatic=cast("Literal['off', 'stage', 'new']", mode) if mode in MODES else before.automatic,
            automatic_stage=form.get("automatic_stage", "")[:64],
            stage_after_export=form.get("stage_after_export", "")[:64],
            when_deleted=cast("Literal['ask', 'delete']", after) if after in AFTER_DELETION else before.when_deleted,
        )
        faults = _faults(choices, set(stages))
        if not faults and choices != before:
            if (choices.automatic, choices.automatic_stage) != (before.automatic, before.automatic_stage):
                choices = replace(choices, automatic_since=None if choices.automatic == "off" else now.replace(microsecond=0))
            changes = {name: getattr(choices, name) for name in CHOSEN}
            change_settings(tx, visitor, live.organisation_id, now, **changes)
            code, by = "activity.settings_changed", visitor
            activity.record(tx, by.portal_id, code, now, organisation_id=live.organisation_id, user_id=by.user_id, user_name=by.name)
    return _shown(services, visitor, choices, faults)


def _faults(choices: Settings, stages: set[str]) -> dict[str, Told]:
    faults: dict[str, Told] = {}
    if choices.automatic == "stage":
        if not choices.automatic_stage:
            faults["automatic_stage"] = Told("automatic.stage_missing")
        elif choices.automatic_stage not in stages:
            faults["automatic_stage"] = Told("setup.stage_unknown", {"stage": choices.automatic_stage})
        elif choices.status_for(choices.automatic_stage) in ("", "VOIDED"):
            faults["automatic_stage"] = Told("automatic.stage_not_sent")
    if choices.stage_after_export and choices.stage_after_export not in stages:
        faults["stage_after_export"] = Told("setup.stage_unknown", {"stage": choices.stage_after_export})
    return faults


def _shown(services: Services, visitor: Visitor, choices: Settings, faults: dict[str, Told]) -> AutomaticShown:
    return AutomaticShown(
        mode=choices.automatic,
        stage=choices.automatic_stage,
        since=choices.automatic_since,
        start_date=choices.start_date,
        stage_after_export=choices.stage_after_export,
        when_deleted=choices.when_deleted,
        stages=tuple(Option(one.id, one.name, one.category_name) for one in set_up.stages(services, visitor)),
        faults=faults,
    )
