"""Create / Edit on Xero: a run of orders becomes a few calls. Read, translate, resolve, announce, talk, record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from sqlalchemy import select, update

from plugin import directory, durations, jobs, latency, leases
from plugin.domain.compare import GONE, Unchanged, Update, changes, with_line_ids
from plugin.domain.drafts import draft_from_json, draft_to_json
from plugin.domain.ledger import Document, Draft, Outcome
from plugin.domain.matching import Listed, may_link
from plugin.domain.problems import LATER, Problem, after
from plugin.domain.translate import with_references
from plugin.kinds import QUOTE, Kind
from plugin.limits import Lane
from plugin.models import Call, Job, Link
from plugin.sending import invoiced, quoted, steps
from plugin.sending.drafting import Lists, change_of, differs, draft_of, lists_of
from plugin.sending.flight import Flight, Plan
from plugin.sending.held import Asked, ask_ahead, xero_now
from plugin.sending.record import Recorder, end_jobs, keep_link, know_links, order_problem_note, order_write_back, see, see_crm, today_of
from plugin.sending.resolve import Resolver, close_call
from plugin.sending.work import Ended, Work, by_kind, elements_of
from plugin.wire import Answer
from plugin.xero.errors import problem_of_errors
from plugin.xero.resource import CREATE_METHOD, UPDATE_METHOD, Change, Parcel, Sent

#: Our own writes move the CRM's "last change" too; within this much of them nothing counts as a change, where the content is not known.
ECHO = timedelta(seconds=5)

#: Read again before a run where they are old (`durations.LISTS_FRESH`); Xero's refusal makes them stale at once.
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
class Sending:
    """A run of works through the stages; what ended is recorded when a stage is over."""

    flight: Flight
    lane: Lane
    #: Its calls, made ready.
    plans: list[Plan] = field(default_factory=list)
    taken: list[tuple[Work, Problem]] = field(default_factory=list)
    #: Documents on their way, as Xero answered: the next step is a call of its own.
    onward: list[tuple[Work, Document]] = field(default_factory=list)
    lists: Lists | None = None
    #: What is read from Xero already.
    asked: Asked | None = None

    @property
    def settled(self) -> Lists:
        """The lists, which have been read by now."""
        assert self.lists is not None
        return self.lists

    def end(self, ended: Iterable[Ended]) -> None:
        """Record works that end without a call, or must wait."""
        pairs = list(ended)
        if not pairs:
            return
        with self.flight.services.db.transaction() as tx:
            leases.check(tx, self.flight.lease, self.flight.fence)
            recorder = Recorder(self.flight.services, tx, self.flight.services.now())
            know_links(recorder, [one.work for one in pairs if one.problem is None])
            _end(recorder, pairs, self.flight.services.config.pace)
            recorder.finish()


def _end(recorder: Recorder, ended: Sequence[Ended], pace: float) -> None:
    for one in ended:
        job = one.work.job
        if one.problem is not None:
            end_jobs(recorder, [(job, one.problem)], pace)
            over = jobs.next_try(one.problem, job.attempts, recorder.now, pace) is None
            if over and (job.priority == jobs.PEOPLE or one.work.proved) and one.problem.code not in ("send.may_not_see", "send.may_not_edit", "send.deleted"):
                order_problem_note(recorder, job, one.work.kind, one.work.crm_id, one.problem)
            continue
        recorder.end(job, "unchanged", notes=one.work.notes)
        if one.work.link is not None:
            _seen_unchanged(recorder, one.work, one.work.link)


def _seen_unchanged(recorder: Recorder, one: Work, link: Link) -> None:
    """Whatever moved the CRM's "last change", it was nothing that concerns Xero."""
    if one.invoice is not None:
        held = recorder.links.get((link.portal_id, link.crm_kind, link.crm_id)) or recorder.tx.get_one(Link, link.id)
        see_crm(held, one.invoice, link)
        held.settled_at = recorder.now
    if one.job.priority == jobs.PEOPLE or one.proved:
        order_write_back(recorder, one.job, link, anew=one.proved)


def send(flight: Flight, works: Sequence[Work], lane: Lane, ended: Sequence[Ended]) -> None:
    """Carry documents that were read to Xero; `ended` are those that go no further. Every job ends recorded: sent, unchanged, a problem, or waiting again."""
    run = prepare(flight, works, lane, ended)
    flight.fly(run.plans, lane)
    finish(run)


def prepare(flight: Flight, works: Sequence[Work], lane: Lane, ended: Sequence[Ended]) -> Sending:
    """The first part of `send`: make its calls ready. Whoever flies them calls `finish` when they have landed."""
    run = Sending(flight, lane)
    going = _without(run, works, ended)
    if not going:
        return run
    quoted.attach(flight.services, going)
    run.asked = ask_ahead(flight, lane, going)
    try:
        directory.ensure(flight.services, replace(flight.books, lane=lane), _LISTS, fresh_for=durations.LISTS_FRESH)
        going = _resolve_and_translate(run, going)
    except Problem as problem:
        run.end(Ended(one, problem) for one in going)
        return run
    for kind, of_kind in by_kind(going).items():
        creates, updates = _sort(run, kind, of_kind)
        run.plans += _creates(run, kind, creates)
        run.plans += _updates(run, kind, updates)
    return run


def finish(run: Sending) -> None:
    """The calls have landed: what takes another step takes it, and what found its number taken is looked for."""
    while run.onward:
        onward, run.onward = run.onward, []
        run.flight.fly(_further(run, onward), run.lane)
    taken, run.taken = run.taken, []
    for kind in {one.kind: None for one, _ in taken}:
        _number_taken(run, kind, [(one, refusal) for one, refusal in taken if one.kind == kind])


def _further(run: Sending, onward: Sequence[tuple[Work, Document]]) -> list[Plan]:
    """The next step of each of these, in calls of up to fifty."""
    plans: list[Plan] = []
    for kind in {one.kind: None for one, _ in onward}:
        plans += _updates(run, kind, [(one, steps.next_change(one, document)) for one, document in onward if one.kind is kind])
    return plans


def _without(run: Sending, works: Sequence[Work], ended: Sequence[Ended]) -> list[Work]:
    run.end(ended)
    gone = {id(one.work) for one in ended}
    return [one for one in works if id(one) not in gone]


def _resolve_and_translate(run: Sending, works: list[Work]) -> list[Work]:
    """Contacts and items first for what may go at all, then each invoice becomes a draft or a problem."""
    flight = run.flight
    with flight.services.db.reading() as session:
        run.lists = lists_of(session, flight.books.organisation_id)
    # Checked before anything is created in Xero: no contact is made for an invoice that cannot go.
    ended: list[Ended] = []
    for one in works:
        try:
            one.draft = draft_of(one, run.settled)
        except Problem as problem:
            ended.append(Ended(one, problem))
    going = _without(run, works, ended)
    resolver = Resolver(flight, run.lane)
    going = _without(run, going, resolver.resolve(going))
    for one in going:
        one.draft = with_references(one.drafted, one.settled, one.contact_id, resolver.choices.get(one.job.portal_id, {}))
    return going


def _sort(run: Sending, kind: Kind, works: Sequence[Work]) -> tuple[list[Work], list[tuple[Work, Change]]]:
    """Absent in Xero: create. Present: what three versions say (RULES 19). Unchanged costs no call."""
    creates = [one for one in works if one.link is None or one.as_new]
    linked = [one for one in works if one.link is not None and not one.as_new]
    changed = [one for one in linked if differs(one, one.drafted) or _gone(one)]
    unchanged = {id(one) for one in linked} - {id(one) for one in changed}
    run.end(Ended(one) for one in linked if id(one) in unchanged)
    if not changed:
        return creates, []
    try:
        held = xero_now(run.flight, run.lane, kind, changed, run.asked)
    except Problem as problem:
        run.end(Ended(one, problem) for one in changed)
        return creates, []
    return creates, _compared(run, changed, held)


def _gone(one: Work) -> bool:
    return one.link is not None and one.link.xero_status in ("VOIDED", "DELETED")


def _compared(run: Sending, works: Sequence[Work], held: Mapping[str, Document]) -> list[tuple[Work, Change]]:
    updates: list[tuple[Work, Change]] = []
    ended: list[Ended] = []
    for one in works:
        assert one.link is not None
        document = held.get(one.link.xero_id)
        try:
            result = change_of(one, document, run.settled)
        except Problem as problem:
            if document is not None and document.status in GONE:
                _see_gone(run, one, document)
            ended.append(Ended(one, problem))
            continue
        assert document is not None
        if isinstance(result, Unchanged):
            if one.made_there:
                one.note("note.made_in_xero")
            _remember(run, one, document)
            ended.append(Ended(one))
        else:
            one.draft = with_line_ids(one.drafted, document)
            one.changes = _told_changes(one, document, result)
            if one.kind is QUOTE:
                if result.fields.get("due_date", document.due_date) is None:
                    one.note("note.expiry_stays", day=str(document.due_date))
                steps.plan(one, document, result)
                if steps.left(one):
                    updates.append((one, steps.next_change(one, document)))
                else:
                    _remember(run, one, document)
                    ended.append(Ended(one))
                continue
            one.said = one.draft
            updates.append((one, _change(document, result)))
    run.end(ended)
    return updates


def _told_changes(one: Work, document: Document, result: Update) -> list[dict[str, str]]:
    """The changes in words that people know: customers by their names."""
    found = changes(result, document)
    for change in found:
        if change["field"] == "contact_id":
            change |= {"before": document.contact_name or change["before"], "after": one.customer.name if one.customer else change["after"]}
    return found


def _see_gone(run: Sending, one: Work, document: Document) -> None:
    """Voided or deleted in Xero, as nobody has told us yet: now the list says so, and "send as new" is a way out (RULES 13)."""
    with run.flight.services.db.transaction() as tx:
        leases.check(tx, run.flight.lease, run.flight.fence)
        recorder = Recorder(run.flight.services, tx, run.flight.services.now())
        assert one.link is not None
        link = tx.get_one(Link, one.link.id)
        was = link.xero_word
        if see(link, document, today_of(one.ready.organisation, recorder.now)):
            recorder.say(
                one.job, "activity.status_changed", xero_id=document.id, number=document.number, before=was, after=link.xero_word, due=str(link.amount_due)
            )
        order_write_back(recorder, one.job, link, was=was)
        recorder.finish()


def _change(document: Document, result: Update) -> Change:
    fields: dict[str, object] = dict(result.fields)
    if result.status is not None:
        fields["status"] = result.status
    return Change(document.id, fields, result.lines)


def _remember(run: Sending, one: Work, document: Document) -> None:
    """Nothing to send although the draft looks different: both sides agree already, or the person keeps what Xero has; it counts as sent."""
    if document.lines is not None:
        one.draft = with_line_ids(one.drafted, document)
    with run.flight.services.db.transaction() as tx:
        leases.check(tx, run.flight.lease, run.flight.fence)
        recorder = Recorder(run.flight.services, tx, run.flight.services.now())
        know_links(recorder, [one])
        kept = bool((one.job.payload or {}).get("keep"))
        _order_invoiced(recorder, one, keep_link(recorder, one, document, "sent", one.drafted if kept or not one.made_there else None))
        recorder.finish()


#: After so many attempts a document goes in a call of its own: one that Xero stumbles over must not hold forty-nine others.
ALONE_AFTER = 3


def _creates(run: Sending, kind: Kind, works: Sequence[Work]) -> list[Plan]:
    alone = [one for one in works if one.job.attempts > ALONE_AFTER]
    together = [one for one in works if one.job.attempts <= ALONE_AFTER]
    parcels = [*kind.xero.split([one.drafted for one in together]), *(kind.xero.parcel([one.drafted]) for one in alone)]
    left = iter([*together, *alone])
    return [_create_plan(run, kind, list(islice(left, len(parcel.sent))), parcel) for parcel in parcels]


def _updates(run: Sending, kind: Kind, updates: Sequence[tuple[Work, Change]]) -> list[Plan]:
    left = iter(one for one, _ in updates)
    parcels = kind.xero.split([change for _, change in updates])
    return [_update_plan(run, kind, list(islice(left, len(parcel.sent))), parcel) for parcel in parcels]


def _element(one: Work) -> dict[str, Any]:
    draft = one.said or one.drafted
    return {
        "job": one.job.id,
        "portal": one.job.portal_id,
        "subject": one.job.subject,
        "number": draft.number,
        "url": draft.url,
        "mark": draft.mark,
        "contact": draft.contact_id,
        "total": str(draft.total),
        "more": steps.left(one),
    } | {"draft": draft_to_json(draft)}


def _create_plan(run: Sending, kind: Kind, works: list[Work], parcel: Parcel[Draft]) -> Plan:
    for one in works:
        steps.begin(one)
    return _plan(run, kind, works, parcel, CREATE_METHOD, "create", [_element(one) for one in works], _create_plan)


def _update_plan(run: Sending, kind: Kind, works: list[Work], parcel: Parcel[Change]) -> Plan:
    elements = [_element(one) | {"id": change.id} for one, change in zip(works, parcel.sent, strict=True)]
    return _plan(run, kind, works, parcel, UPDATE_METHOD, "update", elements, _update_plan)


def _plan(
    run: Sending,
    kind: Kind,
    works: list[Work],
    parcel: Parcel[Sent],
    method: str,
    operation: str,
    elements: list[dict[str, Any]],
    again: Callable[[Sending, Kind, list[Work], Parcel[Sent]], Plan],
) -> Plan:
    def take(call: Call, answer: Answer) -> None:
        _judge(run.flight, call, answer, works, kind.xero.outcomes(answer, parcel.elements), operation, run)

    def without(gone: set[int]) -> Plan | None:
        left = [(one, sent) for one, sent in zip(works, parcel.sent, strict=True) if one.job.id not in gone]
        return again(run, kind, [one for one, _ in left], kind.xero.parcel([sent for _, sent in left])) if left else None

    return Plan(
        operation,
        method,
        kind.xero.path,
        dict(kind.xero.write_params),
        parcel.body,
        elements,
        [one.job.id for one in works],
        take=take,
        refuse=lambda call, problem: _refused(run, call, works, problem),
        without=without,
    )


def _refused(run: Sending, call: Call | None, works: list[Work], problem: Problem) -> None:
    """The call as a whole: unknown outcomes wait for their look; what certainly did nothing follows the retry rule."""
    if call is not None and problem.retry.kind != "never" and problem.code not in ("xero.limit_wait", "worker.stopping"):
        wait_for_look(run.flight, works, problem)
    elif problem.code == "xero.too_large" and len(works) > 1:
        kind, half = works[0].kind, len(works) // 2
        run.flight.fly([_create_plan(run, kind, part, kind.xero.parcel([one.drafted for one in part])) for part in (works[:half], works[half:])], run.lane)
    else:
        run.end(Ended(one, problem) for one in works)


def wait_for_look(flight: Flight, works: Sequence[Work], problem: Problem) -> None:
    """Jobs whose call has an unknown outcome wait, keeping the call; nothing is sent for them before it is settled."""
    services, now = flight.services, flight.services.now()
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        recorder = Recorder(services, tx, now)
        for one in works:
            again = jobs.next_try(problem, one.job.attempts, now, services.config.pace) or now + timedelta(seconds=60 / services.config.pace)
            recorder.wait(one.job, again, problem)
        recorder.finish()


def take_repeated(flight: Flight, call: Call, answer: Answer, works: Sequence[Work]) -> None:
    """The answer to a row that was sent once more: its elements say which document each was."""
    xero = works[0].kind.xero
    if call.operation == "create":
        outcomes = xero.outcomes(answer, [xero.element(draft_from_json(element["draft"])) for element in call.elements])
    else:
        outcomes = xero.outcomes(answer, [xero.element(Change(element["id"], {}, None)) for element in call.elements])
    told = {(element["portal"], element["subject"]): outcome for element, outcome in zip(call.elements, outcomes, strict=True)}
    mine: list[Work] = []
    judged: list[Outcome] = []
    for one, element in elements_of(call, works):
        one.said = one.draft = draft_from_json(element["draft"])
        one.contact_id, one.more = one.draft.contact_id, bool(element.get("more"))
        mine.append(one)
        judged.append(told[one.job.portal_id, one.job.subject])
    _judge(flight, call, answer, mine, judged, call.operation, None)


def end_hopeless(flight: Flight, works: Sequence[Work]) -> set[int]:
    """Looked for after every attempt and never found: Xero cannot take these. They end with what it said last. Returns their jobs."""
    over = [one for one in works if one.job.attempts > len(durations.BACK_OFF)]
    if over:
        run = Sending(flight, "bulk")
        run.end(Ended(one, Problem(one.job.problem_code or "xero.unanswered", **(one.job.problem_params or {}))) for one in over)
    return {one.job.id for one in over}


def _judge(flight: Flight, call: Call, answer: Answer, works: Sequence[Work], outcomes: Sequence[Outcome], operation: str, run: Sending | None) -> None:
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
    run: Sending | None = None,
) -> None:
    """One transaction: the call is answered, links, outcomes, activity, write-back; failures end or wait."""
    services, now = flight.services, flight.services.now()
    stale: set[str] = set()
    with services.db.transaction() as tx:
        leases.check(tx, flight.lease, flight.fence)
        recorder = Recorder(services, tx, now)
        if answer is not None:
            close_call(tx, call, answer, now)
        know_links(recorder, [one for one in works if outcomes[one.job.id].ok])
        freed: list[int] = []
        for one in works:
            outcome = outcomes[one.job.id]
            if outcome.ok and outcome.document is not None:
                _sent(recorder, one, outcome, operation, run)
                continue
            problem = problem_of_errors(outcome.errors)
            stale |= set(_STALE_LISTS.get(problem.code, ()))
            if problem.code == "xero.number_taken" and run is not None and operation == "create":
                run.taken.append((one, problem))
                freed.append(one.job.id)
                continue
            if problem.code == "xero.unanswered":
                recorder.wait(one.job, now + timedelta(seconds=5 / services.config.pace), problem)
                continue
            freed.append(one.job.id)
            if problem.code in _STALE_LISTS and one.job.attempts <= 1:
                # Our list was old. Read again it may know a way (a merged contact), or a better sentence.
                problem = Problem(problem.code, LATER, **problem.params)
            _end(recorder, [Ended(one, problem)], services.config.pace)
        if freed:
            tx.execute(update(Job).where(Job.id.in_(freed)).values(call_id=None).execution_options(synchronize_session=False))
        if stale:
            directory.forget_freshness(tx, flight.books.organisation_id, sorted(stale))
        recorder.finish()


def _sent(recorder: Recorder, one: Work, outcome: Outcome, operation: str, run: Sending | None) -> None:
    """A document is in Xero as its answer says. Its total is compared with the CRM's: proof to the cent (RULES 17)."""
    document = outcome.document
    assert document is not None
    if one.said is not None and document.lines is not None:
        one.said = with_line_ids(one.said, document)
    was = one.link.xero_word if one.link is not None else ""
    before = (one.link.number, one.link.total) if one.link is not None else ("", Decimal(0))
    link = keep_link(recorder, one, document, "sent", one.said)
    one.made = one.made or operation == "create"
    if one.more or steps.left(one):
        _go_on(recorder, one, document, link, run)
        return
    for warning in outcome.warnings:
        one.note("note.xero_warning", text=warning)
    if one.said is not None and document.total != one.said.total:
        one.note("note.total_differs", crm=str(one.said.total), xero=str(document.total))
    recorder.end(one.job, "created" if one.made else "updated", notes=one.notes)
    recorder.reactions += latency.of_job(one.job, latency.OUT, recorder.now)
    code = "activity.created" if one.made else "activity.updated_in_xero"
    recorder.say(
        one.job,
        code,
        xero_id=document.id,
        number=document.number,
        total=str(document.total),
        currency=document.currency,
        before_total=str(before[1] or ""),
        changes=one.changes,
    )
    _order_invoiced(recorder, one, link)
    log = {"code": code, "params": {"number": document.number, "total": str(document.total), "currency": document.currency, "document": one.kind.name}}
    order_write_back(recorder, one.job, link, was=was, log=log if one.job.priority == jobs.PEOPLE else None, exported=operation == "create")


def _order_invoiced(recorder: Recorder, one: Work, link: Link) -> None:
    """The last step of a quote: its stage says so, or an invoice made from it is in Xero, whichever of both came there first."""
    if one.kind is QUOTE:
        if link.xero_status not in (steps.INVOICED, *GONE) and (_stage_says_invoiced(one) or _has_invoice(recorder, one, link)):
            invoiced.order(recorder, one, link)
    elif one.made and one.quote is not None and one.quote.xero_status not in (steps.INVOICED, *GONE):
        invoiced.order(recorder, one, one.quote)


def _stage_says_invoiced(one: Work) -> bool:
    return one.draft is not None and one.draft.status == steps.INVOICED


def _has_invoice(recorder: Recorder, one: Work, link: Link) -> bool:
    """Where Xero makes invoices of its own its quotes stay accepted; that is said once, not at every change (decision 0022)."""
    return (one.made or not invoiced.stays_accepted(one.ready.organisation)) and quoted.has_invoice(recorder.tx, link)


def _go_on(recorder: Recorder, one: Work, document: Document, link: Link, run: Sending | None) -> None:
    """Another step comes: in this run, or by the same order once more. What Xero holds by now is recorded either way."""
    recorder.tx.execute(update(Job).where(Job.id == one.job.id).values(call_id=None))
    order_write_back(recorder, one.job, link, stage=False)
    if run is None:
        recorder.wait(one.job, recorder.now, None)
        return
    one.link = link
    run.onward.append((one, document))


def _number_taken(run: Sending, kind: Kind, taken: Sequence[tuple[Work, Problem]]) -> None:
    """A taken number: the document is ours, or the same one by customer, total and currency, and is linked; else a problem (RULES 10)."""
    try:
        found = kind.xero.by_numbers(replace(run.flight.books, lane=run.lane), [one.drafted.number for one, _ in taken])
    except Problem as problem:
        run.end(Ended(one, Problem(problem.code, problem.retry if problem.retry.kind != "never" else after(5), **problem.params)) for one, _ in taken)
        return
    services, now = run.flight.services, run.flight.services.now()
    with services.db.transaction() as tx:
        leases.check(tx, run.flight.lease, run.flight.fence)
        recorder = Recorder(services, tx, now)
        know_links(recorder, [one for one, _ in taken])
        for one, refusal in taken:
            same = [each for each in found if each.number.casefold() == one.drafted.number.casefold() and kind.xero.is_ours(each)]
            match = next((each for each in same if _is_ours(one, each)), None)
            if match is not None and not _linked_elsewhere(recorder, one, match):
                _link_existing(recorder, one, match)
            else:
                _end(recorder, [Ended(one, _taken_by(one, same, refusal))], services.config.pace)
        recorder.finish()


def _taken_by(one: Work, same: Sequence[Document], refusal: Problem) -> Problem:
    """Whose document has the number already."""
    number, messages = one.drafted.number, refusal.params.get("messages", [])
    if not same:
        return Problem("send.number_taken", number=number, messages=messages)
    other = same[0]
    return Problem("send.number_taken", number=number, customer=other.contact_name, total=str(other.total), status=other.status, messages=messages)


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
            Link.xero_kind == one.kind.name,
            Link.xero_id == document.id,
            Link.crm_id != one.crm_id,
            Link.ended_at.is_(None),
        )
    )
    return held is not None


def _link_existing(recorder: Recorder, one: Work, document: Document) -> None:
    link = keep_link(recorder, one, document, "linked")
    one.note("note.document_linked", number=document.number)
    recorder.end(one.job, "unchanged", notes=one.notes)
    recorder.say(one.job, "activity.linked", xero_id=document.id, number=document.number)
    order_write_back(recorder, one.job, link)
