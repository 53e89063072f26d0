"""An office in which time passes as quickly as the work allows: nobody waits for a retry, the clocks jump to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from plugin.models import Job
from tests.stories.office import Office, answer, bells_with_work


class PatientOffice(Office):
    """The app's clock and those of both partners move together."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.ahead = timedelta()
        self.services = replace(self.services, now=self.now)
        self.app.extensions["tallybridge"] = self.services

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_time(self, seconds: float) -> None:
        """Everybody's clock moves on, and what Redis holds until a moment is let go."""
        self.ahead += timedelta(seconds=seconds)
        for partner in (self.sandbox.xero, self.sandbox.bitrix24):
            partner.controls.clock.advance(seconds)
        for key in self.services.redis.keys("*"):
            if key.endswith(b":state"):
                self.services.redis.hdel(key, "hold")
            elif key.startswith((b"bitrix24:", b"xero:")):
                self.services.redis.delete(key)

    def work(self, seconds: float = 30) -> None:
        """Do everything that is ordered, however long it has to wait."""
        self.pass_time(60)
        for _ in range(60):
            bells = bells_with_work(self.services)
            with self.services.db.reading() as session:
                first = session.scalar(select(func.min(Job.run_at)).where(Job.state == "waiting"))
            if not bells:
                return
            wait = (first - self.now()).total_seconds() if first is not None else 0.0
            if wait > 0:
                self.pass_time(wait + 0.01)
            for bell in bells:
                answer(self.services, bell)
        raise AssertionError(f"work was left: {self.waiting()}")
