"""Act one: what the CRM says of the claimed documents, and proof that the person may send them (RULES 24)."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import and_, select

from plugin.bitrix24 import documents
from plugin.domain.problems import LATER, Problem, after
from plugin.kinds import Kind
from plugin.limits import Lane
from plugin.models import Bitrix24Login, Link, Portal
from plugin.receiving import arrivals
from plugin.sending.work import Ended, Work, by_kind, by_portal
from plugin.services import Services
from plugin.talking import portal_rest, service_rest
from plugin.wire import NoAnswer

#: An invoice that we are just bringing from Xero has its document there; it is looked at again when the two are linked.
UNDER_WAY_SECONDS = 10.0


def read(services: Services, works: Iterable[Work], lane: Lane) -> list[Ended]:
    """Fill in invoice, customer, products and link of each work. Returns those that end here, each with its reason."""
    ended: list[Ended] = []
    for portal_id, of_portal in by_portal(list(works)).items():
        groups: dict[tuple[Kind, int | None], list[Work]] = {}
        for kind, works_of_kind in by_kind(of_portal).items():
            links(services, kind, works_of_kind)
            for one in works_of_kind:
                groups.setdefault((kind, one.job.acting_user), []).append(one)
        for (_, user_id), group in groups.items():
            for start in range(0, len(group), documents.LIMIT):
                ended += _read_group(services, portal_id, user_id, group[start : start + documents.LIMIT], lane)
    return ended


def links(services: Services, kind: Kind, works: list[Work]) -> None:
    """Fill in the link of each work; all of one portal and kind."""
    ids = [one.crm_id for one in works]
    found: dict[int, Link] = {}
    with services.db.reading() as session:
        for start in range(0, len(ids), 500):
            query = select(Link).where(
                Link.portal_id == works[0].job.portal_id,
                Link.organisation_id == works[0].ready.organisation.id,
                Link.crm_kind == kind.name,
                Link.crm_id.in_(ids[start : start + 500]),
                Link.ended_at.is_(None),
            )
            found |= {link.crm_id: link for link in session.scalars(query)}
        arriving = arrivals.under_way(session, works[0].job.portal_id) if len(found) < len(set(ids)) else frozenset()
    for one in works:
        one.link = found.get(one.crm_id)
        one.arriving = arriving if one.link is None else frozenset()


def _read_group(services: Services, portal_id: int, user_id: int | None, works: list[Work], lane: Lane) -> list[Ended]:
    """Administrators' own tokens read packed; for others their token proves that they may see and edit, the service token reads the rest."""
    try:
        if user_id is None:
            rest = service_rest(services, portal_id, lane)
            return take(works, documents.read_documents(rest, works[0].kind.crm, [one.crm_id for one in works], as_admin=True, code_field=code_field(works)))
        with services.db.reading() as session:
            theirs = and_(Bitrix24Login.portal_id == Portal.id, Bitrix24Login.user_id == user_id)
            who = select(Bitrix24Login.admin, Portal.service_user_id).select_from(Portal).outerjoin(Bitrix24Login, theirs).where(Portal.id == portal_id)
            admin, service_user = session.execute(who).one()
        if admin:
            rest = portal_rest(services, portal_id, user_id, lane)
            return take(works, documents.read_documents(rest, works[0].kind.crm, [one.crm_id for one in works], as_admin=True, code_field=code_field(works)))
        ended = _prove(services, portal_id, user_id, works, lane)
        refused = {id(one.work) for one in ended}
        left = [one for one in works if id(one) not in refused]
        if left and service_user is not None:
            rest = service_rest(services, portal_id, lane)
            ended += take(left, documents.read_documents(rest, works[0].kind.crm, [one.crm_id for one in left], as_admin=True, code_field=code_field(left)))
        elif left:
            ended += [Ended(one, Problem("portal.no_service_admin", LATER)) for one in left]
        return ended
    except Problem as problem:
        return [Ended(one, problem) for one in works]
    except NoAnswer:
        return [Ended(one, Problem("bitrix24.no_answer", LATER)) for one in works]


def code_field(works: list[Work]) -> str:
    """The field of the CRM's products that the portal chose as item code."""
    source = works[0].ready.settings.item_code_source
    return "xmlId" if source == "xmlId" else "code"


def _prove(services: Services, portal_id: int, user_id: int, works: list[Work], lane: Lane) -> list[Ended]:
    """Read each with the visitor's token, and write "Xero: sending" with it: ACCESS_DENIED ends that job."""
    rest = portal_rest(services, portal_id, user_id, lane)
    seen = documents.read_documents(rest, works[0].kind.crm, [one.crm_id for one in works], as_admin=False, details=False)
    ended = _refused(works, seen)
    visible = [one.crm_id for one in works if one.crm_id in seen.documents]
    stamp = services.now().isoformat(timespec="seconds")
    verdicts = documents.may_edit(rest, works[0].kind.crm, visible, stamp)
    for one in works:
        problem = verdicts.get(one.crm_id)
        one.proved = one.crm_id in verdicts and problem is None
        if problem is not None:
            ended.append(Ended(one, Problem("send.may_not_edit") if problem.code == "bitrix24.access_denied" else problem))
    return ended


def _refused(works: list[Work], found: documents.Read) -> list[Ended]:
    ended = []
    for one in works:
        if one.crm_id in found.missing:
            ended.append(Ended(one, Problem("send.deleted")))
        elif one.crm_id in found.denied:
            denied = found.denied[one.crm_id]
            ended.append(Ended(one, Problem("send.may_not_see") if denied.code == "bitrix24.access_denied" else denied))
    return ended


def take(works: list[Work], found: documents.Read) -> list[Ended]:
    """Fill in what was read of each work; returns those that end here."""
    ended = _refused(works, found)
    for one in works:
        invoice = found.documents.get(one.crm_id)
        if invoice is None:
            continue
        if invoice.fields.get("xero_id", "").lower() in one.arriving:
            ended.append(Ended(one, Problem("bring.under_way", after(UNDER_WAY_SECONDS))))
            continue
        one.invoice, one.products = invoice, found.products
        one.customer = found.customers.get(invoice.customer_ref) if invoice.customer_ref else None
        if invoice.customer_ref and one.customer is None:
            ended.append(Ended(one, Problem("send.customer_gone", kind=invoice.customer_ref[0], id=invoice.customer_ref[1])))
        elif "products" in found.lacking:
            one.note("note.products_unread")
    return ended
