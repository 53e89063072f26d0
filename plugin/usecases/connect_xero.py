"""Connect a portal to Xero: a ticket, a new window, consent, the way back, and the choice of an organisation (RULES 1–3)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from plugin import activity, durations, jobs, logins
from plugin.db import Transaction
from plugin.domain.crm import Visitor
from plugin.domain.problems import LATER, Problem
from plugin.models import Connection, Consent, Job, Organisation, Portal, XeroLogin
from plugin.portals import keep_organisation, live_connection
from plugin.services import Services
from plugin.talking import XeroBooks
from plugin.usecases import NotAllowed, NotHere
from plugin.usecases.shown import ConnectionShown, OrganisationChoice, Told
from plugin.wire import NoAnswer
from plugin.xero import ledgers, oauth


@dataclass(frozen=True)
class Begun:
    """Where the new window goes, and the first-party cookie that it takes along."""

    redirect_url: str
    cookie_value: str


@dataclass(frozen=True)
class Finished:
    """How the window at Xero ended; without a problem the organisation's name, or "" while several wait to be chosen."""

    problem: Told | None
    organisation: str = ""


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _must_be_admin(visitor: Visitor) -> None:
    if not visitor.admin:
        raise NotAllowed


def ticket(services: Services, visitor: Visitor) -> str:
    """A ticket for the new window: good once, for a minute, for this person on this portal."""
    _must_be_admin(visitor)
    now, value = services.now(), secrets.token_urlsafe(32)
    with services.db.transaction() as tx:
        tx.add(
            Consent(
                portal_id=visitor.portal_id,
                user_id=visitor.user_id,
                user_name=visitor.name,
                ticket_hash=_hash(value),
                ticket_until=now + timedelta(seconds=durations.TICKET),
                created_at=now,
            )
        )
    return value


def begin(services: Services, value: str) -> Begun:
    """Use the ticket up; the browser gets a cookie and goes on to Xero's consent page."""
    now = services.now()
    state, cookie, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32), oauth.new_verifier()
    with services.db.transaction() as tx:
        used = tx.execute(
            update(Consent)
            .where(Consent.ticket_hash == _hash(value), Consent.begun_at.is_(None), Consent.ticket_until > now)
            .values(begun_at=now, state_hash=_hash(state), cookie_hash=_hash(cookie))
            .execution_options(synchronize_session=False)
        )
        if used.rowcount != 1:  # type: ignore[attr-defined]
            raise Problem("connect.ticket_used")
        consent = tx.scalars(select(Consent).where(Consent.state_hash == _hash(state))).one()
        consent.verifier = verifier
    return Begun(oauth.authorise_url(services.config, state, verifier), cookie)


def finish(services: Services, args: Mapping[str, str], cookie: str | None) -> Finished:
    """Xero sent the browser back: believed only with our state and the cookie that left with it (RULES 3)."""
    try:
        consent = _own_consent(services, args.get("state", ""), cookie)
    except Problem as problem:
        return Finished(Told(problem.code, problem.params))
    try:
        return _exchange(services, consent, args)
    except Problem as problem:
        _refuse(services, consent.id, problem.code)
        return Finished(Told(problem.code, problem.params))
    except NoAnswer:
        _refuse(services, consent.id, "connect.no_answer")
        return Finished(Told("connect.no_answer"))


def _own_consent(services: Services, state: str, cookie: str | None) -> Consent:
    now = services.now()
    with services.db.transaction() as tx:
        consent = tx.scalar(select(Consent).where(Consent.state_hash == _hash(state)).with_for_update())
        if consent is None or consent.begun_at is None:
            raise Problem("connect.state_unknown")
        if not cookie or not hmac.compare_digest(_hash(cookie), consent.cookie_hash or ""):
            raise Problem("connect.other_browser")
        if consent.finished_at is not None:
            raise Problem("connect.used_already")
        if consent.begun_at < now - timedelta(seconds=durations.CONSENT):
            raise Problem("connect.too_late")
        consent.finished_at = now
    return consent


def _refuse(services: Services, consent_id: int, code: str) -> None:
    with services.db.transaction() as tx:
        tx.execute(update(Consent).where(Consent.id == consent_id).values(problem=code, verifier=None))


def _exchange(services: Services, consent: Consent, args: Mapping[str, str]) -> Finished:
    if args.get("error"):
        raise Problem("connect.refused" if args["error"] == "access_denied" else "connect.xero_error", error=args["error"][:100])
    if not args.get("code"):
        raise Problem("connect.no_code")
    tokens = oauth.exchange(services.wire, services.config, args["code"], consent.verifier or "")
    login_id = _keep_login(services, tokens, consent.id)
    offered = oauth.connections(services.wire, services.config, tokens.access_token, tokens.auth_event_id or None)
    if not offered:
        raise Problem("connect.no_organisation")
    choices = _describe(services, login_id, tokens, offered)
    with services.db.transaction() as tx:
        tx.execute(
            update(Consent)
            .where(Consent.id == consent.id)
            .values(xero_login_id=login_id, choices=choices, scopes=" ".join(tokens.scopes), verifier=None)
            .execution_options(synchronize_session=False)
        )
    if len(choices) > 1:
        return Finished(None)
    connect(services, consent.id, choices[0]["tenant_id"])
    return Finished(None, choices[0]["name"])


def _keep_login(services: Services, tokens: oauth.TokenSet, consent_id: int) -> int:
    """One row per Xero user; a new consent refreshes it for every portal that uses it."""
    now = services.now()
    userid = tokens.xero_userid or f"consent-{consent_id}"
    with services.db.transaction() as tx:
        login = tx.scalar(select(XeroLogin).where(XeroLogin.xero_userid == userid).with_for_update())
        if login is None:
            login = XeroLogin(xero_userid=userid)
            tx.add(login)
        login.name, login.email = tokens.name or login.name or "", tokens.email or login.email or ""
        login.access_token, login.refresh_token = tokens.access_token, tokens.refresh_token
        login.expires_at, login.refreshed_at = now + timedelta(seconds=tokens.expires_in), now
        login.scopes, login.problem = " ".join(tokens.scopes), None
        tx.flush()
        return login.id


def _describe(services: Services, login_id: int, tokens: oauth.TokenSet, offered: tuple[oauth.XeroConnection, ...]) -> list[dict[str, Any]]:
    """Names and countries of what this consent offers; the organisation's own words where Xero lets us read them."""
    choices = []
    for one in offered:
        choice: dict[str, Any] = {
            "tenant_id": one.tenant_id,
            "connection_id": one.id,
            "auth_event_id": one.auth_event_id,
            "name": one.tenant_name,
            "country": "",
        }
        books = XeroBooks(services, 0, one.tenant_id, login_id, "people")
        try:
            value = ledgers.organisation(books)
            choice |= {"name": value.name or one.tenant_name, "country": value.country}
        except Problem as problem:
            if len(offered) == 1 and problem.code in ("xero.forbidden", "xero.disconnected", "xero.scope_missing"):
                raise Problem("connect.role_refused", detail=problem.params.get("detail", "")) from problem
            choice["refused"] = problem.code
        choices.append(choice)
    return choices


def connect(services: Services, consent_id: int, tenant_id: str) -> None:
    """Make this organisation the portal's. Its set-up starts where it was left, or empty (RULES 2)."""
    with services.db.reading() as session:
        consent = session.get_one(Consent, consent_id)
        login_id = consent.xero_login_id or 0
    choice = next((one for one in consent.choices or [] if one["tenant_id"] == tenant_id), None)
    if choice is None:
        raise NotHere
    books = XeroBooks(services, 0, tenant_id, login_id, "people")
    value = ledgers.organisation(books)
    now = services.now()
    with services.db.transaction() as tx:
        organisation = tx.scalar(select(Organisation).where(Organisation.tenant_id == tenant_id))
        if organisation is None:
            organisation = Organisation(tenant_id=tenant_id)
            tx.add(organisation)
        keep_organisation(organisation, value, now)
        tx.flush()
        left = _replace(tx, consent, organisation.id, choice, login_id, now)
        activity.record(
            tx,
            consent.portal_id,
            "activity.connected",
            now,
            organisation_id=organisation.id,
            user_id=consent.user_id,
            user_name=consent.user_name,
            organisation=organisation.name,
        )
    if left is not None:
        leave(services, left)


def _replace(tx: Transaction, consent: Consent, organisation_id: int, choice: dict[str, Any], login_id: int, now: datetime) -> Connection | None:
    """The new connection in place of the old one. Returns the old one when it was to another organisation."""
    old = live_connection(tx, consent.portal_id)
    if old is not None and old.organisation_id == organisation_id:
        old.xero_login_id, old.xero_connection_id, old.scopes = login_id, choice["connection_id"], consent.scopes
        old.problem, old.problem_at = None, None
        tx.execute(update(Job).where(Job.organisation_id == organisation_id, Job.portal_id == consent.portal_id, Job.state == "waiting").values(run_at=now))
    else:
        if old is not None:
            old.ended_at, old.ended_reason = now, "other_organisation"
            _end_jobs(tx, old, now)
            tx.flush()
        tx.add(
            Connection(
                portal_id=consent.portal_id,
                organisation_id=organisation_id,
                xero_login_id=login_id,
                xero_connection_id=choice["connection_id"],
                scopes=consent.scopes,
                connected_by=consent.user_id,
                connected_by_name=consent.user_name,
                connected_at=now,
            )
        )
    tx.execute(update(Consent).where(Consent.id == consent.id).values(choices=None))
    return old if old is not None and old.ended_at is not None else None


def _end_jobs(tx: Transaction, connection: Connection, now: datetime) -> None:
    """Work for books that the portal has left ends with that reason."""
    waiting = list(
        tx.scalars(select(Job.id).where(Job.portal_id == connection.portal_id, Job.organisation_id == connection.organisation_id, Job.state == "waiting"))
    )
    jobs.finish(tx, waiting, now, Problem("portal.disconnected"))
    jobs.fail_documents(tx, waiting, now, Problem("portal.disconnected"))


def choose(services: Services, visitor: Visitor, tenant_id: str) -> None:
    """The person chose one of the organisations of their own consent."""
    _must_be_admin(visitor)
    with services.db.reading() as session:
        consent = _latest(session, visitor)
    if consent is None or not consent.choices:
        raise NotHere
    connect(services, consent.id, tenant_id)


def _latest(session: Any, visitor: Visitor) -> Consent | None:
    found: Consent | None = session.scalar(
        select(Consent).where(Consent.portal_id == visitor.portal_id, Consent.user_id == visitor.user_id).order_by(Consent.id.desc()).limit(1)
    )
    return found


def shown(services: Services, visitor: Visitor) -> ConnectionShown:
    """What the panel shows now; the page in the frame asks again while the window at Xero is open."""
    now = services.now()
    with services.db.reading() as session:
        consent = _latest(session, visitor) if visitor.admin else None
        connection = live_connection(session, visitor.portal_id)
        if connection is not None:
            organisation = session.get_one(Organisation, connection.organisation_id)
            login = session.get_one(XeroLogin, connection.xero_login_id)
    if consent is not None and consent.choices and consent.finished_at and consent.finished_at > now - timedelta(hours=1):
        return ConnectionShown("choose", choices=tuple(_choice(one) for one in consent.choices))
    waiting = (
        consent is not None and consent.begun_at is not None and consent.finished_at is None and consent.begun_at > now - timedelta(seconds=durations.CONSENT)
    )
    refused = Told(consent.problem) if consent is not None and consent.problem and consent.created_at > now - timedelta(hours=1) else None
    if connection is None:
        return ConnectionShown("waiting" if waiting else "none", problem=refused)
    return ConnectionShown(
        "broken" if connection.problem else "connected",
        organisation=organisation.name,
        country=organisation.country,
        currency=organisation.base_currency,
        is_demo=bool((organisation.facts or {}).get("is_demo")),
        connected_by=connection.connected_by_name,
        xero_user=login.name or login.email,
        since=connection.connected_at,
        problem=Told(connection.problem) if connection.problem else None,
        missing_scopes=tuple(one for one in oauth.SCOPES if connection.scopes and one not in connection.scopes.split()),
    )


def _choice(stored: dict[str, Any]) -> OrganisationChoice:
    return OrganisationChoice(stored["tenant_id"], stored["name"], stored["country"], Told(stored["refused"]) if stored.get("refused") else None)


def disconnect(services: Services, visitor: Visitor) -> None:
    """End the portal's access to its organisation. Nothing is deleted on either side (RULES 2)."""
    _must_be_admin(visitor)
    now = services.now()
    with services.db.transaction() as tx:
        connection = live_connection(tx, visitor.portal_id)
        if connection is None:
            raise NotHere
        connection.ended_at, connection.ended_reason = now, "disconnected"
        _end_jobs(tx, connection, now)
        activity.record(
            tx, visitor.portal_id, "activity.disconnected", now, organisation_id=connection.organisation_id, user_id=visitor.user_id, user_name=visitor.name
        )
    leave(services, connection)


def leave(services: Services, connection: Connection) -> None:
    """Tell Xero, unless another portal still uses the connection; revoke only when that Xero user has none left with us."""
    with services.db.reading() as session:
        shared = session.scalar(
            select(Connection.id)
            .where(
                Connection.organisation_id == connection.organisation_id, Connection.xero_login_id == connection.xero_login_id, Connection.ended_at.is_(None)
            )
            .limit(1)
        )
        others = session.scalar(select(Connection.id).where(Connection.xero_login_id == connection.xero_login_id, Connection.ended_at.is_(None)).limit(1))
        login = session.get_one(XeroLogin, connection.xero_login_id)
    if shared is not None:
        return
    try:
        token = logins.xero_token(services, connection.xero_login_id)
        oauth.delete_connection(services.wire, services.config, token, connection.xero_connection_id)
        if others is None and login.refresh_token:
            with services.db.reading() as session:
                latest = session.get_one(XeroLogin, login.id).refresh_token
            oauth.revoke(services.wire, services.config, latest or "")
    except (Problem, NoAnswer):
        # Ours ends here in any case; the nightly check deletes what Xero still lists.
        return
    finally:
        if others is None:
            forget_login(services, connection.xero_login_id)


def forget_login(services: Services, login_id: int) -> None:
    """Erase the tokens of a Xero user that no portal uses any more."""
    with services.db.transaction() as tx:
        tx.execute(update(XeroLogin).where(XeroLogin.id == login_id).values(access_token=None, refresh_token=None, expires_at=None, problem="login.no_token"))


def check_connections(services: Services, portal_id: int) -> None:
    """Is the organisation still in Xero's list? A disconnection made inside Xero announces itself nowhere else (X§1.5)."""
    with services.db.reading() as session:
        connection = live_connection(session, portal_id)
        portal = session.get_one(Portal, portal_id)
        organisation = session.get_one(Organisation, connection.organisation_id) if connection else None
    if connection is None or organisation is None or portal.uninstalled_at is not None:
        return
    try:
        token = logins.xero_token(services, connection.xero_login_id)
        listed = oauth.connections(services.wire, services.config, token)
    except NoAnswer as error:
        raise Problem("xero.no_answer", LATER) from error
    if organisation.tenant_id not in {one.tenant_id for one in listed}:
        with services.db.transaction() as tx:
            tx.execute(update(Connection).where(Connection.id == connection.id).values(problem="xero.disconnected", problem_at=services.now()))
