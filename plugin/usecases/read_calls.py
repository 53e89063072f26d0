"""The calls to the partners, for administrators and support: found by document or by a number of the request (RULES 36)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from plugin.domain.crm import Visitor
from plugin.models import Exchange, Link
from plugin.portals import live_connection
from plugin.services import Services
from plugin.usecases import NotAllowed, NotHere
from plugin.usecases.shown import CallShown

PAGE = 50


@dataclass(frozen=True)
class CallFilter:
    """What the list is narrowed to: a document or request, one partner, only what went wrong."""

    search: str = ""
    partner: str = ""
    troubled: bool = False


def page(services: Services, visitor: Visitor, asked: CallFilter, number: int) -> tuple[tuple[CallShown, ...], int]:
    """A page of calls, newest first, and how many pages there are. What this process has not written yet is written first."""
    services.call_log.flush()
    with services.db.reading() as session:
        where = and_(*_narrowed(session, visitor, asked))
        count = session.scalar(select(func.count()).select_from(Exchange).where(where)) or 0
        columns = [column for column in Exchange.__table__.columns if column.name not in ("request", "answer", "documents")]
        found = session.execute(select(*columns).where(where).order_by(Exchange.id.desc()).limit(PAGE).offset((max(1, number) - 1) * PAGE)).all()
    rows = tuple(
        CallShown(
            one.id,
            one.at,
            one.partner,
            one.verb,
            one.path,
            one.status,
            one.seconds,
            one.waited,
            one.sent,
            one.received,
            one.request_id,
            one.partner_id,
            one.problem,
        )
        for one in found
    )
    return rows, max(1, -(-count // PAGE))


def one(services: Services, visitor: Visitor, number: int) -> CallShown:
    """One call with what was said and answered, as far as that is kept."""
    with services.db.reading() as session:
        found = session.scalar(select(Exchange).where(Exchange.id == number, *_visible(session, visitor)))
    if found is None:
        raise NotHere
    return CallShown(
        found.id,
        found.at,
        found.partner,
        found.verb,
        found.path,
        found.status,
        found.seconds,
        found.waited,
        found.sent,
        found.received,
        found.request_id,
        found.partner_id,
        found.problem,
        found.request,
        found.answer,
        tuple(found.documents.split()),
    )


def _visible(session: Session, visitor: Visitor) -> list[ColumnElement[bool]]:
    """The portal's own, and what concerned the organisation that it is connected to since it is (RULES 4)."""
    if not visitor.admin:
        raise NotAllowed
    connection = live_connection(session, visitor.portal_id)
    own = Exchange.portal_id == visitor.portal_id
    if connection is None:
        return [own]
    shared = and_(Exchange.portal_id.is_(None), Exchange.organisation_id == connection.organisation_id, Exchange.at >= connection.connected_at)
    return [or_(own, shared)]


def _narrowed(session: Session, visitor: Visitor, asked: CallFilter) -> list[ColumnElement[bool]]:
    where = _visible(session, visitor)
    if asked.partner:
        where.append(Exchange.partner == asked.partner)
    if asked.troubled:
        where.append(or_(Exchange.status.is_(None), Exchange.status >= 400))
    if asked.search:
        words = _words(session, visitor, asked.search)
        named = [Exchange.documents.contains(f" {word} ", autoescape=True) for word in words]
        where.append(or_(Exchange.request_id == asked.search.lower(), Exchange.partner_id == asked.search, *named))
    return where


def _words(session: Session, visitor: Visitor, search: str) -> set[str]:
    """What the document is called in the log: as typed, and by every name that its link knows."""
    words = {search, search.lower()}
    number = int(search) if search.isascii() and search.isdigit() and len(search) < 10 else 0
    if number:
        words |= {f"{kind}:{number}" for kind in ("invoice", "quote", "company", "contact")}
    named = or_(Link.number == search, Link.xero_id == search.lower(), Link.crm_id == (number or -1))
    for link in session.scalars(select(Link).where(Link.portal_id == visitor.portal_id, named).limit(20)):
        words |= {f"{link.crm_kind}:{link.crm_id}", link.xero_id}
    return words
