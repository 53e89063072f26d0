"""Pages made from our own database ask Bitrix24 now and then whether their visitor still is who the pass says (RULES 25).

Lists and sending need no such question: Bitrix24 answers them to the visitor's own token.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select, update

from plugin import durations, logins
from plugin.bitrix24 import client, launch
from plugin.domain.crm import Visitor
from plugin.domain.problems import Problem
from plugin.models import Bitrix24Login, Portal
from plugin.services import Services
from plugin.usecases import NotHere
from plugin.wire import About, NoAnswer, about


def confirmed(services: Services, visitor: Visitor) -> Visitor:
    """The visitor with the rights that Bitrix24 gives them now; as last confirmed while it does not answer. Asked at most once a minute.

    Raises a problem when Bitrix24 no longer knows the person's token.
    """
    now = services.now()
    with services.db.reading() as session:
        login = session.scalar(select(Bitrix24Login).where(Bitrix24Login.portal_id == visitor.portal_id, Bitrix24Login.user_id == visitor.user_id))
        portal = session.get_one(Portal, visitor.portal_id)
    if login is None:
        raise NotHere
    if login.seen_at > now - timedelta(seconds=durations.RIGHTS_FRESH):
        return visitor
    try:
        token = logins.bitrix24_token(services, login.id)
        with about(About({portal.id: ()})):
            person = launch.profile(client.Direct(services.wire, portal.client_endpoint, token, durations.RIGHTS_TIMEOUT))
    except (Problem, NoAnswer) as error:
        if isinstance(error, Problem) and error.retry.kind in ("reconnect", "never"):
            raise
        _remember(services, login.id, {"seen_at": now - timedelta(seconds=durations.RIGHTS_FRESH / 2)})
        return visitor
    if person.id != visitor.user_id:
        raise NotHere
    _remember(services, login.id, {"seen_at": now, "admin": person.admin})
    return replace(visitor, admin=person.admin)


def _remember(services: Services, login_id: int, values: dict[str, object]) -> None:
    with services.db.transaction() as tx:
        tx.execute(update(Bitrix24Login).where(Bitrix24Login.id == login_id).values(**values).execution_options(synchronize_session=False))
