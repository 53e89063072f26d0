"""The connection proves itself, step by step: by a button, and every night. Nothing is written to Xero; a token is renewed only when it
has run out (RULES 35). It runs in a worker and keeps every step as it ends, so that a page can follow.

Steps that did not work carry the code of their problem; made here: selftest.scopes (scopes), selftest.no_admin, selftest.handlers (events),
selftest.no_event (seconds), selftest.not_connected, selftest.webhooks (count). A step that worked may carry a remark: robot.scope_missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, exists, select, update

from plugin import durations, jobs
from plugin.bitrix24 import checkup, launch
from plugin.db import Transaction
from plugin.domain.crm import Visitor
from plugin.domain.problems import Problem
from plugin.models import Bitrix24Login, Callback, Connection, Job, Organisation, SelfTest
from plugin.portals import live_connection
from plugin.services import Services
from plugin.talking import PortalRest, books_of, service_rest
from plugin.usecases import NotAllowed, connect_xero
from plugin.usecases.shown import SelfTestShown, SelfTestStep, Told
from plugin.wire import NoAnswer
from plugin.xero import ledgers

STEPS = ("portal", "rights", "handlers", "event", "xero", "organisation", "webhooks")
KEPT = 30
_OK, _FAULT, _RUNNING, _OPEN, _SKIPPED = "ok", "fault", "running", "open", "skipped"
#: So many changes in a row that no webhook announced are no coincidence (RULES 35).
UNHEARD_MOST = 2


def order(services: Services, visitor: Visitor) -> None:
    """An administrator wants it now. A run that waits or goes on already serves everybody."""
    if not visitor.admin:
        raise NotAllowed
    with services.db.transaction() as tx:
        _order(tx, services, visitor.portal_id, visitor.user_id)


def order_nightly(services: Services) -> None:
    """Every portal that is connected, by nobody."""
    with services.db.reading() as session:
        portals = list(session.scalars(select(Connection.portal_id).where(Connection.ended_at.is_(None))))
    for portal_id in portals:
        with services.db.transaction() as tx:
            _order(tx, services, portal_id, None)


def _order(tx: Transaction, services: Services, portal_id: int, user_id: int | None) -> None:
    bell = jobs.portal_bell(portal_id)
    priority = jobs.PEOPLE if user_id is not None else jobs.BULK
    jobs.order(tx, jobs.Order(portal_id, jobs.SELF_TEST, "self_test", bell, priority=priority, acting_user=user_id), services.now())
    tx.after_commit(lambda: services.bells.ring(bell))


def run(services: Services, portal_id: int, user_id: int | None) -> None:
    """All steps in turn; each is written down when it begins and when it ends."""
    now = services.now()
    with services.db.transaction() as tx:
        # A run that died with its worker never ends by itself.
        tx.execute(delete(SelfTest).where(SelfTest.portal_id == portal_id, SelfTest.finished_at.is_(None)))
        name = tx.scalar(select(Bitrix24Login.name).where(Bitrix24Login.portal_id == portal_id, Bitrix24Login.user_id == user_id))
        row = SelfTest(portal_id=portal_id, user_id=user_id, user_name=name or "", started_at=now, steps=[{"name": name, "state": _OPEN} for name in STEPS])
        tx.add(row)
        tx.flush()
        number, steps = row.id, list(row.steps)
    made = _Steps(services, portal_id)
    for place, name in enumerate(STEPS):
        steps[place] = {"name": name, "state": _RUNNING}
        _keep(services, number, steps)
        steps[place] = _done(name, made.do[name])
        _keep(services, number, steps)
    faults = sum(step["state"] == _FAULT for step in steps)
    with services.db.transaction() as tx:
        tx.execute(update(SelfTest).where(SelfTest.id == number).values(finished_at=services.now(), faults=faults))
        last = select(SelfTest.id).where(SelfTest.portal_id == portal_id).order_by(SelfTest.id.desc()).limit(KEPT)
        tx.execute(delete(SelfTest).where(SelfTest.portal_id == portal_id, SelfTest.id.not_in(last)).execution_options(synchronize_session=False))


def _keep(services: Services, number: int, steps: list[dict[str, Any]]) -> None:
    with services.db.transaction() as tx:
        tx.execute(update(SelfTest).where(SelfTest.id == number).values(steps=list(steps)))


def _done(name: str, act: Callable[[], Problem | None]) -> dict[str, Any]:
    started = time.perf_counter()
    told: dict[str, Any] = {"state": _OK}
    try:
        if (remark := act()) is not None:
            told |= {"code": remark.code, "params": remark.params}
    except _Skipped:
        told = {"state": _SKIPPED}
    except Problem as problem:
        told = {"state": _FAULT, "code": problem.code, "params": problem.params}
    except NoAnswer:
        told = {"state": _FAULT, "code": "xero.no_answer" if name in ("xero", "organisation") else "bitrix24.no_answer", "params": {}}
    return {"name": name, "seconds": round(time.perf_counter() - started, 3), **told}


class _Skipped(Exception):
    """The step makes no sense while another one stands against it."""


class _Steps:
    """What each step does. It ends well, perhaps with a remark on what would be better, or raises what is wrong."""

    def __init__(self, services: Services, portal_id: int) -> None:
        self.services, self.portal_id = services, portal_id
        self.person: launch.Person | None = None
        self.reached = False
        self.do: dict[str, Callable[[], Problem | None]] = {
            "portal": self.portal,
            "rights": self.rights,
            "handlers": self.handlers,
            "event": self.event,
            "xero": self.xero,
            "organisation": self.organisation,
            "webhooks": self.webhooks,
        }

    def _rest(self) -> PortalRest:
        if self.person is None:
            raise _Skipped
        return service_rest(self.services, self.portal_id, "people")

    def portal(self) -> None:
        self.person = launch.profile(service_rest(self.services, self.portal_id, "people"))

    def rights(self) -> Problem | None:
        rest = self._rest()
        if self.person is not None and not self.person.admin:
            raise Problem("selftest.no_admin")
        missing = checkup.missing_scopes(rest)
        if needed := [one for one in missing if one in checkup.NEEDED_SCOPES]:
            raise Problem("selftest.scopes", scopes=", ".join(needed))
        return Problem("robot.scope_missing") if missing else None

    def handlers(self) -> None:
        missing = checkup.missing_handlers(self._rest(), f"{self.services.config.public_url}/bitrix24/events")
        if missing:
            raise Problem("selftest.handlers", events=", ".join(missing))

    def event(self) -> None:
        rest, word = self._rest(), uuid4().hex
        checkup.ask_for_event(rest, word)
        give_up = time.monotonic() + durations.TEST_EVENT / self.services.config.pace
        while not self._heard(word):
            if time.monotonic() > give_up:
                raise Problem("selftest.no_event", seconds=durations.TEST_EVENT)
            time.sleep(0.1)

    def _heard(self, word: str) -> bool:
        """It came through the door of all events, believed like any other."""
        with self.services.db.reading() as session:
            query = select(Callback.body).where(Callback.portal_id == self.portal_id, Callback.kind == checkup.TEST_EVENT).order_by(Callback.id.desc())
            return any(word in body.values() for body in session.scalars(query.limit(5)))

    def _connection(self) -> Connection:
        with self.services.db.reading() as session:
            connection = live_connection(session, self.portal_id)
        if connection is None:
            raise Problem("selftest.not_connected")
        return connection

    def xero(self) -> None:
        self._connection()
        connect_xero.check_connections(self.services, self.portal_id)
        self.reached = True

    def organisation(self) -> None:
        if not self.reached:
            raise _Skipped
        connection = self._connection()
        if connection.problem:
            raise Problem(connection.problem)
        ledgers.organisation(books_of(self.services, connection, "people"))

    def webhooks(self) -> None:
        connection = self._connection()
        with self.services.db.reading() as session:
            unheard = session.get_one(Organisation, connection.organisation_id).unheard
        if unheard >= UNHEARD_MOST:
            raise Problem("selftest.webhooks", count=unheard)


def shown(services: Services, visitor: Visitor) -> SelfTestShown:
    """The newest run and those before it; for administrators."""
    if not visitor.admin:
        raise NotAllowed
    ordered = exists().where(Job.portal_id == visitor.portal_id, Job.kind == jobs.SELF_TEST, Job.state != "done")
    with services.db.reading() as session:
        runs = list(session.scalars(select(SelfTest).where(SelfTest.portal_id == visitor.portal_id).order_by(SelfTest.id.desc()).limit(10)))
        waiting = bool(session.scalar(select(ordered)))
    newest = runs[0] if runs else None
    running = newest is not None and newest.finished_at is None
    return SelfTestShown(
        running or waiting,
        tuple(_steps(newest)) if newest is not None and not (waiting and not running) else tuple(SelfTestStep(name, _OPEN) for name in STEPS if waiting),
        newest.started_at if newest else None,
        newest.finished_at if newest else None,
        newest.user_name if newest else "",
        tuple((one.started_at, one.faults, one.user_name) for one in runs if one.finished_at is not None),
    )


def _steps(run: SelfTest) -> Iterator[SelfTestStep]:
    for step in run.steps:
        told = Told(step["code"], step.get("params") or {}) if step.get("code") else None
        yield SelfTestStep(step["name"], step["state"], step.get("seconds"), told)
