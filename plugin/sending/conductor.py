"""One organisation, one conductor at a time: its lease, its turn of ten seconds, people before bulk.

A bell names the organisation. Whoever answers takes the lease, puts back what a dead holder left running, works for a
turn, gives the lease back, looks once more, and rings if anything waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from plugin import durations, jobs, leases
from plugin.domain.problems import LATER, Problem, after
from plugin.kinds import QUOTE, crm_id_of, kind_of
from plugin.limits import Lane, Wait, process_name
from plugin.models import BatchDocument, Connection, Job, Organisation
from plugin.portals import Ready, ready
from plugin.receiving import rhythm, sweeps
from plugin.sending import customers, follow, invoiced, pull, read, remove, resolve, send, settle
from plugin.sending.flight import THREADS, Air, Flight
from plugin.sending.record import Recorder, end_jobs
from plugin.sending.work import Ended, Work
from plugin.services import Services
from plugin.talking import books_of
from plugin.xero.resource import WRITE_MOST

log = logging.getLogger("plugin.sending")

#: Documents of a run; and of one that follows while calls are in the air: two of those lie in memory beside the one that lands.
SEND_MOST, FOLLOW_MOST = 1_000, 500
#: A click or a change waits for no call in flight, as long as Xero takes another call beside it. Answers to the outer ones are recorded meanwhile.
NESTED_MOST = 3
#: While a round of calls waits for its start, the next run that is read has so many calls at least.
WORTH = 10
PULL_MOST = 10_000
KINDS = (jobs.SEND, jobs.PULL, jobs.INVOICED, jobs.FOLLOW, jobs.REMOVE, jobs.CUSTOMER)
#: Work that is due so soon is rung for by whoever looked last; the sweep rings for what lies further ahead.
SOON = durations.SWEEP_EVERY + durations.RING_AGAIN


def conduct(services: Services, organisation_id: int, should_stop: Callable[[], bool]) -> None:
    """Answer an organisation's bell. Safe to call at any time, from any process; nothing happens while another one conducts."""
    bell = jobs.organisation_bell(organisation_id)
    with services.db.reading() as session:
        idle = (
            not jobs.anything_due(session, bell, KINDS, services.now())
            and not _orphans(session, bell)
            and not rhythm.due_now(services, session, organisation_id)
        )
    if idle:
        _ring_for_next(services, bell)
        return
    pace = services.config.pace
    fence = leases.take(services.db, bell, process_name(), services.now(), durations.LEASE / pace)
    if fence is None:
        return
    held = 0.0
    try:
        with leases.renewed(services.db, bell, fence, services.now, pace):
            turn = _Turn(services, organisation_id, bell, fence, should_stop)
            turn.run()
            held = turn.held
    except leases.LeaseLost:
        log.warning("%s was taken over; what was in hand is left to its new conductor", bell)
        return
    finally:
        leases.give_back(services.db, bell, fence)
    _ring_for_next(services, bell, held)


def _ring_for_next(services: Services, bell: str, held: float = 0.0) -> None:
    """Look once more: what is due rings now (or when the limits let it go on), what will be due in a moment rings then."""
    with services.db.reading() as session:
        due = jobs.next_due(session, bell, KINDS)
    wait = (due - services.now()).total_seconds() if due is not None else SOON
    if wait < SOON:
        services.bells.ring(bell, max(held, wait))


def _orphans(session: Session, bell: str) -> bool:
    return bool(session.scalar(select(Job.id).where(Job.bell == bell, Job.state == "running").limit(1)))


@dataclass
class _Run:
    """A claimed run. What the CRM says of bulk is being read already, on a thread beside the calls in flight."""

    claimed: list[Job]
    works: list[Work]
    lane: Lane
    reading: Future[list[Ended]] | None
    #: Customers that changed; no document is theirs.
    customers: list[Job]
    #: Bulk whose calls have begun, while the next run is made ready.
    sending: send.Sending | None = None
    air: Air | None = None


class _Turn:
    """Ten seconds with the lease; more only while nobody else waits."""

    def __init__(self, services: Services, organisation_id: int, bell: str, fence: int, should_stop: Callable[[], bool]) -> None:
        self.services, self.organisation_id, self.bell, self.fence = services, organisation_id, bell, fence
        self.should_stop = should_stop
        self.flight: Flight | None = None
        #: How many rounds of people and news are under way inside calls of others.
        self.nested = 0
        self.until = time.monotonic() + durations.TURN / services.config.pace
        self.lane: Lane = "people"
        self.ahead: _Run | None = None
        #: Runs of bulk whose calls have begun, the oldest first; and whether the next one is being waited for.
        self.begun: list[_Run] = []
        self.reading = False
        self.closing = False
        #: How long until the limits let bulk go on, where they hold it back.
        self.held = 0.0
        self._reader = ThreadPoolExecutor(1, "ahead")
        with services.db.reading() as session:
            self.tenant_id = session.scalars(select(Organisation.tenant_id).where(Organisation.id == organisation_id)).one()

    def run(self) -> None:
        with self.services.db.transaction() as tx:
            leases.check(tx, self.bell, self.fence)
            jobs.put_back_orphans(tx, self.bell, self.fence, self.services.now())
            resolve.close_left(tx, self.organisation_id, self.services.now())
        try:
            while not self._over():
                if self._paused() or not (self._people_first() or self._round(jobs.BULK) or self._land() or self._sweep()):
                    break
            self.closing = True
            self._land_all()
            if self.ahead is not None:
                self._put_back([job.id for job in self.ahead.claimed], Problem("worker.stopping", after(0)))
        finally:
            self._reader.shutdown(wait=False, cancel_futures=True)
            if self.flight is not None:
                self.flight.close()

    def _over(self) -> bool:
        return self.closing or self.should_stop() or (time.monotonic() >= self.until and self.services.bells.others_wait(self.bell))

    def _paused(self) -> bool:
        """Xero asked for a pause: everything due waits until then, and nobody spins meanwhile."""
        with self.services.db.reading() as session:
            until = session.scalar(select(Organisation.paused_until).where(Organisation.id == self.organisation_id))
        if until is None or until <= self.services.now():
            return False
        self._move(until, Job.run_at < until)
        return True

    def _move(self, until: datetime, *which: ColumnElement[bool]) -> None:
        """What waits of these is due then; whoever looks last rings for it."""
        with self.services.db.transaction() as tx:
            leases.check(tx, self.bell, self.fence)
            mine = (Job.bell == self.bell, Job.state == "waiting", *which)
            tx.execute(update(Job).where(*mine).values(run_at=until).execution_options(synchronize_session=False))

    def _people_first(self) -> bool:
        """What people ordered, else what has just happened, in a round of its own, in their lane. False when nothing of it may start now."""
        due = self._due(jobs.EVENTS)
        if jobs.PEOPLE in due.values() and self._round(jobs.PEOPLE, due):
            return True
        return bool(due) and self._news_may_go() and self._round(jobs.EVENTS)

    def _news_may_go(self) -> bool:
        """What happens in quick succession waits a moment and shares a call: the minute would not have one for each."""
        try:
            wait = self.services.xero_limits.news(self.tenant_id)
        except Problem:
            return True  # without Redis nothing goes, and each job says so
        until = self.services.now() + timedelta(seconds=wait)
        before = self.services.news.put_off.pop(self.tenant_id, until)
        if before > until:  # the minute has room sooner than it seemed
            self._move(until, Job.priority == jobs.EVENTS, Job.run_at == before)
        if wait:
            self._move(until, Job.priority == jobs.EVENTS, Job.run_at < until)
            self.services.news.put_off[self.tenant_id] = until
            self.services.bells.ring(self.bell, wait)  # bulk that is held back may have a longer wait
        return not wait

    def _due(self, priority: int) -> dict[str, int]:
        """The kinds of work that may start now, of this priority or a more urgent one, each with its most urgent."""
        with self.services.db.reading() as session:
            found = jobs.due_kinds(session, self.bell, KINDS, self.services.now())
        return {kind: urgent for kind, urgent in found.items() if urgent <= priority}

    def _round(self, priority: int, due: Mapping[str, int] | None = None) -> bool:
        """Claim a run, or take the one that was read ahead, and carry it through. False when nothing was due. `due`: what is known to be."""
        run, self.ahead = (self.ahead, None) if priority == jobs.BULK and self.ahead is not None else (self._begin(priority, due, bool(self.begun)), self.ahead)
        if run is None:
            return False
        self._through(run, self._carry)
        if priority == jobs.BULK:
            self._end_landed()
        return True

    def _through(self, run: _Run, part: Callable[[_Run], None]) -> None:
        """A part of a run's way. Whatever stops it, no order is lost: what has not ended waits again."""
        self.lane = run.lane
        try:
            part(run)
        except leases.LeaseLost:
            raise
        except Problem as problem:
            # A read between two acts met it, such as the look for a lost answer.
            self._put_back([job.id for job in run.claimed], problem)
        except Exception as error:
            log.exception("a run of %d jobs broke off", len(run.claimed))
            self._put_back([job.id for job in run.claimed], Problem("internal.error", LATER, cause=f"{type(error).__name__}: {error}"[:300]))

    def _land(self) -> bool:
        """Nothing may be begun now: wait for what is in the air, until a run is over or the next one has been read. False when nothing is."""
        if not self.begun or self.flight is None:
            return False
        self.lane = "bulk"
        self.flight.attend(lambda: self.ahead is not None or self._landed() is not None)
        self._end_landed()
        return True

    def _land_all(self) -> None:
        while self.begun and self.flight is not None:
            self.lane = "bulk"
            self.flight.attend(lambda: self._landed() is not None)
            self._end_landed()

    def _landed(self) -> _Run | None:
        return next((run for run in self.begun if run.air is not None and run.air.over), None)

    def _end_landed(self) -> None:
        while (run := self._landed()) is not None:
            self.begun.remove(run)
            self._through(run, self._end)

    def _end(self, run: _Run) -> None:
        """All calls of a run that was begun have landed."""
        assert self.flight is not None
        assert run.air is not None
        assert run.sending is not None
        self.flight.end(run.air)
        send.finish(run.sending)

    def _sweep(self) -> bool:
        """Nothing was ordered: read one list that is due. False when none is."""
        with self.services.db.reading() as session:
            due = rhythm.due_now(self.services, session, self.organisation_id)
            connection = rhythm.connection_of(session, self.organisation_id)
        if not due or connection is None:
            return False
        sweeps.sweep(self._flight_through(connection), due[0])
        return True

    def _begin(self, priority: int, due: Mapping[str, int] | None, going_on: bool) -> _Run | None:
        """Claim a run and start to read it. What a call left open is not read before it is settled. `going_on`: bulk is under way already."""
        due = due if due is not None else self._due(priority)
        most = self._most(priority, going_on) if due else 0
        claimed: list[Job] = []
        for kind in (jobs.PULL, jobs.INVOICED, jobs.SEND, jobs.FOLLOW, jobs.REMOVE, jobs.CUSTOMER):
            if kind in due:
                claimed += self._claim(kind, PULL_MOST if kind == jobs.PULL else most, priority)
        if not claimed:
            return None
        works = self._works([job for job in claimed if job.kind != jobs.CUSTOMER])
        lane: Lane = "bulk" if priority == jobs.BULK else "people"
        fresh = [one for one in works if one.job.kind == jobs.SEND and one.job.call_id is None]
        # What a person waits for is read where it is needed: to hand it to a thread would cost more than it saves.
        reading = self._reader.submit(read.read, self.services, fresh, lane) if fresh and lane == "bulk" else None
        return _Run(claimed, works, lane, reading, [job for job in claimed if job.kind == jobs.CUSTOMER])

    def _most(self, priority: int, going_on: bool) -> int:
        """As many as the minute has calls for, beside those that wait already: work is claimed and read when it can also be sent.

        A small run costs the CRM almost as many requests as a large one: while enough waits for its start, there is none.
        """
        if priority != jobs.BULK:
            return SEND_MOST
        try:
            room = self.services.xero_limits.room(self.tenant_id)
        except Problem:
            return SEND_MOST  # without Redis nothing goes, and each job says so
        if isinstance(room, Wait):
            self.held = room.seconds
            return 0
        self.held = 0.0
        planned = self.flight.planned if self.flight is not None else 0
        left = room - planned
        if planned > THREADS and left < WORTH:
            return 0
        return max(0, min(FOLLOW_MOST if going_on else SEND_MOST, left * WRITE_MOST))

    def _claim(self, kind: str, most: int, priority: int) -> list[Job]:
        if most <= 0:
            return []
        limits, now = self.services.xero_limits, self.services.now()
        last = limits.last_portal(self.tenant_id)
        with self.services.db.transaction() as tx:
            leases.check(tx, self.bell, self.fence)
            claimed = jobs.claim(tx, self.bell, (kind,), now, self.fence, most, priority, together=WRITE_MOST, after_portal=last)
            ids = [job.id for job in claimed]
            for start in range(0, len(ids), 500):
                tx.execute(
                    update(BatchDocument)
                    .where(BatchDocument.job_id.in_(ids[start : start + 500]), BatchDocument.outcome == "waiting")
                    .values(outcome="running")
                    .execution_options(synchronize_session=False)
                )
        if claimed and claimed[-1].portal_id != last:
            limits.served(self.tenant_id, claimed[-1].portal_id)
        return claimed

    def _carry(self, run: _Run) -> None:
        self._customers(run)
        works = run.works
        if not works:
            return
        flight = self._flight(works[0].ready)
        fresh = settle.settle(flight, [one for one in works if one.job.call_id is not None], run.lane)
        open_ids = {one.job.id for one in works if one.job.call_id is not None}
        going = [one for one in works if one.job.id not in open_ids or one.job.id in fresh]
        pulls = [one for one in going if one.job.kind == jobs.PULL]
        sends = [one for one in going if one.job.kind == jobs.SEND]
        quotes = [one for one in going if one.job.kind == jobs.INVOICED]
        follows = [one for one in going if one.job.kind == jobs.FOLLOW]
        removals = [one for one in going if one.job.kind == jobs.REMOVE]
        if pulls:
            pull.pull(flight, pulls, run.lane)
        if sends and run.lane == "bulk" and not (quotes or follows or removals):
            run.sending = self._prepared(flight, run, sends, open_ids)
            plans, run.sending.plans = run.sending.plans, []  # each is forgotten when it has landed
            run.air = flight.begin(plans)
            self.begun.append(run)
        elif sends:
            send.send(flight, sends, run.lane, self._read(flight, run, sends, open_ids))
        if quotes:
            invoiced.carry(flight, quotes, run.lane)
        if follows:
            follow.follow(flight, follows, run.lane)
        if removals:
            remove.remove(flight, removals, run.lane)

    def _prepared(self, flight: Flight, run: _Run, sends: Sequence[Work], open_ids: set[int]) -> send.Sending:
        """Bulk is read and its calls are made ready, while those of the runs before are in the air."""
        ended = self._read(flight, run, sends, open_ids)
        if self._quotes_in_the_air(sends):
            self._land_all()
        return send.prepare(flight, sends, run.lane, ended)

    def _read(self, flight: Flight, run: _Run, sends: Sequence[Work], open_ids: set[int]) -> list[Ended]:
        """Fill in what the CRM says, which bulk may be reading already. Returns those that end here."""
        if run.reading is None:
            return read.read(self.services, sends, run.lane)
        self.reading = True
        try:
            flight.attend(run.reading.done)
        finally:
            self.reading = False
        return run.reading.result() + read.read(self.services, [one for one in sends if one.job.id in open_ids], run.lane)

    def _quotes_in_the_air(self, sends: Sequence[Work]) -> bool:
        """Is one of these an invoice made from a quote that is on its way to Xero? It names the quote's number, so it waits for it."""
        quotes = {(one.job.portal_id, one.crm_id) for run in self.begun for one in run.works if one.kind is QUOTE}
        return any(one.invoice is not None and (one.job.portal_id, one.invoice.quote_id) in quotes for one in sends)

    def _customers(self, run: _Run) -> None:
        """Customers that changed, portal by portal."""
        for portal_id in dict.fromkeys(job.portal_id for job in run.customers):
            mine = [job for job in run.customers if job.portal_id == portal_id]
            known = self._ready(portal_id)
            if isinstance(known, Problem):
                self._put_back([job.id for job in mine], known)
            else:
                customers.follow_customers(self._flight(known), known, mine, run.lane)

    def _works(self, claimed: Sequence[Job]) -> list[Work]:
        """Each job with its portal's choices; portals that may not send keep their jobs waiting, with the reason."""
        found: dict[int, Ready | Problem] = {}
        works: list[Work] = []
        ended: list[tuple[Job, Problem | None]] = []
        for job in claimed:
            if job.portal_id not in found:
                found[job.portal_id] = self._ready(job.portal_id)
            known = found[job.portal_id]
            if isinstance(known, Problem):
                ended.append((job, known))
            else:
                works.append(Work(job, known, kind_of(job.subject), crm_id_of(job.subject)))
        if ended:
            with self.services.db.transaction() as tx:
                leases.check(tx, self.bell, self.fence)
                recorder = Recorder(self.services, tx, self.services.now())
                end_jobs(recorder, ended, self.services.config.pace)
                recorder.finish()
        return works

    def _ready(self, portal_id: int) -> Ready | Problem:
        try:
            with self.services.db.reading() as session:
                found = ready(session, portal_id)
        except Problem as problem:
            return problem
        return found if found.organisation.id == self.organisation_id else Problem("portal.disconnected")

    def _flight(self, first: Ready) -> Flight:
        with self.services.db.reading() as session:
            return self._flight_through(session.get_one(Connection, first.connection.id))

    def _flight_through(self, connection: Connection) -> Flight:
        """One flight a turn. Calls for several portals on one organisation go through the healthiest of their logins."""
        if self.flight is None:
            books = books_of(self.services, connection, "bulk")
            self.flight = Flight(self.services, books, self.bell, self.fence, self.should_stop, self._between)
        return self.flight

    def _between(self) -> None:
        """While calls are in flight: people and news go at once, in a round of their own; then the next run is read ahead."""
        if self.nested == NESTED_MOST:
            return
        lane = self.lane
        self.nested += 1
        try:
            self._people_first()
        finally:
            self.nested, self.lane = self.nested - 1, lane
        if lane == "bulk" and self.nested == 0 and not self.reading and self.ahead is None and not self._over():
            self.ahead = self._begin(jobs.BULK, None, going_on=True)

    def _put_back(self, job_ids: list[int], problem: Problem) -> None:
        now = self.services.now()
        with self.services.db.transaction() as tx:
            leases.check(tx, self.bell, self.fence)
            running = list(tx.scalars(select(Job).where(Job.id.in_(job_ids), Job.state == "running")))
            for job in running:
                again = jobs.next_try(problem, job.attempts, now, self.services.config.pace) or now + timedelta(seconds=durations.BACK_OFF[-1])
                jobs.wait_again(tx, [job.id], again, problem)
