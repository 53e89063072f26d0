"""What happened, sentence by sentence: narrowed, searched, exported. Administrators see all; others what they did themselves,
and everything about a document that Bitrix24 shows to their own token at that moment (RULES 25)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from plugin.activity import searched
from plugin.bitrix24 import documents
from plugin.domain.crm import Visitor
from plugin.domain.problems import LATER, Problem
from plugin.kinds import BILL, KINDS, LINKED, Kind, crm_id_of
from plugin.models import Activity, Bitrix24Login, Link, Organisation
from plugin.portals import portal_kind
from plugin.sentences import codes_saying
from plugin.services import Services
from plugin.talking import portal_rest
from plugin.usecases.invoice_states import period, zone
from plugin.usecases.shown import ActivityRow, InvoiceFilter, Told
from plugin.wire import NoAnswer
from plugin.xero.documents import deep_link

PAGE = 50
EXPORTED_TOGETHER = 1000

#: Kinds of sentences that a person can narrow the list to.
GROUPS: dict[str, tuple[str, ...]] = {
    "sent": ("activity.created", "activity.updated_in_xero", "activity.linked", "activity.batch_sent", "activity.batch_cancelled"),
    "back": ("activity.status_changed", "activity.batch_fetched"),
    "stopped": ("activity.not_sent",),
    "customers": ("activity.contact_created", "activity.contact_linked"),
    "settings": (
        *("activity.installed", "activity.updated", "activity.connected", "activity.connected_as_other", "activity.disconnected", "activity.set_up"),
        *("activity.settings_changed", "activity.service_taken", "activity.first_sync"),
    ),
}


@dataclass(frozen=True)
class ActivityFilter:
    """What the list is narrowed to. `person` is a user's id, or "auto" for what nobody ordered; `period` as in the list of invoices."""

    search: str = ""
    document: str = ""
    group: str = ""
    person: str = ""
    period: str = ""
    first: date | None = None
    last: date | None = None


def page(services: Services, visitor: Visitor, asked: ActivityFilter, number: int) -> tuple[tuple[ActivityRow, ...], int]:
    """A page, newest first, and how many pages there are."""
    where = _where(services, visitor, asked)
    with services.db.reading() as session:
        count = session.scalar(select(func.count()).select_from(Activity).where(where)) or 0
        found = list(session.scalars(select(Activity).where(where).order_by(Activity.id.desc()).limit(PAGE).offset((max(1, number) - 1) * PAGE)))
        rows = _rows(session, found)
    return rows, max(1, -(-count // PAGE))


def export(services: Services, visitor: Visitor, asked: ActivityFilter, most: int | None = None) -> Iterator[ActivityRow]:
    """Everything that the list would show, newest first, a thousand rows in memory at a time. What may be seen is decided before the first row."""
    where = _where(services, visitor, asked)

    def rows() -> Iterator[ActivityRow]:
        below, left = 2**62, most
        while left is None or left > 0:
            with services.db.reading() as session:
                query = select(Activity).where(where, Activity.id < below).order_by(Activity.id.desc())
                found = list(session.scalars(query.limit(EXPORTED_TOGETHER if left is None else min(left, EXPORTED_TOGETHER))))
                shown = _rows(session, found)
            yield from shown
            if len(found) < EXPORTED_TOGETHER:
                return
            below, left = found[-1].id, None if left is None else left - len(found)

    return rows()


def people(services: Services, visitor: Visitor) -> tuple[tuple[int, str], ...]:
    """Who may have done something, for administrators to choose from."""
    if not visitor.admin:
        return ()
    with services.db.reading() as session:
        query = select(Bitrix24Login.user_id, Bitrix24Login.name).where(Bitrix24Login.portal_id == visitor.portal_id).order_by(Bitrix24Login.name).limit(500)
        return tuple((user_id, name) for user_id, name in session.execute(query))


def _where(services: Services, visitor: Visitor, asked: ActivityFilter) -> ColumnElement[bool]:
    subjects = _subjects(services, visitor, asked.document) if asked.document else None
    parts: list[ColumnElement[bool]] = [Activity.portal_id == visitor.portal_id]
    if subjects is not None:
        parts.append(Activity.subject.in_(subjects))
    if not visitor.admin:
        parts.append(_allowed(services, visitor, subjects or ()))
    if asked.group in GROUPS:
        parts.append(Activity.code.in_(GROUPS[asked.group]))
    if asked.person == "auto":
        parts.append(Activity.user_id.is_(None))
    elif asked.person:
        parts.append(Activity.user_id == int(asked.person))
    begin, end = period(InvoiceFilter(period=asked.period, changed_from=asked.first, changed_to=asked.last), services.now(), zone(visitor.timezone))
    parts += [Activity.at >= begin] if begin else []
    parts += [Activity.at < end] if end else []
    parts += [_says(word, visitor.lang) for word in asked.search.split()[:6]] if asked.search else []
    return and_(*parts)


def _says(word: str, lang: str) -> ColumnElement[bool]:
    """The word stands in the sentence as it was stored in English, or in the reader's own words for it."""
    codes = codes_saying(word, lang) if len(word) > 2 else []
    found = Activity.search.contains(searched(word), autoescape=True)
    return or_(found, Activity.code.in_([code for code in codes if code.startswith("activity.")])) if codes else found


def _allowed(services: Services, visitor: Visitor, subjects: Sequence[str]) -> ColumnElement[bool]:
    """A person's own sentences; of documents that they ask for by name also the others', where Bitrix24 shows them the document."""
    own = Activity.user_id == visitor.user_id
    seen: list[str] = []
    for kind in KINDS.values():
        ids = [crm_id_of(subject) for subject in subjects if subject.startswith(f"{kind.name}:")]
        if not ids:
            continue
        try:
            rest = portal_rest(services, visitor.portal_id, visitor.user_id, "people", timeout=10)
            seen += [kind.subject(crm_id) for crm_id in documents.updated_times(rest, kind.crm, ids)]
        except NoAnswer as error:
            raise Problem("bitrix24.no_answer", LATER) from error
    return or_(own, Activity.subject.in_(seen)) if seen else own


def _subjects(services: Services, visitor: Visitor, document: str) -> list[str]:
    """What a document is called here: by its number on either side, by its id in the CRM, or as we call it ourselves."""
    name, _, number = document.partition(":")
    if name in LINKED and number.isascii() and number.isdigit():
        return [document]
    crm_id = int(document) if document.isascii() and document.isdigit() and len(document) < 10 else -1
    with services.db.reading() as session:
        named = or_(Link.number == document, Link.xero_id == document.lower(), Link.crm_id == crm_id)
        links = session.execute(select(Link.crm_kind, Link.crm_id).where(Link.portal_id == visitor.portal_id, named).limit(50))
        found = [f"{kind}:{number}" for kind, number in links]
    return [*found, *(kind.subject(crm_id) for kind in KINDS.values() if crm_id > 0)]


def _rows(session: Session, found: Sequence[Activity]) -> tuple[ActivityRow, ...]:
    ids = {one.organisation_id for one in found if one.organisation_id}
    codes = {one.id: one.short_code for one in session.scalars(select(Organisation).where(Organisation.id.in_(ids)))}
    bills = next((one.portal_id for one in found if one.subject.startswith(f"{BILL.name}:")), None)
    kinds = KINDS if bills is None else {**KINDS, BILL.name: portal_kind(session, bills, BILL)}
    return tuple(_row(one, codes.get(one.organisation_id or 0, ""), kinds) for one in found)


def of_subject(services: Services, visitor: Visitor, subject: str, most: int) -> tuple[ActivityRow, ...]:
    """The latest about one document or customer, for somebody to whom Bitrix24 has just shown it (RULES 25)."""
    mine = (Activity.portal_id == visitor.portal_id, Activity.subject == subject)
    with services.db.reading() as session:
        found = list(session.scalars(select(Activity).where(*mine).order_by(Activity.id.desc()).limit(most)))
    return tuple(_row(one, "", KINDS) for one in found)


def _row(one: Activity, short_code: str, kinds: Mapping[str, Kind]) -> ActivityRow:
    name, _, number = one.subject.partition(":")
    kind = kinds.get(name)
    paths = {"company": f"/crm/company/details/{number}/", "contact": f"/crm/contact/details/{number}/"}
    # Bills have no place while Xero is not connected.
    path = paths.get(name, "") if kind is None else kind.crm.card(int(number)) if kind.crm.type_id else ""
    url = deep_link(short_code, name if kind is not None else "contact", one.xero_id) if one.xero_id and short_code else ""
    changes = tuple(one.params.get("changes") or ())
    return ActivityRow(one.at, Told(one.code, one.params), one.user_name, one.subject, url, path, one.batch_id, one.cause, changes)
