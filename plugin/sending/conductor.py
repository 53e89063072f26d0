"""One organisation, one conductor at a time: its lease, its turn of ten seconds, people before bulk.

A bell names the organisation. Whoever answers takes the lease, puts back what a dead holder left running, works for a
turn, gives the lease back, looks once more, and rings if anything waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from plugin import durations, jobs, leases
from plugin.domain.problems import LATER, Problem
from plugin.kinds import crm_id_of, kind_of
from plugin.limits import Lane, process_name
from plugin.models import BatchDocument, Connection, Job, Organisation
from plugin.portals import Ready, ready
from plugin.receiving import rhythm, sweeps
from plugin.sending import invoiced, pull, resolve, send, settle
from plugin.sending.flight import Flight
from plugin.sending.record import Recorder, end_jobs
from plugin.sending.work import Work
from plugin.services import Services
from plugin.talking import books_of

log = logging.getLogger("plugin.sending")

SEND_MOST = 1_000
PULL_MOST = 10_000
KINDS = (jobs.SEND, jobs.PULL, jobs.INVOICED)


def conduct(services: Services, organisation_id: int, should_stop: Callable[[], bool]) -> None:
    """Answer an organisation's bell. Safe to call at any time, from any process; nothing happens while another one conducts."""
    bell = jobs.organisation_bell(organisation_id)
    with services.db.reading() as session:
        if (
            not jobs.anything_due(session, bell, KINDS, services.now())
            and not _orphans(session, bell)
            and not rhythm.due_now(services, session, organisation_id)
        ):
            return
    pace = services.config.pace
    fence = leases.take(services.db, bell, process_name(), services.now(), durations.LEASE / pace)
    if fence is None:
        return
    try:
        with leases.renewed(services.db, bell, fence, services.now, pace):
            _Turn(services, organisation_id, bell, fence, should_stop).run()
    except leases.LeaseLost:
        log.warning("%s was taken over; what was in hand is left to its new conductor", bell)
        return
    finally:
        leases.give_back(services.db, bell, fence)
    with services.db.reading() as session:
        more = jobs.anything_due(session, bell, KINDS, services.now())
    if more:
        services.bells.ring(bell)


def _orphans(session: Session, bell: str) -> bool:
    return bool(session.scalar(select(Job.id).where(Job.bell == bell, Job.state == "running").limit(1)))


class _Turn:
    """Ten seconds with the lease."""

    def __init__(self, services: Services, organisation_id: int, bell: str, fence: int, should_stop: Callable[[], bool]) -> None:
        self.services, self.organisation_id, self.bell, self.fence = services, organisation_id, bell, fence
        self.should_stop = should_stop
        self.flight: Flight | None = None
        self.nested = False

    def run(self) -> None:
        with self.services.db.transaction() as tx:
            leases.check(tx, self.bell, self.fence)
            jobs.put_back_orphans(tx, self.bell, self.fence, self.services.now())
            resolve.close_left(tx, self.organisation_id, self.services.now())
        until = time.monotonic() + durations.TURN / self.services.config.pace
        try:
            while time.monotonic() < until and not self.should_stop():
                if self._paused() or not (self._round(jobs.BULK) or self._sweep()):
                    return
        finally:
            if self.flight is not None:
                self.flight.close()

    def _paused(self) -> bool:
        """Xero asked for a pause: everything due waits until then, and nobody spins meanwhile."""
        now = self.services.now()
        with self.services.db.transaction() as tx:
            organisation = tx.get_one(Organisation, self.organisation_id)
            if organisation.paused_until is None or organisation.paused_until <= now:
                return False
            tx.execute(
                update(Job)
                .where(Job.bell == self.bell, Job.state == "waiting", Job.run_at < organisation.paused_until)
                .values(run_at=organisation.paused_until)
                .execution_options(synchronize_session=False)
            )
        return True

    def _round(self, priority: int) -> bool:
        """Claim a run and carry it through. False when nothing was due."""
        claimed = self._claim(jobs.PULL, PULL_MOST, priority) + self._claim(jobs.INVOICED, SEND_MOST, priority) + self._claim(jobs.SEND, SEND_MOST, priority)
        if not claimed:
            return False
        try:
            self._carry(claimed)
        except leases.LeaseLost:
            raise
        except Problem as problem:
            # A read between two acts met it, such as the look for a lost answer.
            self._put_back([job.id for job in claimed], problem)
        except Exception as error:
            # Whatever it was, no order is lost: what has not ended waits again, and the cause is told with it.
            log.exception("a run of %d jobs broke off", len(claimed))
            self._put_back([job.id for job in claimed], Problem("internal.error", LATER, cause=f"{type(error).__name__}: {error}"[:300]))
        return True

    def _sweep(self) -> bool:
        """Nothing was ordered: read one list that is due. False when none is."""
        with self.services.db.reading() as session:
            due = rhythm.due_now(self.services, session, self.organisation_id)
            connection = rhythm.connection_of(session, self.organisation_id)
        if not due or connection is None:
            return False
        sweeps.sweep(self._flight_through(connection), due[0])
        return True

    def _claim(self, kind: str, most: int, priority: int) -> list[Job]:
        with self.services.db.transaction() as tx:
            leases.check(tx, self.bell, self.fence)
            claimed = jobs.claim(tx, self.bell, (kind,), self.services.now(), self.fence, most, priority)
            ids = [job.id for job in claimed]
            for start in range(0, len(ids), 500):
                tx.execute(
                    update(BatchDocument)
                    .where(BatchDocument.job_id.in_(ids[start : start + 500]), BatchDocument.outcome == "waiting")
                    .values(outcome="running")
                    .execution_options(synchronize_session=False)
                )
        return claimed

    def _carry(self, claimed: Sequence[Job]) -> None:
        works = self._works(claimed)
        if not works:
            return
        flight = self._flight(works[0].ready)
        lane: Lane = "bulk" if all(one.job.priority == jobs.BULK for one in works) else "people"
        fresh = settle.settle(flight, [one for one in works if one.job.call_id is not None], lane)
        open_ids = {one.job.id for one in works if one.job.call_id is not None}
        going = [one for one in works if one.job.id not in open_ids or one.job.id in fresh]
        pulls = [one for one in going if one.job.kind == jobs.PULL]
        sends = [one for one in going if one.job.kind == jobs.SEND]
        quotes = [one for one in going if one.job.kind == jobs.INVOICED]
        if pulls:
            pull.pull(flight, pulls, lane)
        if sends:
            send.send(flight, sends, lane)
        if quotes:
            invoiced.carry(flight, quotes, lane)

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
        """Between two calls of a bulk run: orders of people go first, in a round of their own."""
        if self.nested:
            return
        with self.services.db.reading() as session:
            waiting = jobs.anything_due(session, self.bell, KINDS, self.services.now(), jobs.PEOPLE)
        if waiting:
            self.nested = True
            try:
                self._round(jobs.PEOPLE)
            finally:
                self.nested = False

    def _put_back(self, job_ids: list[int], problem: Problem) -> None:
        now = self.services.now()
        with self.services.db.transaction() as tx:
            leases.check(tx, self.bell, self.fence)
            running = list(tx.scalars(select(Job).where(Job.id.in_(job_ids), Job.state == "running")))
            for job in running:
                again = jobs.next_try(problem, job.attempts, now, self.services.config.pace) or now + timedelta(seconds=durations.BACK_OFF[-1])
                jobs.wait_again(tx, [job.id], again, problem)
