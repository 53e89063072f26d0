"""The first synchronisation: fill the directory, link what already exists on both sides, list what is doubtful (RULES 9, 10, 14).

It runs in the background with progress; the person may go on. It writes links and fields only; stages are moved on a yes.

Problems made here: link.taken (the customer or invoice of a pair was linked otherwise meanwhile), portal.not_connected; of a pair whose
invoice or document is gone: send.deleted, xero.gone (number). Told: reason.<name>. Activities: activity.first_sync (contacts, items,
documents, would_move), activity.linked (number), activity.contact_linked (customer, contact).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from plugin import activity, directory, jobs
from plugin.bitrix24 import customers, documents
from plugin.bitrix24.client import Rest
from plugin.db import Transaction
from plugin.domain import matching
from plugin.domain.crm import Customer, Invoice, Visitor
from plugin.domain.ledger import Document
from plugin.domain.numbers import contact_number
from plugin.domain.problems import Problem
from plugin.domain.statuses import next_stage
from plugin.kinds import INVOICE, KINDS, QUOTE, Kind, crm_id_of, kind_of
from plugin.models import DirectoryEntry, Doubt, FirstRun, Link
from plugin.portals import Ready, live_connection, ready
from plugin.receiving import rhythm
from plugin.sending.record import see, today_of
from plugin.sending.work import crm_url
from plugin.services import Services
from plugin.talking import XeroBooks, books_of, portal_rest, service_rest
from plugin.usecases import NotAllowed, NotHere
from plugin.usecases.open_app import first_run_shown
from plugin.usecases.shown import DoubtfulPair, FirstSync, Told

DOCUMENTS_MOST = 20_000
DOUBTS_MOST = 500


def progress(services: Services, visitor: Visitor) -> FirstSync:
    """How far it is."""
    with services.db.reading() as session:
        connection = live_connection(session, visitor.portal_id)
        if connection is None:
            return FirstSync("none")
        run = session.scalar(select(FirstRun).where(FirstRun.portal_id == visitor.portal_id, FirstRun.organisation_id == connection.organisation_id))
        open_doubts = session.scalar(
            select(func.count())
            .select_from(Doubt)
            .where(Doubt.portal_id == visitor.portal_id, Doubt.organisation_id == connection.organisation_id, Doubt.decided.is_(None))
        )
    return replace(first_run_shown(run), doubtful=open_doubts or 0)


def again(services: Services, visitor: Visitor) -> None:
    """Run it once more: an administrator asked, after a problem or after changes on either side."""
    if not visitor.admin:
        raise NotAllowed
    now, bell = services.now(), jobs.portal_bell(visitor.portal_id)
    with services.db.transaction() as tx:
        connection = live_connection(tx, visitor.portal_id)
        if connection is None:
            raise Problem("portal.not_connected")
        run = _run_row(tx, visitor.portal_id, connection.organisation_id)
        if run is None:
            tx.add(FirstRun(portal_id=visitor.portal_id, organisation_id=connection.organisation_id, state="running", started_at=now))
        else:
            run.state, run.stage, run.done, run.total, run.problem_code, run.started_at = "running", "", 0, 0, None, now
        jobs.order(tx, jobs.Order(visitor.portal_id, jobs.FIRST_RUN, "first_run", bell, connection.organisation_id, acting_user=visitor.user_id), now)
        tx.after_commit(lambda: services.bells.ring(bell))


def _run_row(tx: Any, portal_id: int, organisation_id: int) -> FirstRun | None:
    found: FirstRun | None = tx.scalar(select(FirstRun).where(FirstRun.portal_id == portal_id, FirstRun.organisation_id == organisation_id))
    return found


def run(services: Services, portal_id: int) -> None:
    """The worker's part. Safe to repeat: links that exist stay, doubts that a person decided stay decided."""
    with services.db.reading() as session:
        context = ready(session, portal_id)
    told = _Progress(services, context)
    try:
        books = books_of(services, context.connection, "bulk")
        directory.ensure(services, books, (directory.ORGANISATION, directory.ACCOUNT, directory.TAX), progress=told)
        directory.ensure(services, books, (directory.ITEM, directory.CONTACT), fresh_for=0.0, progress=told)  # `again` means: with what changed since
        rest = service_rest(services, portal_id)
        counts: dict[str, int] = {"items": _count(services, context, directory.ITEM)}
        counts["contacts"] = _link_customers(services, context, rest, told)
        counts["documents"], counts["would_move"] = _link_kind(services, context, INVOICE, rest, books, told)
        counts["quotes"], quotes_would_move = _link_kind(services, context, QUOTE, rest, books, told)
        counts["would_move"] += quotes_would_move
        told.done(counts)
    except Problem as problem:
        told.failed(problem)
        raise


class _Progress:
    """Writes down how far the run is, for the card on the page."""

    def __init__(self, services: Services, context: Ready) -> None:
        self.services, self.portal_id, self.organisation_id = services, context.portal.id, context.organisation.id

    def __call__(self, stage: str, done: int, total: int) -> None:
        self._write(stage=stage, done=done, total=total, state="running")

    def done(self, counts: dict[str, int]) -> None:
        now = self.services.now()
        self._write(stage="done", state="done", counts=counts, finished_at=now, problem_code=None, problem_params=None)
        with self.services.db.transaction() as tx:
            shown: dict[str, Any] = {**counts}
            activity.record(tx, self.portal_id, "activity.first_sync", now, organisation_id=self.organisation_id, **shown)

    def failed(self, problem: Problem) -> None:
        self._write(problem_code=problem.code, problem_params=problem.params, state="problem" if problem.retry.kind == "never" else "running")

    def _write(self, **values: Any) -> None:
        with self.services.db.transaction() as tx:
            tx.execute(
                update(FirstRun)
                .where(FirstRun.portal_id == self.portal_id, FirstRun.organisation_id == self.organisation_id)
                .values(**values)
                .execution_options(synchronize_session=False)
            )


def _count(services: Services, context: Ready, kind: str) -> int:
    with services.db.reading() as session:
        mine = (DirectoryEntry.organisation_id == context.organisation.id, DirectoryEntry.kind == kind)
        return session.scalar(select(func.count()).select_from(DirectoryEntry).where(*mine)) or 0


def _link_customers(services: Services, context: Ready, rest: Rest, told: _Progress) -> int:
    """Companies and people against the organisation's contacts: certain pairs are linked, doubtful ones listed."""
    found: list[Customer] = []
    kinds: tuple[customers.Kind, ...] = ("company", "contact")
    for kind in kinds:
        for part in customers.ids(rest, kind):
            found += customers.read(rest, [(kind, number) for number in part])
            told("contacts", len(found), 0)
    with services.db.reading() as session:
        contacts = directory.all_contacts(session, context.organisation.id)
        linked = _linked(session, context)
    left = [one for one in found if one.subject not in linked]
    named = [replace(one, name=matching.person_name(one, context.settings.name_person)) for one in left]
    pairs = matching.match_pairs(named, contacts, lambda one: contact_number(context.portal.member_id, one.kind, one.id))
    now, made = services.now(), 0
    with services.db.transaction() as tx:
        linked, refused = _linked(tx, context), _refused(tx, context)  # people go on meanwhile
        _forget_doubts(tx, context, "contact", {(one.customer.subject, one.contact.id) for one in pairs.doubtful})
        for pair in pairs.certain:
            if pair.customer.subject in linked or (pair.customer.subject, pair.contact.id) in refused:
                continue
            made += 1
            tx.add(
                Link(
                    portal_id=context.portal.id,
                    organisation_id=context.organisation.id,
                    crm_kind=pair.customer.kind,
                    crm_id=pair.customer.id,
                    xero_kind="contact",
                    xero_id=pair.contact.id,
                    number=pair.contact.number,
                    how="matched",
                    created_at=now,
                )
            )
        for doubt in pairs.doubtful[:DOUBTS_MOST]:
            if doubt.customer.subject in linked:
                continue
            _keep_doubt(
                tx,
                context,
                now,
                doubt.customer.subject,
                "contact",
                doubt.contact.id,
                doubt.score,
                {
                    "crm_label": doubt.customer.name,
                    "crm_detail": _beside(doubt.customer.email, doubt.customer.tax_number),
                    "xero_label": doubt.contact.name,
                    "xero_detail": _beside(doubt.contact.email, doubt.contact.tax_number),
                    "reasons": list(doubt.reasons),
                },
            )
    return made + len(linked & {one.subject for one in found})


def _beside(*facts: str) -> str:
    """What tells two of the same name apart, as far as it is known."""
    return " · ".join(fact for fact in facts if fact)


def _refused(session: Session, context: Ready) -> set[tuple[str, str]]:
    """Pairs of which a person said that they are not the same: not linked by us either, however certain they look later."""
    mine = (Doubt.portal_id == context.portal.id, Doubt.organisation_id == context.organisation.id, Doubt.decided == "no")
    return {(subject, xero_id) for subject, xero_id in session.execute(select(Doubt.crm_subject, Doubt.xero_id).where(*mine))}


def _forget_doubts(tx: Transaction, context: Ready, kind: str, still: set[tuple[str, str]]) -> None:
    """Undecided pairs that an earlier run listed and this one does not: linked by now, renamed, or gone."""
    mine = (Doubt.portal_id == context.portal.id, Doubt.organisation_id == context.organisation.id, Doubt.xero_kind == kind, Doubt.decided.is_(None))
    for doubt in tx.scalars(select(Doubt).where(*mine)):
        if (doubt.crm_subject, doubt.xero_id) not in still:
            tx.delete(doubt)


def _linked(session: Session, context: Ready) -> set[str]:
    query = select(Link.crm_kind, Link.crm_id).where(
        Link.portal_id == context.portal.id, Link.organisation_id == context.organisation.id, Link.crm_kind.in_(("company", "contact")), Link.ended_at.is_(None)
    )
    return {f"{kind}:{number}" for kind, number in session.execute(query)}


def _keep_doubt(tx: Transaction, context: Ready, now: Any, subject: str, kind: str, xero_id: str, score: int, shown: dict[str, Any]) -> None:
    held = tx.scalar(
        select(Doubt).where(
            Doubt.portal_id == context.portal.id, Doubt.organisation_id == context.organisation.id, Doubt.crm_subject == subject, Doubt.xero_id == xero_id
        )
    )
    if held is None:
        tx.add(
            Doubt(
                portal_id=context.portal.id,
                organisation_id=context.organisation.id,
                crm_subject=subject,
                xero_kind=kind,
                xero_id=xero_id,
                score=score,
                shown=shown,
                created_at=now,
            )
        )
    elif held.decided is None:
        held.score, held.shown = score, shown


def _link_kind(services: Services, context: Ready, kind: Kind, rest: Rest, books: XeroBooks, told: _Progress) -> tuple[int, int]:
    """One kind of document. Xero's quotes are asked for only where the CRM has any; its invoices always, for they are what later sweeps go on from."""
    in_crm: list[Invoice] = []
    for part in documents.ids_matching(rest, kind.crm, documents.Narrowed(), DOCUMENTS_MOST):
        in_crm += documents.read_documents(rest, kind.crm, part, as_admin=True, details=False).documents.values()
        told("documents", len(in_crm), 0)
    if not in_crm and kind is not INVOICE:
        return 0, 0
    return _link_documents(services, context, kind, in_crm, _xero_documents(books, kind, told))


def _xero_documents(books: XeroBooks, kind: Kind, told: _Progress) -> list[Document]:
    """All documents of this kind in the organisation, as summaries where Xero has such: a thousand a call."""
    found: list[Document] = []
    page, pages = 1, 1
    while page <= pages:
        part, pages = kind.xero.modified(books, None, page, summary=True)
        found += [one for one in part if kind.xero.is_ours(one)]
        told("documents", len(found), 0)
        page += 1
    return found


def _link_documents(services: Services, context: Ready, kind: Kind, in_crm: Sequence[Invoice], held: Sequence[Document]) -> tuple[int, int]:
    """Documents of the CRM against those that are in Xero already. Returns how many are linked, and how many stages would move."""
    with services.db.reading() as session:
        contact_of = _contacts_of(session, context)
        linked, taken = _linked_documents(session, context, kind)
    listed = [_listed(context, kind, one, contact_of) for one in in_crm if one.id not in linked]
    pairs = matching.match_documents(listed, [one for one in held if one.id not in taken])
    by_id = {one.id: one for one in in_crm}
    now, today = services.now(), today_of(context.organisation, services.now())
    moved = 0
    with services.db.transaction() as tx:
        linked, taken = _linked_documents(tx, context, kind)  # people send meanwhile
        refused = _refused(tx, context)
        _forget_doubts(tx, context, kind.name, {(kind.subject(one.listed.id), one.document.id) for one in pairs.doubtful})
        for pair in pairs.certain:
            if pair.listed.id in linked or pair.document.id in taken or (kind.subject(pair.listed.id), pair.document.id) in refused:
                continue
            linked.add(pair.listed.id)
            link = link_document(tx, context, kind, by_id[pair.listed.id], pair.document, today, now)
            moved += _would_move(context, link)
        for doubt in pairs.doubtful[:DOUBTS_MOST]:
            if doubt.listed.id in linked or doubt.document.id in taken:
                continue
            invoice = by_id[doubt.listed.id]
            shown = {
                "crm_label": f"{invoice.number} {invoice.title}".strip(),
                "crm_detail": f"{invoice.total} {invoice.currency}",
                "xero_label": f"{doubt.document.number or doubt.document.reference} {doubt.document.contact_name}".strip(),
                "xero_detail": f"{doubt.document.total} {doubt.document.currency}",
                "reasons": list(doubt.reasons),
            }
            _keep_doubt(tx, context, now, kind.subject(invoice.id), kind.name, doubt.document.id, doubt.score, shown)
        newest = max((one.updated_at for one in held if one.updated_at), default=now)
        directory.set_watermark(tx, context.organisation.id, kind.watermark, newest, now)
        rhythm.begin(tx, context.organisation.id, now)
        bell = jobs.portal_bell(context.portal.id)
        tx.after_commit(lambda: services.bells.ring(bell))
    return len(linked), moved


def _would_move(context: Ready, link: Link) -> bool:
    """Does its status in Xero lead to another stage than the one it stands in?"""
    return next_stage(link.xero_word, link.crm_stage, context.settings, kind=link.crm_kind) is not None


def _linked_documents(session: Session, context: Ready, kind: Kind) -> tuple[set[int], set[str]]:
    """This portal's documents that are in Xero, and Xero's that are in a CRM, in whichever portal (RULES 4)."""
    live = (Link.organisation_id == context.organisation.id, Link.crm_kind == kind.name, Link.ended_at.is_(None))
    found = session.execute(select(Link.portal_id, Link.crm_id, Link.xero_id).where(*live)).all()
    return {crm_id for portal_id, crm_id, _ in found if portal_id == context.portal.id}, {xero_id for *_, xero_id in found}


def _contacts_of(session: Session, context: Ready) -> dict[tuple[str, int], tuple[str, str]]:
    """Customers that are linked: (kind, id) → ContactID and the contact's name."""
    query = (
        select(Link.crm_kind, Link.crm_id, Link.xero_id, DirectoryEntry.body)
        .join(
            DirectoryEntry,
            (DirectoryEntry.organisation_id == Link.organisation_id) & (DirectoryEntry.xero_id == Link.xero_id) & (DirectoryEntry.kind == directory.CONTACT),
        )
        .where(Link.portal_id == context.portal.id, Link.organisation_id == context.organisation.id, Link.xero_kind == "contact", Link.ended_at.is_(None))
    )
    return {(kind, number): (xero_id, body["name"]) for kind, number, xero_id, body in session.execute(query)}


def _listed(context: Ready, kind: Kind, invoice: Invoice, contact_of: dict[tuple[str, int], tuple[str, str]]) -> matching.Listed:
    contact_id, name = contact_of.get(invoice.customer_ref, ("", "")) if invoice.customer_ref else ("", "")
    number = f"{context.settings.number_prefix}{invoice.number}"
    return matching.Listed(
        invoice.id,
        number,
        name,
        invoice.total,
        invoice.currency,
        invoice.date,
        crm_url(context.portal.client_endpoint, kind, invoice.id),
        contact_id,
        (invoice.number, invoice.title),
    )


def link_document(tx: Transaction, context: Ready, kind: Kind, invoice: Invoice, document: Document, today: Any, now: Any) -> Link:
    """A document that was in Xero before: linked, its fields written to the CRM, its stage left alone."""
    link = Link(
        portal_id=context.portal.id,
        organisation_id=context.organisation.id,
        crm_kind=kind.name,
        crm_id=invoice.id,
        xero_kind=kind.name,
        xero_id=document.id,
        crm_stage=invoice.stage_id,
        made_from=invoice.quote_id,
        crm_updated_at=invoice.updated_at,
        settings_number=context.settings_number,
        how="linked",
        created_at=now,
    )
    see(link, document, today)
    tx.add(link)
    tx.flush()
    payload = {"link": link.id, "stage": False}
    bell = jobs.portal_bell(context.portal.id)
    jobs.order(tx, jobs.Order(context.portal.id, jobs.WRITE_BACK, kind.back_subject(invoice.id), bell, context.organisation.id, jobs.BULK, None, payload), now)
    activity.record(
        tx,
        context.portal.id,
        "activity.linked",
        now,
        organisation_id=context.organisation.id,
        subject=kind.subject(invoice.id),
        xero_id=document.id,
        number=document.number,
    )
    return link


def doubtful(services: Services, visitor: Visitor) -> tuple[DoubtfulPair, ...]:
    """Pairs that a person must decide, best first."""
    if not visitor.admin:
        raise NotAllowed
    with services.db.reading() as session:
        connection = live_connection(session, visitor.portal_id)
        if connection is None:
            return ()
        rows = session.scalars(
            select(Doubt)
            .where(Doubt.portal_id == visitor.portal_id, Doubt.organisation_id == connection.organisation_id, Doubt.decided.is_(None))
            .order_by(Doubt.score.desc(), Doubt.id)
        ).all()
    return tuple(
        DoubtfulPair(
            one.id,
            "document" if one.xero_kind in KINDS else "customer",
            one.shown["crm_label"],
            one.shown["crm_detail"],
            one.shown["xero_label"],
            one.shown["xero_detail"],
            one.score,
            tuple(Told(f"reason.{reason}") for reason in one.shown["reasons"]),
        )
        for one in rows
    )


def decide(services: Services, visitor: Visitor, pair_id: int, accept: bool) -> None:
    """The same, or not the same. Linking one pair ends the rival pairs of both sides."""
    if not visitor.admin:
        raise NotAllowed
    with services.db.reading() as session:
        context = ready(session, visitor.portal_id)
        doubt = _open_doubt(session, context, pair_id)
    pair = _read_pair(services, visitor, context, doubt) if accept and doubt.xero_kind in KINDS else None
    now, bell = services.now(), jobs.portal_bell(visitor.portal_id)
    with services.db.transaction() as tx:
        doubt = _open_doubt(tx, context, pair_id)
        doubt.decided, doubt.decided_by = ("yes" if accept else "no"), visitor.user_id
        if not accept:
            return
        _still_free(tx, context, doubt)
        if pair is None:
            _link_contact(tx, context, doubt, now)
        else:
            link = link_document(tx, context, kind_of(doubt.crm_subject), *pair, today_of(context.organisation, now), now)
            _count_move(tx, context, link)
        rivals = (Doubt.portal_id == visitor.portal_id) & (Doubt.organisation_id == context.organisation.id) & Doubt.decided.is_(None)
        either = Doubt.crm_subject == doubt.crm_subject
        if pair is not None:
            either |= Doubt.xero_id == doubt.xero_id
        tx.execute(delete(Doubt).where(rivals, either).execution_options(synchronize_session=False))
        tx.after_commit(lambda: services.bells.ring(bell))


def _open_doubt(session: Session, context: Ready, pair_id: int) -> Doubt:
    mine = (Doubt.id == pair_id, Doubt.portal_id == context.portal.id, Doubt.organisation_id == context.organisation.id, Doubt.decided.is_(None))
    found = session.scalar(select(Doubt).where(*mine).with_for_update() if isinstance(session, Transaction) else select(Doubt).where(*mine))
    if found is None:
        raise NotHere
    return found


def _read_pair(services: Services, visitor: Visitor, context: Ready, doubt: Doubt) -> tuple[Invoice, Document]:
    """Both sides as they are now, each from its owner."""
    kind, number = kind_of(doubt.crm_subject), crm_id_of(doubt.crm_subject)
    rest = portal_rest(services, visitor.portal_id, visitor.user_id, "people", timeout=15)
    invoice = documents.read_documents(rest, kind.crm, [number], as_admin=True, details=False).documents.get(number)
    if invoice is None:
        raise Problem("send.deleted", document=kind.name)
    document = next(iter(kind.xero.by_ids(books_of(services, context.connection, "people"), [doubt.xero_id])), None)
    if document is None or document.status in ("VOIDED", "DELETED"):
        raise Problem("xero.gone", number=doubt.shown["xero_label"])
    return invoice, document


def _count_move(tx: Transaction, context: Ready, link: Link) -> None:
    """The stage of a document linked by hand waits for the same yes as the others."""
    run_row = _run_row(tx, context.portal.id, context.organisation.id)
    if run_row is not None and _would_move(context, link):
        counts = run_row.counts or {}
        run_row.counts = {**counts, "would_move": counts.get("would_move", 0) + 1}


def _still_free(tx: Transaction, context: Ready, doubt: Doubt) -> None:
    kind, _, number = doubt.crm_subject.partition(":")
    taken = (Link.portal_id == context.portal.id) & (Link.crm_kind == kind) & (Link.crm_id == int(number))
    if doubt.xero_kind in KINDS:
        taken |= Link.xero_id == doubt.xero_id
    if tx.scalar(select(Link.id).where(Link.organisation_id == context.organisation.id, Link.ended_at.is_(None), taken).limit(1)) is not None:
        raise Problem("link.taken")


def _link_contact(tx: Transaction, context: Ready, doubt: Doubt, now: datetime) -> None:
    kind, _, number = doubt.crm_subject.partition(":")
    link = Link(
        portal_id=context.portal.id,
        organisation_id=context.organisation.id,
        crm_kind=kind,
        crm_id=int(number),
        xero_kind="contact",
        xero_id=doubt.xero_id,
        how="decided",
        created_at=now,
    )
    tx.add(link)
    activity.record(
        tx,
        context.portal.id,
        "activity.contact_linked",
        now,
        organisation_id=context.organisation.id,
        subject=doubt.crm_subject,
        xero_id=doubt.xero_id,
        customer=doubt.shown["crm_label"],
        contact=doubt.shown["xero_label"],
    )


def move_stages(services: Services, visitor: Visitor) -> None:
    """The person said yes: the stages of linked documents follow what Xero says; this runs the portal's robots (RULES 9)."""
    if not visitor.admin:
        raise NotAllowed
    now, bell = services.now(), jobs.portal_bell(visitor.portal_id)
    with services.db.transaction() as tx:
        context = ready(tx, visitor.portal_id)
        links = tx.scalars(
            select(Link).where(
                Link.portal_id == visitor.portal_id,
                Link.organisation_id == context.organisation.id,
                Link.crm_kind.in_(KINDS),
                Link.how == "linked",
                Link.ended_at.is_(None),
            )
        ).all()
        orders = [
            jobs.Order(
                visitor.portal_id,
                jobs.WRITE_BACK,
                KINDS[one.crm_kind].back_subject(one.crm_id),
                bell,
                context.organisation.id,
                jobs.BULK,
                visitor.user_id,
                {"link": one.id, "force": True},
            )
            for one in links
        ]
        jobs.order_many(tx, orders, now)
        run_row = _run_row(tx, visitor.portal_id, context.organisation.id)
        if run_row is not None:
            run_row.counts = {**(run_row.counts or {}), "would_move": 0}
        tx.after_commit(lambda: services.bells.ring(bell))
