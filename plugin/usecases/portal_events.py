"""Events from a portal: believed by its application token, those that bring a new one by an administrator's access token (B§1.5, §2.7).

What happened in its CRM is only stored here, in one statement; a worker takes it from the inbox a moment later.

Problems with which work ends here: portal.uninstalled. Activities: activity.updated (version).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import delete, select

from plugin import activity, durations, inbox
from plugin.bitrix24 import client, events, launch, oauth
from plugin.db import Transaction
from plugin.domain.problems import Problem
from plugin.models import Bitrix24Login, Call, Connection, Consent, Exchange, Organisation, Portal, RobotCall, XeroLogin
from plugin.portals import live_connection, sender
from plugin.services import Services
from plugin.usecases import connect_xero, open_app
from plugin.wire import NoAnswer


def receive(services: Services, form: Iterable[tuple[str, str]]) -> bool:
    """Take one event. False: it is malformed, forged, or from nobody we know; nothing was done, and it was counted."""
    why = _refusal(services, form)
    services.counts.add(f"events:{why or 'taken'}")
    return not why


def _refusal(services: Services, form: Iterable[tuple[str, str]]) -> str:
    """Why the event was not taken, in one word for the figures; nothing when it was."""
    try:
        event = events.parse_event(form)
    except Problem:
        return "malformed"
    if event.name == "ONAPPINSTALL":
        return "" if _installed(services, event) else "forged"
    with services.db.reading() as session:
        portal = sender(session, event.member_id)
    if isinstance(portal, str):
        return portal
    known = launch.same_secret(event.application_token, portal.application_token or "") or _introduced(services, portal, event)
    if event.name == "ONAPPUPDATE":
        return "" if _updated(services, portal, event, known) else "forged"
    if not known:
        return "forged"
    if event.name == "ONAPPUNINSTALL":
        uninstall(services, portal.id, clean=str(event.data.get("CLEAN", "0")) == "1")
    else:
        inbox.store(services, [inbox.Message(event.name, event.subject, event.kept, portal_id=portal.id)])
    return ""


def _introduced(services: Services, portal: Portal, event: events.Event) -> bool:
    """An old portal opens without its secret (RULES 37); where its ONAPPINSTALL was lost, the first event of an administrator brings it."""
    if portal.application_token or not event.application_token or _vouched(services, event) is None:
        return False
    with services.db.transaction() as tx:
        tx.get_one(Portal, portal.id).application_token = event.application_token
    return True


def _vouched(services: Services, event: events.Event) -> tuple[str, oauth.AppInfo, launch.Person] | None:
    """The server that knows the event's token, what it says, and whose it is: for this app and portal, and an administrator's.

    Whoever may open the app has a token of their own; only an administrator's may bring the secret by which all later events are believed.
    """
    for server in oauth.servers(services.config, event.server_endpoint) if event.access_token else ():
        try:
            said = oauth.app_info(services.wire, services.config, server, event.access_token)
            ours = launch.same_secret(said.client_id, services.config.bitrix24_client_id) and launch.same_secret(said.member_id, event.member_id)
            if not ours or not services.wire.addresses.portal_allowed(said.client_endpoint):
                return None
            person = launch.profile(client.Direct(services.wire, said.client_endpoint, event.access_token, durations.PERSON_TIMEOUT))
            return (server, said, person) if person.admin and person.id == said.user_id else None
        except (Problem, NoAnswer):
            continue
    return None


def _installed(services: Services, event: events.Event) -> bool:
    """The second writer of the portal's row: the installer page has the person and their tokens, this brings the portal's secret."""
    vouched = _vouched(services, event)
    if vouched is None:
        return False
    server, said, person = vouched
    now = services.now()
    with services.db.transaction() as tx:
        portal = open_app.portal_row(tx, event.member_id, now)
        portal.client_endpoint = said.client_endpoint.rstrip("/") + "/"
        portal.domain = portal.client_endpoint.split("/")[2].lower()
        portal.server_endpoint = f"{server}/rest/"
        portal.application_token = event.application_token or portal.application_token
        portal.scope, portal.status = ",".join(sorted(said.scopes)), said.status[:8]
        portal.uninstalled_at, portal.erase_at = None, None
        tx.flush()
        _keep_event_login(tx, portal, event, person, services)
    return True


def _keep_event_login(tx: Transaction, portal: Portal, event: events.Event, person: launch.Person, services: Services) -> None:
    if not event.refresh_token:
        return
    now = services.now()
    login = tx.scalar(select(Bitrix24Login).where(Bitrix24Login.portal_id == portal.id, Bitrix24Login.user_id == person.id))
    if login is None:
        login = Bitrix24Login(portal_id=portal.id, user_id=person.id)
        tx.add(login)
    login.name, login.admin, login.timezone, login.seen_at = person.name, person.admin, person.timezone, now
    login.access_token, login.refresh_token = event.access_token, event.refresh_token
    login.expires_at, login.problem, login.refreshing_until = now + timedelta(seconds=event.expires_in or 3600), None, None
    if portal.service_user_id is None:
        portal.service_user_id = person.id


def _updated(services: Services, portal: Portal, event: events.Event, known: bool) -> bool:
    """A new version may bring a new secret; handlers are gone with the old one and are bound again at the next opening (B§1.3)."""
    if not known and _vouched(services, event) is None:
        return False
    with services.db.transaction() as tx:
        held = tx.get_one(Portal, portal.id)
        held.bound_version, held.application_token = None, event.application_token or held.application_token
        activity.record(tx, portal.id, "activity.updated", services.now(), version=str(event.data.get("VERSION", "")))
    return True


def uninstall(services: Services, portal_id: int, clean: bool) -> None:
    """The portal is gone: work ends, tokens are erased at once, Xero is told; rows go now or after 90 days (RULES 2)."""
    now = services.now()
    left = None
    with services.db.transaction() as tx:
        portal = tx.get_one(Portal, portal_id)
        portal.uninstalled_at, portal.service_user_id, portal.application_token = now, None, None
        portal.erase_at = now if clean else now + timedelta(seconds=durations.ERASE_AFTER_UNINSTALL)
        portal.bound_version = None
        connection = live_connection(tx, portal_id)
        if connection is not None:
            left = connect_xero.end(tx, connection, "uninstalled", now)
        tx.execute(delete(RobotCall).where(RobotCall.portal_id == portal_id))  # nobody is left to be answered
        connect_xero.end_work(tx, portal_id, None, Problem("portal.uninstalled"), now)
        tx.execute(delete(Bitrix24Login).where(Bitrix24Login.portal_id == portal_id))
        tx.execute(delete(Consent).where(Consent.portal_id == portal_id))
        tx.execute(delete(Exchange).where(Exchange.portal_id == portal_id))
    if left is not None:
        connect_xero.leave(services, left)
    if clean:
        erase(services, portal_id)


def erase(services: Services, portal_id: int) -> None:
    """Delete every row of the portal; the database follows from its own row. Books and people at Xero that nobody else has here go with it."""
    with services.db.transaction() as tx:
        gone = tx.execute(delete(Portal).where(Portal.id == portal_id, Portal.uninstalled_at.is_not(None)))
        if not gone.rowcount:  # type: ignore[attr-defined]
            return
        to_leave = select(Call.id).where(Call.organisation_id == Organisation.id, Call.operation == connect_xero.LEAVE, Call.answered_at.is_(None))
        used = select(Connection.id).where(Connection.organisation_id == Organisation.id)
        tx.execute(delete(Organisation).where(~used.exists(), ~to_leave.exists()).execution_options(synchronize_session=False))
        held = select(Connection.id).where(Connection.xero_login_id == XeroLogin.id)
        consents = select(Consent.id).where(Consent.xero_login_id == XeroLogin.id)
        tx.execute(delete(XeroLogin).where(~held.exists(), ~consents.exists()).execution_options(synchronize_session=False))
