"""Install, open, trust: the opening POST becomes a visitor once the authorisation server has confirmed it (B§2.7).

Problems made here: launch.no_answer (later). Told: portal.service_gone (cause), organisation.paused (cause, until), limits.no_redis,
and the problem of the connection by its own code. Activities: activity.installed, activity.service_taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, exists, select, update
from sqlalchemy.orm import Session

from plugin import activity, durations, jobs
from plugin.bitrix24 import client, launch, oauth, placements
from plugin.bitrix24.errors import STOPPING
from plugin.db import Transaction
from plugin.domain.crm import Visitor
from plugin.domain.problems import LATER, Problem
from plugin.models import Bitrix24Login, Connection, Doubt, FirstRun, Job, Organisation, Portal, SelfTest
from plugin.portals import current_settings, ensure_row, live_connection
from plugin.services import Services
from plugin.usecases import NotAllowed, NotHere, deleted, watch
from plugin.usecases.shown import FirstSync, Home, Told
from plugin.wire import About, NoAnswer, about

#: What the installer binds. Raised when that changes, so that portals are bound again at their next opening.
BOUND_VERSION = "3"
#: For so long the list says how the first synchronisation went.
FIRST_RUN_NEWS = timedelta(days=1)


@dataclass(frozen=True)
class Opened:
    """A confirmed opening. `installed` is false until the person has finished the installer in the frame."""

    visitor: Visitor
    installed: bool
    placement: str
    placement_options: Mapping[str, Any]
    document_id: int | None = None
    problems: tuple[Told, ...] = ()


def opened(services: Services, claims: launch.Launch) -> Opened:
    """Somebody opened the app or a placement. Their tokens are stored; who they are is the authorisation server's word."""
    confirmed, person = _confirm(services, claims)
    portal_id = _keep(services, confirmed, person)
    if person.admin:
        _heal_service(services, portal_id, person)
        _bind_again(services, portal_id, confirmed)
    return Opened(_visitor_of(portal_id, confirmed, person), confirmed.installed, claims.placement, claims.options, claims.document_id)


def install(services: Services, claims: launch.Launch) -> Opened:
    """The installer page: store the portal, bind fields, events and places. Safe to repeat for every version (B§1.3)."""
    confirmed, person = _confirm(services, claims)
    if not person.admin:
        raise NotAllowed
    portal_id = _keep(services, confirmed, person)
    with services.db.transaction() as tx:
        tx.execute(update(Portal).where(Portal.id == portal_id).values(service_user_id=person.id, service_problem=None))
        activity.record(tx, portal_id, "activity.installed", services.now(), user_id=person.id, user_name=person.name)
    try:
        problems = bind(services, portal_id, confirmed)
    except NoAnswer as error:
        raise Problem("launch.no_answer", LATER) from error
    return Opened(_visitor_of(portal_id, confirmed, person), confirmed.installed, claims.placement, claims.options, None, problems)


def bind(services: Services, portal_id: int, confirmed: launch.Confirmed) -> tuple[Told, ...]:
    """User fields, events and placements, each added only where it is missing. Returns what the portal refused."""
    rest = client.Direct(services.wire, confirmed.client_endpoint, confirmed.launch.access_token)
    with about(About({portal_id: ()})):
        done = placements.ensure_installed(rest, services.config.public_url, confirmed.launch.lang)
    again = any(problem.retry.kind != "never" for problem in done.problems.values())
    with services.db.transaction() as tx:
        values = {"bound_version": None if again else _bound(confirmed), "installed_at": services.now()}
        tx.execute(update(Portal).where(Portal.id == portal_id).values(**values))
    return tuple(Told(problem.code, problem.params) for problem in done.problems.values())


def _bound(confirmed: launch.Confirmed) -> str:
    """What is bound belongs to a version of the app in the portal: each new one removes the handlers (B§1.3), with or without telling us."""
    return f"{BOUND_VERSION}/{confirmed.version}"[:32]


def _confirm(services: Services, claims: launch.Launch) -> tuple[launch.Confirmed, launch.Person]:
    try:
        confirmed = launch.confirm(services.wire, services.config, services.wire.addresses, claims)
        rest = client.Direct(services.wire, confirmed.client_endpoint, claims.access_token, durations.PERSON_TIMEOUT)
        return confirmed, launch.meet(rest, confirmed)
    except NoAnswer as error:
        raise Problem("launch.no_answer", LATER) from error


def portal_row(tx: Transaction, member_id: str, now: datetime) -> Portal:
    """The portal's row, locked; made if it is new. The installer page and ONAPPINSTALL may arrive at the same moment (B§1.5)."""
    ensure_row(tx, Portal, member_id=member_id, domain="", client_endpoint="", server_endpoint="", created_at=now)
    return tx.scalars(select(Portal).where(Portal.member_id == member_id).with_for_update()).one()


def _keep(services: Services, confirmed: launch.Confirmed, person: launch.Person) -> int:
    claims = confirmed.launch
    with services.db.transaction() as tx:
        portal = portal_row(tx, confirmed.member_id, services.now())
        portal.domain, portal.client_endpoint, portal.server_endpoint = confirmed.domain, confirmed.client_endpoint, confirmed.server_endpoint
        portal.scope, portal.status = ",".join(sorted(confirmed.scopes)), confirmed.status[:8]
        if person.admin:
            portal.lang = claims.lang[:8]  # what the background says to everybody is said in the language of those who run the portal
        if claims.application_token and person.admin:
            # The portal's secret changes with an update (B§1.5). Anybody can put a word of their own beside their own token: administrators only.
            portal.application_token = claims.application_token
        portal.uninstalled_at, portal.erase_at = None, None
        tx.flush()
        _keep_login(tx, portal.id, claims, person, services)
        if portal.service_user_id is None and person.admin:
            portal.service_user_id = person.id
        return portal.id


def _keep_login(tx: Transaction, portal_id: int, claims: launch.Launch, person: launch.Person, services: Services) -> None:
    """Each opening brings a new pair for its person: it replaces the stored one, and a renewal under way with it (B§2.4)."""
    login = tx.scalar(select(Bitrix24Login).where(Bitrix24Login.portal_id == portal_id, Bitrix24Login.user_id == person.id).with_for_update())
    if login is None:
        login = Bitrix24Login(portal_id=portal_id, user_id=person.id)
        tx.add(login)
    now = services.now()
    login.name, login.admin, login.timezone, login.seen_at = person.name, person.admin, person.timezone, now
    login.access_token, login.refresh_token = claims.access_token, claims.refresh_token or login.refresh_token
    login.expires_at, login.problem, login.refreshing_until = now + timedelta(seconds=claims.expires_in or 3600), None, None


def _heal_service(services: Services, portal_id: int, person: launch.Person) -> None:
    """An administrator at the door takes over from one who cannot serve any more (RULES 6)."""
    with services.db.transaction() as tx:
        portal = tx.get_one(Portal, portal_id)
        serving = tx.scalar(select(Bitrix24Login).where(Bitrix24Login.portal_id == portal_id, Bitrix24Login.user_id == portal.service_user_id))
        fit = serving is not None and serving.admin and not serving.problem
        if fit and not portal.service_problem:
            return
        if not fit and portal.service_user_id != person.id:
            _serve(tx, services, portal_id, person.id, person.name)
        portal.service_problem = None
        _go_on(tx, services, portal_id)


def _serve(tx: Transaction, services: Services, portal_id: int, user_id: int, name: str) -> None:
    tx.execute(update(Portal).where(Portal.id == portal_id).values(service_user_id=user_id, service_problem=None))
    activity.record(tx, portal_id, "activity.service_taken", services.now(), user_id=user_id, user_name=name)


def _go_on(tx: Transaction, services: Services, portal_id: int) -> None:
    """What waited for an administrator need not wait any longer."""
    jobs.hurry(tx, portal_id, services.now())
    for bell in tx.scalars(select(Job.bell).where(Job.portal_id == portal_id, Job.state == "waiting").distinct()):
        tx.after_commit(lambda bell=bell: services.bells.ring(bell))  # type: ignore[misc]


def _bind_again(services: Services, portal_id: int, confirmed: launch.Confirmed) -> None:
    """An update of the app removed its handlers, or a new version needs others: an administrator's opening repairs that."""
    with services.db.reading() as session:
        bound = session.get_one(Portal, portal_id).bound_version
    watch.order_binding(services, portal_id)
    if confirmed.installed and bound != _bound(confirmed):
        try:
            bind(services, portal_id, confirmed)
        except (Problem, NoAnswer):
            return  # tried again at the next opening; the page itself does not depend on it


def _visitor_of(portal_id: int, confirmed: launch.Confirmed, person: launch.Person) -> Visitor:
    return Visitor(portal_id, confirmed.member_id, confirmed.domain, person.id, person.name, person.admin, confirmed.launch.lang, person.timezone)


#: Built once, for every request of the frame asks it.
_PERSON = (
    select(Portal.member_id, Portal.domain, Bitrix24Login.name, Bitrix24Login.admin, Bitrix24Login.timezone)
    .join(Bitrix24Login, Bitrix24Login.portal_id == Portal.id)
    .where(Portal.id == bindparam("portal"), Portal.uninstalled_at.is_(None), Bitrix24Login.user_id == bindparam("user"))
)


def visitor(services: Services, portal_id: int, user_id: int, lang: str) -> Visitor:
    """The visitor of a frame pass, if the portal is still ours and the person still known; rights as last confirmed."""
    with services.db.reading() as session:
        found = session.execute(_PERSON, {"portal": portal_id, "user": user_id}).one_or_none()
    if found is None:
        raise NotHere
    return Visitor(portal_id, found.member_id, found.domain, user_id, found.name, found.admin, lang, found.timezone)


def renew(services: Services, portal_id: int, user_id: int, lang: str, access_token: str) -> Visitor:
    """The holder of an ended pass shows a fresh token: it must be the same person's on the same portal, and the rights are asked again."""
    with services.db.reading() as session:
        portal = session.get(Portal, portal_id)
    if portal is None or portal.uninstalled_at is not None or not access_token:
        raise NotHere
    try:
        said = oauth.app_info(services.wire, services.config, portal.server_endpoint, access_token)
        ours = launch.same_secret(said.client_id, services.config.bitrix24_client_id) and launch.same_secret(said.member_id, portal.member_id)
        if not ours or said.user_id != user_id or not services.wire.addresses.portal_allowed(said.client_endpoint):
            raise NotHere
        person = launch.profile(client.Direct(services.wire, said.client_endpoint, access_token, durations.PERSON_TIMEOUT))
    except NoAnswer as error:
        raise Problem("launch.no_answer", LATER) from error
    if person.id != user_id:
        raise NotHere
    with services.db.transaction() as tx:
        tx.execute(
            update(Bitrix24Login)
            .where(Bitrix24Login.portal_id == portal_id, Bitrix24Login.user_id == user_id)
            .values(admin=person.admin, seen_at=services.now())
        )
    return visitor(services, portal_id, user_id, lang)


def home(services: Services, visitor: Visitor) -> Home:
    """What is missing before work can start, and one banner at most."""
    with services.db.reading() as session:
        portal = session.get_one(Portal, visitor.portal_id)
        connection = live_connection(session, visitor.portal_id)
        organisation = session.get_one(Organisation, connection.organisation_id) if connection else None
        settings = current_settings(session, visitor.portal_id, organisation.id) if organisation else None
        admin = session.scalar(
            select(Bitrix24Login.name).where(Bitrix24Login.portal_id == visitor.portal_id, Bitrix24Login.user_id == (portal.service_user_id or 0))
        )
        run = (
            session.scalar(select(FirstRun).where(FirstRun.portal_id == visitor.portal_id, FirstRun.organisation_id == organisation.id))
            if organisation
            else None
        )
        night = _failed_at_night(session, visitor) if visitor.admin else None
        undecided = deleted.count(session, visitor.portal_id, organisation.id) if organisation and visitor.admin else 0
        if run is not None and _is_old_news(session, run, services.now()):
            run = None
    banner, action = _banner(services, portal, connection, organisation)
    if banner is None and night is not None:
        banner, action = night, "selftest"
    return Home(
        organisation.name if organisation else "",
        connection is not None and not connection.problem,
        settings is not None,
        banner,
        action,
        admin or "",
        first_run_shown(run),
        undecided,
    )


def _banner(services: Services, portal: Portal, connection: Connection | None, organisation: Organisation | None) -> tuple[Told | None, str]:
    if connection is not None and connection.problem:
        return Told(connection.problem), "connect"
    if portal.service_problem in STOPPING:
        return Told(portal.service_problem), ""  # nobody who takes over could do more
    if portal.service_problem:
        return Told("portal.service_gone", {"cause": portal.service_problem}), "takeover"
    if organisation is not None and organisation.paused_until and organisation.paused_until > services.now():
        return Told("organisation.paused", {"cause": organisation.pause_code or "", "until": organisation.paused_until.isoformat()}), ""
    if not services.redis_answers():
        return Told("limits.no_redis"), ""
    return None, ""


def _failed_at_night(session: Session, visitor: Visitor) -> Told | None:
    """What the banner says while the newest self-test is a nightly one that found something."""
    mine = (SelfTest.portal_id == visitor.portal_id, SelfTest.finished_at.is_not(None))
    newest = session.scalar(select(SelfTest).where(*mine).order_by(SelfTest.id.desc()).limit(1))
    if newest is None or newest.user_id is not None or not newest.faults:
        return None
    return Told("selftest.failed", {"count": newest.faults})


def _is_old_news(session: Session, run: FirstRun, now: datetime) -> bool:
    """Over for a day, and no pair waits for anybody: the settings still tell of it, the list makes room."""
    if run.state != "done" or run.finished_at is None or run.finished_at > now - FIRST_RUN_NEWS:
        return False
    open_pairs = (Doubt.portal_id == run.portal_id, Doubt.organisation_id == run.organisation_id, Doubt.decided.is_(None))
    return not session.scalar(select(exists().where(*open_pairs)))


def first_run_shown(run: FirstRun | None) -> FirstSync:
    """The first synchronisation as the pages show it."""
    if run is None:
        return FirstSync("none")
    counts = run.counts or {}
    state = {"running": "running", "done": "done"}.get(run.state, "problem")
    return FirstSync(
        state,  # type: ignore[arg-type]
        run.stage,
        run.done,
        run.total,
        counts.get("contacts", 0),
        counts.get("items", 0),
        counts.get("documents", 0),
        counts.get("doubtful", 0),
        counts.get("would_move", 0),
        Told(run.problem_code, run.problem_params or {}) if run.problem_code else None,
        counts.get("quotes", 0),
    )


def take_over(services: Services, visitor: Visitor) -> None:
    """This administrator does the background work from now on (RULES 6)."""
    if not visitor.admin:
        raise NotAllowed
    with services.db.transaction() as tx:
        _serve(tx, services, visitor.portal_id, visitor.user_id, visitor.name)
        _go_on(tx, services, visitor.portal_id)
