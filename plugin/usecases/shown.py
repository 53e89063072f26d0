"""What the pages show: plain values that verbs return and templates render. No page computes; it only shows these."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from plugin.domain.versions import Versions


@dataclass(frozen=True)
class Told:
    """A problem or activity as stored: `plugin.sentences.sentence(code, params)` makes the words, `repair(code)` the way out."""

    code: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OrganisationChoice:
    tenant_id: str
    name: str
    country: str
    refused: Told | None = None  # already connected by another portal under a rule that forbids it, for instance


@dataclass(frozen=True)
class ConnectionShown:
    """`none`: never connected; `waiting`: the window at Xero is open; `choose`: several organisations in that consent;
    `connected`; `broken`: must be connected again (`problem` says why)."""

    state: Literal["none", "waiting", "choose", "connected", "broken"]
    organisation: str = ""
    country: str = ""
    currency: str = ""
    is_demo: bool = False
    connected_by: str = ""
    xero_user: str = ""
    since: datetime | None = None
    choices: tuple[OrganisationChoice, ...] = ()
    problem: Told | None = None
    missing_scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    value: str
    label: str
    detail: str = ""


@dataclass(frozen=True)
class StageRow:
    """One stage of one pipeline in the stage step. `status` is one that a stage may order of this kind of document, or "" (do not send)."""

    id: str
    name: str
    color: str
    pipeline: str
    semantics: str
    status: str
    proposed: bool


@dataclass(frozen=True)
class StatusRow:
    """One Xero status word (draft, submitted, authorised, sent, overdue, part_paid, paid, voided, deleted) and its stage, "" = leave."""

    word: str
    stage_id: str
    proposed: bool


@dataclass(frozen=True)
class TaxRow:
    """One Bitrix24 rate: `key` is "none", "0", "15"...; `label` how Bitrix24 names it; candidates are (TaxType, name, percent)."""

    key: str
    label: str
    chosen: str
    candidates: tuple[Option, ...]
    others: tuple[Option, ...]
    proposed: bool
    needs_look: bool


@dataclass(frozen=True)
class SetUpShown:
    """The wizard. Steps: 1 organisation, 2 ledgers, 3 stages, 4 taxes, 5 check (confirm). `confirmed` when it was finished once."""

    step: int
    confirmed: bool
    connection: ConnectionShown
    start_date: date | None = None
    sellers: tuple[tuple[int, str, bool], ...] = ()  # id, title, ticked
    income: Option | None = None
    expense: Option | None = None
    income_options: tuple[Option, ...] = ()
    expense_options: tuple[Option, ...] = ()
    stages: tuple[StageRow, ...] = ()
    statuses: tuple[StatusRow, ...] = ()
    stage_options: tuple[Option, ...] = ()
    quote_stages: tuple[StageRow, ...] = ()  # nothing where the portal has no quotes
    quote_statuses: tuple[StatusRow, ...] = ()
    quote_stage_options: tuple[Option, ...] = ()
    taxes: tuple[TaxRow, ...] = ()
    number_policy: str = "crm"
    number_prefix: str = ""
    prefix_required: bool = False
    create_contacts: bool = True
    create_items: bool = False
    item_code_source: str = "code"
    effects: tuple[Told, ...] = ()  # what saving would change, before it is confirmed
    faults: dict[str, Told] = field(default_factory=dict)  # by field name: what is wrong with what was entered
    preview: tuple[tuple[str, str], ...] = ()  # label, value of one real invoice under these choices
    no_smart_invoices: bool = False


@dataclass(frozen=True)
class FirstSync:
    """The first synchronisation. `stage` runs accounts, taxes, items, contacts, documents, done."""

    state: Literal["none", "running", "done", "problem"]
    stage: str = ""
    done: int = 0
    total: int = 0
    contacts_linked: int = 0
    items_linked: int = 0
    documents_linked: int = 0
    doubtful: int = 0
    would_move: int = 0
    problem: Told | None = None
    quotes_linked: int = 0


@dataclass(frozen=True)
class DoubtfulPair:
    """A pair that a person must decide: a customer or a document of both sides, with what speaks for and against."""

    id: int
    kind: str  # customer | document
    crm_label: str
    crm_detail: str
    xero_label: str
    xero_detail: str
    score: int
    reasons: tuple[Told, ...] = ()


@dataclass(frozen=True)
class InvoiceFilter:
    """What the list is narrowed to.

    `document`: a kind of document. `state`: "" all, not_sent, sent, changed, problem. `period`: "", today, 7days, 30days, month, quarter, custom.
    """

    document: str = "invoice"
    page: int = 1
    size: int = 25
    search: str = ""
    state: str = ""
    period: str = ""
    changed_from: date | None = None
    changed_to: date | None = None


@dataclass(frozen=True)
class InvoiceRow:
    """One invoice in the list. `transfer`: not_sent, waiting, sending, sent, changed, problem, voided."""

    id: int
    number: str
    title: str
    company: str
    contact: str
    amount: Decimal
    currency: str
    stage: str
    stage_color: str
    changed_at: datetime
    transfer: str
    document: str = "invoice"  # its kind
    crm_path: str = ""  # for openPath
    xero_number: str = ""
    xero_status: str = ""  # status word
    xero_url: str = ""
    amount_due: Decimal | None = None
    amount_paid: Decimal | None = None
    batch_id: int | None = None
    batch_number: int | None = None
    batch_at: datetime | None = None
    batch_outcome: str = ""  # waiting, running, created, updated, unchanged, refused, problem, cancelled
    problem: Told | None = None
    online_url: str = ""  # where the customer sees it, once somebody has asked


@dataclass(frozen=True)
class InvoicePage:
    rows: tuple[InvoiceRow, ...]
    total: int
    pages: int
    filter: InvoiceFilter
    columns: tuple[str, ...]  # chosen columns, in order; see COLUMNS
    problem: Told | None = None  # Bitrix24 did not answer, smart invoices are off, ...
    any_running: bool = False
    ready: bool = True  # set-up confirmed and connected: the buttons may be pressed
    kinds: tuple[str, ...] = ("invoice",)  # the lists that this portal has


#: Every column of the list by its name; the first and `number` are always shown.
COLUMNS = ("number", "title", "customer", "amount", "stage", "changed", "xero", "xero_status", "batch")


@dataclass(frozen=True)
class BatchDocument:
    """One document of a batch. `verdict` (before): new, update, refused; `outcome` (after): see InvoiceRow.batch_outcome."""

    id: int
    crm_id: int
    number: str
    title: str
    customer: str
    amount: Decimal | None
    currency: str
    verdict: str
    outcome: str
    notes: tuple[Told, ...] = ()  # e.g. "will be linked to the existing contact Acme Ltd"
    problem: Told | None = None
    xero_number: str = ""
    xero_url: str = ""
    crm_path: str = ""


@dataclass(frozen=True)
class DocumentCard:
    """One document inside its own card in the CRM."""

    row: InvoiceRow
    history: tuple[ActivityRow, ...]
    may_send: bool


@dataclass(frozen=True)
class Differences:
    """Three versions of a document. `verdict`: not_linked, equal, crm (to be sent), crm_paid, xero (stays), both (a person decides),
    gone, stopped (`problem` says why), problem (nothing could be compared)."""

    verdict: str
    rows: tuple[Versions, ...] = ()
    totals: tuple[Decimal, Decimal | None, Decimal] | None = None  # CRM now, last sent, Xero now
    currency: str = ""
    problem: Told | None = None


@dataclass(frozen=True)
class CustomerCard:
    """A company or contact inside its own card in the CRM; its documents, the newest first."""

    kind: str
    id: int
    name: str
    contact: str
    contact_url: str
    connected: bool
    rows: tuple[InvoiceRow, ...]
    problem: Told | None = None


@dataclass(frozen=True)
class Balance:
    """What a customer owes as Xero has it; without amounts where the customer is not linked."""

    currency: str = ""
    outstanding: Decimal | None = None
    overdue: Decimal | None = None
    problem: Told | None = None


@dataclass(frozen=True)
class ProblemGroup:
    """Documents that share a cause."""

    problem: Told
    count: int


@dataclass(frozen=True)
class BatchShown:
    """One batch. `kind`: send or pull; `document`: a kind of document. `state`: preparing, to_confirm, running, done, cancelled."""

    id: int
    number: int
    kind: str
    document: str
    state: str
    created_by: str
    created_at: datetime
    finished_at: datetime | None
    total: int
    prepared: int
    new: int
    update: int
    refused: int
    succeeded: int
    failed: int
    cancelled: int
    waiting: int
    per_minute: float | None = None
    seconds_left: int | None = None
    seconds: float | None = None  # from the confirmation to its end, or until now
    listed: bool = True  # up to 200 are listed in full; more are shown as counts, each openable
    documents: tuple[BatchDocument, ...] = ()
    groups: tuple[ProblemGroup, ...] = ()
    filter_words: Told | None = None
    paused: Told | None = None  # the organisation is paused: when it goes on
    page: int = 1
    pages: int = 1
    show: str = ""  # which part is listed: "", new, update, refused, problem, done


@dataclass(frozen=True)
class ActivityRow:
    at: datetime
    told: Told
    who: str
    subject: str
    xero_url: str = ""
    crm_path: str = ""
    batch_id: int | None = None
    cause: str = ""  # person, automatic, xero, sweep
    changes: tuple[dict[str, str], ...] = ()  # field, before, after


@dataclass(frozen=True)
class Failure:
    """A cause that stops documents. `id` is one of its orders, by which the cause is opened; `told` how the newest of them says it."""

    id: int
    told: Told
    count: int
    since: datetime


@dataclass(frozen=True)
class FailedDocument:
    """One document that a cause stops."""

    crm_id: int
    number: str
    at: datetime
    told: Told
    crm_path: str


@dataclass(frozen=True)
class Speed:
    """One stretch of time in a chart: its begin, and how many seconds half and 95 % of the changes took at most; None where nothing came."""

    begin: datetime
    half: float | None
    most: float | None
    count: int


@dataclass(frozen=True)
class Reactions:
    """One direction: the day in hours, the week in days, and both as a whole."""

    day: tuple[Speed, ...]
    week: tuple[Speed, ...]
    whole_day: Speed
    whole_week: Speed


@dataclass(frozen=True)
class Seen:
    """When something last gave a sign of life, and whether that is as it should be; `at` None: never, or not known."""

    name: str
    good: bool
    at: datetime | None = None
    count: int = 0


@dataclass(frozen=True)
class Upcoming:
    """Something that will happen by itself; `at` None: as soon as it can."""

    told: Told
    at: datetime | None


@dataclass(frozen=True)
class HeldDocument:
    """A document that the CRM reported and that waits for something before it goes by itself."""

    number: str
    crm_path: str


@dataclass(frozen=True)
class Held:
    """Documents that wait for the same thing; `documents` are the newest of them."""

    told: Told
    count: int
    documents: tuple[HeldDocument, ...]


@dataclass(frozen=True)
class Dashboard:
    """How it goes. Allowances, speeds and the line of signs are for administrators only; others see their own work."""

    whole: bool
    redis: bool
    signs: tuple[Seen, ...]
    waiting: int
    running: int
    failed: int
    done_today: int
    failures: tuple[Failure, ...]
    upcoming: tuple[Upcoming, ...]
    held: tuple[Held, ...] = ()
    sweeps: tuple[Upcoming, ...] = ()  # when both sides are asked for what no message announced
    minute_left: int | None = None
    minute_most: int = 0
    day_left: int | None = None
    day_most: int | None = None
    room_left: int | None = None
    room_most: int = 0
    resting: tuple[str, ...] = ()
    reactions: dict[str, Reactions] = field(default_factory=dict)


@dataclass(frozen=True)
class SelfTestStep:
    """One step. `state`: open, running, ok, fault, skipped; `problem` says what is wrong, or of a step that is ok what would be better."""

    name: str
    state: str
    seconds: float | None = None
    problem: Told | None = None


@dataclass(frozen=True)
class SelfTestShown:
    """The newest run, and when those before it were, with their faults and who asked for them (nobody: at night)."""

    running: bool
    steps: tuple[SelfTestStep, ...]
    started_at: datetime | None
    finished_at: datetime | None
    who: str
    before: tuple[tuple[datetime, int, str], ...]


@dataclass(frozen=True)
class CallShown:
    """One request to a partner and its answer; the last three only where it is looked at by itself."""

    id: int
    at: datetime
    partner: str
    verb: str
    path: str
    status: int | None
    seconds: float
    waited: float
    sent: int
    received: int
    request_id: str
    partner_id: str
    problem: str
    request: str = ""
    answer: str = ""
    documents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Home:
    """What the frame needs on every page: what is missing before work can start, and one banner at most."""

    organisation: str
    connected: bool
    set_up: bool
    banner: Told | None = None
    banner_action: str = ""  # connect, setup, takeover, ""
    service_admin: str = ""
    first_sync: FirstSync | None = None
    deleted: int = 0  # documents of administrators to decide: deleted in Bitrix24, still in Xero


@dataclass(frozen=True)
class AutomaticShown:
    """What runs by itself. `mode`: off, stage, new; `when_deleted`: ask, delete."""

    mode: str
    stage: str
    since: datetime | None
    start_date: date | None
    stage_after_export: str
    when_deleted: str
    stages: tuple[Option, ...]
    faults: dict[str, Told] = field(default_factory=dict)


@dataclass(frozen=True)
class DeletedDocument:
    """A document that Bitrix24 does not have any more and Xero still has. `way`: delete, void, or nothing where Xero allows neither."""

    id: int
    number: str
    total: Decimal | None
    currency: str
    word: str  # status word
    gone_at: datetime
    by_itself_at: datetime | None  # when it goes without a decision
    way: str
    xero_url: str
    running: bool
    problem: Told | None = None
