"""What a portal told us is taken from the inbox: each event becomes an order to look at its document, or nothing.

A burst on one document becomes one look: it waits until the document was quiet for a moment (RULES 33). In a storm all of the storm's
documents are held until it is over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, or_, select, update

from plugin import durations, inbox, jobs
from plugin.bitrix24.events import OFFLINE_EVENT
from plugin.db import Transaction
from plugin.kinds import INVOICE, KINDS, QUOTE, crm_id_of, kind_of
from plugin.models import Callback, Job, Link, SetUp
from plugin.portals import current_settings, live_connection
from plugin.services import Services

#: Kinds of document that follow the CRM by themselves.
FOLLOWED = (INVOICE.name, QUOTE.name)
#: What a contact in Xero is made from.
CUSTOMERS = ("company", "contact", "requisite")
#: One change of a person makes up to so many events: the invoice, its rows, what the portal computes from them.
EVENTS_OF_A_CHANGE = 3
#: Bitrix24 tells of our own writing within so many seconds of its end. Of a storm so many events are looked at.
ECHO_LATE, STORM_EVENTS = 3.0, 1_000
#: From so many changes a second on there is a storm (RULES 33).
STORM = 3.0


def drain(services: Services, portal_id: int, should_stop: Callable[[], bool] = lambda: False) -> None:
    """Take everything that the portal has told us so far. Safe from any process at any time."""
    inbox.drain(services, inbox.portal_bell(portal_id), lambda tx, messages: _take(services, tx, portal_id, messages), should_stop)


def _take(services: Services, tx: Transaction, portal_id: int, messages: Sequence[Callback]) -> None:
    told: dict[str, datetime] = {}
    gone: set[str] = set()
    for one in messages:
        if one.subject.partition(":")[0] in FOLLOWED:
            told.setdefault(one.subject, one.received_at)
            gone |= {one.subject} if "DELETE" in one.kind else set()
    if told:
        order_looks(services, tx, portal_id, told, gone, jobs.AUTOMATIC)
    customers = [one for one in messages if one.subject.partition(":")[0] in CUSTOMERS and "DELETE" not in one.kind]
    if customers:
        order_customers(services, tx, portal_id, {one.subject: one.received_at for one in reversed(customers)}, jobs.AUTOMATIC)
    if any(one.subject.startswith("currency:") for one in messages):
        # The set-up offers currencies and taxes as last read: they are read again when it is opened next.
        tx.execute(update(SetUp).where(SetUp.portal_id == portal_id).values(facts=None).execution_options(synchronize_session=False))
    if any(one.kind == OFFLINE_EVENT for one in messages):
        order_sweep(services, tx, portal_id)


def order_customers(services: Services, tx: Transaction, portal_id: int, told: dict[str, datetime], cause: str) -> None:
    """Customers of whom we made a contact in Xero are looked at again; requisites tell only when they are read whose they are.

    `told`: subject, and when its change was first heard of.
    """
    connection = live_connection(tx, portal_id)
    settings = current_settings(tx, portal_id, connection.organisation_id) if connection is not None else None
    if connection is None or settings is None or settings[1].automatic == "off":
        return
    made = (Link.portal_id == portal_id, Link.organisation_id == connection.organisation_id, Link.how == "created", Link.ended_at.is_(None))
    wanted = {subject for subject in told if subject.startswith("requisite:")}
    for kind in ("company", "contact"):
        ids = [crm_id_of(subject) for subject in told if subject.startswith(f"{kind}:")]
        wanted |= {f"{kind}:{crm_id}" for crm_id in tx.scalars(select(Link.crm_id).where(*made, Link.crm_kind == kind, Link.crm_id.in_(ids)))}
    if wanted:
        now, organisation_id = services.now(), connection.organisation_id
        due = next_tick(now + timedelta(seconds=durations.QUIET / services.config.pace), services.config.pace)
        bell = jobs.organisation_bell(organisation_id)
        about = {"organisation_id": organisation_id, "priority": jobs.EVENTS, "cause": cause}
        orders = [jobs.Order(portal_id, jobs.CUSTOMER, subject, bell, caused_at=told[subject], **about) for subject in sorted(wanted)]  # type: ignore[arg-type]
        jobs.order_many(tx, orders, now, run_at=due)
        tx.after_commit(lambda: services.bells.ring(bell, (due - now).total_seconds()))


def order_sweep(services: Services, tx: Transaction, portal_id: int) -> None:
    """Look at what changed lately, and at what the portal's own queue holds, as soon as a worker is free."""
    bell = jobs.portal_bell(portal_id)
    jobs.order(tx, jobs.Order(portal_id, jobs.CRM_SWEEP, jobs.CRM_SWEEP, bell, priority=jobs.EVENTS, cause=jobs.SWEEP), services.now())
    tx.after_commit(lambda: services.bells.ring(bell))


def order_looks(services: Services, tx: Transaction, portal_id: int, told: dict[str, datetime], gone: set[str], cause: str) -> None:
    """Order a look at these documents once they are quiet. `told`: subject, and when its change was first heard of.

    `gone` are those that are said to be deleted: in Xero they are looked at even where nothing goes by itself (RULES 21).
    """
    connection = live_connection(tx, portal_id)
    settings = current_settings(tx, portal_id, connection.organisation_id) if connection is not None else None
    if connection is None or settings is None:
        return
    now, organisation_id = services.now(), connection.organisation_id
    off = settings[1].automatic == "off"
    # A new invoice may have to go; anything else is looked at where it is in Xero already.
    new = set() if off else {subject for subject in told if kind_of(subject) is INVOICE}
    known = _links(tx, portal_id, (gone if off else told.keys()) - new, Link.organisation_id == organisation_id)
    told = {subject: at for subject, at in told.items() if subject in new or subject in known}
    if not told:
        return
    window = quiet_window(_changes_a_second(tx, portal_id, now)) / services.config.pace
    due = next_tick(now + timedelta(seconds=window), services.config.pace)
    _hold(tx, portal_id, told, due, window, services.config.pace)
    bell = jobs.organisation_bell(organisation_id)
    orders = [jobs.Order(portal_id, jobs.FOLLOW, subject, bell, organisation_id, jobs.EVENTS, cause=cause, caused_at=at) for subject, at in told.items()]
    jobs.order_many(tx, orders, now, run_at=due)
    tx.after_commit(lambda: services.bells.ring(bell, (due - now).total_seconds()))


def quiet_window(changes_a_second: float) -> float:
    """For how long a document has to be quiet: a moment, and in a storm more with its strength, up to ten."""
    return durations.QUIET if changes_a_second < STORM else min(durations.QUIET_MOST, changes_a_second)


def next_tick(at: datetime, pace: float = 1.0) -> datetime:
    """The next moment of a clock that all documents share, so that those that are due together are read together."""
    tick = durations.TICK / pace
    return datetime.fromtimestamp(math.ceil(at.timestamp() / tick) * tick, UTC)


def _changes_a_second(tx: Transaction, portal_id: int, now: datetime) -> float:
    """How busy people are: documents named lately by events that are not the echo of our own writing. A storm that begins shows in the last moments."""
    named = or_(*(Callback.subject.like(f"{kind}:%") for kind in FOLLOWED))
    lately = (Callback.portal_id == portal_id, Callback.received_at >= now - timedelta(seconds=durations.STORM_LOOK), named)
    told = tx.execute(select(Callback.subject, Callback.received_at).where(*lately).order_by(Callback.received_at.desc()).limit(STORM_EVENTS)).all()
    written = _written(tx, portal_id, {subject for subject, _ in told}, now)
    events = [(subject, at) for subject, at in reversed(told) if not echo_of_ours(at, written.get(subject, []))]
    return max(_rate(events, now, seconds) for seconds in (durations.STORM_BEGINS, durations.STORM_LOOK))


def _rate(events: Sequence[tuple[str, datetime]], now: datetime, seconds: float) -> float:
    lately = [subject for subject, at in events if at >= now - timedelta(seconds=seconds)]
    return max(len(set(lately)), len(lately) / EVENTS_OF_A_CHANGE) / seconds


def echo_of_ours(at: datetime, writings: list[tuple[datetime, datetime]]) -> bool:
    """Is this event the echo of one of our writings? Each has one echo (B§5), and is used up by it."""
    mine = next((one for one in writings if one[0] <= at <= one[1] + timedelta(seconds=ECHO_LATE)), None)
    if mine is not None:
        writings.remove(mine)
    return mine is not None


def _written(tx: Transaction, portal_id: int, subjects: Iterable[str], now: datetime) -> dict[str, list[tuple[datetime, datetime]]]:
    """When we wrote into these documents lately: since when each writing was due, and its end, or now."""
    orders = {kind_of(subject).back_subject(crm_id_of(subject)): subject for subject in subjects}
    lately = or_(Job.state == "running", Job.finished_at >= now - timedelta(seconds=durations.STORM_LOOK + ECHO_LATE))
    found: dict[str, list[tuple[datetime, datetime]]] = {}
    for part in jobs.parts(orders):
        mine = (Job.portal_id == portal_id, Job.kind == jobs.WRITE_BACK, Job.subject.in_(part), lately)
        for subject, due_at, finished_at in tx.execute(select(Job.subject, Job.run_at, Job.finished_at).where(*mine).order_by(Job.id)).all():
            found.setdefault(orders[subject], []).append((due_at, finished_at or now))
    return found


def _hold(tx: Transaction, portal_id: int, told: Iterable[str], due: datetime, window: float, pace: float) -> None:
    """Looks that wait already wait until their document is quiet again; in a storm all of the portal's do. Nothing waits for ever."""
    waiting = (Job.portal_id == portal_id, Job.kind == jobs.FOLLOW, Job.state == "waiting", Job.run_at < due)
    storm = window > durations.QUIET / pace
    query = select(Job).where(*waiting) if storm else select(Job).where(*waiting, Job.subject.in_(list(told)))
    longest = (durations.HOLD_MOST if storm else durations.QUIET_MOST) / pace
    for job in tx.scalars(query):
        job.run_at = max(job.run_at, min(due, job.created_at + timedelta(seconds=longest)))


def _links(tx: Transaction, portal_id: int, subjects: Iterable[str], *where: ColumnElement[bool]) -> set[str]:
    """Those of these documents that have a link of this kind."""
    ids = [crm_id_of(subject) for subject in subjects]
    mine = (Link.portal_id == portal_id, Link.crm_kind.in_(FOLLOWED), Link.ended_at.is_(None), *where)
    found: set[str] = set()
    for start in range(0, len(ids), jobs.CHUNK):
        rows = tx.execute(select(Link.crm_kind, Link.crm_id).where(*mine, Link.crm_id.in_(ids[start : start + jobs.CHUNK])))
        found |= {KINDS[kind].subject(crm_id) for kind, crm_id in rows}
    return found & set(subjects)
