"""Connect a portal to Xero: a ticket, a new window, consent, the way back, and the choice of an organisation (RULES 1–3).

Problems made here, none of which is retried by itself:

connect.ticket_used      the window was opened before, or more than a minute after the button
connect.state_unknown, connect.other_browser, connect.used_already, connect.too_late    an answer from Xero that nobody here asked for
connect.refused          the person pressed Cancel at Xero
connect.refused_because  text: the reason that Xero gives, such as the number of organisations or apps
connect.xero_error       error
connect.no_code, connect.no_answer, connect.no_organisation
connect.code_expired     Xero's code was used or is older than five minutes
connect.role_refused     detail
portal.disconnected      work that waited for books which the portal has left

Activities: activity.connected (organisation), activity.connected_as_other (organisation, xero_user, before), activity.disconnected.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_, select, update

from plugin import activity, durations, jobs, logins
from plugin.db import Transaction
from plugin.domain.crm import Visitor
from plugin.domain.problems import LATER, Problem
from plugin.models import Batch, Call, Connection, Consent, FirstRun, Job, Organisation, Portal, XeroLogin
from plugin.portals import ensure_row, keep_organisation, live_connection
from plugin.sending.resolve import ITEMS_FORBIDDEN
from plugin.services import Services
from plugin.talking import XeroBooks
from plugin.usecases import NotAllowed, NotHere
from plugin.usecases.shown import ConnectionShown, OrganisationChoice, Told
from plugin.wire import NoAnswer
from plugin.xero import ledgers, oauth

log = logging.getLogger("plugin.connect")


#: Operation of the recorded calls that end a connection; their path is the connection's id.
LEAVE = "leave"
#: How long the organisations of a consent are offered.
CHOICE = timedelta(hours=1)
#: Problems of a Xero user's tokens, which a new consent of that user mends everywhere; beside all of `login.*`.
TOKEN_PROBLEMS = ("xero.grant_invalid", "xero.token_invalid", "xero.token_foreign")


@dataclass(frozen=True)
class Left:
    """A connection that is over here, as Xero knows it."""

    organisation_id: int
    login_id: int
    connection_id: str


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
        connection = live_connection(tx, consent.portal_id)
        scopes = _wanted_scopes(tx.get_one(Organisation, connection.organisation_id) if connection else None)
    return Begun(oauth.authorise_url(services.config, state, verifier, scopes), cookie)


def _wanted_scopes(organisation: Organisation | None) -> tuple[str, ...]:
    """What the product asks for; where Xero has refused items without it, the wider permission too (RULES 7, X§1.6)."""
    refused = organisation is not None and ITEMS_FORBIDDEN in (organisation.facts or {})
    return (*oauth.SCOPES, oauth.ITEMS_FALLBACK_SCOPE) if refused else oauth.SCOPES


def finish(services: Services, args: Mapping[str, str], cookie: str | None) -> Finished:
    """Xero sent the browser back: believed only with our state and the cookie that left with it (RULES 3)."""
    try:
        consent = _own_consent(services, args.get("state", ""), cookie)
    except Problem as problem:
        return Finished(Told(problem.code, problem.params))
    try:
        return _exchange(services, consent, args)
    except Problem as problem:
        _refuse(services, consent.id, problem)
        return Finished(Told(problem.code, problem.params))
    except NoAnswer:
        _refuse(services, consent.id, Problem("connect.no_answer"))
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


def _refuse(services: Services, consent_id: int, problem: Problem) -> None:
    with services.db.transaction() as tx:
        tx.execute(update(Consent).where(Consent.id == consent_id).values(problem=problem.code, problem_params=problem.params, verifier=None))


def _exchange(services: Services, consent: Consent, args: Mapping[str, str]) -> Finished:
    if args.get("error"):
        raise _came_back_with(args["error"][:100], args.get("error_description", "")[:500].strip())
    if not args.get("code"):
        raise Problem("connect.no_code")
    try:
        tokens = oauth.exchange(services.wire, services.config, args["code"], consent.verifier or "")
    except Problem as problem:
        if problem.code == "xero.grant_invalid":
            raise Problem("connect.code_expired") from problem
        raise
    login_id = _keep_login(services, tokens, consent.id)
    offered = _offered(services, tokens)
    if not offered:
        raise Problem("connect.no_organisation")
    choices = _describe(services, login_id, offered)
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


def _came_back_with(error: str, text: str) -> Problem:
    """Not every refusal is the person's own: where Xero gives a reason, it is Xero's sentence that is shown (X§1.2, §3.4)."""
    if error != "access_denied":
        return Problem("connect.xero_error", error=f"{error} ({text})" if text else error)
    return Problem("connect.refused_because", text=text) if text else Problem("connect.refused")


def _offered(services: Services, tokens: oauth.TokenSet) -> tuple[oauth.XeroConnection, ...]:
    """The organisations of this consent and no others (RULES 1). A token that does not name its consent: those of the newest one."""
    found = oauth.connections(services.wire, services.config, tokens.access_token, tokens.auth_event_id or None)
    if tokens.auth_event_id or not found:
        return found
    newest = max(found, key=lambda one: (one.updated_at is not None, one.updated_at))
    return tuple(one for one in found if one.auth_event_id == newest.auth_event_id)


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
        login.scopes, login.problem, login.refreshing_until = " ".join(tokens.scopes), None, None
        tx.flush()
        return login.id


def _describe(services: Services, login_id: int, offered: tuple[oauth.XeroConnection, ...]) -> list[dict[str, Any]]:
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
        choices = consent.choices or []
    choice = next((one for one in choices if one["tenant_id"] == tenant_id), None)
    if choice is None:
        raise NotHere
    value = ledgers.organisation(XeroBooks(services, 0, tenant_id, login_id, "people"))
    now = services.now()
    with services.db.transaction() as tx:
        ensure_row(tx, Organisation, tenant_id=tenant_id)
        organisation = tx.scalars(select(Organisation).where(Organisation.tenant_id == tenant_id)).one()
        keep_organisation(organisation, value, now)
        tx.flush()
        left = _replace(tx, consent, organisation, choice, login_id, now)
        _heal_siblings(tx, organisation.id, login_id, choice["connection_id"])
        _go_on(tx, services, login_id, now)
        _first_run_again(tx, consent.portal_id, organisation.id, consent.user_id, now)
        for bell in (jobs.organisation_bell(organisation.id), jobs.portal_bell(consent.portal_id)):
            tx.after_commit(lambda bell=bell: services.bells.ring(bell))  # type: ignore[misc]
    if left is not None:
        leave(services, left)
    _let_go(services, login_id, [one for one in choices if one["tenant_id"] != tenant_id])


def _replace(tx: Transaction, consent: Consent, organisation: Organisation, choice: dict[str, Any], login_id: int, now: datetime) -> Left | None:
    """The new connection in place of the old one. Returns what of the old one Xero need not keep."""
    tx.execute(select(Portal.id).where(Portal.id == consent.portal_id).with_for_update())  # two windows at once come one after the other
    tx.execute(update(Consent).where(Consent.id == consent.id).values(choices=None))
    old, left = live_connection(tx, consent.portal_id), None
    who: dict[str, Any] = {
        "organisation_id": organisation.id,
        "user_id": consent.user_id,
        "user_name": consent.user_name,
        "organisation": organisation.name,
    }
    if old is not None and old.organisation_id == organisation.id:
        other = old.xero_login_id != login_id
        if other:
            left = Left(old.organisation_id, old.xero_login_id, old.xero_connection_id)
            before, after = (tx.get_one(XeroLogin, one) for one in (old.xero_login_id, login_id))
            activity.record(
                tx, consent.portal_id, "activity.connected_as_other", now, **who, xero_user=after.name or after.email, before=before.name or before.email
            )
        if other or old.problem:
            old.connected_by, old.connected_by_name, old.connected_at = consent.user_id, consent.user_name, now
        old.xero_login_id, old.xero_connection_id, old.scopes = login_id, choice["connection_id"], consent.scopes
        old.problem, old.problem_at = None, None
        return left
    if old is not None:
        left = end(tx, old, "other_organisation", now)
        end_work(tx, consent.portal_id, old.organisation_id, Problem("portal.disconnected"), now)
        tx.flush()
    tx.add(
        Connection(
            portal_id=consent.portal_id,
            organisation_id=organisation.id,
            xero_login_id=login_id,
            xero_connection_id=choice["connection_id"],
            scopes=consent.scopes,
            connected_by=consent.user_id,
            connected_by_name=consent.user_name,
            connected_at=now,
        )
    )
    tx.flush()
    activity.record(tx, consent.portal_id, "activity.connected", now, **who)
    return left


def _heal_siblings(tx: Transaction, organisation_id: int, login_id: int, connection_id: str) -> None:
    """Other portals that use this Xero user's tokens have them back too, and those on this organisation its new connection (RULES 1)."""
    live = (Connection.xero_login_id == login_id, Connection.ended_at.is_(None))
    about_tokens = or_(Connection.problem.in_(TOKEN_PROBLEMS), Connection.problem.startswith("login."))
    well = {"problem": None, "problem_at": None}
    tx.execute(update(Connection).where(*live, about_tokens).values(**well).execution_options(synchronize_session=False))
    here = update(Connection).where(*live, Connection.organisation_id == organisation_id)
    tx.execute(here.values(xero_connection_id=connection_id, **well).execution_options(synchronize_session=False))


def _go_on(tx: Transaction, services: Services, login_id: int, now: datetime) -> None:
    """What waited for this consent, in every portal that it helps."""
    live = (Connection.xero_login_id == login_id, Connection.ended_at.is_(None), Connection.problem.is_(None))
    for portal_id, organisation_id in tx.execute(select(Connection.portal_id, Connection.organisation_id).where(*live)).all():
        jobs.hurry(tx, portal_id, now, organisation_id)
        for bell in (jobs.organisation_bell(organisation_id), jobs.portal_bell(portal_id)):
            tx.after_commit(lambda bell=bell: services.bells.ring(bell))  # type: ignore[misc]


def _first_run_again(tx: Transaction, portal_id: int, organisation_id: int, user_id: int, now: datetime) -> None:
    """A first synchronisation that a disconnection ended is taken up again."""
    run = tx.scalar(select(FirstRun).where(FirstRun.portal_id == portal_id, FirstRun.organisation_id == organisation_id))
    if run is None or run.state == "done":
        return
    run.state, run.problem_code, run.problem_params = "running", None, None
    jobs.order(tx, jobs.Order(portal_id, jobs.FIRST_RUN, "first_run", jobs.portal_bell(portal_id), organisation_id, acting_user=user_id), now)


def end(tx: Transaction, connection: Connection, reason: str, now: datetime) -> Left:
    """The connection is over for us. Returns what Xero is to be told."""
    connection.ended_at, connection.ended_reason = now, reason
    return Left(connection.organisation_id, connection.xero_login_id, connection.xero_connection_id)


def end_work(tx: Transaction, portal_id: int, organisation_id: int | None, problem: Problem, now: datetime) -> None:
    """Work for books that the portal has left, or all of its work, ends with that reason; nothing stays behind that looks as if it ran."""
    of_jobs = [Job.portal_id == portal_id, Job.state == "waiting"]
    of_runs = [FirstRun.portal_id == portal_id, FirstRun.state == "running"]
    of_batches = [Batch.portal_id == portal_id, Batch.state.in_(("preparing", "to_confirm"))]
    if organisation_id is not None:
        of_jobs.append(Job.organisation_id == organisation_id)
        of_runs.append(FirstRun.organisation_id == organisation_id)
        of_batches.append(Batch.organisation_id == organisation_id)
    waiting = list(tx.scalars(select(Job.id).where(*of_jobs)))
    jobs.finish(tx, waiting, now, problem)
    jobs.fail_documents(tx, waiting, now, problem)
    why = {"problem_code": problem.code, "problem_params": problem.params}
    tx.execute(update(FirstRun).where(*of_runs).values(state="problem", **why).execution_options(synchronize_session=False))
    tx.execute(update(Batch).where(*of_batches).values(state="cancelled", finished_at=now, **why).execution_options(synchronize_session=False))


def choose(services: Services, visitor: Visitor, tenant_id: str) -> None:
    """The person chose one of the organisations of their own consent."""
    _must_be_admin(visitor)
    with services.db.reading() as session:
        consent = _latest(session, visitor)
    if consent is None or not _to_choose(consent, services.now()):
        raise NotHere
    connect(services, consent.id, tenant_id)


def _latest(session: Any, visitor: Visitor) -> Consent | None:
    found: Consent | None = session.scalar(
        select(Consent).where(Consent.portal_id == visitor.portal_id, Consent.user_id == visitor.user_id).order_by(Consent.id.desc()).limit(1)
    )
    return found


def _to_choose(consent: Consent, now: datetime) -> bool:
    """One organisation is taken without a question (the window at Xero is doing it at this moment), unless that went wrong."""
    if consent.finished_at is None or consent.finished_at <= now - CHOICE:
        return False
    return len(consent.choices or ()) > 1 or bool(consent.choices and consent.problem)


def shown(services: Services, visitor: Visitor) -> ConnectionShown:
    """What the panel shows now; the page in the frame asks again while the window at Xero is open."""
    now = services.now()
    with services.db.reading() as session:
        consent = _latest(session, visitor) if visitor.admin else None
        connection = live_connection(session, visitor.portal_id)
        if connection is not None:
            organisation = session.get_one(Organisation, connection.organisation_id)
            login = session.get_one(XeroLogin, connection.xero_login_id)
    if consent is not None and _to_choose(consent, now):
        return ConnectionShown("choose", choices=tuple(_choice(one) for one in consent.choices or ()))
    waiting = (
        consent is not None and consent.begun_at is not None and consent.finished_at is None and consent.begun_at > now - timedelta(seconds=durations.CONSENT)
    )
    refused = (
        Told(consent.problem, consent.problem_params or {})
        if consent is not None and consent.problem and consent.created_at > now - timedelta(hours=1)
        else None
    )
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
        missing_scopes=tuple(one for one in _wanted_scopes(organisation) if connection.scopes and one not in connection.scopes.split()),
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
        left = end(tx, connection, "disconnected", now)
        end_work(tx, visitor.portal_id, connection.organisation_id, Problem("portal.disconnected"), now)
        activity.record(
            tx, visitor.portal_id, "activity.disconnected", now, organisation_id=connection.organisation_id, user_id=visitor.user_id, user_name=visitor.name
        )
    leave(services, left)


def leave(services: Services, left: Left) -> None:
    """Tell Xero, unless another portal still uses the connection; revoke only when that Xero user has none left with us.

    The call is a row first: what Xero did not confirm is told again by the sweep, without this user's tokens, which are erased now.
    """
    now = services.now()
    with services.db.transaction() as tx:
        mine = (Connection.xero_login_id == left.login_id, Connection.ended_at.is_(None))
        shared = tx.scalar(select(Connection.id).where(*mine, Connection.organisation_id == left.organisation_id).limit(1))
        if shared is not None:
            return
        wanted = tx.scalar(select(Connection.id).where(*mine).limit(1)) or tx.scalar(select(Consent.id).where(*_choosing(left.login_id, now)).limit(1))
        call = Call(
            organisation_id=left.organisation_id,
            operation=LEAVE,
            method="DELETE",
            path=left.connection_id,
            key=f"{LEAVE}:{secrets.token_hex(16)}",
            body=b"",
            elements=[],
            sent_at=now,
        )
        tx.add(call)
        tx.flush()
        call_id = call.id
    try:
        token = logins.xero_token(services, left.login_id)
        oauth.delete_connection(services.wire, services.config, token, left.connection_id)
        _left(services, call_id)
        if wanted is None:
            with services.db.reading() as session:
                refresh_token = session.get_one(XeroLogin, left.login_id).refresh_token
            oauth.revoke(services.wire, services.config, refresh_token or "")
    except (Problem, NoAnswer) as error:
        log.warning("Xero was not told that connection %s has ended: %s", left.connection_id, error)
    finally:
        if wanted is None:
            forget_login(services, left.login_id)


def _choosing(login_id: int, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Consents of this Xero user out of which somebody may be choosing an organisation right now."""
    return (Consent.xero_login_id == login_id, Consent.choices.is_not(None), Consent.finished_at > now - CHOICE)


def _left(services: Services, call_id: int) -> None:
    with services.db.transaction() as tx:
        tx.execute(update(Call).where(Call.id == call_id).values(answered_at=services.now(), outcome="answered").execution_options(synchronize_session=False))


def leave_again(services: Services) -> None:
    """Connections that we ended and Xero may still list: each keeps a paid place (X§3.4). The app's own token needs no user (X§1.5)."""
    with services.db.reading() as session:
        calls = session.scalars(select(Call).where(Call.operation == LEAVE, Call.answered_at.is_(None))).all()
        live = set(session.scalars(select(Connection.xero_connection_id).where(Connection.ended_at.is_(None))))
    if not calls:
        return
    try:
        token = oauth.app_token(services.wire, services.config)
        for call in calls:
            if call.path not in live:
                oauth.delete_connection(services.wire, services.config, token, call.path)
            _left(services, call.id)
    except (Problem, NoAnswer) as error:
        log.warning("connections that have ended here are still listed at Xero: %s", error)


def _let_go(services: Services, login_id: int, choices: list[dict[str, Any]]) -> None:
    """Organisations of a consent that the person did not choose, unless a portal uses them through the same person."""
    with services.db.reading() as session:
        live = (Connection.xero_login_id == login_id, Connection.ended_at.is_(None))
        used = set(session.scalars(select(Connection.xero_connection_id).where(*live)))
    try:
        for one in choices:
            if one["connection_id"] not in used:
                oauth.delete_connection(services.wire, services.config, logins.xero_token(services, login_id), one["connection_id"])
    except (Problem, NoAnswer) as error:
        log.warning("an organisation that was not chosen stays listed at Xero: %s", error)


def forget_unused(services: Services) -> None:
    """Xero users whose tokens are kept for nothing: a consent that came to nothing, an organisation that nobody chose.

    Tokens that came lately may belong to a consent that is under way: its connection follows when Xero has told which organisations there are.
    """
    now = services.now()
    with services.db.reading() as session:
        held = session.scalars(select(XeroLogin.id).where(XeroLogin.refresh_token.is_not(None), XeroLogin.refreshed_at < now - CHOICE)).all()
        live = set(session.scalars(select(Connection.xero_login_id).where(Connection.ended_at.is_(None))))
        idle = [one for one in held if one not in live and session.scalar(select(Consent.id).where(*_choosing(one, now)).limit(1)) is None]
        tokens = {one: session.get_one(XeroLogin, one).refresh_token for one in idle}
    for login_id, token in tokens.items():
        try:
            oauth.revoke(services.wire, services.config, token or "")
        except (Problem, NoAnswer) as error:
            log.warning("the tokens of a Xero user could not be revoked: %s", error)
        forget_login(services, login_id)


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
