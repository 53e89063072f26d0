"""One trial: orders through HTTP, one fault in the middle, quiet, an account of both sides."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from plugin.domain.settings import Settings
from plugin.kinds import INVOICE
from plugin.models import Arrival, Batch, Bitrix24Login, Job, Lease, Organisation, SettingsVersion, Watermark
from tests.chaos.audit import RUNNING, audit
from tests.chaos.drawing import Drawn
from tests.chaos.system import PACE, WORKER_NAMES, Person, System

#: Trials take seconds; on a machine that many share, some take many.
DEADLINE = 150.0
#: A job that waits longer than this for its next try, with a reason, is not waited for: time is made to pass.
STATED_WAIT = timedelta(seconds=2)
#: A blow that outlasts its trial: Xero's minute is not ours to give back.
ANOTHER_APP = "another app uses the minute"
#: A standstill that nobody reaches is given up after this; the blow falls all the same.
REACH = 1.0


class Trial:
    """A drawn trial in a running system."""

    def __init__(self, system: System, drawn: Drawn) -> None:
        self.system, self.drawn = system, drawn
        self.chance = Random(drawn.seed + 1)
        self.began, self.began_at = time.monotonic(), datetime.now(UTC)
        self.timeline: list[str] = []
        self.batches: list[int] = []
        self.ids: list[int] = []
        self.errors: list[str] = []
        self.made: list[str] = []
        self.cancelled = False
        self._threads: list[threading.Thread] = []

    def note(self, text: str) -> None:
        self.timeline.append(f"{time.monotonic() - self.began:7.3f}  {text}")

    def run(self) -> list[str]:
        """Live it. Returns every difference that the audit found; none means well."""
        system, drawn = self.system, self.drawn
        system.refusals.clear()
        system.breath.fresh()
        system.ask("reset")
        self._set_policy(drawn.number_policy)
        self.ids = system.ask("new", count=drawn.count, seed=drawn.seed)
        if drawn.earlier:
            self._send_before(self.ids[: drawn.earlier])
        for partner, positions in drawn.switches.items():
            system.ask("switches", partner=partner, positions=positions)
        try:
            self._live()
            for thread in self._threads:
                thread.join(timeout=DEADLINE)
            self._quieten()
            if drawn.confirmed_late:
                self._the_same_again()
            found = self._account()
            if drawn.again and not found:
                self._once_more()
                found = self._account(last=True)
        finally:
            system.ask("reset")
            if drawn.blow == ANOTHER_APP:
                time.sleep(60 / PACE)  # the next trial knows nothing of it, and a refusal would be one of its own
        found += [f"the page failed: {one}" for one in system.refusals if " 500: " in one and "cut the database" not in drawn.blow]
        return found

    def _account(self, last: bool = False) -> list[str]:
        """Both sides compared. What Xero announced late may have ordered something after quiet: that is waited for, and looked at anew."""
        for _ in range(3):
            found = self.errors + audit(self, last)
            if not any(one.startswith(RUNNING) for one in found):
                break
            self._quieten()
        return found

    # --- orders

    def _live(self) -> None:
        drawn, system = self.drawn, self.system
        if drawn.fault:
            partner, name, fault = drawn.fault
            system.ask("arm", partner=partner, fault=fault)
            self.note(f"armed {partner}: {name}")
        batch = self._ordered(system.alice, self.ids)
        if drawn.blow:
            self._beside(self._strike)
        if drawn.twice_clicked:
            self._beside(lambda: self._send(system.alice, self.ids))
        if drawn.second:
            some = self.ids[:: self.chance.choice((1, 2, 3))]
            self._beside(lambda: self._send(system.tom if drawn.second == "Tama" else system.sam, some))
        if drawn.edit_after is not None:
            self._beside(lambda: self._edit(self.chance.choice(self.ids)), drawn.edit_after)
        if drawn.made_in_xero:
            self._beside(self._make_in_xero, drawn.made_after)
        if drawn.pull_after is not None and drawn.earlier:
            self._beside(lambda: self._pull(self.ids[: drawn.earlier]), drawn.pull_after)
        if batch is None:
            return
        if drawn.cancel_after is not None:
            self._beside(lambda: self._cancel(batch), drawn.cancel_after)
        if drawn.twice_confirmed:
            self._beside(lambda: system.alice.confirm(batch))
        system.alice.confirm(batch)
        self.note(f"confirmed batch {batch}")

    def _beside(self, work: Callable[[], None], after: float = 0.0) -> None:
        def live() -> None:
            time.sleep(after)
            try:
                work()
            except Exception as error:
                self.errors.append(f"{type(error).__name__}: {error}")

        thread = threading.Thread(target=live, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _ordered(self, person: Person, ids: list[int], kind: str = "send") -> int | None:
        batch = person.order(ids, kind)
        if batch is not None:
            self.batches.append(batch)
        self.note(f"user {person.user} ordered {kind} of {len(ids)}: batch {batch}")
        return batch

    def _send(self, person: Person, ids: list[int]) -> None:
        batch = self._ordered(person, ids)
        if batch is not None:
            person.confirm(batch)
            self.note(f"confirmed batch {batch}")

    def _send_before(self, ids: list[int]) -> None:
        """Some have been sent in peace before, and were changed since."""
        self._send(self.system.alice, ids)
        self._quieten()
        if self.drawn.pull_after is not None:
            self.system.ask("approve", ids=ids[::2])
        for crm_id in ids[1::2]:
            self.system.ask("edit", id=crm_id, quantity=self.chance.randint(10, 20))

    def _the_same_again(self) -> None:
        """Somebody goes back to an old page: every batch is confirmed again, and what failed or was cancelled in it is sent again."""
        self.system.ask("reset")
        for batch in list(self.batches):
            self.system.alice.confirm(batch)
            again = self.system.alice.again(batch)
            self.note(f"batch {batch} confirmed again, and again as {again}")
            if again is not None:
                self.batches.append(again)
                self.system.alice.confirm(again)
        self._quieten()

    def _once_more(self) -> None:
        self.system.ask("reset")
        self.note("once more, in peace")
        self._send(self.system.alice, self.ids)
        self._quieten()

    def _pull(self, ids: list[int]) -> None:
        self._ordered(self.system.tom, ids, "pull")

    def _edit(self, crm_id: int) -> None:
        self.system.ask("edit", id=crm_id, quantity=self.chance.randint(21, 40))
        self.note(f"invoice {crm_id} edited")

    def _make_in_xero(self) -> None:
        """The bookkeeper writes invoices there; the webhook is as the seed's switches have it, so the list is read by the sweep as well."""
        self.made = self.system.ask("make_in_xero", count=self.drawn.made_in_xero, seed=self.drawn.seed)
        self.note(f"{len(self.made)} made in Xero")
        with self.system.rows() as session:
            session.execute(update(Watermark).where(Watermark.resource == INVOICE.watermark).values(read_at=datetime.now(UTC) - timedelta(days=1)))
            session.commit()

    def _cancel(self, batch: int) -> None:
        self.system.alice.cancel(batch)
        self.cancelled = True
        self.note(f"cancelled batch {batch}")

    def _set_policy(self, policy: str) -> None:
        """Numbers from the CRM, or Xero's own: a new version of the settings, as the set-up writes it."""
        with self.system.rows() as session:
            newest = session.scalars(select(SettingsVersion).order_by(SettingsVersion.number.desc()).limit(1)).one()
            settings = Settings.from_json(newest.body)
            if settings.number_policy == policy:
                return
            changed = replace(settings, number_policy=policy)  # type: ignore[arg-type]
            row = SettingsVersion(
                portal_id=newest.portal_id,
                organisation_id=newest.organisation_id,
                number=newest.number + 1,
                body=changed.to_json(),
                created_by=newest.created_by,
                created_at=datetime.now(UTC),
            )
            session.add(row)
            session.commit()

    # --- the one fault

    def _strike(self) -> None:
        instant, system = self.drawn.instant, self.system
        if instant.partner:
            kind = "hold_after" if instant.after else "hold"
            fault = {"kind": kind, "method": instant.method, "path": instant.path, "skip": instant.nth - 1, "seconds": 20.0}
            number = system.ask("arm", partner=instant.partner, fault=fault)
            give_up = time.monotonic() + REACH
            while time.monotonic() < give_up and not system.ask("reached", number=number):
                time.sleep(0.01)
            self.note("at the instant" if time.monotonic() < give_up else "nobody came to the instant")
        else:
            time.sleep(instant.seconds)
        self.note(self.drawn.blow)
        _BLOWS[self.drawn.blow](self)
        system.ask("release")
        self.note("released")

    def _kill_conductor(self) -> None:
        self.system.kept.kill(self.conductor())

    def _freeze_conductor(self) -> None:
        """Its lease runs out while it stands still; then it goes on as if nothing had happened."""
        self.system.kept.freeze(self.conductor(), 1.5)

    def conductor(self) -> str:
        """The worker that holds a lease just now, the portal's where Bitrix24 is being talked to; any, if none does."""
        with self.system.rows() as session:
            owners = session.scalars(select(Lease.owner).where(Lease.owner.is_not(None), Lease.name.not_like("sweep%")).order_by(Lease.name)).all()
        if self.drawn.instant.partner == "bitrix24":
            owners = owners[::-1]
        pids = {str(self.system.kept.pid(name)): name for name in WORKER_NAMES}
        holders = [pids[pid] for owner in owners if (pid := str(owner).split(":")[1]) in pids]
        return holders[0] if holders else self.chance.choice(WORKER_NAMES)

    def _kill_worker(self) -> None:
        self.system.kept.kill(self.chance.choice(WORKER_NAMES))

    def _kill_workers(self) -> None:
        for name in WORKER_NAMES:
            self.system.kept.kill(name)

    def _workers_stay_away(self) -> None:
        """Longer than Xero's memory of a key: whatever was in the air has to be looked for."""
        with self.system.kept.held_down(WORKER_NAMES):
            self.system.ask("release")
            time.sleep(17)

    def _offline(self) -> None:
        self.system.ask("offline", on=True)
        self.system.ask("release")
        time.sleep(0.7)
        self.system.ask("offline", on=False)

    def _xero_refresh_lost(self) -> None:
        self.system.ask("expire", partner="xero")
        self.system.ask("arm", partner="xero", fault={"kind": "lost", "path": "/connect/token", "times": self.chance.choice((1, 2, 3))})

    def _bitrix24_refresh_lost(self) -> None:
        self.system.ask("expire", partner="bitrix24")
        self.system.ask("arm", partner="bitrix24", fault={"kind": "lost", "path": "/oauth/token", "times": self.chance.choice((1, 2))})

    # --- quiet

    def _quieten(self) -> None:
        """Until everything ordered has ended, or waits for a time that is stated."""
        give_up = time.monotonic() + DEADLINE
        left: list[str] = ["never looked"]
        calm = 0
        while time.monotonic() < give_up:
            try:
                left = self._left()
                calm = 0 if left else calm + 1
                if calm >= 2 and not self._time_passes():
                    self.note("quiet")
                    return
            except SQLAlchemyError as error:
                left = [f"the database did not answer: {type(error).__name__}"]
            if any("login" in one or "grant" in one or "person" in one for one in left):
                self._open_again()
            time.sleep(0.05)
        self.errors.append(f"not quiet after {DEADLINE} s: {left[:5]} and {max(0, len(left) - 5)} more")

    def _time_passes(self) -> bool:
        """Only what waits for a stated time is left, such as the end of Xero's pause: that time is over now. False when nothing waits."""
        now = datetime.now(UTC)
        with self.system.rows() as session:
            session.execute(update(Organisation).values(paused_until=None))
            waiting = session.execute(update(Job).where(Job.state == "waiting", Job.run_at > now).values(run_at=now))
            session.commit()
        if waiting.rowcount:  # type: ignore[attr-defined]
            self.note(f"time passes for {waiting.rowcount}")  # type: ignore[attr-defined]
        return bool(waiting.rowcount)  # type: ignore[attr-defined]

    def _left(self) -> list[str]:
        now = datetime.now(UTC)
        with self.system.rows() as session:
            jobs = session.scalars(select(Job).where(Job.state != "done")).all()
            paused = session.scalars(select(Organisation.id).where(Organisation.paused_until > now)).first() is not None
            batches = session.scalars(select(Batch).where(Batch.id.in_(self.batches), Batch.state.in_(("running", "preparing")))).all()
            come = session.scalars(select(Arrival.xero_id).where(Arrival.xero_id.in_(self.made), Arrival.state.in_(("made", "linked", "refused")))).all()
            grants = session.scalars(select(Bitrix24Login.problem).where(Bitrix24Login.problem.is_not(None))).all() if set(self.made) > set(come) else ()
        open_jobs = [one for one in jobs if one.state == "running" or one.run_at < now + STATED_WAIT or not (one.problem_code or paused)]
        waiting = [f"{one.kind} {one.subject} {one.state} {one.problem_code or ''} {one.attempts}" for one in open_jobs]
        if missing := set(self.made) - set(come):
            waiting += [f"{len(missing)} made in Xero have not come {' '.join(map(str, grants))}"]
        if not jobs:
            waiting += [f"batch {one.id} is {one.state} though no job is left" for one in batches]
        return waiting

    def _open_again(self) -> None:
        """A grant is gone, as Bitrix24 may do after a lost refresh: the banner asks somebody to open the app."""
        with self.system.rows() as session:
            gone = session.scalars(select(Bitrix24Login.user_id).where(Bitrix24Login.problem.is_not(None))).all()
        for person in (self.system.alice, self.system.tom, self.system.sam):
            if person.user in gone:
                self.note(f"user {person.user} opens the app again")
                person.open()

    def told(self) -> dict[str, Any]:
        """For the report of a failure."""
        return {"seed": self.drawn.seed, "trial": str(self.drawn), "ids": self.ids, "batches": self.batches, "refusals": self.system.refusals[-20:]}


_BLOWS: dict[str, Callable[[Trial], None]] = {
    "kill the conductor": Trial._kill_conductor,
    "freeze the conductor": Trial._freeze_conductor,
    "kill a worker": Trial._kill_worker,
    "kill all workers": Trial._kill_workers,
    "kill web": lambda trial: trial.system.kept.kill("web"),
    "kill sweep": lambda trial: trial.system.kept.kill("sweep"),
    "kill Redis, kept": lambda trial: trial.system.kill_redis(emptied=False),
    "kill Redis, emptied": lambda trial: trial.system.kill_redis(emptied=True),
    "hang Redis": lambda trial: trial.system.kept.freeze("redis", 0.8),
    "cut the database": lambda trial: trial.system.cut_database(),
    "organisation offline": Trial._offline,
    "Xero's token expires": lambda trial: trial.system.ask("expire", partner="xero"),
    "Xero's token expires and the refresh is lost": Trial._xero_refresh_lost,
    "Bitrix24's tokens expire": lambda trial: trial.system.ask("expire", partner="bitrix24"),
    "Bitrix24's tokens expire and the refresh is lost": Trial._bitrix24_refresh_lost,
    ANOTHER_APP: lambda trial: trial.system.ask("leave", minute=trial.chance.randint(0, 3)),
    "workers stay away": Trial._workers_stay_away,
}
