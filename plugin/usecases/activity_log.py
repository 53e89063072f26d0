"""What happened, sentence by sentence. Administrators see all; others what they did themselves (RULES 25)."""

from __future__ import annotations

from sqlalchemy import and_, func, select, true

from plugin.domain.crm import Visitor
from plugin.kinds import KINDS
from plugin.models import Activity, Organisation
from plugin.services import Services
from plugin.usecases.shown import ActivityRow, Told
from plugin.xero.documents import deep_link

PAGE = 50


def page(services: Services, visitor: Visitor, number: int) -> tuple[tuple[ActivityRow, ...], int]:
    """A page, newest first, and how many pages there are."""
    mine = and_(Activity.portal_id == visitor.portal_id, true() if visitor.admin else Activity.user_id == visitor.user_id)
    with services.db.reading() as session:
        count = session.scalar(select(func.count()).select_from(Activity).where(mine)) or 0
        found = list(session.scalars(select(Activity).where(mine).order_by(Activity.id.desc()).limit(PAGE).offset((max(1, number) - 1) * PAGE)))
        ids = {one.organisation_id for one in found if one.organisation_id}
        codes = {one.id: one.short_code for one in session.scalars(select(Organisation).where(Organisation.id.in_(ids)))}
    return tuple(_row(one, codes.get(one.organisation_id or 0, "")) for one in found), max(1, -(-count // PAGE))


def of_subject(services: Services, visitor: Visitor, subject: str, most: int) -> tuple[ActivityRow, ...]:
    """The latest about one document or customer, for somebody to whom Bitrix24 has just shown it (RULES 25)."""
    mine = (Activity.portal_id == visitor.portal_id, Activity.subject == subject)
    with services.db.reading() as session:
        found = list(session.scalars(select(Activity).where(*mine).order_by(Activity.id.desc()).limit(most)))
    return tuple(_row(one, "") for one in found)


def _row(one: Activity, short_code: str) -> ActivityRow:
    name, _, number = one.subject.partition(":")
    kind = KINDS.get(name)
    paths = {"company": f"/crm/company/details/{number}/", "contact": f"/crm/contact/details/{number}/"}
    path = kind.crm.card(int(number)) if kind is not None else paths.get(name, "")
    url = deep_link(short_code, name if kind is not None else "contact", one.xero_id) if one.xero_id and short_code else ""
    return ActivityRow(one.at, Told(one.code, one.params), one.user_name, one.subject, url, path, one.batch_id)
