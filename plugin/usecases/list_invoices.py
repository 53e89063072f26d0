"""The list of invoices or other documents, live from Bitrix24 with the visitor's own token, so that Bitrix24 decides what is seen; in two requests a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, bindparam, exists, func, select
from sqlalchemy.orm import Session

from plugin.bitrix24 import documents, processes
from plugin.bitrix24 import stages as bitrix24_stages
from plugin.domain.crm import Stage, Visitor
from plugin.domain.problems import Problem
from plugin.kinds import BILL, INVOICE, KINDS, QUOTE, Kind
from plugin.models import Connection, Followed, Job, Link, Organisation, PortalStages, SettingsVersion
from plugin.services import Services
from plugin.talking import PortalRest, portal_rest
from plugin.usecases import invoice_states
from plugin.usecases.shown import COLUMNS, InvoiceFilter, InvoicePage, InvoiceRow, Told
from plugin.wire import NoAnswer
from plugin.xero.documents import deep_link

GONE = ("VOIDED", "DELETED")

#: Some columns of a row: of a link, or of a document that was held back.
_Found = Row[*tuple[Any, ...]]


def page(services: Services, visitor: Visitor, asked: InvoiceFilter, columns: tuple[str, ...] = COLUMNS) -> InvoicePage:
    """One page of the list. A partner that does not answer becomes a sentence on the page, not an error."""
    with services.db.reading() as session:
        kept = _kept_stages(session, visitor.portal_id)
        ready = may_send(session, visitor)
    kinds = _kinds_in(kept)
    try:
        rest = portal_rest(services, visitor.portal_id, visitor.user_id, "people", timeout=15)
        kind = KINDS[asked.document]
        narrowed = invoice_states.narrowed(services, visitor, rest, asked)
        found = documents.list_documents(rest, kind.crm, narrowed, page=asked.page, size=asked.size)
        rows = _rows(services, visitor, rest, kind, found.items, kept)
    except Problem as problem:
        return InvoicePage((), 0, 0, asked, columns, Told(_kind(problem), problem.params), ready=ready, kinds=kinds)
    except NoAnswer:
        return InvoicePage((), 0, 0, asked, columns, Told("bitrix24.no_answer"), ready=ready, kinds=kinds)
    running = any(row.transfer in ("waiting", "sending") for row in rows)
    return InvoicePage(rows, found.total, found.pages, asked, columns, any_running=running, ready=ready, kinds=kinds)


def _kind(problem: Problem) -> str:
    return "bitrix24.no_smart_invoices" if problem.code in bitrix24_stages.UNKNOWN_TYPE else problem.code


def rows(services: Services, visitor: Visitor, kind: Kind, ids: Sequence[int]) -> tuple[InvoiceRow, ...]:
    """These documents as the visitor may see them now; the others are simply not among them."""
    wanted = tuple(dict.fromkeys(ids))[:50]
    rest = portal_rest(services, visitor.portal_id, visitor.user_id, "people", timeout=15)
    try:
        return narrowed_rows(services, visitor, rest, kind, documents.Narrowed(ids=wanted), 50)
    except NoAnswer as error:
        raise Problem("bitrix24.no_answer") from error


def narrowed_rows(services: Services, visitor: Visitor, rest: PortalRest, kind: Kind, narrowed: documents.Narrowed, most: int) -> tuple[InvoiceRow, ...]:
    """The newest of the documents so narrowed, as `rest`'s person may see them."""
    found = documents.list_documents(rest, kind.crm, narrowed, size=most).items
    with services.db.reading() as session:
        kept = _kept_stages(session, visitor.portal_id)
    return _rows(services, visitor, rest, kind, found, kept)


#: The portal's live connection, by its number. Statements are built once: a page of the list would spend more on building them than on asking.
_LIVE = (Connection.portal_id == bindparam("portal"), Connection.ended_at.is_(None))
_CONFIRMED = exists().where(SettingsVersion.portal_id == Connection.portal_id, SettingsVersion.organisation_id == Connection.organisation_id)
_MAY_SEND = select(Connection.id).where(*_LIVE, func.coalesce(Connection.problem, "") == "", _CONFIRMED)
_BOOKS = select(Organisation.id, Organisation.short_code).join(Connection, Connection.organisation_id == Organisation.id).where(*_LIVE)
_STAGES = select(PortalStages.stages).where(PortalStages.portal_id == bindparam("portal"))
#: What the list shows of a link. Not the whole of it: what was last sent is a document of its own, fifty times a page.
_LINKS = select(
    *(Link.crm_id, Link.number, Link.xero_kind, Link.xero_id, Link.xero_word, Link.xero_status, Link.online_url),
    *(Link.amount_due, Link.amount_paid, Link.crm_updated_at, Link.settled_at),
).where(
    *(Link.portal_id == bindparam("portal"), Link.organisation_id == bindparam("organisation"), Link.crm_kind == bindparam("kind")),
    *(Link.crm_id.in_(bindparam("ids", expanding=True)), Link.ended_at.is_(None)),
)
_HELD = select(Followed.crm_id, Followed.problem_code, Followed.problem_params).where(
    *(Followed.portal_id == bindparam("portal"), Followed.organisation_id == bindparam("organisation"), Followed.crm_kind == bindparam("kind")),
    *(Followed.crm_id.in_(bindparam("ids", expanding=True)), Followed.state == "problem"),
)
_ACTIVE = select(Job.subject, Job.state).where(
    *(Job.portal_id == bindparam("portal"), Job.subject.in_(bindparam("subjects", expanding=True)), Job.state.in_(("waiting", "running")))
)


def may_send(session: Session, visitor: Visitor) -> bool:
    """Is set-up confirmed and the connection well, so that the buttons may be pressed?"""
    return session.scalar(_MAY_SEND, {"portal": visitor.portal_id}) is not None


def _rows(
    services: Services, visitor: Visitor, rest: PortalRest, kind: Kind, items: Sequence[documents.ListedDocument], kept: Mapping[str, Stage]
) -> tuple[InvoiceRow, ...]:
    stages = _stages_of(services, visitor, rest, kind, {one.stage_id for one in items}, kept)
    ids = [one.id for one in items]
    with services.db.reading() as session:
        organisation_id, short_code = session.execute(_BOOKS, {"portal": visitor.portal_id}).one_or_none() or (0, "")
        these = {"portal": visitor.portal_id, "organisation": organisation_id, "kind": kind.name, "ids": ids}
        links = {one.crm_id: one for one in session.execute(_LINKS, these)}
        held = {one.crm_id: one for one in session.execute(_HELD, these)}
        attempts = invoice_states.latest_attempts(session, visitor.portal_id, kind, ids)
        active = dict(session.execute(_ACTIVE, {"portal": visitor.portal_id, "subjects": [kind.subject(number) for number in ids]}).all())
    return tuple(
        _row(
            one,
            kind,
            stages.get(one.stage_id),
            links.get(one.id),
            attempts.get(one.id),
            held.get(one.id),
            active.get(kind.subject(one.id), ""),
            short_code,
            visitor,
        )
        for one in items
    )


def _row(
    item: documents.ListedDocument,
    kind: Kind,
    stage: Stage | None,
    link: _Found | None,
    attempt: invoice_states.Attempt | None,
    held: _Found | None,
    job: str,
    short_code: str,
    visitor: Visitor,
) -> InvoiceRow:
    # Another person's batch is not this visitor's to open (RULES 25); that something happened is.
    openable = attempt is not None and (visitor.admin or attempt.created_by == visitor.user_id)
    told = _stopped(kind, link, attempt, held) if not job else None
    return InvoiceRow(
        id=item.id,
        number=item.number,
        title=item.title,
        company=item.company,
        contact=item.contact,
        amount=item.amount,
        currency=item.currency,
        stage=stage.name if stage else item.stage_id.rpartition(":")[2],
        stage_color=stage.color if stage else "",
        changed_at=item.updated_at,
        document=kind.name,
        transfer=_transfer(item, link, told is not None, job),
        crm_path=kind.crm.card(item.id),
        xero_number=link.number if link else "",
        xero_status=link.xero_word if link else "",
        xero_url=deep_link(short_code, link.xero_kind, link.xero_id) if link else "",
        online_url=link.online_url if link else "",
        amount_due=link.amount_due if link else None,
        amount_paid=link.amount_paid if link and link.amount_paid and link.amount_paid > Decimal(0) else None,
        batch_id=attempt.batch_id if attempt and openable else None,
        batch_number=attempt.batch_number if attempt else None,
        batch_at=attempt.at if attempt else None,
        batch_outcome=attempt.outcome if attempt else "",
        problem=told,
    )


def _stopped(kind: Kind, link: _Found | None, attempt: invoice_states.Attempt | None, held: _Found | None) -> Told | None:
    """Why it is not in Xero as it should be: what a person's newest attempt said, else what keeps it from going by itself."""
    about = {"document": kind.name}
    failed = attempt is not None and attempt.outcome in ("problem", "refused")
    if failed and attempt and not invoice_states.settled_since(link.settled_at if link else None, attempt.at):
        return Told(attempt.problem_code or "", {**(attempt.problem_params or {}), **about})
    return Told(held.problem_code, {**(held.problem_params or {}), **about}) if held is not None else None


def _transfer(item: documents.ListedDocument, link: _Found | None, failed: bool, job: str) -> str:
    """Where the transfer stands, in one word."""
    if job:
        return "sending" if job == "running" else "waiting"
    if failed:
        return "problem"
    if link is None:
        return "not_sent"
    if link.xero_status in GONE:
        return "voided"
    return "changed" if invoice_states.has_changed(item.updated_at, link.crm_updated_at) else "sent"


def _kinds_in(kept: Mapping[str, Stage]) -> tuple[str, ...]:
    """Which lists this portal has: one of quotes where stages of quotes were read."""
    return (INVOICE.name, QUOTE.name) if any(one.kind == QUOTE.name for one in kept.values()) else (INVOICE.name,)


def _kept_stages(session: Session, portal_id: int) -> dict[str, Stage]:
    """The portal's stages as last read; none where they were read before there were quotes."""
    kept = session.scalar(_STAGES, {"portal": portal_id}) or []
    return {one["id"]: Stage(**one) for one in kept} if all("kind" in one for one in kept) else {}


def _stages_of(services: Services, visitor: Visitor, rest: PortalRest, kind: Kind, wanted: set[str], kept: Mapping[str, Stage]) -> Mapping[str, Stage]:
    """Names and colours of stages, kept per portal; asked for again only when one turns up that is not known."""
    if wanted <= set(kept):
        return kept
    bills = kind.name == BILL.name
    found = processes.stages(rest, kind.crm.type_id) if bills else (*bitrix24_stages.pipelines(rest), *bitrix24_stages.quote_stages(rest))
    every = (*found, *(one for one in kept.values() if (one.kind == BILL.name) is not bills))
    keep_stages(services, visitor.portal_id, every)
    return {one.id: one for one in every}


def keep_stages(services: Services, portal_id: int, stages: Sequence[Stage]) -> None:
    """Remember the portal's stages for lists."""
    with services.db.transaction() as tx:
        tx.merge(PortalStages(portal_id=portal_id, stages=[asdict(one) for one in stages], read_at=services.now()))
