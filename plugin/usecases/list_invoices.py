"""The list of invoices or other documents, live from Bitrix24 with the visitor's own token, so that Bitrix24 decides what is seen; in two requests a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from plugin.bitrix24 import documents
from plugin.bitrix24 import stages as bitrix24_stages
from plugin.domain.crm import Stage, Visitor
from plugin.domain.problems import Problem
from plugin.kinds import INVOICE, KINDS, QUOTE, Kind
from plugin.models import Batch, BatchDocument, Followed, Job, Link, Organisation, PortalStages
from plugin.portals import current_settings, live_connection
from plugin.services import Services
from plugin.talking import PortalRest, portal_rest
from plugin.usecases import invoice_states, preferences
from plugin.usecases.shown import InvoiceFilter, InvoicePage, InvoiceRow, Told
from plugin.wire import NoAnswer
from plugin.xero.documents import deep_link

GONE = ("VOIDED", "DELETED")


def page(services: Services, visitor: Visitor, asked: InvoiceFilter) -> InvoicePage:
    """One page of the list. A partner that does not answer becomes a sentence on the page, not an error."""
    columns = tuple(preferences.get(services, visitor)["columns"])
    kinds = kinds_of(services, visitor)
    with services.db.reading() as session:
        ready = may_send(session, visitor)
    try:
        rest = portal_rest(services, visitor.portal_id, visitor.user_id, "people", timeout=15)
        kind = KINDS[asked.document]
        narrowed = invoice_states.narrowed(services, visitor, rest, asked)
        found = documents.list_documents(rest, kind.crm, narrowed, page=asked.page, size=asked.size)
        rows = _rows(services, visitor, rest, kind, found.items)
    except Problem as problem:
        return InvoicePage((), 0, 0, asked, columns, Told(_kind(problem), problem.params), ready=ready, kinds=kinds)
    except NoAnswer:
        return InvoicePage((), 0, 0, asked, columns, Told("bitrix24.no_answer"), ready=ready, kinds=kinds)
    running = any(row.transfer in ("waiting", "sending") for row in rows)
    return InvoicePage(rows, found.total, found.pages, asked, columns, any_running=running, ready=ready, kinds=kinds)


def _kind(problem: Problem) -> str:
    return "bitrix24.no_smart_invoices" if problem.code in bitrix24_stages.NO_INVOICES else problem.code


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
    return _rows(services, visitor, rest, kind, documents.list_documents(rest, kind.crm, narrowed, size=most).items)


def may_send(session: Session, visitor: Visitor) -> bool:
    """Is set-up confirmed and the connection well, so that the buttons may be pressed?"""
    connection = live_connection(session, visitor.portal_id)
    return connection is not None and not connection.problem and current_settings(session, visitor.portal_id, connection.organisation_id) is not None


def _rows(services: Services, visitor: Visitor, rest: PortalRest, kind: Kind, items: Sequence[documents.ListedDocument]) -> tuple[InvoiceRow, ...]:
    stages = stages_of(services, visitor, rest, {one.stage_id for one in items})
    ids = [one.id for one in items]
    with services.db.reading() as session:
        connection = live_connection(session, visitor.portal_id)
        organisation_id = connection.organisation_id if connection else 0
        organisation = session.get(Organisation, organisation_id)
        links = {
            link.crm_id: link
            for link in session.scalars(
                select(Link).where(
                    Link.portal_id == visitor.portal_id,
                    Link.organisation_id == organisation_id,
                    Link.crm_kind == kind.name,
                    Link.crm_id.in_(ids),
                    Link.ended_at.is_(None),
                )
            )
        }
        stopped = (Followed.portal_id == visitor.portal_id, Followed.organisation_id == organisation_id, Followed.crm_kind == kind.name)
        held = {one.crm_id: one for one in session.scalars(select(Followed).where(*stopped, Followed.state == "problem", Followed.crm_id.in_(ids)))}
        attempts = invoice_states.latest_attempts(session, visitor.portal_id, kind, ids)
        batches = {one.id: one for one in session.scalars(select(Batch).where(Batch.id.in_({row.batch_id for row in attempts.values()})))}
        subjects = [kind.subject(number) for number in ids]
        active = dict(
            session.execute(
                select(Job.subject, Job.state).where(Job.portal_id == visitor.portal_id, Job.subject.in_(subjects), Job.state.in_(("waiting", "running")))
            ).all()
        )
    short_code = organisation.short_code if organisation else ""
    return tuple(
        _row(
            one,
            kind,
            stages.get(one.stage_id),
            links.get(one.id),
            attempts.get(one.id),
            batches,
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
    link: Link | None,
    attempt: BatchDocument | None,
    batches: dict[int, Batch],
    held: Followed | None,
    job: str,
    short_code: str,
    visitor: Visitor,
) -> InvoiceRow:
    batch = batches.get(attempt.batch_id) if attempt else None
    # Another person's batch is not this visitor's to open (RULES 25); that something happened is.
    openable = batch is not None and (visitor.admin or batch.created_by == visitor.user_id)
    told = _stopped(kind, link, attempt, batch, held) if not job else None
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
        batch_id=batch.id if batch and openable else None,
        batch_number=batch.number if batch else None,
        batch_at=(attempt.finished_at or batch.created_at) if attempt and batch else None,
        batch_outcome=attempt.outcome if attempt else "",
        problem=told,
    )


def _stopped(kind: Kind, link: Link | None, attempt: BatchDocument | None, batch: Batch | None, held: Followed | None) -> Told | None:
    """Why it is not in Xero as it should be: what a person's newest attempt said, else what keeps it from going by itself."""
    about = {"document": kind.name}
    failed = attempt is not None and attempt.outcome in ("problem", "refused")
    if failed and attempt and batch and not invoice_states.settled_since(link, attempt.finished_at or batch.created_at):
        return Told(attempt.problem_code or "", {**(attempt.problem_params or {}), **about})
    return Told(held.problem_code, {**(held.problem_params or {}), **about}) if held is not None else None


def _transfer(item: documents.ListedDocument, link: Link | None, failed: bool, job: str) -> str:
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


def kinds_of(services: Services, visitor: Visitor) -> tuple[str, ...]:
    """Which lists this portal has: one of quotes where stages of quotes were read."""
    with services.db.reading() as session:
        kept = session.get(PortalStages, visitor.portal_id)
    has_quotes = any(one.get("kind") == QUOTE.name for one in (kept.stages if kept else []))
    return (INVOICE.name, QUOTE.name) if has_quotes else (INVOICE.name,)


def stages_of(services: Services, visitor: Visitor, rest: PortalRest, wanted: set[str]) -> dict[str, Stage]:
    """Names and colours of stages, kept per portal; asked for again only when one turns up that is not known."""
    with services.db.reading() as session:
        kept = session.get(PortalStages, visitor.portal_id)
    known = {one["id"]: Stage(**one) for one in (kept.stages if kept else [])}
    of_old = any("kind" not in one for one in (kept.stages if kept else []))  # read before there were quotes
    if wanted <= set(known) and not of_old:
        return known
    found = (*bitrix24_stages.pipelines(rest), *bitrix24_stages.quote_stages(rest))
    keep_stages(services, visitor.portal_id, found)
    return {one.id: one for one in found}


def keep_stages(services: Services, portal_id: int, stages: Sequence[Stage]) -> None:
    """Remember the portal's stages for lists."""
    with services.db.transaction() as tx:
        tx.merge(PortalStages(portal_id=portal_id, stages=[asdict(one) for one in stages], read_at=services.now()))
