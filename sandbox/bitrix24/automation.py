"""Automation of a portal: rules that run when an item reaches a stage, and triggers that move it to one (B§10).

Rules of a stage run one after another. An app's robot that was registered to wait holds those behind it until it is answered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.bitrix24.crm import Actor, Item
from sandbox.bitrix24.errors import RestError
from sandbox.bitrix24.php import as_list, as_map

if TYPE_CHECKING:
    from sandbox.bitrix24.install import Robot
    from sandbox.bitrix24.portal import Portal


@dataclass
class Rule:
    """One rule of a stage: an app's robot by its code, or a comment whose text may name results of rules before it as {{number}}."""

    id: int
    type_id: int
    stage_id: str
    robot: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    comment: str = ""


@dataclass
class Run:
    """The rules of a stage on their way through one item. `state`: running, waiting, done, stopped."""

    id: int
    type_id: int
    item_id: int
    stage_id: str
    rules: list[Rule]
    user_id: int
    state: str = "running"
    place: int = 0
    token: str = ""
    results: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


@dataclass
class Binding:
    """A trigger of the app on a stage: it moves an item there, backwards only if that is allowed."""

    code: str
    type_id: int
    stage_id: str
    backwards: bool = False


class Automation:
    """Rules, runs and triggers of one portal."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.rules: list[Rule] = []
        self.runs: list[Run] = []
        self.bindings: list[Binding] = []
        self.fired: list[tuple[str, int, int]] = []

    def add_rule(self, type_id: int, stage_id: str, robot: str = "", properties: dict[str, Any] | None = None, comment: str = "") -> Rule:
        """Put a rule at the end of a stage's; a robot only where its FILTER lets it stand (B§10.1)."""
        if robot:
            app = self.portal.installation
            known = app.robots.get(robot) if app is not None else None
            if known is None or not may_stand_on(known, self.portal.document_type(type_id)):
                raise ValueError(f"the robot {robot} is not offered for this type")
        rule = Rule(self.portal.next_id("rule"), type_id, stage_id, robot, properties or {}, comment)
        self.rules.append(rule)
        return rule

    def remove_rule(self, rule_id: int) -> None:
        self.rules[:] = [one for one in self.rules if one.id != rule_id]

    def reached(self, type_id: int, item: Item, actor: Actor) -> None:
        """An item reached a stage: what still runs for the one before stops, and the rules of the new one start."""
        if self.portal.switch("stage_change_stops_rules") == "yes":
            for run in self.runs:
                if (run.type_id, run.item_id) == (type_id, item["id"]) and run.state == "waiting":
                    run.state = "stopped"
        rules = [one for one in self.rules if (one.type_id, one.stage_id) == (type_id, item.get("stageId"))]
        if rules:
            run = Run(self.portal.next_id("run"), type_id, item["id"], item["stageId"], rules, actor.user_id)
            self.runs.append(run)
            self._go_on(run)

    def _go_on(self, run: Run) -> None:
        while run.state == "running" and run.place < len(run.rules):
            rule = run.rules[run.place]
            run.place += 1
            if rule.robot:
                run.token = self.portal.call_robot(rule.robot, run.type_id, run.item_id, rule.properties, run.user_id)
                if run.token and self._waits(rule.robot):
                    run.state = "waiting"
            else:
                text = re.sub(r"\{\{(\w+)\}\}", lambda match: run.results.get(match[1], ""), rule.comment)
                self.portal.add_timeline("comment", run.type_id, run.item_id, run.user_id, text=text)
        if run.state == "running":
            run.state = "done"

    def _waits(self, code: str) -> bool:
        """An empty USE_SUBSCRIPTION waits as well (B§10.1)."""
        app = self.portal.installation
        return app is not None and app.robots[code].subscription != "N"

    def answer(self, token: str, values: dict[str, Any], log: str) -> None:
        """The robot has answered: declared results are kept, and the rules behind it run. Refused if nobody waits any more."""
        run = next((one for one in self.runs if one.token == token), None)
        if run is None:
            return
        if run.state != "waiting":
            raise RestError("ACCESS_DENIED", "Access denied!", 403)
        app = self.portal.installation
        declared = app.robots[run.rules[run.place - 1].robot].returns if app is not None else {}
        run.results |= {name: str(value) for name, value in values.items() if name in declared}
        if log:
            run.log.append(log)
        run.state = "running"
        self._go_on(run)

    def fire(self, code: str, type_id: int, item_id: int) -> None:
        """A trigger of the app: the item moves to the stage it is bound to, if there is one and it lies ahead."""
        self.fired.append((code, type_id, item_id))
        item = self.portal.crm.tables[type_id].by_id.get(item_id)
        stages = list(self.portal.stages(type_id))
        for one in self.bindings:
            if item is None or (one.code, one.type_id) != (code, type_id) or one.stage_id == item["stageId"]:
                continue
            if one.backwards or stages.index(one.stage_id) > stages.index(item["stageId"]):
                self.portal.crm.update(type_id, item, {"stageId": one.stage_id}, Actor(item["assignedById"], robot=True))
                return


def may_stand_on(robot: Robot, document_type: tuple[str, str, str]) -> bool:
    """FILTER.INCLUDE names document types, in full or by their first parts."""
    included = [[str(part) for part in as_list(one)] for one in as_list(as_map(robot.filter).get("INCLUDE"))]
    return not included or any(tuple(one) == document_type[: len(one)] for one in included)
