"""Create / Edit on Xero: a run of orders becomes a few calls. Read, translate, resolve, announce, talk, record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update

from plugin import directory, jobs, leases
from plugin.domain.checks import lock_date
from plugin.domain.compare import Conflict, Unchanged, Update, compare, push, with_line_ids
from plugin.domain.drafts import draft_from_json, draft_to_json, fingerprint
from plugin.domain.ledger import Document, Draft, Outcome
from plugin.domain.matching import Listed, may_link
from plugin.domain.numbers import document_number
from plugin.domain.problems import Problem, after
from plugin.domain.translate import translate
from plugin.limits import Lane
from plugin.models import Call, Job, Link, Organisation
from plugin.portals import currencies, organisation_value
from plugin.sending import read
from plugin.sending.flight import Flight, Plan
from plugin.sending.record import Recorder, end_jobs, keep_link, order_problem_note, order_write_back
from plugin.sending.resolve import Resolver, close_call
from plugin.sending.work import Ended, Work, crm_url
from plugin.wire import Answer
from plugin.xero import documents
from plugin.xero.errors import problem_of_errors

#: Lists that are this old are read again before a run; Xero's refusal makes them stale at once.
LISTS_FRESH = 600.0
_LISTS = (directory.ORGANISATION, directory.ACCOUNT, directory.TAX)
_STALE_LISTS = {
    "xero.account_archived": (directory.ACCOUNT,),
    "xero.account_invalid": (directory.ACCOUNT,),
    "xero.tax_invalid": (directory.TAX,),
    "xero.tax_account_mismatch": (directory.TAX, directory.ACCOUNT),
    "xero.currency_missing": (directory.ORGANISATION,),
    "xero.locked_period": (directory.ORGANISATION,),
    "xero.locked_year": (directory.ORGANISATION,),
    "xero.contact_archived": (directory.CONTACT,),
    "xero.item_invalid": (directory.ITEM,),
    "xero.gone": (directory.CONTACT,),
}


@dataclass
class _Run:
    """A run of works through the stages; what ended is recorded when a stage is over."""

    flight: Flight
    lane: Lane
    taken: list[tuple[Work, Problem]] = field(default_factory=list)

    def end(self, ended: Iterable[Ended]) -> None:
        """Record works that end without a call, or must wait."""
        pairs = list(ended)
        if not pairs:
            return
        with self.flight.services.db.transaction() as tx:
            leases.check(tx, self.flight.lease, self.flight.fence)
            recorder = Recorder(self.flight.services, tx, self.flight.services.now())
            _end(recorder, pairs, self.flight.services.config.pace)
            recorder.finish()


def _end(recorder: Recorder, ended: Sequence[Ended], pace: float) -> None:
    for one in ended:
        job = one.work.job
        if one.problem is not None:
            end_jobs(recorder, [(job, one.problem)], pace)
            over = jobs.next_try(one.problem, job.attempts, recorder.now, pace) is None
            if over and job.priority == jobs.PEOPLE and one.problem.code not in ("send.may_not_see", "send.may_not_edit", "send.deleted"):
                order_problem_note(recorder, job, one.work.crm_id, one.problem)
            continue
        jobs.finish(recorder.tx, [job.id], recorder.now)
        recorder.outcome(job, "unchanged", notes=one.work.notes)
        if one.work.link is not None and one.work.job.priority == jobs.PEOPLE:
            order_write_back(recorder, job, one.work.link)


def send(flight: Flight, works: Sequence[Work], lane: Lane) -> None:
    """Carry these documents to Xero. Every job ends recorded: sent, unchanged, a problem, or waiting again."""
    run = _Run(flight, lane)
    going = _without(run, works, read.read(flight.services, works, lane))
    if not going:
        return
    try:
        directory.ensure(flight.services, replace(flight.books, lane=lane), _LISTS, fresh_for=LISTS_FRESH)
        going = _resolve_and_translate(run, going)
    except Problem as problem:
        run.end(Ended(one, problem) for one in going)
        return
    creates, updates = _sort(run, going)
    plans = [_create_plan(run, part) for part in _split(creates)]
    plans += [_update_plan(run, part) for part in _split_changes(updates)]
    flight.fly(plans, lane)
    if run.taken:
        _number_taken(run)


def _without(run: _Run, works: Sequence[Work], ended: Sequence[Ended]) -> list[Work]:
    run.end(ended)
    gone = {id(one.work) for one in ended}
    return [one for one in works if id(one) not in gone]


def _resolve_and_translate(run: _Run, works: list[Work]) -> list[Work]:
    """Contacts and items first for what may go at all, then each invoice becomes a draft or a problem."""
    flight = run.flight
    with flight.services.db.reading() as session:
        organisation_row = session.get_one(Organisation, flight.books.organisation_id)
        accounts = directory.accounts(session, organisation_row.id)
        tax_rates = directory.tax_rates(session, organisation_row.id)
    organisation, money = organisation_value(organisation_row), currencies(organisation_row)

    def draft_of(one: Work, contact_id: str, items: Mapping[int, Any]) -> Draft:
        suffix = _suffix(one)
        return translate(
            one.settled,
            settings=one.ready.settings,
            organisation=organisation,
            accounts=accounts,
            tax_rates=tax_rates,
            currencies=money,
            contact_id=contact_id,
            contact_tax=one.ready.settings.tax_by_customer.get(one.customer.subject, "") if one.customer else "",
            items=items,
            products=one.products,
            url=crm_url(one.ready.portal.client_endpoint, one.crm_id),
            number=document_number(one.settled, one.ready.settings, suffix),
            linked=one.link is not None and not one.as_new,
            older_too=one.job.acting_user is not None,
        )

    # Checked before anything is created in Xero: no contact is made for an invoice that cannot go.
    ended: list[Ended] = []
    for one in works:
        try:
            draft_of(one, "unresolved", {})
        except Problem as problem:
            ended.append(Ended(one, problem))
    going = _without(run, works, ended)
    resolver = Resolver(flight, run.lane)
    going = _without(run, going, resolver.contacts(going))
    resolver.items(going)
    ended = []
    for one in going:
        try:
            one.draft = draft_of(one, one.contact_id, resolver.choices.get(one.job.portal_id, {}))
        except Problem as problem:
            ended.append(Ended(one, problem))
    return _without(run, going, ended)


def _suffix(one: Work) -> int:
    if one.as_new and one.link is not None:
        return one.link.suffix + 1 if one.link.suffix else 2
    return one.link.suffix if one.link is not None else 0


def _sort(run: _Run, works: Sequence[Work]) -> tuple[list[Work], list[tuple[Work, documents.Change]]]:
    """Absent in Xero: create. Present: what three versions say (RULES 19). Unchanged costs no call."""
    creates = [one for one in works if one.link is None or one.as_new]
    linked = [one for one in works if one.link is not None and not one.as_new]
    changed = [one for one in linked if one.link is not None and (one.link.crm_fingerprint != fingerprint(one.drafted) or _gone(one))]
    unchanged = {id(one) for one in linked} - {id(one) for one in changed}
    run.end(Ended(one) for one in linked if id(one) in unchanged)
    if not changed:
        return creates, []
    try:
        held = _held(run, changed)
    except Problem as problem:
        run.end(Ended(one, problem) for one in changed)
        return creates, []
    return creates, _compared(run, changed, held)


def _gone(one: Work) -> bool:
    return one.link is not None and one.link.xero_status in ("VOIDED", "DELETED")


def _held(run: _Run, works: Sequence[Work]) -> dict[str, Document]:
    """What Xero holds now of these documents: by ids, or in one modified-since pass where that takes fewer calls."""
    ids = [one.link.xero_id for one in works if one.link is not None]
    books = replace(run.flight.books, lane=run.lane)
    seen = [one.link.xero_updated_at for one in works if one.link is not None]
    if len(ids) > documents.WRITE_MOST and all(seen):
        since = min(at for at in seen if at is not None) - timedelta(seconds=1)
        found, pages = documents.invoices_modified(books, since, 1, summary=False)
        held = {one.id: one for one in found}
        if pages <= -(-len(ids) // documents.WRITE_MOST):
            for page in range(2, pages + 1):
                part, _ = documents.invoices_modified(books, since, page, summary=False)
                held |= {one.id: one for one in part}
            ids = [one for one in ids if one not in held]
            return held | {one.id: one for one in documents.invoices_by_ids(books, ids)}
    return {one.id: one for one in documents.invoices_by_ids(books, ids)}


def _compared(run: _Run, works: Sequence[Work], held: Mapping[str, Document]) -> list[tuple[Work, documents.Change]]:
    updates: list[tuple[Work, documents.Change]] = []
    ended: list[Ended] = []
    for one in works:
        assert one.link is not None
        document = held.get(one.link.xero_id)
        if document is None:
            ended.append(Ended(one, Problem("xero.gone", number=one.link.number)))
            continue
        try:
            result = _result(one, document)
        except Problem as problem:
            ended.append(Ended(one, problem))
            continue
        if isinstance(result, Conflict):
            differences = [{"field": each.field, "sent": _text(each.sent), "crm": _text(each.crm), "xero": _text(each.xero)} for each in result.differences]
            ended.append(Ended(one, Problem("edit.conflict", differences=differences, number=document.number)))
        elif isinstance(result, Unchanged):
            _remember(run, one, document)
            ended.append(Ended(one))
        else:
            one.draft = with_line_ids(one.drafted, document)
            updates.append((one, _change(document, result)))
    run.end(ended)
    return updates


def _result(one: Work, document: Document) -> Update | Unchanged | Conflict:
    assert one.link is not None
    lock = lock_date(organisation_value(one.ready.organisation))
    if (one.job.payload or {}).get("push"):
        return push(one.drafted, document, lock=lock)
    base = draft_from_json(one.link.sent) if one.link.sent else None
    return compare(base, one.drafted, document, lock=lock)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _change(document: Document, result: Update) -> documents.Change:
    fields: dict[str, object] = dict(result.fields)
    if result.status is not None:
        fields["status"] = result.status
    return documents.Change(document.id, fields, result.lines)


def _remember(run: _Run, one: Work, document: Document) -> None:
    """Nothing to send although the draft looks different: both sides agree already, and that is what was last seen."""
    with run.flight.services.db.transaction() as tx:
        leases.check(tx, run.flight.lease, run.flight.fence)
        keep_link(Recorder(run.flight.services, tx, run.flight.services.now()), one, document, "sent")


def _split(works: Sequence[Work]) -> list[list[Work]]:
    sent = documents.split([one.drafted for one in works])
    return _parts(works, [len(part) for part in sent])


def _split_changes(updates: Sequence[tuple[Work, documents.Change]]) -> list[list[tuple[Work, documents.Change]]]:
    sent = documents.split([change for _, change in updates])
    return _parts(updates, [len(part) for part in sent])


def _parts(values: Sequence[Any], lengths: Sequence[int]) -> list[list[Any]]:
    parts, start = [], 0
    for length in lengths:
        parts.append(list(values[start : start + length]))
        start += length
    return parts


def _element(one: Work) -> dict[str, Any]:
    draft = one.drafted
    return {"job": one.job.id, "subject": one.job.subject, "number": draft.number, "url": draft.url, "contact": draft.contact_id, "total": str(draft.total)} | {
        "draft": draft_to_json(draft)
    }


def _create_plan(run: _Run, works: list[Work]) -> Plan:
    drafts = [one.drafted for one in works]

    def take(call: Call, answer: Answer) -> None:
        _judge(run.flight, call, answer, works, documents.outcomes(answer, drafts), "create", run)

    return Plan(
        "create",
        documents.CREATE_METHOD,
        documents.WRITE_PATH,
        dict(documents.WRITE_PARAMS),
        documents.create_body(drafts),
        [_element(one) for one in works],
        [one.job.id for one in works],
        take=take,
        refuse=lambda call, problem: _refused(run, call, works, problem),
    )


def _update_plan(run: _Run, updates: list[tuple[Work, documents.Change]]) -> Plan:
    works, changes = [one for one, _ in updates], [change for _, change in updates]

    def take(call: Call, answer: Answer) -> None:
        _judge(run.flight, call, answer, works, documents.outcomes(answer, changes), "update", run)

    return Plan(
        "update",
        documents.UPDATE_METHOD,
        documents.WRITE_PATH,
        dict(documents.WRITE_PARAMS),
        documents.update_body(changes),
        [_element(one) | {"id": change.id} for one, change in updates],
        [one.job.id for one in works],
        take=take,
        refuse=lambda call, problem: _refused(run, call, works, problem),
    )


def _refused(run: _Run, call: Call | None, works: list[Work], problem: Problem) -> None:
    """The call as a whole: unknown outcomes wait for their look; what certainly did nothing follows the retry rule."""
    if call is not None and problem.retry.kind != "never" and problem.code not in ("xero.limit_wait", "worker.stopping"):
        wait_for_look(run.flight, works, problem)
    elif problem.code == "xero.too_large" and len(works) > 1:
        run.flight.fly([_create_plan(run, works[: len(works) // 2]), _create_plan(run, works[len(works) // 2 :])], run.lane)
    else:
        run.end(Ended(one, problem) for one in works)


def wait_for_look(flight: Flight, works: Sequence[Work], problem: Problem) -> None:
    """Jobs whose call has an unknown outcome wait, keeping the call; nothing is sent for them before it is settled."""
    services, now = flight.services, flight.services.now()
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        for one in works:
            again = jobs.next_try(problem, one.job.attempts, now, services.config.pace) or now + timedelta(seconds=60 / services.config.pace)
            jobs.wait_again(tx, [one.job.id], again, problem)


def take_repeated(flight: Flight, call: Call, answer: Answer, works: Sequence[Work]) -> None:
    """The answer to a row that was sent once more: its elements say which document each was."""
    drafts = [draft_from_json(element["draft"]) for element in call.elements]
    by_job = {one.job.id: one for one in works}
    if call.operation == "create":
        outcomes = documents.outcomes(answer, drafts)
    else:
        outcomes = documents.outcomes(answer, [documents.Change(element["id"], {}, None) for element in call.elements])
    mine: list[Work] = []
    judged: list[Outcome] = []
    for element, draft, outcome in zip(call.elements, drafts, outcomes, strict=True):
        one = by_job.get(int(element["job"]))
        if one is not None:
            one.draft, one.contact_id = draft, draft.contact_id
            mine.append(one)
            judged.append(outcome)
    _judge(flight, call, answer, mine, judged, call.operation, None)


def _judge(flight: Flight, call: Call, answer: Answer, works: Sequence[Work], outcomes: Sequence[Outcome], operation: str, run: _Run | None) -> None:
    """HTTP 200 proves nothing: each element by itself."""
    made = {one.job.id: outcome for one, outcome in zip(works, outcomes, strict=True)}
    record_created(flight, call, answer, works, made, operation, run)


def record_created(
    flight: Flight,
    call: Call,
    answer: Answer | None,
    works: Sequence[Work],
    outcomes: Mapping[int, Outcome],
    operation: str = "create",
    run: _Run | None = None,
) -> None:
    """One transaction: the call is answered, links, outcomes, activity, write-back; failures end or wait."""
    services, now = flight.services, flight.services.now()
    stale: set[str] = set()
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        recorder = Recorder(services, tx, now)
        if answer is not None:
            close_call(tx, call, answer, now)
        for one in works:
            outcome = outcomes[one.job.id]
            if outcome.ok and outcome.document is not None:
                _sent(recorder, one, outcome, operation)
                continue
            problem = problem_of_errors(outcome.errors)
            stale |= set(_STALE_LISTS.get(problem.code, ()))
            if problem.code == "xero.number_taken" and run is not None and operation == "create":
                run.taken.append((one, problem))
                tx.execute(update(Job).where(Job.id == one.job.id).values(call_id=None))
                continue
            if problem.code == "xero.unanswered":
                jobs.wait_again(tx, [one.job.id], now + timedelta(seconds=5 / services.config.pace), problem)
                continue
            tx.execute(update(Job).where(Job.id == one.job.id).values(call_id=None))
            _end(recorder, [Ended(one, problem)], services.config.pace)
        if stale:
            directory.forget_freshness(tx, flight.books.organisation_id, sorted(stale))
        recorder.finish()


def _sent(recorder: Recorder, one: Work, outcome: Outcome, operation: str) -> None:
    """A document is in Xero as its answer says. Its total is compared with the CRM's: proof to the cent (RULES 17)."""
    document = outcome.document
    assert document is not None
    if one.draft is not None and document.lines is not None:
        one.draft = with_line_ids(one.draft, document)
    was = one.link.xero_word if one.link is not None else ""
    before = (one.link.number, one.link.total) if one.link is not None else ("", Decimal(0))
    link = keep_link(recorder, one, document, "sent")
    for warning in outcome.warnings:
        one.note("note.xero_warning", text=warning)
    if one.draft is not None and document.total != one.draft.total:
        one.note("note.total_differs", crm=str(one.draft.total), xero=str(document.total))
    jobs.finish(recorder.tx, [one.job.id], recorder.now)
    recorder.outcome(one.job, "created" if operation == "create" else "updated", notes=one.notes)
    code = "activity.created" if operation == "create" else "activity.updated_in_xero"
    recorder.say(
        one.job, code, xero_id=document.id, number=document.number, total=str(document.total), currency=document.currency, before_total=str(before[1] or "")
    )
    log = {"code": code, "params": {"number": document.number, "total": str(document.total), "currency": document.currency}}
    order_write_back(recorder, one.job, link, was=was, log=log if one.job.priority == jobs.PEOPLE else None)


def _number_taken(run: _Run) -> None:
    """A taken number: the document is ours, or the same one by customer, total and currency, and is linked; else a problem (RULES 10)."""
    taken, run.taken = run.taken, []
    try:
        found = documents.invoices_by_numbers(replace(run.flight.books, lane=run.lane), [one.drafted.number for one, _ in taken])
    except Problem as problem:
        run.end(Ended(one, Problem(problem.code, problem.retry if problem.retry.kind != "never" else after(5), **problem.params)) for one, _ in taken)
        return
    services, now = run.flight.services, run.flight.services.now()
    with services.db.transaction() as tx:
        leases.check(tx, run.flight.lease, run.flight.fence)
        recorder = Recorder(services, tx, now)
        for one, problem in taken:
            same = [each for each in found if each.number.casefold() == one.drafted.number.casefold() and each.type == "ACCREC"]
            match = next((each for each in same if _is_ours(one, each)), None)
            if match is not None and not _linked_elsewhere(recorder, one, match):
                _link_existing(recorder, one, match, now)
                continue
            other = same[0] if same else None
            params = {
                "number": one.drafted.number,
                "customer": other.contact_name if other else "",
                "total": str(other.total) if other else "",
                "status": other.status if other else "",
            }
            _end(recorder, [Ended(one, Problem("send.number_taken", **params, messages=problem.params.get("messages", [])))], services.config.pace)
        recorder.finish()


def _is_ours(one: Work, document: Document) -> bool:
    if document.status in ("VOIDED", "DELETED"):
        return False
    draft, invoice = one.drafted, one.settled
    listed = Listed(invoice.id, draft.number, one.customer.name if one.customer else "", draft.total, draft.currency, draft.date, draft.url, draft.contact_id)
    return (bool(draft.url) and document.url == draft.url and document.total == draft.total) or may_link(listed, document)


def _linked_elsewhere(recorder: Recorder, one: Work, document: Document) -> bool:
    held = recorder.tx.scalar(
        select(Link.id).where(
            Link.portal_id == one.job.portal_id,
            Link.organisation_id == one.ready.organisation.id,
            Link.xero_kind == "invoice",
            Link.xero_id == document.id,
            Link.crm_id != one.crm_id,
            Link.ended_at.is_(None),
        )
    )
    return held is not None


def _link_existing(recorder: Recorder, one: Work, document: Document, now: datetime) -> None:
    link = keep_link(recorder, one, document, "linked")
    one.note("note.document_linked", number=document.number)
    jobs.finish(recorder.tx, [one.job.id], now)
    recorder.outcome(one.job, "unchanged", notes=one.notes)
    recorder.say(one.job, "activity.linked", xero_id=document.id, number=document.number)
    order_write_back(recorder, one.job, link)
