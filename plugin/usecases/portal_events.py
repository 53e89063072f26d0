"""Events from a portal: believed by its application token, ONAPPINSTALL by its access token (B§1.5, §2.7)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import delete, select, update

from plugin import activity, durations, jobs
from plugin.bitrix24 import events, launch, oauth
from plugin.db import Transaction
from plugin.domain.problems import Problem
from plugin.models import Bitrix24Login, Consent, Job, Portal
from plugin.portals import live_connection
from plugin.services import Services
from plugin.usecases import connect_xero
from plugin.wire import NoAnswer


def receive(services: Services, form: Iterable[tuple[str, str]]) -> bool:
    """Take one event. False: it is malformed, forged, or from nobody we know, and nothing was done."""
    try:
        event = events.parse_event(form)
    except Problem:
        return False
    if event.name == "ONAPPINSTALL":
        return _installed(services, event)
    with services.db.reading() as session:
        portal = session.scalar(select(Portal).where(Portal.member_id == event.member_id))
    if portal is None or portal.uninstalled_at is not None:
        return False
    if event.name == "ONAPPUPDATE" and event.access_token:
        return _updated(services, portal, event)
    if not launch.same_secret(event.application_token, portal.application_token or ""):
        return False
    if event.name == "ONAPPUNINSTALL":
        uninstall(services, portal.id, clean=str(event.data.get("CLEAN", "0")) == "1")
    return True


def _vouched(services: Services, event: events.Event) -> oauth.AppInfo | None:
    """What the authorisation server says of the event's token, if it speaks for this app and portal."""
    try:
        said = oauth.app_info(services.wire, services.config, event.server_endpoint, event.access_token)
    except (Problem, NoAnswer):
        return None
    ours = launch.same_secret(said.client_id, services.config.bitrix24_client_id) and launch.same_secret(said.member_id, event.member_id)
    return said if ours and services.wire.addresses.portal_allowed(said.client_endpoint) else None


def _installed(services: Services, event: events.Event) -> bool:
    """The second writer of the portal's row: the installer page has the person and their tokens, this brings the portal's secret."""
    said = _vouched(services, event)
    if said is None:
        return False
    now = services.now()
    with services.db.transaction() as tx:
        portal = tx.scalar(select(Portal).where(Portal.member_id == event.member_id).with_for_update())
        if portal is None:
            portal = Portal(member_id=event.member_id, created_at=now, lang=str(event.data.get("LANGUAGE_ID", "en"))[:8])
            tx.add(portal)
        portal.client_endpoint = said.client_endpoint.rstrip("/") + "/"
        portal.domain = portal.client_endpoint.split("/")[2].lower()
        portal.server_endpoint = event.server_endpoint or portal.server_endpoint or services.config.bitrix24_oauth_urls[0] + "/rest/"
        portal.application_token = event.application_token or portal.application_token
        portal.scope, portal.status = ",".join(sorted(said.scopes)), said.status[:8]
        portal.uninstalled_at, portal.erase_at = None, None
        tx.flush()
        _keep_event_login(tx, portal, event, said.user_id, services)
    return True


def _keep_event_login(tx: Transaction, portal: Portal, event: events.Event, user_id: int, services: Services) -> None:
    if not event.refresh_token or not user_id:
        return
    now = services.now()
    login = tx.scalar(select(Bitrix24Login).where(Bitrix24Login.portal_id == portal.id, Bitrix24Login.user_id == user_id))
    if login is None:
        login = Bitrix24Login(portal_id=portal.id, user_id=user_id, name="", admin=False, seen_at=now)
        tx.add(login)
    login.access_token, login.refresh_token = event.access_token, event.refresh_token
    login.expires_at, login.problem = now + timedelta(seconds=event.expires_in or 3600), None
    if portal.service_user_id is None:
        portal.service_user_id = user_id


def _updated(services: Services, portal: Portal, event: events.Event) -> bool:
    """A new version may bring a new secret; handlers are gone with the old one and are bound again at the next opening (B§1.3)."""
    if not launch.same_secret(event.application_token, portal.application_token or "") and _vouched(services, event) is None:
        return False
    with services.db.transaction() as tx:
        values = {"bound_version": None, "application_token": event.application_token or portal.application_token}
        tx.execute(update(Portal).where(Portal.id == portal.id).values(**values))
        activity.record(tx, portal.id, "activity.updated", services.now(), version=str(event.data.get("VERSION", "")))
    return True


def uninstall(services: Services, portal_id: int, clean: bool) -> None:
    """The portal is gone: work ends, tokens are erased at once, Xero is told; rows go now or after 90 days (RULES 2)."""
    now = services.now()
    with services.db.transaction() as tx:
        portal = tx.get_one(Portal, portal_id)
        portal.uninstalled_at, portal.service_user_id, portal.application_token = now, None, None
        portal.erase_at = now if clean else now + timedelta(seconds=durations.ERASE_AFTER_UNINSTALL)
        portal.bound_version = None
        open_jobs = list(tx.scalars(select(Job.id).where(Job.portal_id == portal_id, Job.state == "waiting")))
        jobs.finish(tx, open_jobs, now, Problem("portal.uninstalled"))
        jobs.fail_documents(tx, open_jobs, now, Problem("portal.uninstalled"))
        tx.execute(delete(Bitrix24Login).where(Bitrix24Login.portal_id == portal_id))
        tx.execute(delete(Consent).where(Consent.portal_id == portal_id))
        connection = live_connection(tx, portal_id)
        if connection is not None:
            connection.ended_at, connection.ended_reason = now, "uninstalled"
    if connection is not None:
        connect_xero.leave(services, connection)
    if clean:
        erase(services, portal_id)


def erase(services: Services, portal_id: int) -> None:
    """Delete every row of the portal; the database follows from its own row."""
    with services.db.transaction() as tx:
        tx.execute(delete(Portal).where(Portal.id == portal_id, Portal.uninstalled_at.is_not(None)))
