"""When which list of an organisation is read again: once per organisation, whatever the number of its portals (RULES 32).

| List | while news arrives | while it does not |
|---|---|---|
| invoices and bills | every 3 h | every 30 min, on a larger day's allowance every 10 min |
| credit notes, contacts | every 3 h | the same |
| organisation, accounts, tax rates, items | once a day | the same |
| open documents, all contacts | once a night, at the organisation | the same |

On the smallest tier that is at most 31 calls on an idle day, or 71 without webhooks; news of a contact or credit note wants its list sooner.
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
from plugin.models import Connection, Organisation, Portal, SettingsVersion, Watermark
from plugin.portals import ensure_row
from plugin.receiving.changes import DOCUMENTS
from plugin.sending.record import zone_of

CREDIT_NOTES, OPEN, CONTACTS_WHOLE = "credit_notes", "open", "contacts_whole"
#: So many changes in a row that no webhook announced, and we say so (RULES 35).
MISSES = 2
#: The smallest tier's day; whoever has more is asked more often when no news comes.
SMALLEST_DAY = 1000
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
    DOCUMENTS: Beat(durations.SWEEP_DOCUMENTS, durations.SWEEP_UNHEARD, durations.SWEEP_UNHEARD_LARGE),
    CREDIT_NOTES: Beat(durations.SWEEP_DOCUMENTS),
    directory.CONTACT: Beat(durations.SWEEP_DOCUMENTS),
    directory.ORGANISATION: Beat(durations.SWEEP_LISTS),
    directory.ACCOUNT: Beat(durations.SWEEP_LISTS),
    directory.TAX: Beat(durations.SWEEP_LISTS),
    directory.ITEM: Beat(durations.SWEEP_LISTS),
    OPEN: Beat(durations.SWEEP_LISTS, nightly=True),
    CONTACTS_WHOLE: Beat(durations.SWEEP_LISTS, nightly=True),
}


def due(session: Session, organisation_id: int, now: datetime, day_max: int | None, pace: float = 1.0) -> list[str]:
    """The lists that want reading now. None before a first synchronisation has read the documents: nothing starts by itself (RULES 9)."""
    marks = {one.resource: one for one in session.scalars(select(Watermark).where(Watermark.organisation_id == organisation_id))}
    organisation = session.get(Organisation, organisation_id)
    paused = organisation is None or (organisation.paused_until is not None and organisation.paused_until > now)
    if organisation is None or paused or DOCUMENTS not in marks or connection_of(session, organisation_id) is None:
        return []
    return [name for name, beat in BEATS.items() if _is_due(beat, marks.get(name), organisation, now, day_max, pace)]


def _is_due(beat: Beat, mark: Watermark | None, organisation: Organisation, now: datetime, day_max: int | None, pace: float) -> bool:
    if mark is not None and mark.due_at is not None:
        return mark.due_at <= now
    if mark is None or mark.read_at is None:
        return not beat.nightly or mark is not None or _is_night(organisation, now)
    since = (now - mark.read_at).total_seconds() * pace
    if beat.nightly:
        return since >= 1.5 * beat.every or (since >= beat.every / 2 and _is_night(organisation, now))
    return since >= beat.interval(organisation.unheard >= MISSES, day_max)


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


def want(tx: Transaction, organisation_id: int, resource: str, now: datetime, pace: float) -> None:
    """News came of something in this list: read it soon, at most once in a while however much news comes."""
    mark = tx.scalar(select(Watermark).where(Watermark.organisation_id == organisation_id, Watermark.resource == resource))
    if mark is not None and mark.due_at is not None and mark.due_at > now:
        return  # it waits for its turn, or for the end of what stopped it
    earliest = mark.read_at + timedelta(seconds=durations.SWEEP_SOON / pace) if mark is not None and mark.read_at is not None else now
    _want(tx, organisation_id, resource, max(now, earliest))


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
