"""The last act: links, outcomes, activity and the order to write back, in one transaction per answer, under the lease."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import delete, insert, select, update

from plugin import activity, jobs, latency
from plugin.db import Transaction
from plugin.domain.compare import holds
from plugin.domain.crm import Invoice
from plugin.domain.drafts import draft_to_json, fingerprint, invoice_fingerprint
from plugin.domain.ledger import Document, Draft
from plugin.domain.problems import NEVER, Problem, Retry
from plugin.domain.statuses import status_word
from plugin.kinds import INVOICE, LINKED, Kind
from plugin.models import Batch, BatchDocument, Bitrix24Login, Followed, Job, Link, Organisation
from plugin.sending.work import Work, by_portal
from plugin.services import Services

#: What a batch shows of a document that ended: outcome, problem and notes. Documents that ended alike are written in one statement.
_Told = tuple[str, str, str, str]


@dataclass(frozen=True)
class Unasked:
    """What a job would say of a document that nobody asked for: a sweep found it changed."""

    portal_id: int
    organisation_id: int | None
    subject: str
    kind: str = ""
    caused_at: datetime | None = None
    cause: str = jobs.SWEEP
    priority: int = jobs.EVENTS
    acting_user: int | None = None

    @classmethod
    def of(cls, link: Link, changed_at: datetime | None = None) -> Unasked:
        """`changed_at`: a change at this moment; without, time alone did it, and there is nothing to be timed."""
        return cls(link.portal_id, link.organisation_id, f"{link.crm_kind}:{link.crm_id}", jobs.PULL if changed_at else "", changed_at)


About = Job | Unasked


@dataclass
class Recorder:
    """Collects what one transaction records, and writes it in few statements at its end: fifty documents cost hardly more than one."""

    services: Services
    tx: Transaction
    now: datetime
    activities: list[dict[str, Any]] = field(default_factory=list)
    bells: set[str] = field(default_factory=set)
    names: dict[tuple[int, int], str] = field(default_factory=dict)
    #: Documents that are in Xero now: whatever held them back is over.
    settled: set[tuple[int, str, int]] = field(default_factory=set)
    reactions: list[latency.Reacted] = field(default_factory=list)
    #: Links of the documents at hand, by portal, kind and CRM id, as this transaction sees them.
    links: dict[tuple[int, str, int], Link] = field(default_factory=dict)
    #: Those among them that are new; they get their ids when everything is written.
    new_links: list[Link] = field(default_factory=list)
    _ended: dict[_Told, list[int]] = field(default_factory=dict)
    _waiting: dict[tuple[datetime, str, str, str, float], list[int]] = field(default_factory=dict)
    _orders: dict[tuple[int, str, str], Callable[[], jobs.Order]] = field(default_factory=dict)

    def say(self, job: About, code: str, **params: Any) -> None:
        """A sentence about this job's document."""
        self.activities.append(
            activity.row(
                job.portal_id,
                code,
                self.now,
                organisation_id=job.organisation_id,
                subject=job.subject,
                user_id=job.acting_user,
                user_name=self._name(job),
                cause=job.cause,
                **_about(job.subject),
                **params,
            )
        )

    def _name(self, job: About) -> str:
        if job.acting_user is None:
            return ""
        key = (job.portal_id, job.acting_user)
        if key not in self.names:
            found = self.tx.scalar(select(Bitrix24Login.name).where(Bitrix24Login.portal_id == key[0], Bitrix24Login.user_id == key[1]))
            self.names[key] = found or ""
        return self.names[key]

    def end(self, job: Job, outcome: str, problem: Problem | None = None, notes: Sequence[dict[str, Any]] = ()) -> None:
        """This job is over; what became of the document is told in every batch that waits for it."""
        told = (outcome, problem.code if problem else "", _text(problem.params) if problem else "", _text(list(notes)) if notes else "")
        self._ended.setdefault(told, []).append(job.id)

    def wait(self, job: Job, run_at: datetime, problem: Problem | None) -> None:
        """This job waits again until then, because of that."""
        retry = problem.retry if problem else NEVER
        told = (run_at, problem.code if problem else "", _text(problem.params) if problem else "", retry.kind, retry.seconds)
        self._waiting.setdefault(told, []).append(job.id)

    def order(self, portal_id: int, kind: str, subject: str, made: Callable[[], jobs.Order]) -> None:
        """An order that this result leads to; `made` is asked when everything that has an id has got it."""
        self._orders[portal_id, kind, subject] = made

    def finish(self) -> None:
        """Write it all; close batches whose last document has ended and order their notification."""
        self.tx.flush()
        _insert_links(self.tx, self.new_links)
        activity.record_many(self.tx, self.activities)
        for portal_id, kind in {(portal, kind) for portal, kind, _ in self.settled}:
            ids = [crm_id for portal, name, crm_id in self.settled if (portal, name) == (portal_id, kind)]
            over = (Followed.portal_id == portal_id, Followed.crm_kind == kind, Followed.crm_id.in_(ids))
            self.tx.execute(delete(Followed).where(*over).execution_options(synchronize_session=False))
        latency.record(self.tx, self.reactions, self.now)
        batches = self._write_ends()
        for (run_at, code, params, kind, seconds), ids in self._waiting.items():
            jobs.wait_again(self.tx, ids, run_at, Problem(code, Retry(kind, seconds), **json.loads(params)) if code else None)  # type: ignore[arg-type]
        self._write_orders()
        for batch_id in jobs.end_batches(self.tx, batches, self.now):
            batch = self.tx.get_one(Batch, batch_id)
            bell = jobs.portal_bell(batch.portal_id)
            jobs.order(self.tx, jobs.Order(batch.portal_id, jobs.NOTIFY, f"batch:{batch_id}", bell, acting_user=batch.created_by), self.now)
            self.bells.add(bell)
        for bell in self.bells:
            self.tx.after_commit(lambda bell=bell: self.services.bells.ring(bell))  # type: ignore[misc]

    def _write_ends(self) -> set[int]:
        """Returns the batches that are touched by it."""
        batches: set[int] = set()
        for (outcome, code, params, notes), ids in self._ended.items():
            problem = Problem(code, **json.loads(params)) if code else None
            jobs.finish(self.tx, ids, self.now, problem)
            values: dict[str, Any] = {"outcome": outcome, "finished_at": self.now}
            values |= {"problem_code": problem.code if problem else None, "problem_params": problem.params if problem else None}
            if notes:
                values["notes"] = json.loads(notes)
            for start in range(0, len(ids), jobs.CHUNK):
                batches |= set(
                    self.tx.scalars(
                        update(BatchDocument)
                        .where(BatchDocument.job_id.in_(ids[start : start + jobs.CHUNK]), BatchDocument.outcome.in_(("waiting", "running")))
                        .values(**values)
                        .returning(BatchDocument.batch_id)
                        .execution_options(synchronize_session=False)
                    )
                )
        return batches

    def _write_orders(self) -> None:
        together: dict[tuple[int, str], list[jobs.Order]] = {}
        for (portal_id, kind, _), made in self._orders.items():
            together.setdefault((portal_id, kind), []).append(made())
        for orders in together.values():
            jobs.order_many(self.tx, orders, self.now)


def _insert_links(tx: Transaction, links: Sequence[Link]) -> None:
    """In one statement: on SQLite the mapper would need one for each. Every link knows its id afterwards."""
    if not links:
        return
    table: Any = Link.__table__
    rows = [{column.name: _given(link, column) for column in table.columns if column.name != "id"} for link in links]
    key = (table.c.portal_id, table.c.organisation_id, table.c.crm_kind, table.c.crm_id)
    ids = {tuple(names): number for number, *names in tx.execute(insert(table).returning(table.c.id, *key), rows)}
    for link in links:
        link.id = ids[link.portal_id, link.organisation_id, link.crm_kind, link.crm_id]


def _given(link: Link, column: Any) -> Any:
    value = getattr(link, column.name)
    return column.default.arg if value is None and column.default is not None else value


def _about(subject: str) -> dict[str, str]:
    """What its sentence is about, where that is no invoice."""
    kind = subject.partition(":")[0]
    return {"document": kind} if kind in LINKED and kind != INVOICE.name else {}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def order_write_back(
    recorder: Recorder,
    job: About,
    link: Link,
    *,
    was: str = "",
    log: dict[str, Any] | None = None,
    anew: bool = False,
    stage: bool = True,
    exported: bool = False,
) -> None:
    """Its own order, one update per document, at Bitrix24's pace (RULES 30). The stage is decided when it is written.

    `anew`: the fields are written even if they show the same already. Not `stage`: its stage is left alone.
    `exported`: it has just come into Xero.
    What Xero told first is timed until the CRM shows it.
    """
    bell, subject = jobs.portal_bell(link.portal_id), LINKED[link.crm_kind].back_subject(link.crm_id)
    news = job.kind == jobs.PULL and job.cause in (jobs.XERO, jobs.SWEEP)

    def made() -> jobs.Order:
        payload = {"was": was, "log": log, "link": link.id, "anew": anew, "news": news, "stage": stage, "exported": exported}
        return jobs.Order(
            link.portal_id, jobs.WRITE_BACK, subject, bell, link.organisation_id, job.priority, job.acting_user, payload, job.cause, job.caused_at
        )

    recorder.order(link.portal_id, jobs.WRITE_BACK, subject, made)
    recorder.bells.add(bell)


def order_problem_note(recorder: Recorder, job: Job, kind: Kind, crm_id: int, problem: Problem) -> None:
    """The document itself says why it did not go, if a person is looking."""
    bell, subject = jobs.portal_bell(job.portal_id), kind.back_subject(crm_id)
    payload = {"problem": {"code": problem.code, "params": problem.params}}
    one = jobs.Order(job.portal_id, jobs.WRITE_BACK, subject, bell, job.organisation_id, job.priority, job.acting_user, payload)
    recorder.order(job.portal_id, jobs.WRITE_BACK, subject, lambda: one)
    recorder.bells.add(bell)


def today_of(organisation: Organisation, now: datetime) -> date:
    """The calendar day at the organisation (X§6.7: Xero's own names of time zones)."""
    return now.astimezone(zone_of((organisation.facts or {}).get("timezone", ""))).date()


#: Xero's Windows-style zone names, squeezed; those of the editions that Xero sells (X§6.7). Others fall back to UTC.
_ZONES = {
    "NEWZEALANDSTANDARDTIME": "Pacific/Auckland",
    "AUSEASTERNSTANDARDTIME": "Australia/Sydney",
    "EAUSTRALIASTANDARDTIME": "Australia/Brisbane",
    "CENAUSTRALIASTANDARDTIME": "Australia/Adelaide",
    "AUSCENTRALSTANDARDTIME": "Australia/Darwin",
    "WAUSTRALIASTANDARDTIME": "Australia/Perth",
    "TASMANIASTANDARDTIME": "Australia/Hobart",
    "GMTSTANDARDTIME": "Europe/London",
    "GREENWICHSTANDARDTIME": "Atlantic/Reykjavik",
    "WEUROPESTANDARDTIME": "Europe/Berlin",
    "ROMANCESTANDARDTIME": "Europe/Paris",
    "CENTRALEUROPESTANDARDTIME": "Europe/Budapest",
    "FLESTANDARDTIME": "Europe/Kiev",
    "SOUTHAFRICASTANDARDTIME": "Africa/Johannesburg",
    "SINGAPORESTANDARDTIME": "Asia/Singapore",
    "CHINASTANDARDTIME": "Asia/Shanghai",
    "INDIASTANDARDTIME": "Asia/Kolkata",
    "ARABIANSTANDARDTIME": "Asia/Dubai",
    "EASTERNSTANDARDTIME": "America/New_York",
    "CENTRALSTANDARDTIME": "America/Chicago",
    "MOUNTAINSTANDARDTIME": "America/Denver",
    "USMOUNTAINSTANDARDTIME": "America/Phoenix",
    "PACIFICSTANDARDTIME": "America/Los_Angeles",
    "ALASKANSTANDARDTIME": "America/Anchorage",
    "HAWAIIANSTANDARDTIME": "Pacific/Honolulu",
    "ATLANTICSTANDARDTIME": "America/Halifax",
    "NEWFOUNDLANDSTANDARDTIME": "America/St_Johns",
}


def zone_of(name: str) -> ZoneInfo:
    """An IANA zone for Xero's name of it."""
    return ZoneInfo(_ZONES.get(name.upper(), "UTC"))


def know_links(recorder: Recorder, works: Sequence[Work]) -> None:
    """Read the links of these documents in this transaction, all at once, for `keep_link`."""
    for portal_id, of_portal in by_portal(works).items():
        ids = [one.crm_id for one in of_portal]
        for start in range(0, len(ids), jobs.CHUNK):
            query = select(Link).where(
                Link.portal_id == portal_id,
                Link.organisation_id == of_portal[0].ready.organisation.id,
                Link.crm_kind.in_({one.kind.name for one in of_portal}),
                Link.crm_id.in_(ids[start : start + jobs.CHUNK]),
                Link.ended_at.is_(None),
            )
            recorder.links |= {(portal_id, link.crm_kind, link.crm_id): link for link in recorder.tx.scalars(query)}


def keep_link(recorder: Recorder, work: Work, document: Document, how: str, sent: Draft | None = None) -> Link:
    """The pair of ids, with what each side looks like now. `know_links` has read the link that is there.

    `sent`: what Xero has been told, for the next comparison.
    """
    tx, now, key = recorder.tx, recorder.now, (work.job.portal_id, work.kind.name, work.crm_id)
    link = recorder.links.get(key)
    suffix = 0
    if link is not None and link.xero_id != document.id:
        suffix = link.suffix + 1 if link.suffix else 2
        link.ended_at, link.ended_reason = now, "sent_as_new"
        tx.flush()
        link = None
    if link is None:
        link = Link(
            portal_id=work.job.portal_id,
            organisation_id=work.ready.organisation.id,
            crm_kind=work.kind.name,
            crm_id=work.crm_id,
            xero_kind=work.kind.name,
            xero_id=document.id,
            suffix=suffix,
            how=how,
            created_at=now,
        )
        recorder.new_links.append(link)
        recorder.links[key] = link
    if sent is not None:
        link.sent, link.crm_fingerprint = draft_to_json(sent), fingerprint(sent)
    link.agreed_at = document.updated_at if sent is not None and holds(document, sent) else None
    if work.invoice is not None:
        link.made_from = work.invoice.quote_id
        see_crm(link, work.invoice, work.link)
    recorder.settled.add((work.job.portal_id, work.kind.name, work.crm_id))
    link.settings_number, link.settled_at = work.ready.settings_number, now
    see(link, document, today_of(work.ready.organisation, now))
    return link


def see_crm(link: Link, invoice: Invoice, before: Link | None) -> None:
    """Take over what the CRM says now: what is equal to it later is no change (RULES 22). `before` is the link as it was when that was read."""
    link.crm_gone_at = None
    link.crm_seen = invoice_fingerprint(invoice)
    link.crm_updated_at = max(invoice.updated_at, link.crm_updated_at or invoice.updated_at)
    if before is None or before.id != link.id or before.stage_written == link.stage_written:
        # Else we have moved it since: the stage that was read is an old one.
        link.crm_stage = invoice.stage_id
        link.stage_written = link.stage_written if invoice.stage_id == link.stage_written else ""


def see(link: Link, document: Document, today: date) -> bool:
    """Take over what Xero authors: number, status, amounts, dates. True when any of it changed."""
    before = facts(link)
    was = link.xero_word
    link.number, link.xero_status, link.xero_word = document.number, document.status, status_word(document, today)
    link.xero_updated_at = document.updated_at or link.xero_updated_at
    link.total = document.total
    owed = document.type != "QUOTE"
    link.amount_due = document.amount_due if owed else None
    link.amount_paid = document.amount_paid + document.amount_credited if owed else None
    link.currency, link.paid_on, link.due_date = document.currency, document.fully_paid_on, document.due_date
    if was and was != "paid" == link.xero_word and not link.paid_trigger and document.type != "ACCPAY":  # automation hears of sales
        link.paid_trigger = "due"
    return before != facts(link)


def facts(link: Link) -> tuple[Any, ...]:
    """What Xero authors and people see, as the link knows it."""
    return (link.number, link.xero_status, link.xero_word, link.amount_due, link.amount_paid, link.paid_on)


def shown_fingerprint(link: Link) -> str:
    """What the CRM's own fields show of a link; equal means nothing to write. Xero's 5.00 and the column's 5.0000 are the same."""
    due, paid = (None if one is None else f"{one:.4f}" for one in (link.amount_due, link.amount_paid))
    shown = [link.xero_id, link.number, link.xero_word, str(due), str(paid), str(link.paid_on)]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()


def end_jobs(recorder: Recorder, ended: Iterable[tuple[Job, Problem | None]], pace: float) -> None:
    """Jobs whose work is over or must wait: ended with their problem, or put back for as long as the retry rule says."""
    for job, problem in ended:
        again = jobs.next_try(problem, job.attempts, recorder.now, pace) if problem is not None else None
        if again is not None:
            recorder.wait(job, again, problem)
            continue
        recorder.end(job, "problem" if problem is not None else "unchanged", problem)
        if problem is not None:
            recorder.say(job, "activity.not_sent", problem=problem.code, details=problem.params)
