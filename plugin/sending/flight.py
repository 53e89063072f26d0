"""Acts two to four for calls that write: announce each as a row, talk from threads with several in flight, hand each answer on.

The main thread owns the database; threads own the wire and exchange plain values. The limiter is asked, without waiting,
before a thread is taken. The same row means the same bytes and the same key, and only while Xero remembers it (RULES 12).
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import select, update

from plugin import jobs, leases
from plugin.domain.problems import Problem, after
from plugin.limits import SHARE_OF_WRITE, Lane, Slot, Wait
from plugin.models import Call, Job
from plugin.services import Services
from plugin.talking import XeroBooks
from plugin.wire import About, Answer
from plugin.xero import errors as xero_errors

_Result = TypeVar("_Result")

THREADS = 5
#: A limit that lasts longer than this ends the turn; the work waits in the database instead of in a thread.
LONGEST_WAIT = 8.0
PEOPLE_EVERY = 0.1
#: Bulk that was told to wait asks again then, or when one of its own calls has landed, and at the latest after so long.
ASK_AGAIN = 1.0


@dataclass
class Plan:
    """A call to be made: what, for which jobs, and who takes the answer (or the problem) in the main thread."""

    operation: str
    method: str
    path: str
    params: dict[str, str]
    body: bytes
    elements: list[dict[str, Any]]
    job_ids: list[int]
    take: Callable[[Call, Answer], None]
    refuse: Callable[[Call | None, Problem], None]
    #: The same call without these jobs, or nothing when none is left. Without it the call is no document's own, and is made though a job was stopped.
    without: Callable[[set[int]], Plan | None] | None = None
    call: Call | None = None
    #: What this attempt shows to Xero, and whether it is the second one, after a renewal.
    token: str = ""
    renewed: bool = False
    #: The row was sent before and nobody knows what became of it: a refusal of this attempt does not speak for the earlier one.
    repeated: bool = False
    ready_at: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Air:
    """Plans that were begun together: what waits, what is in the air, and what ended it."""

    waiting: deque[Plan]
    lane: Lane
    #: Somebody stands still until all of these have landed: they go before what was begun without that.
    awaited: bool
    flying: dict[Future[Answer], Plan] = field(default_factory=dict)
    ask_again: float = 0.0
    pause: Wait | Problem | None = None
    stopped_by: Problem | None = None
    broken: Exception | None = None

    @property
    def over(self) -> bool:
        """Has every plan of it ended? What broke begins no more; what is in the air still lands."""
        return not self.flying and (self.broken is not None or not self.waiting)


@dataclass
class Flight:
    """Runs plans for one organisation under the conductor's lease."""

    services: Services
    books: XeroBooks
    lease: str
    fence: int
    should_stop: Callable[[], bool]
    between: Callable[[], None] = lambda: None
    #: Whatever was begun and has not ended. A click flies while a call of bulk is in the air, and a run while the one before it lands.
    _airs: list[Air] = field(default_factory=list)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "xero"))

    def close(self) -> None:
        self._pool.shutdown(wait=True)

    def beside(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Do this on a thread, while the main one goes on."""
        return self._pool.submit(work)

    @property
    def planned(self) -> int:
        """Calls of bulk that wait for their start."""
        return sum(len(air.waiting) for air in self._airs if air.lane == "bulk")

    def fly(self, plans: Sequence[Plan], lane: Lane) -> None:
        """Make all the calls, as many at once as the limits allow. Every plan ends in `take` or `refuse`."""
        air = Air(deque(plans), lane, awaited=True)
        self._attend(air, lambda: air.over)
        self.end(air)

    def begin(self, plans: Sequence[Plan]) -> Air:
        """Begin to make these calls of bulk. Returns when so few of it wait that the next ones may be made ready; `end` belongs to it."""
        air = Air(deque(plans), "bulk", awaited=False)
        self._attend(air, lambda: air.over or self.planned <= THREADS)
        return air

    def end(self, air: Air) -> None:
        """What was begun is over. Raises what broke it."""
        self._airs.remove(air)
        if air.broken is not None:
            raise air.broken

    def _attend(self, air: Air, done: Callable[[], bool]) -> None:
        self._airs.append(air)
        try:
            self.attend(done)
        except BaseException:
            self._airs.remove(air)  # its orders go back to wait: nothing of it may begin any more
            raise

    def attend(self, done: Callable[[], bool]) -> None:
        """Start what may start and hand on every answer that comes, whoever waits for it, until `done`; look after people between."""
        looked = 0.0
        while not done():
            self._launch_all()
            if not any(air.flying for air in self._airs):
                waits = [air.pause.seconds for air in self._airs if air.waiting and isinstance(air.pause, Wait)]
                time.sleep(min(*waits, 0.1) if waits else 0.01)
            self._land_what_came()
            if time.monotonic() - looked > PEOPLE_EVERY and not done():
                looked = time.monotonic()
                self.between()

    def _launch_all(self) -> None:
        """Whoever is waited for goes first, the innermost before all; what was begun goes in its order."""
        for air in [*(one for one in reversed(self._airs) if one.awaited), *(one for one in self._airs if not one.awaited)]:
            if not air.waiting or air.broken is not None:
                continue
            try:
                if air.stopped_by is None and time.monotonic() >= air.ask_again:
                    pause = air.pause = self._launch(air)
                    if isinstance(pause, Problem):
                        air.stopped_by = pause
                    elif pause is not None and air.lane == "bulk":
                        air.ask_again = time.monotonic() + min(pause.seconds, ASK_AGAIN)
                if air.stopped_by is not None and air.waiting:
                    self._abandon(air.waiting, air.stopped_by)
            except Exception as error:
                air.broken = error  # whoever began it deals with it

    def _land_what_came(self) -> None:
        """Wait a moment for answers and hand them on, each to its own. Their places are taken again before they are recorded."""
        owners = {future: air for air in self._airs for future in air.flying}
        done, _ = wait(owners, timeout=0.05, return_when=FIRST_COMPLETED) if owners else (set(), None)
        landed = [(owners[future], owners[future].flying.pop(future), future) for future in done]
        for air, _, _ in landed:
            air.ask_again = 0.0
        if landed:
            self._launch_all()
        for air, plan, future in landed:
            try:
                problem = self._land(plan, future, air.waiting)
            except Exception as error:
                air.broken = error
                continue
            for one in self._airs if problem is not None else ():
                one.stopped_by = problem

    def _launch(self, air: Air) -> Wait | Problem | None:
        """Start what may start now. Returns why the next one may not."""
        while air.waiting and sum(len(one.flying) for one in self._airs) < THREADS:
            if self.should_stop():
                return Problem("worker.stopping", after(0))
            try:
                token = self.books.token()
                slot = self.services.xero_limits.take(self.books.tenant_id, air.lane, SHARE_OF_WRITE)
            except Problem as problem:
                return problem
            if isinstance(slot, Wait):
                return slot if slot.seconds <= LONGEST_WAIT else Problem("xero.limit_wait", after(slot.seconds), why=slot.why)
            plan = None
            try:
                plan = self._next(air.waiting)
            finally:
                if plan is None:  # nothing is wanted any more, or somebody else has taken over
                    self.services.xero_limits.give_back_unused(slot)
            if plan is None:
                return None
            assert plan.call is not None
            call, plan.token = plan.call, token
            concern = About(_documents(call.elements), self.books.organisation_id, time.monotonic() - plan.ready_at)
            air.flying[self._pool.submit(self._talk, slot, token, plan, call.body, call.key, concern)] = plan
        return None

    def _talk(self, slot: Slot, token: str, plan: Plan, body: bytes, key: str, concern: About) -> Answer:
        """On a thread of its own: plain values in, an answer or a problem out."""
        return self.books.talk(slot, token, plan.method, plan.path, params=plan.params, body=body, key=key, concern=concern)

    def _next(self, waiting: deque[Plan]) -> Plan | None:
        """The next plan of which anything is still wanted, announced; nothing when all of them were cancelled."""
        while waiting:
            plan: Plan | None = waiting.popleft()
            while plan is not None and not self._announce(plan):
                plan = self._wanted(plan)
            if plan is not None:
                return plan
        return None

    def _wanted(self, plan: Plan) -> Plan | None:
        """The plan without what was cancelled until now, or erased with its portal; nothing when all of it was."""
        assert plan.without is not None
        with self.services.db.reading() as session:
            held = {number for part in jobs.parts(plan.job_ids) for number in session.scalars(select(Job.id).where(Job.id.in_(part), ~Job.stopped))}
        stopped = set(plan.job_ids) - held
        with self.services.db.transaction() as tx:
            leases.check(tx, self.lease, self.fence)
            jobs.finish(tx, stopped, self.services.now())
        return plan.without(stopped)

    def _announce(self, plan: Plan) -> bool:
        """Commit the call before it is made: organisation, operation, its jobs, the exact bytes, a new key. False when one of its jobs was just stopped."""
        if plan.call is not None:
            return True
        now = self.services.now()
        call = Call(
            organisation_id=self.books.organisation_id,
            operation=plan.operation,
            method=plan.method,
            path=plan.path,
            key=f"tb:{self.books.tenant_id}:{plan.operation}:{uuid.uuid4()}",
            body=plan.body,
            elements=plan.elements,
            sent_at=now,
        )
        with self.services.db.transaction() as tx:
            leases.check(tx, self.lease, self.fence)
            tx.add(call)
            tx.flush()
            held = 0
            for part in jobs.parts(plan.job_ids):
                mine = (Job.id.in_(part), ~Job.stopped) if plan.without is not None else (Job.id.in_(part),)
                done = tx.execute(update(Job).where(*mine).values(call_id=call.id).execution_options(synchronize_session=False))
                held += done.rowcount  # type: ignore[attr-defined]
            if plan.without is not None and held < len(plan.job_ids):
                tx.rollback()
                return False
        plan.call = call
        return True

    def _land(self, plan: Plan, future: Future[Answer], waiting: deque[Plan]) -> Problem | None:
        """Hand an answer on. Returns the problem that concerns every other call as well: an organisation offline, a connection gone."""
        call = plan.call
        try:
            answer = future.result()
        except Problem as lost:
            self._lost(plan, lost)
            return None
        if _judged_by_element(answer):
            assert call is not None
            plan.take(call, answer)
            return None
        problem = xero_errors.problem_of(answer)
        if problem.code in xero_errors.REFRESHABLE and not plan.renewed:
            plan.renewed = True
            try:
                self.books.token(stale=plan.token)
            except Problem as refused:
                self._refuse(plan, refused)
                return refused
            waiting.appendleft(plan)
            return None
        if problem.code in ("xero.limit_minute", "xero.limit_concurrent", "xero.limit_app"):
            waiting.append(plan)
            return None
        if xero_errors.unknown_outcome(answer) or answer.status >= 500:
            self._lost(plan, problem)
        else:
            self.books.notice(problem)
            self._refuse(plan, problem)
        return problem if problem.retry.kind in ("after", "reconnect") else None

    def _refuse(self, plan: Plan, problem: Problem) -> None:
        """This attempt certainly did nothing. An earlier one of the same row may have: then the row stays open."""
        if not plan.repeated:
            self._close(plan, "refused")
        plan.refuse(plan.call, problem)

    def _lost(self, plan: Plan, problem: Problem) -> None:
        """Nobody knows whether the work was done, unless the request never left. The row stays open, and a look comes before anything else."""
        if problem.params.get("sent") is False and not plan.repeated:
            self._close(plan, "not_sent")
            plan.refuse(None, problem)
            return
        self.books.notice(problem)
        plan.refuse(plan.call, problem)

    def _close(self, plan: Plan, outcome: str) -> None:
        """The call certainly did nothing: its jobs are free of it."""
        if plan.call is None:
            return
        with self.services.db.transaction() as tx:
            leases.check(tx, self.lease, self.fence)
            tx.execute(update(Call).where(Call.id == plan.call.id).values(answered_at=self.services.now(), outcome=outcome))
            tx.execute(update(Job).where(Job.call_id == plan.call.id).values(call_id=None).execution_options(synchronize_session=False))

    def _abandon(self, waiting: deque[Plan], problem: Problem) -> None:
        """What could not start goes back; calls that were announced earlier stay open for their look."""
        while waiting:
            plan = waiting.popleft()
            plan.refuse(plan.call, problem)


def _documents(elements: Sequence[dict[str, Any]]) -> dict[int, tuple[str, ...]]:
    """What a call is about, by portal, for the call log: our subjects and the numbers they have in Xero."""
    found: dict[int, tuple[str, ...]] = {}
    for one in elements:
        named = tuple(str(one[name]) for name in ("subject", "number", "id") if one.get(name))
        found[one["portal"]] = (*found.get(one["portal"], ()), *named)
    return found


def _judged_by_element(answer: Answer) -> bool:
    """Does the answer speak of each element? A 400 does where it lists them (X§9.2)."""
    found = xero_errors.json_object(answer)
    return found is not None and (200 <= answer.status < 300 or (answer.status == 400 and bool(found.get("Elements"))))


def give_back(flight: Flight, job_ids: Sequence[int], problem: Problem) -> None:
    """Jobs wait again for as long as the problem says."""
    now = flight.services.now()
    with flight.services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        jobs.wait_again(tx, job_ids, now + timedelta(seconds=max(0.0, problem.retry.seconds)), problem)
