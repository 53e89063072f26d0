"""How it goes: is it running, what waits, what failed, what is left, how fast it was, what comes next.

Reads our database and Redis only, so that it opens at once whatever the partners do. Administrators see the portal, others
what they ordered themselves (RULES 25).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from plugin import heartbeat, jobs, latency
from plugin.domain.crm import Visitor
from plugin.kinds import KINDS
from plugin.models import Activity, Callback, Followed, Job, Organisation, Reaction, Watch
from plugin.portals import current_settings, live_connection
from plugin.receiving import rhythm
from plugin.services import Services
from plugin.usecases import failures
from plugin.usecases.invoice_states import zone
from plugin.usecases.shown import Dashboard, Held, HeldDocument, Reactions, Seen, Speed, Told, Upcoming

#: What counts as sent today.
_ARRIVED = ("activity.created", "activity.updated_in_xero")
#: Work that is shown as waiting: what people and partners ordered, not our own notes.
_WORK = (jobs.SEND, jobs.PULL, jobs.WRITE_BACK)
HOURS, DAYS = 24, 7
#: So many documents that wait for the same thing are named.
HELD_SHOWN = 5


def dashboard(services: Services, visitor: Visitor) -> Dashboard:
    """Everything that the page shows, as it is now."""
    now = services.now()
    mine: list[ColumnElement[bool]] = [Job.portal_id == visitor.portal_id]
    if not visitor.admin:
        mine.append(Job.acting_user == visitor.user_id)
    redis = services.redis_answers()
    with services.db.reading() as session:
        connection = live_connection(session, visitor.portal_id)
        organisation = session.get_one(Organisation, connection.organisation_id) if connection else None
        work = select(Job.state, func.count()).where(*mine, Job.state.in_(("waiting", "running")), Job.kind.in_(_WORK)).group_by(Job.state)
        counts: dict[str, int] = {row[0]: row[1] for row in session.execute(work)}
        causes = failures.failures(services, session, visitor)
        arrived = _arrived(session, visitor, now)
        signs = _signs(services, session, visitor, organisation, now)
        upcoming = _upcoming(session, mine, organisation, now)
        speeds = _reactions(session, visitor, now) if visitor.admin else {}
        waiting = _held(session, visitor, organisation) if visitor.admin and organisation is not None else ()
        sweeps = _sweeps(services, session, visitor, organisation) if visitor.admin and organisation is not None and redis else ()
    held = Dashboard(
        whole=visitor.admin,
        redis=redis,
        signs=signs,
        waiting=counts.get("waiting", 0),
        running=counts.get("running", 0),
        failed=sum(one.count for one in causes),
        done_today=arrived,
        failures=causes,
        upcoming=upcoming,
        held=waiting,
        sweeps=sweeps,
        reactions=speeds,
    )
    return _with_allowances(services, visitor, organisation, held) if visitor.admin and redis else held


def _with_allowances(services: Services, visitor: Visitor, organisation: Organisation | None, held: Dashboard) -> Dashboard:
    room = services.bitrix24_limits.room(visitor.member_id)
    left = services.xero_limits.allowance(organisation.tenant_id) if organisation else None
    if room is not None:
        held = replace(held, room_left=room.left, room_most=room.most, resting=room.resting)
    if left is not None:
        held = replace(held, minute_left=left.minute, minute_most=left.minute_most, day_left=left.day, day_most=left.day_most)
    return held


def _arrived(session: Session, visitor: Visitor, now: datetime) -> int:
    """Documents that reached Xero on the visitor's own day."""
    begin = now.astimezone(zone(visitor.timezone)).replace(hour=0, minute=0, second=0, microsecond=0)
    query = select(func.count()).select_from(Activity).where(Activity.portal_id == visitor.portal_id, Activity.at >= begin, Activity.code.in_(_ARRIVED))
    return session.scalar(query if visitor.admin else query.where(Activity.user_id == visitor.user_id)) or 0


def _signs(services: Services, session: Session, visitor: Visitor, organisation: Organisation | None, now: datetime) -> tuple[Seen, ...]:
    workers = heartbeat.alive(session, heartbeat.WORKER, now, services.config.pace)
    sweeper = heartbeat.alive(session, heartbeat.SWEEP, now, services.config.pace)
    signs = [Seen("workers", workers.count > 0, workers.seen_at, workers.count), Seen("sweep", sweeper.count > 0, sweeper.seen_at, sweeper.count)]
    if not visitor.admin:
        return tuple(signs)
    signs.append(Seen("event", True, _last_told(session, Callback.portal_id == visitor.portal_id)))
    if organisation is not None:
        signs.append(Seen("webhook", True, _last_told(session, Callback.organisation_id == organisation.id)))
    return tuple(signs)


def _last_told(session: Session, whose: ColumnElement[bool]) -> datetime | None:
    return session.scalar(select(Callback.received_at).where(whose).order_by(Callback.id.desc()).limit(1))


def _upcoming(session: Session, mine: Sequence[ColumnElement[bool]], organisation: Organisation | None, now: datetime) -> tuple[Upcoming, ...]:
    """What will happen by itself, soonest first."""
    found: list[Upcoming] = []
    if organisation is not None and organisation.paused_until is not None and organisation.paused_until > now:
        found.append(Upcoming(Told("next.pause_ends", {"problem": organisation.pause_code or ""}), organisation.paused_until))
    later = (*mine, Job.state == "waiting", Job.run_at > now, Job.kind.in_(_WORK))
    count, first = session.execute(select(func.count(), func.min(Job.run_at)).where(*later)).one()
    if count:
        why = session.scalar(select(Job.problem_code).where(*later).order_by(Job.run_at).limit(1))
        found.append(Upcoming(Told("next.try_again", {"count": count, "problem": why or ""}), first))
    due = session.scalar(select(func.count()).select_from(Job).where(*mine, Job.state == "waiting", Job.run_at <= now, Job.kind.in_(_WORK))) or 0
    if due:
        found.append(Upcoming(Told("next.due", {"count": due}), None))
    return tuple(sorted(found, key=lambda one: one.at or now))


def _held(session: Session, visitor: Visitor, organisation: Organisation) -> tuple[Held, ...]:
    """What would go by itself and waits for something in the CRM, the newest first."""
    mine = (Followed.portal_id == visitor.portal_id, Followed.organisation_id == organisation.id, Followed.state == "waiting")
    counts = session.execute(select(Followed.problem_code, func.count()).where(*mine).group_by(Followed.problem_code)).all()
    found = []
    for code, count in counts:
        newest = session.scalars(select(Followed).where(*mine, Followed.problem_code == code).order_by(Followed.at.desc()).limit(HELD_SHOWN)).all()
        documents = tuple(HeldDocument(one.number, KINDS[one.crm_kind].crm.card(one.crm_id)) for one in newest)
        found.append(Held(Told(code, newest[0].problem_params or {}), count, documents))
    return tuple(sorted(found, key=lambda one: -one.count))


def _sweeps(services: Services, session: Session, visitor: Visitor, organisation: Organisation) -> tuple[Upcoming, ...]:
    """When both sides are asked next for what no message announced (RULES 32), soonest first."""
    held = current_settings(session, visitor.portal_id, organisation.id)
    watch = session.get(Watch, visitor.portal_id)
    found = [Upcoming(Told("next.xero_asked"), rhythm.next_reading(services, session, organisation.id))]
    if watch is not None and held is not None and held[1].automatic != "off":
        found.append(Upcoming(Told("next.bitrix24_asked"), watch.sweep_at))
    if watch is not None:
        found.append(Upcoming(Told("next.checked"), watch.check_at))
    known = [(one.at, one) for one in found if one.at is not None]
    return tuple(one for _, one in sorted(known, key=lambda pair: pair[0]))


def _reactions(session: Session, visitor: Visitor, now: datetime) -> dict[str, Reactions]:
    where = zone(visitor.timezone)
    hour, today = now.replace(minute=0, second=0, microsecond=0), now.astimezone(where).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    hours = [hour - timedelta(hours=back) for back in range(HOURS - 1, -1, -1)]
    begin = min(days[0], hours[0])
    query = select(Reaction.direction, Reaction.hour, Reaction.step, Reaction.count).where(Reaction.portal_id == visitor.portal_id, Reaction.hour >= begin)
    rows = [(direction, at, step, count) for direction, at, step, count in session.execute(query)]
    found = {}
    for direction in (latency.OUT, latency.IN):
        mine = [(at, step, count) for side, at, step, count in rows if side == direction]
        found[direction] = Reactions(
            tuple(_speed(one, [row for row in mine if row[0] == one]) for one in hours),
            tuple(_speed(one, [row for row in mine if _day_of(row[0], where) == _day_of(one, where)]) for one in days),
            _speed(hours[0], [row for row in mine if row[0] >= hours[0]]),
            _speed(days[0], [row for row in mine if row[0] >= days[0]]),
        )
    return found


def _day_of(at: datetime, where: tzinfo) -> str:
    return at.astimezone(where).date().isoformat()


def _speed(begin: datetime, rows: Iterable[tuple[datetime, int, int]]) -> Speed:
    counts: dict[int, int] = {}
    for _, step, count in rows:
        counts[step] = counts.get(step, 0) + count
    half, most = latency.percentiles(counts, (0.5, 0.95))
    return Speed(begin, half, most, sum(counts.values()))
