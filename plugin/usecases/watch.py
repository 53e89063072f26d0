"""The app looks after each portal by itself (RULES 32): what no event announced is found by a sweep over what changed last and by a nightly
check; handlers that vanished are bound again; the portal's own queue of events is read where it has one.

Everything here takes the time from `services.now()`, so that a day can pass in a moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from plugin import activity, durations, inbox, jobs
from plugin.bitrix24 import documents, offline, placements
from plugin.bitrix24.fields import ensure_fields
from plugin.db import Transaction
from plugin.domain.problems import Problem
from plugin.domain.settings import Settings
from plugin.kinds import BILL, INVOICE, KINDS, Kind
from plugin.models import Connection, Link, Portal, Watch
from plugin.portals import Ready, current_settings, portal_kind, ready
from plugin.services import Services
from plugin.talking import PortalRest, service_rest
from plugin.usecases import take_events

#: So many changed documents are looked at in one sweep; what is beyond them comes in the next one.
MOST = 5_000
_OPEN = ("DRAFT", "SUBMITTED", "AUTHORISED", "SENT")


def order_due(services: Services) -> None:
    """Order the checks whose time has come, and the sweeps where anything runs by itself. Called every few seconds; what is not due costs one small read."""
    now = services.now()
    with services.db.reading() as session:
        healthy = select(Connection.portal_id, Connection.organisation_id).where(Connection.ended_at.is_(None), Connection.problem.is_(None))
        served = dict(session.execute(healthy).all())
        watched = {one.portal_id: one for one in session.scalars(select(Watch))}
    due = [number for number in served if (one := watched.get(number)) is None or min(_times(one)) <= now]
    for portal_id in due:
        with services.db.transaction() as tx:
            watch = tx.get(Watch, portal_id, with_for_update=True)
            if watch is None:
                tx.add(Watch(portal_id=portal_id, sweep_at=now, check_at=night(portal_id, now)))
                continue
            if watch.sweep_at is None or watch.sweep_at <= now:
                watch.sweep_at = now + timedelta(seconds=durations.CRM_SWEEP / services.config.pace)
                if _anything_by_itself(tx, portal_id, served[portal_id]):
                    _order(services, tx, portal_id, jobs.CRM_SWEEP)
                else:
                    # Seen as if it had been looked at: what changes before a person switches something on is not made up for.
                    watch.swept_until = watch.swept_at = now
            if watch.check_at is None or watch.check_at <= now:
                watch.check_at = night(portal_id, now)
                _order(services, tx, portal_id, jobs.CRM_CHECK)


def _anything_by_itself(session: Session, portal_id: int, organisation_id: int) -> bool:
    """Would a sweep do anything? Of a thousand portals where nothing runs by itself, a job a minute each would be most of what workers do."""
    held = current_settings(session, portal_id, organisation_id)
    return held is not None and (held[1].automatic != "off" or held[1].when_deleted == "delete")


def _times(watch: Watch) -> tuple[datetime, datetime]:
    always = datetime.min.replace(tzinfo=watch.swept_at.tzinfo if watch.swept_at else None)
    return watch.sweep_at or always, watch.check_at or always


def night(portal_id: int, now: datetime) -> datetime:
    """The portal's next check: once a day between one and five in the morning, UTC; portals are spread over these hours."""
    at = now.replace(hour=1, minute=0, second=0, microsecond=0) + timedelta(minutes=portal_id * 7 % 240)
    return at if at > now else at + timedelta(days=1)


def order_binding(services: Services, portal_id: int) -> None:
    """An administrator is at the door: see whether our handlers are still bound, at most once an hour."""
    late = services.now() - timedelta(seconds=durations.BOUND_FRESH)
    with services.db.reading() as session:
        watch = session.get(Watch, portal_id)
    if watch is None or (watch.bound_at is not None and watch.bound_at > late):
        return
    with services.db.transaction() as tx:
        _order(services, tx, portal_id, jobs.BIND)


def _order(services: Services, tx: Transaction, portal_id: int, kind: str) -> None:
    bell = jobs.portal_bell(portal_id)
    jobs.order(tx, jobs.Order(portal_id, kind, kind, bell, priority=jobs.EVENTS, cause=jobs.SWEEP), services.now())
    tx.after_commit(lambda: services.bells.ring(bell))


def sweep(services: Services, portal_id: int) -> None:
    """Look at what changed since the last sweep, and at what the portal's own queue holds. Two requests where nothing happened, none where nothing runs."""
    now = services.now()
    with services.db.reading() as session:
        context = ready(session, portal_id)
        watch = session.get_one(Watch, portal_id)
    _remove_forgotten(services, context, now)
    if context.settings.automatic != "off":
        rest = service_rest(services, portal_id)
        take_offline(services, rest)
        since = watch.swept_until or now
        for kind in _swept(services, context):
            narrowed = documents.Narrowed(changed_from=since - timedelta(seconds=durations.CRM_OVERLAP))
            for part in documents.ids_matching(rest, kind.crm, narrowed, MOST):
                _look_at(services, portal_id, kind, part)
    with services.db.transaction() as tx:
        held = tx.get_one(Watch, portal_id)
        held.swept_until = held.swept_at = now


def _followed() -> list[Kind]:
    return [KINDS[name] for name in take_events.FOLLOWED]


def _swept(services: Services, context: Ready) -> list[Kind]:
    """Kinds of which something may have changed that concerns Xero: invoices, new ones too, and what else is in Xero."""
    mine = (Link.portal_id == context.portal.id, Link.organisation_id == context.organisation.id, Link.ended_at.is_(None))
    with services.db.reading() as session:
        linked = set(session.scalars(select(Link.crm_kind).where(*mine, Link.crm_kind.in_(take_events.FOLLOWED)).distinct()))
    return [kind for kind in _followed() if kind is INVOICE or kind.name in linked]


def _look_at(services: Services, portal_id: int, kind: Kind, ids: Iterable[int], gone: bool = False) -> None:
    told = {kind.subject(crm_id): services.now() for crm_id in ids}
    if told:
        with services.db.transaction() as tx:
            take_events.order_looks(services, tx, portal_id, told, set(told) if gone else set(), jobs.SWEEP)


def take_offline(services: Services, rest: PortalRest) -> None:
    """What the portal kept for us goes into the inbox, and only then is it cleared there (B§5.5)."""
    with services.db.reading() as session:
        way = session.get_one(Watch, rest.portal_id).offline
    while way in (offline.RESERVE, offline.TAKE):
        kept = offline.read(rest, way)
        known = [event for event in kept.events if event.subject]
        inbox.store(services, [inbox.Message(event.name, event.subject, event.kept, portal_id=rest.portal_id) for event in known])
        if any(event.deletes and not event.subject for event in kept.events):
            # The queue says that something was deleted, but not what: only the check finds it.
            with services.db.transaction() as tx:
                _order(services, tx, rest.portal_id, jobs.CRM_CHECK)
        if kept.process_id:
            offline.clear(rest, kept.process_id)
        if len(kept.events) < offline.PAGE:
            return


def check(services: Services, portal_id: int) -> None:
    """The night's work: handlers, linked documents that are not there any more, and rows that changed without a word."""
    now = services.now()
    with services.db.reading() as session:
        context = ready(session, portal_id)
    bind(services, portal_id)
    rest = service_rest(services, portal_id)
    for kind in _followed():
        linked = _linked(services, context, kind)
        asked = documents.Narrowed(ids=tuple(linked))
        present = {crm_id for part in documents.ids_matching(rest, kind.crm, asked, len(linked)) for crm_id in part} if linked else set()
        _look_at(services, portal_id, kind, linked.keys() - present, gone=True)
        if context.settings.automatic != "off":
            _look_at(services, portal_id, kind, [crm_id for crm_id, status in linked.items() if status in _OPEN and crm_id in present])
    customers = _customers_of_open(services, context)
    if customers:
        with services.db.transaction() as tx:
            take_events.order_customers(services, tx, portal_id, dict.fromkeys(customers, now), jobs.SWEEP)
    with services.db.transaction() as tx:
        tx.get_one(Watch, portal_id).checked_at = now


def _linked(services: Services, context: Ready, kind: Kind) -> dict[int, str]:
    mine = (Link.portal_id == context.portal.id, Link.organisation_id == context.organisation.id, Link.crm_kind == kind.name, Link.ended_at.is_(None))
    with services.db.reading() as session:
        return {row.crm_id: row.xero_status for row in session.execute(select(Link.crm_id, Link.xero_status).where(*mine).order_by(Link.crm_id))}


def _customers_of_open(services: Services, context: Ready) -> list[str]:
    """Customers of open documents whose contact we made: their requisites may have changed without a word (RULES 32)."""
    mine = (Link.portal_id == context.portal.id, Link.organisation_id == context.organisation.id, Link.ended_at.is_(None))
    open_ones = select(Link.sent).where(*mine, Link.crm_kind.in_(KINDS), Link.xero_status.in_(_OPEN), Link.sent.is_not(None))
    made = select(Link.crm_kind, Link.crm_id, Link.xero_id).where(*mine, Link.xero_kind == "contact", Link.how == "created")
    with services.db.reading() as session:
        wanted = {sent["contact_id"] for sent in session.scalars(open_ones.execution_options(yield_per=500)) if sent}
        return [f"{kind}:{crm_id}" for kind, crm_id, xero_id in session.execute(made) if xero_id in wanted]


def bind(services: Services, portal_id: int) -> None:
    """Bind what has vanished: handlers, places, and the portal's queue where its plan has one (B§5.1, §5.5)."""
    with services.db.reading() as session:
        portal = session.get_one(Portal, portal_id)
    rest = service_rest(services, portal_id)
    done = placements.ensure_installed(rest, services.config.public_url, portal.lang)
    _ensure_bill_fields(services, rest)
    way = offline.ensure(rest)
    names = [name for name in done.added if name.isupper()]
    with services.db.transaction() as tx:
        watch = tx.get(Watch, portal_id)
        if watch is not None:
            watch.bound_at, watch.offline = services.now(), way
        if names:
            activity.record(tx, portal_id, "activity.handlers_repaired", services.now(), count=len(names))


def _ensure_bill_fields(services: Services, rest: PortalRest) -> None:
    """Our fields in the smart process for bills; one that has gone is the next bill's problem."""
    with services.db.reading() as session:
        kind = portal_kind(session, rest.portal_id, BILL)
    if kind is BILL:
        return
    try:
        ensure_fields(rest, kind.crm)
    except Problem as problem:
        if problem.retry.kind != "never":
            raise


def _remove_forgotten(services: Services, context: Ready, now: datetime) -> None:
    """Deleted in the CRM a day ago, never approved in Xero, and the portal chose that these go by themselves (RULES 21)."""
    settings: Settings = context.settings
    if settings.when_deleted != "delete":
        return
    late = now - timedelta(seconds=durations.REMOVE_AFTER / services.config.pace)
    mine = (Link.portal_id == context.portal.id, Link.organisation_id == context.organisation.id, Link.ended_at.is_(None))
    query = select(Link).where(*mine, Link.crm_gone_at.is_not(None), Link.crm_gone_at <= late, Link.xero_status.in_(("DRAFT", "SUBMITTED")))
    with services.db.reading() as session:
        links = list(session.scalars(query))
    if links:
        bell = jobs.organisation_bell(context.organisation.id)
        orders = [_removal(link, bell, None) for link in links]
        with services.db.transaction() as tx:
            jobs.order_many(tx, orders, now)
            tx.after_commit(lambda: services.bells.ring(bell))


def _removal(link: Link, bell: str, user_id: int | None) -> jobs.Order:
    subject = KINDS[link.crm_kind].subject(link.crm_id)
    priority, cause = (jobs.EVENTS, jobs.AUTOMATIC) if user_id is None else (jobs.PEOPLE, jobs.PERSON)
    return jobs.Order(link.portal_id, jobs.REMOVE, subject, bell, link.organisation_id, priority, user_id, cause=cause)


def order_removal(services: Services, tx: Transaction, link: Link, user_id: int) -> None:
    """An administrator decided: what the CRM deleted goes in Xero as well."""
    bell = jobs.organisation_bell(link.organisation_id)
    jobs.order(tx, _removal(link, bell, user_id), services.now())
    tx.after_commit(lambda: services.bells.ring(bell))
