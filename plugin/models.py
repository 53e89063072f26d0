"""The rows. Rows about choices and work carry the portal; rows about an organisation's books carry the organisation (RULES 4)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Boolean, Date, ForeignKey, Index, Integer, LargeBinary, MetaData, Numeric, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from plugin.db import EncryptedText, Json, UtcDateTime

Id = BigInteger().with_variant(Integer, "sqlite")
Money = Numeric(18, 4)

#: The way of a link whose thing was made in Xero and brought into the CRM (`Link.how`); all others mean that it was in the CRM first.
IMPORTED = "imported"


class Base(DeclarativeBase):
    """Constraints have names of their own, so that migrations can find them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        datetime: UtcDateTime,
        date: Date,
        Decimal: Money,
        bool: Boolean,
        bytes: LargeBinary,
        dict[str, Any]: Json,
        list[Any]: Json,
    }


def _portal() -> Mapped[int]:
    return mapped_column(Id, ForeignKey("portal.id", ondelete="CASCADE"))


def _organisation() -> Mapped[int]:
    return mapped_column(Id, ForeignKey("organisation.id", ondelete="CASCADE"))


class Portal(Base):
    """A Bitrix24 installation: our customer."""

    __tablename__ = "portal"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    member_id: Mapped[str] = mapped_column(String(64), unique=True)
    domain: Mapped[str] = mapped_column(String(255))
    client_endpoint: Mapped[str] = mapped_column(String(255))
    server_endpoint: Mapped[str] = mapped_column(String(255))
    application_token: Mapped[str | None] = mapped_column(EncryptedText)
    scope: Mapped[str] = mapped_column(Text, default="")
    status: Mapped[str] = mapped_column(String(8), default="")
    lang: Mapped[str] = mapped_column(String(8), default="en")
    service_user_id: Mapped[int | None] = mapped_column(Integer)
    service_problem: Mapped[str | None] = mapped_column(String(64))
    #: The trouble of which the administrators were told, so that each is told once; and when it was last looked whether it is over.
    told_problem: Mapped[str | None] = mapped_column(String(64))
    looked_at: Mapped[datetime | None]
    installed_at: Mapped[datetime | None]
    bound_version: Mapped[str | None] = mapped_column(String(32))
    uninstalled_at: Mapped[datetime | None]
    erase_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    last_batch_number: Mapped[int] = mapped_column(Integer, default=0)


class Bitrix24Login(Base):
    """One person's tokens on one portal."""

    __tablename__ = "bitrix24_login"
    __table_args__ = (UniqueConstraint("portal_id", "user_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    user_id: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(String(255), default="")
    admin: Mapped[bool] = mapped_column(default=False)
    timezone: Mapped[str] = mapped_column(String(64), default="")
    access_token: Mapped[str | None] = mapped_column(EncryptedText)
    refresh_token: Mapped[str | None] = mapped_column(EncryptedText)
    expires_at: Mapped[datetime | None]
    refreshing_until: Mapped[datetime | None]
    problem: Mapped[str | None] = mapped_column(String(64))
    seen_at: Mapped[datetime]


class XeroLogin(Base):
    """One Xero user's tokens. They belong to the user, not to a portal (RULES 1)."""

    __tablename__ = "xero_login"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    xero_userid: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(255), default="")
    email: Mapped[str] = mapped_column(String(255), default="")
    access_token: Mapped[str | None] = mapped_column(EncryptedText)
    refresh_token: Mapped[str | None] = mapped_column(EncryptedText)
    expires_at: Mapped[datetime | None]
    refreshed_at: Mapped[datetime | None]
    refreshing_until: Mapped[datetime | None]
    scopes: Mapped[str] = mapped_column(Text, default="")
    problem: Mapped[str | None] = mapped_column(String(64))


class Organisation(Base):
    """A Xero company, and the pause that Xero asked for."""

    __tablename__ = "organisation"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(255), default="")
    country: Mapped[str] = mapped_column(String(8), default="")
    base_currency: Mapped[str] = mapped_column(String(3), default="")
    short_code: Mapped[str] = mapped_column(String(32), default="")
    facts: Mapped[dict[str, Any] | None]
    checked_at: Mapped[datetime | None]
    paused_until: Mapped[datetime | None]
    pause_code: Mapped[str | None] = mapped_column(String(64))
    #: The last webhook about it, and how many changes in a row since then a sweep found that none had announced (RULES 35).
    heard_at: Mapped[datetime | None]
    unheard: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    #: Its calendar day (own time zone) up to which overdue documents were looked for.
    overdue_until: Mapped[date | None]


class Connection(Base):
    """A portal's consent to one organisation."""

    __tablename__ = "connection"
    __table_args__ = (
        Index("uq_connection_live", "portal_id", unique=True, sqlite_where=text("ended_at IS NULL"), postgresql_where=text("ended_at IS NULL")),
        Index("ix_connection_organisation", "organisation_id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    organisation_id: Mapped[int] = _organisation()
    xero_login_id: Mapped[int] = mapped_column(Id, ForeignKey("xero_login.id"))
    xero_connection_id: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(Text, default="")
    connected_by: Mapped[int] = mapped_column(Integer)
    connected_by_name: Mapped[str] = mapped_column(String(255), default="")
    connected_at: Mapped[datetime]
    problem: Mapped[str | None] = mapped_column(String(64))
    problem_at: Mapped[datetime | None]
    told_problem: Mapped[str | None] = mapped_column(String(64))
    ended_at: Mapped[datetime | None]
    ended_reason: Mapped[str | None] = mapped_column(String(64))


class Consent(Base):
    """One way to Xero and back: ticket, state, cookie; each used once (RULES 3). Secrets are kept as hashes, the verifier sealed."""

    __tablename__ = "consent"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    user_id: Mapped[int] = mapped_column(Integer)
    user_name: Mapped[str] = mapped_column(String(255), default="")
    ticket_hash: Mapped[str] = mapped_column(String(64), unique=True)
    ticket_until: Mapped[datetime]
    state_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    cookie_hash: Mapped[str | None] = mapped_column(String(64))
    verifier: Mapped[str | None] = mapped_column(EncryptedText)
    begun_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    xero_login_id: Mapped[int | None] = mapped_column(Id, ForeignKey("xero_login.id"))
    choices: Mapped[list[Any] | None]
    scopes: Mapped[str] = mapped_column(Text, default="")
    problem: Mapped[str | None] = mapped_column(String(64))
    problem_params: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]


class SettingsVersion(Base):
    """A portal's confirmed choices for one organisation; append only, the highest number holds."""

    __tablename__ = "settings_version"
    __table_args__ = (UniqueConstraint("portal_id", "organisation_id", "number"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    organisation_id: Mapped[int] = _organisation()
    number: Mapped[int] = mapped_column(Integer)
    body: Mapped[dict[str, Any]]
    created_by: Mapped[int] = mapped_column(Integer)
    created_by_name: Mapped[str] = mapped_column(String(255), default="")
    created_at: Mapped[datetime]


class SetUp(Base):
    """The wizard's draft: unfinished set-up is resumed from it."""

    __tablename__ = "set_up"
    __table_args__ = (UniqueConstraint("portal_id", "organisation_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    organisation_id: Mapped[int] = _organisation()
    step: Mapped[int] = mapped_column(Integer, default=1)
    draft: Mapped[dict[str, Any]]
    facts: Mapped[dict[str, Any] | None]
    updated_at: Mapped[datetime]


class DirectoryEntry(Base):
    """One thing of an organisation's books that documents refer to: contact, item, account or tax rate."""

    __tablename__ = "directory_entry"
    __table_args__ = (
        UniqueConstraint("organisation_id", "kind", "xero_id"),
        Index("ix_directory_code", "organisation_id", "kind", "code"),
        Index("ix_directory_name", "organisation_id", "kind", "name_key"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    organisation_id: Mapped[int] = _organisation()
    kind: Mapped[str] = mapped_column(String(12))
    xero_id: Mapped[str] = mapped_column(String(64))
    #: ContactNumber, item code, account code or TaxType.
    code: Mapped[str] = mapped_column(String(255), default="")
    name_key: Mapped[str] = mapped_column(String(255), default="")
    active: Mapped[bool] = mapped_column(default=True)
    body: Mapped[dict[str, Any]]
    seen_at: Mapped[datetime]
    #: When it was new to us; nothing for what was there at the first reading.
    appeared_at: Mapped[datetime | None]


class Watermark(Base):
    """How far an organisation's resource has been read."""

    __tablename__ = "watermark"
    __table_args__ = (UniqueConstraint("organisation_id", "resource"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    organisation_id: Mapped[int] = _organisation()
    resource: Mapped[str] = mapped_column(String(24))
    modified_since: Mapped[datetime | None]
    read_at: Mapped[datetime | None]
    #: Wanted at this moment instead of after its usual interval: sooner (news came) or later (the last reading failed).
    due_at: Mapped[datetime | None]


class FirstRun(Base):
    """The first synchronisation of a connection and how far it came."""

    __tablename__ = "first_run"
    __table_args__ = (UniqueConstraint("portal_id", "organisation_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    organisation_id: Mapped[int] = _organisation()
    state: Mapped[str] = mapped_column(String(12), default="running")
    stage: Mapped[str] = mapped_column(String(16), default="")
    done: Mapped[int] = mapped_column(Integer, default=0)
    total: Mapped[int] = mapped_column(Integer, default=0)
    counts: Mapped[dict[str, Any] | None]
    problem_code: Mapped[str | None] = mapped_column(String(64))
    problem_params: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Doubt(Base):
    """A pair that looks alike and that a person must decide."""

    __tablename__ = "doubt"
    __table_args__ = (UniqueConstraint("portal_id", "organisation_id", "crm_subject", "xero_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    organisation_id: Mapped[int] = _organisation()
    crm_subject: Mapped[str] = mapped_column(String(48))
    xero_kind: Mapped[str] = mapped_column(String(12))
    xero_id: Mapped[str] = mapped_column(String(64))
    score: Mapped[int] = mapped_column(Integer, default=0)
    shown: Mapped[dict[str, Any]]
    decided: Mapped[str | None] = mapped_column(String(8))
    decided_by: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime]


class Link(Base):
    """A pair of ids, with what each side looked like when last seen. Identity is here, never in a CRM field (RULES 16)."""

    __tablename__ = "link"
    __table_args__ = (
        Index(
            "uq_link_crm",
            "portal_id",
            "organisation_id",
            "crm_kind",
            "crm_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        # Two companies of one name may share a contact; a document belongs to one of the CRM only.
        Index(
            "uq_link_document",
            "portal_id",
            "organisation_id",
            "xero_kind",
            "xero_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL AND xero_kind <> 'contact'"),
            postgresql_where=text("ended_at IS NULL AND xero_kind <> 'contact'"),
        ),
        Index("ix_link_xero_id", "organisation_id", "xero_id"),
        Index("ix_link_made_from", "portal_id", "made_from"),
        Index("ix_link_kind", "organisation_id", "xero_kind", sqlite_where=text("ended_at IS NULL"), postgresql_where=text("ended_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    organisation_id: Mapped[int] = _organisation()
    crm_kind: Mapped[str] = mapped_column(String(12))
    crm_id: Mapped[int] = mapped_column(Integer)
    xero_kind: Mapped[str] = mapped_column(String(12))
    xero_id: Mapped[str] = mapped_column(String(64))
    number: Mapped[str] = mapped_column(String(255), default="")
    suffix: Mapped[int] = mapped_column(Integer, default=0)
    #: What we last sent, as `compare.draft_to_json`; nothing for documents that were only linked.
    sent: Mapped[dict[str, Any] | None]
    settings_number: Mapped[int | None] = mapped_column(Integer)
    crm_fingerprint: Mapped[str] = mapped_column(String(64), default="")
    crm_updated_at: Mapped[datetime | None]
    #: The CRM's quote that this invoice was made from.
    made_from: Mapped[int | None] = mapped_column(Integer)
    crm_stage: Mapped[str] = mapped_column(String(64), default="")
    #: `invoice_fingerprint` of what we last saw in the CRM, and the stage that we wrote ourselves: it orders nothing (RULES 20, 22).
    crm_seen: Mapped[str] = mapped_column(String(64), default="", server_default="")
    stage_written: Mapped[str] = mapped_column(String(64), default="", server_default="")
    #: Since when the CRM does not have it any more; until somebody decides, or a day has passed (RULES 21).
    crm_gone_at: Mapped[datetime | None]
    xero_status: Mapped[str] = mapped_column(String(16), default="")
    xero_word: Mapped[str] = mapped_column(String(16), default="")
    xero_updated_at: Mapped[datetime | None]
    #: Xero's own time of the answer that showed exactly what we had sent; while Xero names no later one, it still holds that.
    agreed_at: Mapped[datetime | None]
    total: Mapped[Decimal | None]
    amount_due: Mapped[Decimal | None]
    amount_paid: Mapped[Decimal | None]
    currency: Mapped[str] = mapped_column(String(3), default="")
    paid_on: Mapped[date | None]
    due_date: Mapped[date | None]
    #: Fingerprint of what was last written to the CRM's own fields; equal means nothing to write.
    written: Mapped[str] = mapped_column(String(64), default="")
    how: Mapped[str] = mapped_column(String(16), default="sent")
    #: When Xero last held what was sent, or both sides were found to agree: whatever failed before that is over.
    settled_at: Mapped[datetime | None]
    #: Where the customer sees the document; asked for once, by a person (RULES 31).
    online_url: Mapped[str] = mapped_column(String(255), default="", server_default="")
    #: The trigger "Invoice paid in Xero": due once the document became paid, then done; once in a document's life.
    paid_trigger: Mapped[str] = mapped_column(String(4), default="")
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_reason: Mapped[str | None] = mapped_column(String(32))


class Arrival(Base):
    """Something made in Xero that shall appear in a portal. Announced here before Bitrix24 is asked, so that it is never made twice."""

    __tablename__ = "arrival"
    __table_args__ = (UniqueConstraint("portal_id", "organisation_id", "xero_kind", "xero_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    organisation_id: Mapped[int] = _organisation()
    xero_kind: Mapped[str] = mapped_column(String(12))
    xero_id: Mapped[str] = mapped_column(String(64))
    #: wanted, announced (Bitrix24 was or is being asked), made, linked (it was there already), refused.
    state: Mapped[str] = mapped_column(String(12), default="wanted")
    announced_at: Mapped[datetime | None]
    crm_kind: Mapped[str] = mapped_column(String(12), default="")
    crm_id: Mapped[int | None] = mapped_column(Integer)
    problem_code: Mapped[str | None] = mapped_column(String(64))
    problem_params: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Job(Base):
    """One piece of ordered work: the outbox. The row is the truth; Redis only carries bells."""

    __tablename__ = "job"
    __table_args__ = (
        Index(
            "uq_job_waiting", "portal_id", "kind", "subject", unique=True, sqlite_where=text("state = 'waiting'"), postgresql_where=text("state = 'waiting'")
        ),
        Index("uq_job_running", "portal_id", "subject", unique=True, sqlite_where=text("state = 'running'"), postgresql_where=text("state = 'running'")),
        Index("ix_job_due", "organisation_id", "state", "run_at"),
        Index("ix_job_bell", "bell", "state", "run_at"),
        Index("ix_job_subject", "portal_id", "subject"),
        Index("ix_job_failed", "portal_id", "id", sqlite_where=text("problem_code IS NOT NULL"), postgresql_where=text("problem_code IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    organisation_id: Mapped[int | None] = mapped_column(Id, ForeignKey("organisation.id", ondelete="CASCADE"))
    #: The bell that wakes a worker for it: "organisation:7" or "portal:3".
    bell: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(48))
    priority: Mapped[int] = mapped_column(Integer, default=0)
    state: Mapped[str] = mapped_column(String(8), default="waiting")
    acting_user: Mapped[int | None] = mapped_column(Integer)
    payload: Mapped[dict[str, Any] | None]
    run_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    fence: Mapped[int | None] = mapped_column(Id)
    #: The recorded call that may have done this job's work; a look must come before another attempt.
    call_id: Mapped[int | None] = mapped_column(Id)
    problem_code: Mapped[str | None] = mapped_column(String(64))
    problem_params: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    #: Who or what caused it (`jobs.PERSON` …), and when that happened: the oldest change that this order still has to carry.
    cause: Mapped[str] = mapped_column(String(12), default="", server_default="")
    caused_at: Mapped[datetime | None]
    #: Nobody wants it any more, though a worker has it in hand: it ends where it would have been sent.
    stopped: Mapped[bool] = mapped_column(default=False, server_default=false())


class Reaction(Base):
    """How long changes took to reach the other side: a histogram by the hour, so that a week of a portal is a few hundred rows."""

    __tablename__ = "reaction"
    __table_args__ = (UniqueConstraint("portal_id", "direction", "hour", "step"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    #: "out": Bitrix24 to Xero; "in": Xero to Bitrix24.
    direction: Mapped[str] = mapped_column(String(4))
    hour: Mapped[datetime]
    #: The number of the step on `latency`'s scale.
    step: Mapped[int] = mapped_column(Integer)
    count: Mapped[int] = mapped_column(Integer)


class Followed(Base):
    """Why a document that the CRM reported did not go by itself: it waits for something, or has a problem. Asked again when it changes."""

    __tablename__ = "followed"
    __table_args__ = (UniqueConstraint("portal_id", "organisation_id", "crm_kind", "crm_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    organisation_id: Mapped[int] = _organisation()
    crm_kind: Mapped[str] = mapped_column(String(12))
    crm_id: Mapped[int] = mapped_column(Integer)
    number: Mapped[str] = mapped_column(String(255), default="")
    #: What it looked like, stage included, and under which settings.
    seen: Mapped[str] = mapped_column(String(64))
    settings_number: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(8))
    problem_code: Mapped[str] = mapped_column(String(64))
    problem_params: Mapped[dict[str, Any] | None]
    at: Mapped[datetime]


class Watch(Base):
    """How the app looks after a portal by itself: how far its changes were read, and when it looks again (RULES 32)."""

    __tablename__ = "watch"

    portal_id: Mapped[int] = mapped_column(Id, ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True)
    swept_until: Mapped[datetime | None]
    swept_at: Mapped[datetime | None]
    sweep_at: Mapped[datetime | None]
    checked_at: Mapped[datetime | None]
    check_at: Mapped[datetime | None]
    bound_at: Mapped[datetime | None]
    #: Offline events: "" not asked yet, "reserve" (kept until we say so), "take" (gone when read), "none".
    offline: Mapped[str] = mapped_column(String(8), default="")


class Batch(Base):
    """What one person sent, or fetched, at once."""

    __tablename__ = "batch"
    __table_args__ = (UniqueConstraint("portal_id", "number"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    organisation_id: Mapped[int] = _organisation()
    number: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(8))
    crm_kind: Mapped[str] = mapped_column(String(12), default="invoice")
    state: Mapped[str] = mapped_column(String(12))
    created_by: Mapped[int] = mapped_column(Integer)
    created_by_name: Mapped[str] = mapped_column(String(255), default="")
    lang: Mapped[str] = mapped_column(String(8), default="en")
    selection: Mapped[dict[str, Any]]
    total: Mapped[int] = mapped_column(Integer, default=0)
    prepared: Mapped[int] = mapped_column(Integer, default=0)
    problem_code: Mapped[str | None] = mapped_column(String(64))
    problem_params: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class BatchDocument(Base):
    """One document of a batch: what was foreseen for it, and what became of it."""

    __tablename__ = "batch_document"
    __table_args__ = (
        UniqueConstraint("batch_id", "crm_id"),
        Index("ix_batch_document_job", "job_id"),
        Index("ix_batch_document_outcome", "batch_id", "outcome"),
        Index("ix_batch_document_crm", "portal_id", "crm_kind", "crm_id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    batch_id: Mapped[int] = mapped_column(Id, ForeignKey("batch.id", ondelete="CASCADE"))
    crm_kind: Mapped[str] = mapped_column(String(12), default="invoice")
    crm_id: Mapped[int] = mapped_column(Integer)
    number: Mapped[str] = mapped_column(String(255), default="")
    title: Mapped[str] = mapped_column(String(255), default="")
    customer: Mapped[str] = mapped_column(String(255), default="")
    amount: Mapped[Decimal | None]
    currency: Mapped[str] = mapped_column(String(3), default="")
    verdict: Mapped[str] = mapped_column(String(8), default="")
    notes: Mapped[list[Any] | None]
    job_id: Mapped[int | None] = mapped_column(Id)
    outcome: Mapped[str] = mapped_column(String(12), default="")
    problem_code: Mapped[str | None] = mapped_column(String(64))
    problem_params: Mapped[dict[str, Any] | None]
    finished_at: Mapped[datetime | None]


class Call(Base):
    """A write to Xero, recorded before it is made: the exact bytes under a fresh key (RULES 12)."""

    __tablename__ = "call"
    __table_args__ = (Index("ix_call_open", "organisation_id", "answered_at"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    organisation_id: Mapped[int] = _organisation()
    operation: Mapped[str] = mapped_column(String(24))
    method: Mapped[str] = mapped_column(String(8))
    path: Mapped[str] = mapped_column(String(255))
    key: Mapped[str] = mapped_column(String(128), unique=True)
    body: Mapped[bytes]
    #: What each element of the body is for: [{"job": 7, "subject": "invoice:3", "mark": "HV-1004", ...}], in order.
    elements: Mapped[list[Any]]
    sent_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
    status: Mapped[int | None] = mapped_column(Integer)
    outcome: Mapped[str] = mapped_column(String(12), default="")
    seconds: Mapped[float | None]
    request_id: Mapped[str] = mapped_column(String(64), default="")


class RobotCall(Base):
    """An automation rule of a portal that reached us, and what it is told at the end. Its event token is a secret: sealed, and known again by its hash."""

    __tablename__ = "robot_call"
    __table_args__ = (UniqueConstraint("portal_id", "token_hash"), Index("ix_robot_call_job", "job_id"))

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    token_hash: Mapped[str] = mapped_column(String(64))
    event_token: Mapped[str | None] = mapped_column(EncryptedText)
    crm_kind: Mapped[str] = mapped_column(String(12))
    crm_id: Mapped[int] = mapped_column(Integer)
    job_id: Mapped[int | None] = mapped_column(Id)
    #: waiting for its job, ended (to be answered), or answered.
    state: Mapped[str] = mapped_column(String(8))
    problem_code: Mapped[str | None] = mapped_column(String(64))
    problem_params: Mapped[dict[str, Any] | None]
    received_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]


class Exchange(Base):
    """One request to a partner and its answer, as far as they may be kept (`redaction`). Written beside the work, never within it."""

    __tablename__ = "exchange"
    __table_args__ = (
        Index("ix_exchange_portal", "portal_id", "id"),
        Index("ix_exchange_organisation", "organisation_id", "id"),
        Index("ix_exchange_at", "at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    #: Empty for what concerns an organisation's books as a whole; read through a live connection then (RULES 4).
    portal_id: Mapped[int | None] = mapped_column(Id, ForeignKey("portal.id", ondelete="CASCADE"))
    organisation_id: Mapped[int | None] = mapped_column(Id, ForeignKey("organisation.id", ondelete="CASCADE"))
    partner: Mapped[str] = mapped_column(String(8))
    at: Mapped[datetime]
    verb: Mapped[str] = mapped_column(String(8))
    path: Mapped[str] = mapped_column(String(500))
    status: Mapped[int | None] = mapped_column(Integer)
    seconds: Mapped[float]
    #: How long the call waited for its turn under the partner's limits.
    waited: Mapped[float]
    sent: Mapped[int] = mapped_column(Integer)
    received: Mapped[int] = mapped_column(Integer)
    request_id: Mapped[str] = mapped_column(String(64))
    partner_id: Mapped[str] = mapped_column(String(128))
    problem: Mapped[str] = mapped_column(String(120))
    #: Subjects, numbers and ids, between blanks.
    documents: Mapped[str] = mapped_column(Text)
    request: Mapped[str] = mapped_column(Text)
    answer: Mapped[str] = mapped_column(Text)


class Heartbeat(Base):
    """A process that works for everybody, and when it was last seen."""

    __tablename__ = "heartbeat"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class SelfTest(Base):
    """One run of the self-test: by a person, or at night by nobody. Steps are written as they end, so that a page can follow."""

    __tablename__ = "self_test"
    __table_args__ = (Index("ix_self_test_portal", "portal_id", "id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    user_id: Mapped[int | None] = mapped_column(Integer)
    user_name: Mapped[str] = mapped_column(String(255), default="")
    #: [{"name": "portal", "state": "ok", "seconds": 0.1, "code": null, "params": null}, ...] in order.
    steps: Mapped[list[Any]]
    faults: Mapped[int] = mapped_column(Integer, default=0)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Callback(Base):
    """A raw inbound message: the inbox. Stored without tokens, kept 14 days (RULES 36)."""

    __tablename__ = "callback"
    __table_args__ = (
        Index("ix_callback_open", "done_at", "id"),
        Index("ix_callback_portal", "portal_id", "id"),
        Index("ix_callback_recent", "portal_id", "received_at"),
        Index("ix_callback_organisation", "organisation_id", "id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int | None] = mapped_column(Id, ForeignKey("portal.id", ondelete="CASCADE"))
    organisation_id: Mapped[int | None] = mapped_column(Id, ForeignKey("organisation.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(48))
    subject: Mapped[str] = mapped_column(String(64), default="")
    body: Mapped[dict[str, Any]]
    received_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    problem_code: Mapped[str | None] = mapped_column(String(64))


class Activity(Base):
    """A sentence about something that happened: code and parameters, rendered when read."""

    __tablename__ = "activity"
    __table_args__ = (
        Index("ix_activity_portal", "portal_id", "id"),
        Index("ix_activity_subject", "portal_id", "subject"),
        Index("ix_activity_at", "portal_id", "at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    organisation_id: Mapped[int | None] = mapped_column(Id, ForeignKey("organisation.id", ondelete="SET NULL"))
    at: Mapped[datetime]
    code: Mapped[str] = mapped_column(String(64))
    params: Mapped[dict[str, Any]]
    subject: Mapped[str] = mapped_column(String(48), default="")
    user_id: Mapped[int | None] = mapped_column(Integer)
    user_name: Mapped[str] = mapped_column(String(255), default="")
    batch_id: Mapped[int | None] = mapped_column(Id)
    xero_id: Mapped[str] = mapped_column(String(64), default="")
    #: Who or what caused it: `jobs.PERSON`, `AUTOMATIC`, `XERO` or `SWEEP`.
    cause: Mapped[str] = mapped_column(String(12), default="", server_default="")
    #: The sentence and its parameters in small letters, for the search.
    search: Mapped[str] = mapped_column(Text, default="", server_default="")


class Preference(Base):
    """What one person chose for their own pages."""

    __tablename__ = "preference"
    __table_args__ = (UniqueConstraint("portal_id", "user_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    portal_id: Mapped[int] = _portal()
    user_id: Mapped[int] = mapped_column(Integer)
    body: Mapped[dict[str, Any]]


class PortalStages(Base):
    """Names and colours of a portal's invoice stages, as last read."""

    __tablename__ = "portal_stages"

    portal_id: Mapped[int] = mapped_column(Id, ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True)
    stages: Mapped[list[Any]]
    read_at: Mapped[datetime]


class Lease(Base):
    """A named turn that one process at a time may take: an organisation's conductor, a portal's write-back, the sweep."""

    __tablename__ = "lease"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str | None] = mapped_column(String(64))
    until: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(Id, default=0)
