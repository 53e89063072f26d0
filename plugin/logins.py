"""Tokens kept fresh: one refresh at a time across all processes, the new pair committed before it is used (RULES 1).

Whoever wants to refresh takes a short lease on the login's row by UPDATE; the loser waits and re-reads. A refresh whose
answer was lost is tried again with the old token, which Xero honours for thirty minutes (X§1.3).

Problems made here: login.gone, login.no_token, login.other_portal (reconnect); login.busy, login.no_answer (later). None has parameters.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import bindparam, or_, select, update

from plugin import durations
from plugin.bitrix24 import oauth as bitrix24_oauth
from plugin.bitrix24.errors import STOPPING
from plugin.db import Transaction
from plugin.domain.problems import LATER, RECONNECT, Problem
from plugin.models import Bitrix24Login, Connection, Portal, XeroLogin
from plugin.services import Services
from plugin.wire import About, NoAnswer, about
from plugin.xero import oauth as xero_oauth

POLL_SECONDS = 0.1


def xero_token(services: Services, login_id: int, stale: str | None = None) -> str:
    """An access token of this Xero user that is good for some minutes; `stale` is one that Xero has just refused.

    Raises a problem with retry `reconnect` when only the person can help.
    """
    return _fresh(services, XeroLogin, login_id, stale, durations.XERO_TOKEN_MARGIN, lambda login: _refresh_xero(services, login))


def bitrix24_token(services: Services, login_id: int, stale: str | None = None) -> str:
    """An access token of this person on their portal. Refreshed when it ran out or was refused, never by a timer (B§2.4)."""
    return _fresh(services, Bitrix24Login, login_id, stale, durations.BITRIX24_TOKEN_MARGIN, lambda login: _refresh_bitrix24(services, login))


#: Built once, for it is asked before every request to a partner.
_TOKEN = {model: select(model.access_token, model.expires_at, model.problem).where(model.id == bindparam("login")) for model in (XeroLogin, Bitrix24Login)}


def _fresh(services: Services, model: Any, login_id: int, stale: str | None, margin: float, refresh: Callable[[Any], dict[str, Any]]) -> str:
    give_up = time.monotonic() + durations.REFRESH_PATIENCE
    while True:
        now = services.now()
        with services.db.reading() as session:
            login = session.execute(_TOKEN[model], {"login": login_id}).one_or_none()
        if login is None:
            raise Problem("login.gone", RECONNECT)
        if login.problem:
            raise Problem(login.problem, RECONNECT)
        if login.access_token and login.access_token != stale and login.expires_at and login.expires_at > now + timedelta(seconds=margin):
            return str(login.access_token)
        until = now + timedelta(seconds=durations.REFRESH_LEASE / services.config.pace)
        if _take_turn(services, model, login_id, now, until):
            token = _refresh_in_turn(services, model, login_id, stale, margin, refresh, until)
            if token is not None:
                return token
        if time.monotonic() > give_up:
            raise Problem("login.busy", LATER)
        time.sleep(POLL_SECONDS)


def _take_turn(services: Services, model: Any, login_id: int, now: datetime, until: datetime) -> bool:
    with services.db.transaction() as tx:
        taken = tx.execute(
            update(model)
            .where(model.id == login_id, or_(model.refreshing_until.is_(None), model.refreshing_until < now))
            .values(refreshing_until=until)
            .execution_options(synchronize_session=False)
        )
        return bool(taken.rowcount == 1)  # type: ignore[attr-defined]


def _refresh_in_turn(
    services: Services, model: Any, login_id: int, stale: str | None, margin: float, refresh: Callable[[Any], dict[str, Any]], until: datetime
) -> str | None:
    """The new token once it is committed; nothing when the turn was lost meanwhile, to a consent, an opening, or another process."""
    # Somebody may have rotated the pair between our first look and our turn.
    with services.db.reading() as session:
        login = session.get_one(model, login_id)
    values: dict[str, Any] = {}
    kept, stopped = False, ""
    try:
        fresh_already = (
            login.access_token and login.access_token != stale and login.expires_at and login.expires_at > services.now() + timedelta(seconds=margin)
        )
        if fresh_already:
            return str(login.access_token)
        if not login.refresh_token:
            raise Problem("login.no_token", RECONNECT)
        values = refresh(login)
    except Problem as problem:
        if problem.code in STOPPING:
            stopped = problem.code  # the portal's trouble, not this person's: their grant is good again when it is over
        elif problem.retry.kind == "reconnect":
            values = {"problem": problem.code}
        raise
    finally:
        with services.db.transaction() as tx:
            ours = tx.execute(
                update(model)
                .where(model.id == login_id, model.refreshing_until == until)
                .values(refreshing_until=None, **values)
                .execution_options(synchronize_session=False)
            )
            kept = bool(ours.rowcount == 1)  # type: ignore[attr-defined]
            if kept and "problem" in values:
                _tell(tx, services, model, login_id, values["problem"])
            elif stopped:
                _stop(tx, login_id, stopped)
    return str(values["access_token"]) if kept else None


def _tell(tx: Transaction, services: Services, model: Any, login_id: int, code: str) -> None:
    """A grant that is gone shows where it was used: on the connections of a Xero user, or as the portal's missing service administrator."""
    if model is XeroLogin:
        tx.execute(
            update(Connection)
            .where(Connection.xero_login_id == login_id, Connection.ended_at.is_(None))
            .values(problem=code, problem_at=services.now())
            .execution_options(synchronize_session=False)
        )
        return
    login = tx.get_one(Bitrix24Login, login_id)
    tx.execute(
        update(Portal)
        .where(Portal.id == login.portal_id, Portal.service_user_id == login.user_id)
        .values(service_problem=code)
        .execution_options(synchronize_session=False)
    )


def _stop(tx: Transaction, login_id: int, code: str) -> None:
    """The whole portal refuses (subscription, plan, uninstalled): nobody's token helps."""
    portal_id = tx.get_one(Bitrix24Login, login_id).portal_id
    tx.execute(update(Portal).where(Portal.id == portal_id).values(service_problem=code).execution_options(synchronize_session=False))


def bitrix24_gone(services: Services, login_id: int, code: str) -> None:
    """Bitrix24 itself refused this person: nobody tries their token again, and a banner asks for another administrator (RULES 6)."""
    with services.db.transaction() as tx:
        tx.execute(update(Bitrix24Login).where(Bitrix24Login.id == login_id).values(problem=code).execution_options(synchronize_session=False))
        _tell(tx, services, Bitrix24Login, login_id, code)


def _refresh_xero(services: Services, login: XeroLogin) -> dict[str, Any]:
    tokens = _again_if_lost(lambda: xero_oauth.refresh(services.wire, services.config, str(login.refresh_token)))
    now = services.now()
    return {
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "expires_at": now + timedelta(seconds=tokens.expires_in),
        "refreshed_at": now,
    }


def _refresh_bitrix24(services: Services, login: Bitrix24Login) -> dict[str, Any]:
    with services.db.reading() as session:
        portal = session.get_one(Portal, login.portal_id)
    if portal.uninstalled_at is not None:
        raise Problem("bitrix24.not_installed", RECONNECT)
    with about(About({portal.id: ()})):
        tokens = _again_if_lost(lambda: bitrix24_oauth.refresh(services.wire, services.config, portal.server_endpoint, str(login.refresh_token)))
    if tokens.member_id and tokens.member_id != portal.member_id:
        raise Problem("login.other_portal", RECONNECT)
    _keep_address(services, portal, tokens.client_endpoint)
    return {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token, "expires_at": services.now() + timedelta(seconds=tokens.expires_in)}


def _keep_address(services: Services, portal: Portal, named: str) -> None:
    """The authorisation server names the portal's address with each new pair; a renamed one has another (B§2.2, §2.8)."""
    endpoint = named.rstrip("/") + "/"
    if named and endpoint != portal.client_endpoint and services.wire.addresses.portal_allowed(endpoint):
        with services.db.transaction() as tx:
            values = {"client_endpoint": endpoint, "domain": urlsplit(endpoint).netloc.lower()}
            tx.execute(update(Portal).where(Portal.id == portal.id).values(**values).execution_options(synchronize_session=False))


def _again_if_lost(refresh: Callable[[], Any]) -> Any:
    """One more try with the same token when the answer was lost; the old one is honoured for a while."""
    try:
        return refresh()
    except NoAnswer:
        try:
            return refresh()
        except NoAnswer as error:
            raise Problem("login.no_answer", LATER) from error
