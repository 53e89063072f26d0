"""When which list of an organisation is read again: once per organisation, whatever the number of its portals (RULES 32).

| List | while news arrives | while it does not |
|---|---|---|
| invoices and bills | every 3 h | every 30 min, on a larger day's allowance every 10 min |
| documents without webhooks (quotes), where some are linked | every hour | the same |
| credit notes, contacts | every 3 h | the same |
| organisation, accounts, tax rates, items | once a day | the same |
| open documents, all contacts | once a night, at the organisation | the same |

That is at most 60 calls on an idle day, or 100 without webhooks, on the smallest tier; news of a contact or credit note wants its list sooner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from plugin import directory, durations
from plugin.db import Transaction
from plugin.domain.problems import Problem
from plugin.kinds import INVOICE, KINDS
from plugin.limits import SMALLEST_DAY
from plugin.models import Connection, Link, Organisation, Portal, SettingsVersion, Watermark
from plugin.portals import ensure_row
from plugin.sending.record import zone_of
from plugin.services import Services

CREDIT_NOTES, OPEN, CONTACTS_WHOLE = "credit_notes", "open", "contacts_whole"
#: So many changes in a row that no webhook announced, and we say so (RULES 35).
MISSES = 2
NIGHT_FROM, NIGHT_TO = 2, 6


@dataclass(frozen=True)
class Beat:
    """How often a list is read, in seconds; a nightly one in the small hours of the organisation, and whenever a night was missed."""

    every: float
    unheard: float | None = None
    unheard_large: float | None = None
    nightly: bool = False

    def interval(self, unheard: bool, day_max: int | None) -> float:
        if not unheard or self.unheard is None:
            return self.every
        large = day_max is not None and day_max > SMALLEST_DAY
        return self.unheard_large or self.unheard if large else self.unheard


BEATS: Mapping[str, Beat] = {
    INVOICE.watermark: Beat(durations.SWEEP_DOCUMENTS, durations.SWEEP_UNHEARD, durations.SWEEP_UNHEARD_LARGE),
    **{kind.watermark: Beat(durations.SWEEP_WITHOUT_NEWS) for kind in KINDS.values() if kind is not INVOICE},
    CREDIT_NOTES: Beat(durations.SWEEP_DOCUMENTS),
    directory.CONTACT: Beat(durations.SWEEP_DOCUMENTS),
    directory.ORGANISATION: Beat(durations.SWEEP_LISTS),
    directory.ACCOUNT: Beat(durations.SWEEP_LISTS),
    directory.TAX: Beat(durations.SWEEP_LISTS),
    directory.ITEM: Beat(durations.SWEEP_LISTS),
    OPEN: Beat(durations.SWEEP_LISTS, nightly=True),
    CONTACTS_WHOLE: Beat(durations.SWEEP_LISTS, nightly=True),
}


def due_now(services: Services, session: Session, organisation_id: int) -> list[str]:
    """The lists that want reading now, by what the limiter has seen of the organisation's day."""
    tenant = session.scalar(select(Organisation.tenant_id).where(Organisation.id == organisation_id))
    left = services.xero_limits.allowance(tenant) if tenant else None
    return due(session, organisation_id, services.now(), left.day_most if left is not None else None, services.config.pace)


def due(session: Session, organisation_id: int, now: datetime, day_max: int | None, pace: float = 1.0) -> list[str]:
    """The lists that want reading now. None before a first synchronisation has read the documents: nothing starts by itself (RULES 9)."""
    marks = {one.resource: one for one in session.scalars(select(Watermark).where(Watermark.organisation_id == organisation_id))}
    organisation = session.get(Organisation, organisation_id)
    paused = organisation is None or (organisation.paused_until is not None and organisation.paused_until > now)
    if organisation is None or paused or INVOICE.watermark not in marks or connection_of(session, organisation_id) is None:
        return []
    unused = _unused(session, organisation_id)
    return [name for name, beat in BEATS.items() if name not in unused and _is_due(beat, marks.get(name), organisation, now, day_max, pace)]


def _unused(session: Session, organisation_id: int) -> set[str]:
    """Kinds of document that nobody sent to this organisation: their lists are nobody's business."""
    live = (Link.organisation_id == organisation_id, Link.ended_at.is_(None))
    others = [kind for kind in KINDS.values() if kind is not INVOICE]
    # One answer a kind by its index: to name the kinds that there are, every link of the organisation would be read at every bell.
    return {kind.watermark for kind in others if not session.scalar(select(exists().where(*live, Link.xero_kind == kind.name)))}


def _is_due(beat: Beat, mark: Watermark | None, organisation: Organisation, now: datetime, day_max: int | None, pace: float) -> bool:
    if mark is None:
        return False
    if beat.nightly and mark.due_at is None and mark.read_at is not None:
        since = (now - mark.read_at).total_seconds() * pace
        return since >= 1.5 * beat.every or (since >= beat.every / 2 and _is_night(organisation, now))
    return (_turn(beat, mark, organisation, day_max, pace) or now) <= now


def _turn(beat: Beat, mark: Watermark, organisation: Organisation, day_max: int | None, pace: float) -> datetime | None:
    """When it is this list's turn: as somebody asked, or an interval after its last reading. Nothing where it was never read: at once."""
    if mark.due_at is not None or mark.read_at is None:
        return mark.due_at
    return mark.read_at + timedelta(seconds=beat.interval(organisation.unheard >= MISSES, day_max) / pace)


def next_reading(services: Services, session: Session, organisation_id: int) -> datetime | None:
    """When an organisation is asked next what changed there without a message; nothing before its first synchronisation."""
    marks = {one.resource: one for one in session.scalars(select(Watermark).where(Watermark.organisation_id == organisation_id))}
    organisation = session.get(Organisation, organisation_id)
    if organisation is None or INVOICE.watermark not in marks or connection_of(session, organisation_id) is None:
        return None
    left = services.xero_limits.allowance(organisation.tenant_id)
    day_max, now, unused = left.day_most if left is not None else None, services.now(), _unused(session, organisation_id)
    wanted = {name: beat for name, beat in BEATS.items() if name in marks and not beat.nightly and name not in unused}
    return min((_turn(beat, marks[name], organisation, day_max, services.config.pace) or now for name, beat in wanted.items()), default=None)


def begin(tx: Transaction, organisation_id: int, now: datetime) -> None:
    """The intervals of what no first synchronisation reads begin now."""
    for resource in BEATS:
        ensure_row(tx, Watermark, organisation_id=organisation_id, resource=resource, read_at=now)


def _is_night(organisation: Organisation, now: datetime) -> bool:
    hour = now.astimezone(zone_of((organisation.facts or {}).get("timezone", ""))).hour
    return NIGHT_FROM <= hour < NIGHT_TO


def connection_of(session: Session, organisation_id: int) -> Connection | None:
    """A healthy connection to read the organisation through: of a portal that is there and set up, the newest."""
    confirmed = exists().where(SettingsVersion.portal_id == Connection.portal_id, SettingsVersion.organisation_id == Connection.organisation_id)
    return session.scalar(
        select(Connection)
        .join(Portal, (Portal.id == Connection.portal_id) & Portal.uninstalled_at.is_(None))
        .where(Connection.organisation_id == organisation_id, Connection.ended_at.is_(None), Connection.problem.is_(None), confirmed)
        .order_by(Connection.connected_at.desc())
        .limit(1)
    )


def read(tx: Transaction, organisation_id: int, resource: str, now: datetime, modified_since: datetime | None = None) -> None:
    """This list was read; its usual interval begins again."""
    directory.set_watermark(tx, organisation_id, resource, modified_since, now)


def failed(tx: Transaction, organisation_id: int, resource: str, problem: Problem, now: datetime, pace: float) -> None:
    """It could not be read: not again before what stopped it is likely over."""
    wait = problem.retry.seconds if problem.retry.kind == "after" else durations.SWEEP_AGAIN
    _want(tx, organisation_id, resource, now + timedelta(seconds=max(wait, durations.SWEEP_SOON) / pace))


def want(tx: Transaction, organisation_id: int, resource: str, now: datetime, pace: float) -> datetime:
    """News came of something in this list: read it soon, at most once in a while however much news comes. Returns when."""
    mark = tx.scalar(select(Watermark).where(Watermark.organisation_id == organisation_id, Watermark.resource == resource))
    if mark is not None and mark.due_at is not None and mark.due_at > now:
        return mark.due_at  # it waits for its turn, or for the end of what stopped it
    pause = timedelta(seconds=(durations.SWEEP_SOON if resource == INVOICE.watermark else durations.SWEEP_LATER) / pace)
    at = max(now, mark.read_at + pause) if mark is not None and mark.read_at is not None else now
    _want(tx, organisation_id, resource, at)
    return at


def ask(tx: Transaction, organisation_id: int, resource: str, at: datetime) -> None:
    """Somebody asked for this list: it is the next to be read."""
    _want(tx, organisation_id, resource, at)


def _want(tx: Transaction, organisation_id: int, resource: str, at: datetime) -> None:
    ensure_row(tx, Watermark, organisation_id=organisation_id, resource=resource)
    mine = (Watermark.organisation_id == organisation_id, Watermark.resource == resource)
    tx.execute(update(Watermark).where(*mine).values(due_at=at).execution_options(synchronize_session=False))


def organisations(session: Session) -> list[int]:
    """Organisations that some portal is connected to."""
    return list(session.scalars(select(Connection.organisation_id).where(Connection.ended_at.is_(None)).distinct()))


def unheard(session: Session, organisation_id: int) -> bool:
    """Does Xero's news not arrive? Then changes made there show later than usual."""
    return (session.scalar(select(Organisation.unheard).where(Organisation.id == organisation_id)) or 0) >= MISSES


def silent(session: Session) -> int:
    """Of how many organisations in use no news arrives: the operator's alarm."""
    live = exists().where(Connection.organisation_id == Organisation.id, Connection.ended_at.is_(None))
    return session.scalar(select(func.count()).select_from(Organisation).where(Organisation.unheard >= MISSES, live)) or 0
