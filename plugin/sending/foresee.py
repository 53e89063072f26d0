"""What sending would do, foreseen for the confirmation with nothing created or changed: customers, and edits that Xero forbids (RULES 26)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from plugin import directory, durations
from plugin.domain.crm import Customer
from plugin.domain.ledger import Document, Draft
from plugin.domain.matching import Candidates, clean_name, follow_merge, match_contact, normalise_name, person_name
from plugin.domain.numbers import contact_number
from plugin.domain.problems import Problem
from plugin.domain.translate import with_references
from plugin.models import Link
from plugin.portals import Ready
from plugin.sending.drafting import Lists, change_of, differs, draft_of, lists_of
from plugin.sending.resolve import contact_links, item_choices, item_codes
from plugin.sending.work import Work, by_kind
from plugin.services import Services
from plugin.talking import books_of

#: What Xero holds is read for as many changed documents as fit into so many calls.
LOOK_CALLS = 4
#: A customer whose contact does not exist yet: equal to no contact that a document has.
NEW_CONTACT = "new"


def customers(services: Services, context: Ready, known: Sequence[Customer]) -> dict[str, Any]:
    """What sending will do about each customer, from the directory alone, for the confirmation (RULES 14).

    By subject: a note (linked to an existing contact, or new), or the problem that would stop it; absent where it is linked already.
    """
    organisation_id, settings, member_id = context.organisation.id, context.settings, context.portal.member_id
    named = {one.subject: replace(one, name=person_name(one, settings.name_person)) for one in known}
    with services.db.reading() as session:
        linked = _linked_subjects(session, context, known)
        found = directory.contacts_with(
            session,
            organisation_id,
            numbers=[contact_number(member_id, one.kind, one.id) for one in known],
            name_keys=[normalise_name(clean_name(one.name)) for one in named.values()],
        )
    candidates = Candidates(found)
    told: dict[str, Any] = {}
    for subject, one in named.items():
        if subject in linked:
            continue
        match = match_contact(one, contact_number(member_id, one.kind, one.id), candidates)
        names = [contact.name for contact in match.contacts]
        if match.kind == "single_name":
            told[subject] = {"code": "note.contact_linked", "params": {"contact": names[0]}}
        elif match.kind == "none" and not clean_name(one.name):
            told[subject] = Problem("send.customer_unnamed")
        elif match.kind == "none" and settings.create_contacts:
            told[subject] = {"code": "note.contact_new", "params": {"contact": one.name}}
        elif match.kind == "none":
            told[subject] = Problem("send.contact_missing", customer=one.name)
        elif match.kind != "linked_number":
            told[subject] = Problem(f"send.contact_{match.kind}", customer=one.name, contacts=names, contact=names[0] if names else "")
    return told


def _linked_subjects(session: Session, context: Ready, customers: Sequence[Customer]) -> set[str]:
    found: set[str] = set()
    for kind in ("company", "contact"):
        ids = sorted({one.id for one in customers if one.kind == kind})
        for start in range(0, len(ids), 500):
            query = select(Link.crm_id).where(
                Link.portal_id == context.portal.id,
                Link.organisation_id == context.organisation.id,
                Link.crm_kind == kind,
                Link.crm_id.in_(ids[start : start + 500]),
                Link.ended_at.is_(None),
            )
            found |= {f"{kind}:{crm_id}" for crm_id in session.scalars(query)}
    return found


def edits(services: Services, context: Ready, works: Sequence[Work]) -> dict[int, Problem]:
    """Of these linked documents those that cannot be updated, by CRM id: paid, locked, gone, or changed on both sides.

    Judged as sending will judge them. Where Xero cannot be asked now, nothing is foreseen: each is judged again when it is sent.
    """
    with services.db.reading() as session:
        lists = lists_of(session, context.organisation.id)
        codes = item_codes(works)
        known = directory.items_by_code(session, context.organisation.id, codes.values())
        contacts = _contact_ids(session, context, works)
    changed = [one for one in works if _differs(one, lists, contacts, item_choices(codes, known))]
    if not changed or sum(-(-len(works) // kind.xero.together) for kind, works in by_kind(changed).items()) > LOOK_CALLS:
        return {}
    books = books_of(services, context.connection, "people")
    try:
        directory.ensure(services, books, (directory.ORGANISATION,), fresh_for=durations.LISTS_FRESH)
        held = {document.id: document for kind, works in by_kind(changed).items() for document in kind.xero.by_ids(books, _ids(works))}
    except Problem:
        return {}
    with services.db.reading() as session:
        lists = lists_of(session, context.organisation.id)
    return {one.crm_id: problem for one in changed if (problem := _forbidden(one, held, lists)) is not None}


def now_and_held(services: Services, context: Ready, one: Work) -> tuple[Draft, Document, Problem | None]:
    """What sending would make of this linked document now, what Xero holds of it, and what would stop an update; raises what stops looking."""
    with services.db.reading() as session:
        lists = lists_of(session, context.organisation.id)
        codes = item_codes([one])
        known = directory.items_by_code(session, context.organisation.id, codes.values())
        contacts = _contact_ids(session, context, [one])
    one.draft = _draft(one, lists, contacts, item_choices(codes, known))
    held = next(iter(one.kind.xero.by_ids(books_of(services, context.connection, "people"), _ids([one]))), None)
    if held is None:
        raise Problem("xero.gone", number=one.link.number if one.link is not None else "")
    return one.draft, held, _forbidden(one, {held.id: held}, lists)


def _ids(works: Sequence[Work]) -> list[str]:
    return [one.link.xero_id for one in works if one.link is not None]


def _contact_ids(session: Session, context: Ready, works: Sequence[Work]) -> dict[str, str]:
    """The contact that each linked customer is now, by subject."""
    links = {subject: xero_id for (_, subject), xero_id in contact_links(session, works).items()}
    found = directory.contacts_with(session, context.organisation.id, ids=links.values())
    found += directory.contacts_with(session, context.organisation.id, ids={one.merged_to for one in found if one.merged_to})
    by_id = {one.id: one for one in found}
    return {subject: follow_merge(by_id[xero_id], by_id).id if xero_id in by_id else xero_id for subject, xero_id in links.items()}


def _differs(one: Work, lists: Lists, contacts: dict[str, str], choices: dict[tuple[int, int], Any]) -> bool:
    """Has anything changed since it was sent? What cannot even become a draft is judged elsewhere."""
    try:
        one.draft = _draft(one, lists, contacts, choices)
    except Problem:
        return False
    return one.link is not None and differs(one, one.draft)


def _draft(one: Work, lists: Lists, contacts: dict[str, str], choices: dict[tuple[int, int], Any]) -> Draft:
    subject = one.customer.subject if one.customer is not None else ""
    mine = {product_id: choice for (portal_id, product_id), choice in choices.items() if portal_id == one.job.portal_id}
    return with_references(draft_of(one, lists), one.settled, contacts.get(subject, NEW_CONTACT), mine)


def _forbidden(one: Work, held: dict[str, Document], lists: Lists) -> Problem | None:
    assert one.link is not None
    try:
        change_of(one, held.get(one.link.xero_id), lists)
    except Problem as problem:
        return problem
    return None
