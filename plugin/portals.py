"""What a portal has: its row, its live connection, its confirmed settings. Read by verbs and workers alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from plugin.db import Transaction
from plugin.domain import ledger
from plugin.domain.crm import Visitor
from plugin.domain.problems import LATER, RECONNECT, Problem
from plugin.domain.settings import Settings
from plugin.kinds import BILL, Kind, of_portal
from plugin.models import Base, Connection, Organisation, Portal, SettingsVersion, SetUp


@dataclass(frozen=True)
class Ready:
    """A portal that may send: its row, connection, organisation and the settings that hold now."""

    portal: Portal
    connection: Connection
    organisation: Organisation
    settings: Settings
    settings_number: int


def ensure_row(tx: Transaction, model: type[Base], **values: Any) -> bool:
    """Make a row unless another process was faster with the same key. True when this one made it."""
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    made = tx.execute(dialect.insert(model).values(**values).on_conflict_do_nothing())
    return bool(made.rowcount)  # type: ignore[attr-defined]


def sender(session: Session, member_id: str) -> Portal | str:
    """The portal that calls itself so; or why nothing is taken from it, in one word for the figures."""
    portal = session.scalar(select(Portal).where(Portal.member_id == member_id))
    if portal is None:
        return "unknown"
    return portal if portal.uninstalled_at is None else "uninstalled"


def live_connection(session: Session, portal_id: int) -> Connection | None:
    """The portal's connection that has not ended, healthy or not."""
    return session.scalar(select(Connection).where(Connection.portal_id == portal_id, Connection.ended_at.is_(None)))


def current_settings(session: Session, portal_id: int, organisation_id: int) -> tuple[int, Settings] | None:
    """The number and value of the settings that hold now, or nothing before set-up was confirmed."""
    newest = session.scalar(
        select(SettingsVersion)
        .where(SettingsVersion.portal_id == portal_id, SettingsVersion.organisation_id == organisation_id)
        .order_by(SettingsVersion.number.desc())
        .limit(1)
    )
    return None if newest is None else (newest.number, Settings.from_json(newest.body))


def change_settings(tx: Transaction, visitor: Visitor, organisation_id: int, now: datetime, **changes: Any) -> bool:
    """A section of the settings changes by itself: a new version holds, and a draft of the wizard that lies about knows it too. False: it was so."""
    held = current_settings(tx, visitor.portal_id, organisation_id)
    if held is None:
        raise Problem("portal.not_set_up", RECONNECT)
    changed = replace(held[1], **changes)
    mine = {"portal_id": visitor.portal_id, "organisation_id": organisation_id}
    if changed == held[1]:
        return False
    who = {"created_by": visitor.user_id, "created_by_name": visitor.name, "created_at": now}
    tx.add(SettingsVersion(**mine, number=held[0] + 1, body=changed.to_json(), **who))
    draft = tx.scalar(select(SetUp).filter_by(**mine).with_for_update())
    if draft is not None and draft.draft:
        draft.draft = {**draft.draft, **{name: value for name, value in changed.to_json().items() if name in changes}}
    return True


def portal_kind(session: Session, portal_id: int, kind: Kind) -> Kind:
    """A kind of document as this portal keeps it now; BILL itself where it keeps no bills."""
    live = live_connection(session, portal_id) if kind is BILL else None
    held = current_settings(session, portal_id, live.organisation_id) if live is not None else None
    return of_portal(kind, held[1]) if held is not None else kind


def ready(session: Session, portal_id: int) -> Ready:
    """Everything sending needs, or the problem that says what is missing."""
    portal = session.get(Portal, portal_id)
    if portal is None or portal.uninstalled_at is not None:
        raise Problem("portal.uninstalled")
    connection = live_connection(session, portal_id)
    if connection is None:
        raise Problem("portal.not_connected", RECONNECT)
    if connection.problem:
        raise Problem(connection.problem, RECONNECT)
    settings = current_settings(session, portal_id, connection.organisation_id)
    if settings is None:
        raise Problem("portal.not_set_up", RECONNECT)
    organisation = session.get_one(Organisation, connection.organisation_id)
    return Ready(portal, connection, organisation, settings[1], settings[0])


def organisation_value(row: Organisation) -> ledger.Organisation:
    """The organisation as the rules know it."""
    facts: dict[str, Any] = row.facts or {}

    def day(name: str) -> date | None:
        return date.fromisoformat(facts[name]) if facts.get(name) else None

    return ledger.Organisation(
        tenant_id=row.tenant_id,
        name=row.name,
        country=row.country,
        base_currency=row.base_currency,
        short_code=row.short_code,
        timezone=facts.get("timezone", ""),
        version=facts.get("version", ""),
        pays_tax=facts.get("pays_tax", True),
        period_lock=day("period_lock"),
        year_lock=day("year_lock"),
        is_demo=facts.get("is_demo", False),
        edition=facts.get("edition", ""),
        actions=facts.get("actions", {}),
    )


def keep_organisation(row: Organisation, value: ledger.Organisation, now: datetime) -> None:
    """Write down what Xero says of the organisation; raises a problem where the answer is about another one.

    An OrganisationID normally equals the tenant's (X§6.7). Where it did before and does not now, somebody else's books have answered.
    """
    if (row.facts or {}).get("organisation_id") == row.tenant_id != value.tenant_id:
        raise Problem("xero.other_organisation", LATER, name=value.name)
    row.name, row.country, row.base_currency, row.short_code = value.name, value.country, value.base_currency, value.short_code
    row.facts = {
        **(row.facts or {}),
        "organisation_id": value.tenant_id,
        "timezone": value.timezone,
        "version": value.version,
        "pays_tax": value.pays_tax,
        "period_lock": value.period_lock.isoformat() if value.period_lock else None,
        "year_lock": value.year_lock.isoformat() if value.year_lock else None,
        "is_demo": value.is_demo,
        "edition": value.edition,
        "actions": value.actions or (row.facts or {}).get("actions", {}),
    }
    row.checked_at = now


def currencies(row: Organisation) -> tuple[str, ...]:
    """The currencies the organisation has subscribed to, as last read."""
    return tuple((row.facts or {}).get("currencies", ()))


def beginning() -> datetime:
    """The start of all time, where none is known."""
    return datetime(1970, 1, 1, tzinfo=UTC)
