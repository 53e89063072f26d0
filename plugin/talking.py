"""Both partners, bound to a portal or an organisation: the token kept fresh, the limits asked, refusals noticed in one place."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import and_, bindparam, select, update

from plugin import logins
from plugin.bitrix24 import client as bitrix24
from plugin.bitrix24 import errors as bitrix24_errors
from plugin.bitrix24 import oauth
from plugin.bitrix24.errors import STOPPING
from plugin.domain.problems import LATER, RECONNECT, Problem, after
from plugin.limits import Lane, Slot, Wait
from plugin.models import Bitrix24Login, Connection, Organisation, Portal
from plugin.services import Services
from plugin.wire import About, Answer, NoAnswer, about
from plugin.xero import client as xero
from plugin.xero import errors as xero_errors
from plugin.xero.limits_seen import seen

#: How long a caller waits for its turn before it says "later": a page is quick, a worker patient.
_PATIENCE: dict[Lane, float] = {"people": 6.0, "bulk": 8.0}


#: These stop the whole organisation for a while; shown on the pages.
_PAUSES = ("xero.limit_minute", "xero.limit_day", "xero.limit_app", "xero.organisation_offline", "xero.unavailable")


@dataclass(frozen=True)
class PortalRest:
    """Bitrix24's REST for one person on one portal. `call` and `batch` raise `Problem` for everything that went wrong."""

    services: Services
    portal_id: int
    member_id: str
    endpoint: str
    login_id: int
    lane: Lane
    timeout: float = 60.0

    def call(self, method: str, params: Mapping[str, Any] | None = None) -> bitrix24.Reply:
        return self._send(method, params or {}, (method,))

    def batch(self, commands: Mapping[str, tuple[str, Mapping[str, Any]]], halt: bool = False) -> bitrix24.BatchReply:
        reply = self._send("batch", bitrix24.pack(commands, halt), tuple(method for method, _ in commands.values()))
        answer = bitrix24.unpack(reply, commands, halt)
        self.services.bitrix24_limits.learn(self.member_id, {method: (used, reset_at or 0.0) for method, (used, reset_at) in answer.spent.items()})
        return answer

    def _send(self, method: str, params: Mapping[str, Any], methods: tuple[str, ...]) -> bitrix24.Reply:
        token = logins.bitrix24_token(self.services, self.login_id)
        try:
            return self._once(token, method, params, methods)
        except Problem as problem:
            if problem.code in bitrix24_errors.REFRESHABLE:
                return self._again(logins.bitrix24_token(self.services, self.login_id, stale=token), method, params, methods)
            if problem.code == "bitrix24.moved":
                moved = replace(self, endpoint=follow_move(self.services, self.portal_id, token, str(problem.params["location"])))
                return moved._again(token, method, params, methods)
            self._notice(problem)
            raise

    def _again(self, token: str, method: str, params: Mapping[str, Any], methods: tuple[str, ...]) -> bitrix24.Reply:
        try:
            return self._once(token, method, params, methods)
        except Problem as problem:
            self._notice(problem)
            raise

    def _once(self, token: str, method: str, params: Mapping[str, Any], methods: tuple[str, ...]) -> bitrix24.Reply:
        waited = self._wait_for_turn(methods)
        try:
            with about(About({self.portal_id: ()}, waited=waited)):
                reply = bitrix24.send(self.services.wire, self.endpoint, token, method, params, timeout=self.timeout)
        except NoAnswer as error:
            raise Problem("bitrix24.no_answer", LATER) from error
        except Problem as problem:
            if problem.code == "bitrix24.busy":
                self.services.bitrix24_limits.halt(self.member_id, problem.retry.seconds or 1.0)
            raise
        if reply.operating is not None and method != "batch":
            self.services.bitrix24_limits.learn(self.member_id, {method: (reply.operating, reply.operating_reset_at or 0.0)})
        return reply

    def _wait_for_turn(self, methods: tuple[str, ...]) -> float:
        """Returns how many seconds the turn was waited for."""
        started = time.monotonic()
        give_up = started + _PATIENCE[self.lane]
        while (wait := self.services.bitrix24_limits.take(self.member_id, self.lane, methods)) is not None:
            if time.monotonic() + wait.seconds > give_up:
                raise Problem("bitrix24.busy", after(wait.seconds))
            time.sleep(wait.seconds)
        return time.monotonic() - started

    def _notice(self, problem: Problem) -> None:
        """A grant that is gone is written down at once, so that nobody tries it again and one banner can say so."""
        if problem.code in STOPPING:
            note_service_problem(self.services, self.portal_id, problem.code)
        elif problem.code in ("bitrix24.user_gone", "bitrix24.token_invalid"):
            logins.bitrix24_gone(self.services, self.login_id, problem.code)


def follow_move(services: Services, portal_id: int, token: str, location: str) -> str:
    """A renamed portal's new address, believed only when the authorisation server confirms it for the same portal (B§2.8)."""
    with services.db.reading() as session:
        portal = session.get_one(Portal, portal_id)
    try:
        said = oauth.app_info(services.wire, services.config, portal.server_endpoint, token)
    except NoAnswer as error:
        raise Problem("bitrix24.no_answer", LATER) from error
    endpoint = said.client_endpoint.rstrip("/") + "/"
    moved = urlsplit(endpoint).netloc.lower() == urlsplit(location).netloc.lower()
    if said.member_id != portal.member_id or not moved or not services.wire.addresses.portal_allowed(endpoint):
        raise Problem("launch.address_refused", host=urlsplit(location).netloc)
    with services.db.transaction() as tx:
        tx.execute(update(Portal).where(Portal.id == portal_id).values(client_endpoint=endpoint, domain=urlsplit(endpoint).netloc.lower()))
    return endpoint


#: A portal and one person's login there; built once, for every page asks it.
_THEIRS = and_(Bitrix24Login.portal_id == Portal.id, Bitrix24Login.user_id == bindparam("user"))
_LOGIN = (
    select(Portal.member_id, Portal.client_endpoint, Portal.uninstalled_at, Bitrix24Login.id, Bitrix24Login.problem)
    .outerjoin(Bitrix24Login, _THEIRS)
    .where(Portal.id == bindparam("portal"))
)


def portal_rest(services: Services, portal_id: int, user_id: int, lane: Lane, timeout: float = 60.0) -> PortalRest:
    """REST as this person; raises a problem when they never opened the app."""
    with services.db.reading() as session:
        found = session.execute(_LOGIN, {"portal": portal_id, "user": user_id}).one()
    if found.uninstalled_at is not None:
        raise Problem("portal.uninstalled")
    if found.problem:
        raise Problem(found.problem, RECONNECT)
    if found.id is None:
        raise Problem("portal.person_unknown", RECONNECT)
    return PortalRest(services, portal_id, found.member_id, found.client_endpoint, found.id, lane, timeout)


def service_rest(services: Services, portal_id: int, lane: Lane = "bulk") -> PortalRest:
    """REST as the portal's service administrator (RULES 6). A portal that stopped us is asked nothing until it is looked at again (B§3.5)."""
    with services.db.reading() as session:
        portal = session.get_one(Portal, portal_id)
    user_id = portal.service_user_id
    if portal.service_problem in STOPPING:
        raise Problem(portal.service_problem, RECONNECT)
    if user_id is None:
        raise Problem("portal.no_service_admin", RECONNECT)
    try:
        return portal_rest(services, portal_id, user_id, lane)
    except Problem as problem:
        if problem.retry.kind == "reconnect":
            note_service_problem(services, portal_id, problem.code)
        raise


def note_service_problem(services: Services, portal_id: int, code: str | None) -> None:
    """The service administrator's token stopped working (or works again): the banner says so until somebody takes over."""
    with services.db.transaction() as tx:
        tx.execute(update(Portal).where(Portal.id == portal_id).values(service_problem=code))


@dataclass(frozen=True)
class XeroBooks:
    """One organisation's books, through one Xero user's token. Callable as the adapters' `Caller`.

    For single calls in turn. The conductor, which keeps several calls in flight, uses `prepare`, `talk` and `learn` itself.
    """

    services: Services
    organisation_id: int
    tenant_id: str
    login_id: int
    lane: Lane
    #: For how much its calls count in the pace of news.
    share: float = 1.0

    def __call__(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        key: str | None = None,
        modified_since: datetime | None = None,
        timeout: float = 60.0,
    ) -> Answer:
        """The answer, or the problem it means. A token that ran out is renewed and the call made once more."""
        token = self.token()
        for attempt in (1, 2):
            asked = time.monotonic()
            slot = self.slot()
            concern = About({}, self.organisation_id, time.monotonic() - asked)
            answer = self.talk(slot, token, method, path, params=params, body=body, key=key, modified_since=modified_since, timeout=timeout, concern=concern)
            if answer.status in (200, 204, 304):
                return answer
            problem = xero_errors.problem_of(answer)
            if problem.code in xero_errors.REFRESHABLE and attempt == 1:
                token = self.token(stale=token)
                continue
            self.notice(problem)
            raise problem
        raise AssertionError("unreachable")

    def token(self, stale: str | None = None) -> str:
        """A token that is good for some minutes; `stale` is one that Xero has just refused."""
        with about(About({}, self.organisation_id)):
            return logins.xero_token(self.services, self.login_id, stale=stale)

    def slot(self) -> Slot:
        """A slot, waited for with the lane's patience."""
        give_up = time.monotonic() + _PATIENCE[self.lane]
        while isinstance(taken := self.services.xero_limits.take(self.tenant_id, self.lane, self.share), Wait):
            if time.monotonic() + taken.seconds > give_up:
                raise Problem("xero.limit_wait", after(taken.seconds), why=taken.why)
            time.sleep(min(taken.seconds, 0.25))
        return taken

    def talk(
        self,
        slot: Slot,
        token: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        key: str | None = None,
        modified_since: datetime | None = None,
        timeout: float = 60.0,
        concern: About,
    ) -> Answer:
        """One call on a slot already taken; the limiter learns from the headers. Raises a problem only when no answer came."""
        answer: Answer | None = None
        try:
            with about(concern):
                answer = xero.send(
                    self.services.wire,
                    self.services.config,
                    token,
                    self.tenant_id,
                    method,
                    path,
                    params=params,
                    body=body,
                    key=key,
                    modified_since=modified_since,
                    timeout=timeout,
                )
            return answer
        except NoAnswer as error:
            raise Problem("xero.no_answer", LATER, sent=error.sent) from error
        finally:
            self._learn(slot, answer)

    def _learn(self, slot: Slot, answer: Answer | None) -> None:
        """Give the slot back with what the headers said; a 429 pauses the organisation, not the worker (X§3.2)."""
        told = seen(answer.headers) if answer is not None else None
        hold, why = 0.0, ""
        if answer is not None and answer.status == 429:
            problem = xero_errors.problem_of(answer)
            hold, why = problem.retry.seconds, problem.code
        minute, day = (told.minute_left, told.day_left) if told else (None, None)
        self.services.xero_limits.give_back(slot, minute_left=minute, day_left=day, hold=hold, why=why)

    def notice(self, problem: Problem) -> None:
        """What concerns the whole organisation or connection is written down once, for the banner and for everybody's next call."""
        now = self.services.now()
        with self.services.db.transaction() as tx:
            if problem.retry.kind == "reconnect":
                tx.execute(
                    update(Connection)
                    .where(Connection.organisation_id == self.organisation_id, Connection.xero_login_id == self.login_id, Connection.ended_at.is_(None))
                    .values(problem=problem.code, problem_at=now)
                    .execution_options(synchronize_session=False)
                )
            elif problem.code in _PAUSES:
                until = now + timedelta(seconds=(problem.retry.seconds or 5.0) / self.services.config.pace)
                tx.execute(
                    update(Organisation)
                    .where(Organisation.id == self.organisation_id)
                    .values(paused_until=until, pause_code=problem.code)
                    .execution_options(synchronize_session=False)
                )


def books_of(services: Services, connection: Connection, lane: Lane) -> XeroBooks:
    """The books behind a live connection (RULES 4: rows about an organisation are read only through one)."""
    with services.db.reading() as session:
        organisation = session.get_one(Organisation, connection.organisation_id)
    return XeroBooks(services, organisation.id, organisation.tenant_id, connection.xero_login_id, lane)
