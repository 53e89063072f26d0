"""An organisation's directory: contacts, items, accounts and tax rates as Xero has them, kept fresh by modified-since reads.

Documents are resolved from here, never by a look-up each (X§12.4). Rows belong to the organisation (RULES 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from plugin import durations
from plugin.db import Transaction
from plugin.domain.ledger import Account, Contact, Item, TaxRate
from plugin.domain.matching import normalise_name
from plugin.models import DirectoryEntry, Organisation, Watermark
from plugin.portals import ensure_row, keep_organisation
from plugin.services import Services
from plugin.talking import XeroBooks
from plugin.xero import contacts, items, ledgers

ACCOUNT, TAX, ITEM, CONTACT, ORGANISATION = "account", "tax", "item", "contact", "organisation"
CHUNK = 500

Progress = Callable[[str, int, int], None]


def ensure(
    services: Services, books: XeroBooks, resources: Sequence[str], *, fresh_for: float = durations.DIRECTORY_FRESH, progress: Progress | None = None
) -> None:
    """Read what of these resources was never read or is older than `fresh_for` seconds; contacts and items only what changed."""
    now = services.now()
    with services.db.reading() as session:
        marks = {mark.resource: mark for mark in session.scalars(select(Watermark).where(Watermark.organisation_id == books.organisation_id))}
    for resource in resources:
        mark = marks.get(resource)
        if mark is not None and mark.read_at is not None and mark.read_at > now - timedelta(seconds=fresh_for):
            continue
        _READERS[resource](services, books, mark.modified_since if mark else None, progress or (lambda *_: None))


def _read_organisation(services: Services, books: XeroBooks, _since: datetime | None, _progress: Progress) -> None:
    value = ledgers.organisation(books)
    subscribed = ledgers.currencies(books)
    now = services.now()
    with services.db.transaction() as tx:
        row = tx.get_one(Organisation, books.organisation_id)
        keep_organisation(row, value, now)
        row.facts = {**(row.facts or {}), "currencies": list(subscribed)}
        _mark(tx, books.organisation_id, ORGANISATION, None, now)


def _read_accounts(services: Services, books: XeroBooks, _since: datetime | None, progress: Progress) -> None:
    found = ledgers.accounts(books)
    _keep_whole(services, books.organisation_id, ACCOUNT, [account_row(one) for one in found])
    progress("accounts", len(found), len(found))


def _read_taxes(services: Services, books: XeroBooks, _since: datetime | None, progress: Progress) -> None:
    found = ledgers.tax_rates(books)
    _keep_whole(services, books.organisation_id, TAX, [tax_row(one) for one in found])
    progress("taxes", len(found), len(found))


def _read_items(services: Services, books: XeroBooks, since: datetime | None, progress: Progress) -> None:
    found = items.items(books, modified_since=since - timedelta(seconds=durations.OVERLAP) if since else None)
    now = services.now()
    newest = max([one.updated_at for one in found if one.updated_at] + ([since] if since else []), default=None)
    with services.db.transaction() as tx:
        keep(tx, books.organisation_id, [item_row(one) for one in found], now)
        _mark(tx, books.organisation_id, ITEM, newest or now, now)
    progress("items", len(found), len(found))


def _read_contacts(services: Services, books: XeroBooks, since: datetime | None, progress: Progress) -> None:
    _contact_pages(services, books, since, progress, known=since is not None)


def read_all_contacts(services: Services, books: XeroBooks) -> None:
    """Every contact again: what changed without moving its mark (a merge, X§5.5) shows only so."""
    with services.db.reading() as session:
        known = watermark(session, books.organisation_id, CONTACT) is not None
    _contact_pages(services, books, None, lambda *_: None, known)


def _contact_pages(services: Services, books: XeroBooks, since: datetime | None, progress: Progress, known: bool) -> None:
    """Page by page; the watermark moves only when the last page is stored, so an interrupted read starts again (X§13.1).

    `known`: the contacts were read before, so that one we have not is new in Xero.
    """
    back = since - timedelta(seconds=durations.OVERLAP) if since else None
    newest, page, pages, done = since, 1, 1, 0
    while page <= pages:
        found, pages = contacts.contacts_page(books, page, modified_since=back, include_archived=True)
        done += len(found)
        newest = max([one.updated_at for one in found if one.updated_at] + ([newest] if newest else []), default=None)
        now = services.now()
        with services.db.transaction() as tx:
            keep(tx, books.organisation_id, [contact_row(one) for one in found], now, appeared_at=now if known else None)
        progress("contacts", done, max(done, pages * 1000 if page < pages else done))
        page += 1
    with services.db.transaction() as tx:
        _mark(tx, books.organisation_id, CONTACT, newest or services.now(), services.now())


_READERS: dict[str, Callable[[Services, XeroBooks, datetime | None, Progress], None]] = {
    ORGANISATION: _read_organisation,
    ACCOUNT: _read_accounts,
    TAX: _read_taxes,
    ITEM: _read_items,
    CONTACT: _read_contacts,
}


def _mark(tx: Transaction, organisation_id: int, resource: str, modified_since: datetime | None, now: datetime) -> None:
    mine = {"organisation_id": organisation_id, "resource": resource}
    ensure_row(tx, Watermark, **mine)
    mark = tx.scalars(select(Watermark).filter_by(**mine)).one()
    mark.modified_since, mark.read_at, mark.due_at = modified_since, now, None


def watermark(session: Session, organisation_id: int, resource: str) -> datetime | None:
    """Up to when this resource has been read."""
    return session.scalar(select(Watermark.modified_since).where(Watermark.organisation_id == organisation_id, Watermark.resource == resource))


def set_watermark(tx: Transaction, organisation_id: int, resource: str, modified_since: datetime | None, now: datetime) -> None:
    """Remember how far a resource was read by somebody else than this module (documents)."""
    _mark(tx, organisation_id, resource, modified_since, now)


def forget_freshness(tx: Transaction, organisation_id: int, resources: Sequence[str]) -> None:
    """Xero refused something by these lists: read them again before the next use."""
    tx.execute(
        update(Watermark)
        .where(Watermark.organisation_id == organisation_id, Watermark.resource.in_(resources))
        .values(read_at=None)
        .execution_options(synchronize_session=False)
    )


def _keep_whole(services: Services, organisation_id: int, kind: str, rows: list[dict[str, Any]]) -> None:
    """Lists that Xero gives whole: what is not in them any more is not active any more."""
    now = services.now()
    with services.db.transaction() as tx:
        tx.execute(
            update(DirectoryEntry)
            .where(DirectoryEntry.organisation_id == organisation_id, DirectoryEntry.kind == kind)
            .values(active=False)
            .execution_options(synchronize_session=False)
        )
        keep(tx, organisation_id, rows, now)
        _mark(tx, organisation_id, kind, None, now)


def keep(tx: Transaction, organisation_id: int, rows: Iterable[dict[str, Any]], now: datetime, appeared_at: datetime | None = None) -> None:
    """Insert or replace directory entries. `appeared_at` is kept of those that are inserted: somebody made them in Xero just now."""
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    unique = {(row["kind"], row["xero_id"]): row for row in rows}
    if not unique:
        return
    # On the table, with the rows as parameters: compiled once for any number of them.
    insert = dialect.insert(DirectoryEntry.__table__)
    new = insert.excluded
    tx.execute(
        insert.on_conflict_do_update(
            index_elements=["organisation_id", "kind", "xero_id"],
            set_={"code": new.code, "name_key": new.name_key, "active": new.active, "body": new.body, "seen_at": new.seen_at},
        ),
        [{**row, "organisation_id": organisation_id, "seen_at": now, "appeared_at": appeared_at} for row in unique.values()],
    )


def account_row(one: Account) -> dict[str, Any]:
    return {"kind": ACCOUNT, "xero_id": one.id, "code": one.code, "name_key": one.name.casefold()[:255], "active": one.active, "body": dict(vars(one))}


def tax_row(one: TaxRate) -> dict[str, Any]:
    return {"kind": TAX, "xero_id": one.tax_type, "code": one.tax_type, "name_key": one.name.casefold()[:255], "active": one.active, "body": dict(vars(one))}


def item_row(one: Item) -> dict[str, Any]:
    return {"kind": ITEM, "xero_id": one.id, "code": one.code, "name_key": one.name.casefold()[:255], "active": one.is_sold, "body": dict(vars(one))}


def contact_row(one: Contact) -> dict[str, Any]:
    return {"kind": CONTACT, "xero_id": one.id, "code": one.number, "name_key": normalise_name(one.name)[:255], "active": one.active, "body": dict(vars(one))}


def accounts(session: Session, organisation_id: int) -> dict[str, Account]:
    """Accounts by code; those without a code are left out, for lines name accounts by code."""
    return {one.code: one for one in (Account(**body) for body, _ in _bodies(session, organisation_id, ACCOUNT)) if one.code}


def tax_rates(session: Session, organisation_id: int) -> dict[str, TaxRate]:
    """Tax rates by TaxType."""
    found = (TaxRate(**{**body, "rate": Decimal(body["rate"]), "active": active and body["active"]}) for body, active in _bodies(session, organisation_id, TAX))
    return {one.tax_type: one for one in found}


def items_by_code(session: Session, organisation_id: int, codes: Iterable[str]) -> dict[str, Item]:
    """Items with these codes, by code in lower case (X§6.1: treat as case-insensitive)."""
    exact = list(dict.fromkeys(codes))
    wanted, found = {one.casefold() for one in exact}, dict[str, Item]()
    for start in range(0, len(exact), CHUNK):
        found |= _by_code(_bodies(session, organisation_id, ITEM, DirectoryEntry.code.in_(exact[start : start + CHUNK])))
    if len(found) < len(wanted):  # some are written in another case there, or are not there
        found = _by_code(_bodies(session, organisation_id, ITEM))
    return {code: one for code, one in found.items() if code in wanted}


def _by_code(bodies: Iterable[tuple[dict[str, Any], bool]]) -> dict[str, Item]:
    return {one.code.casefold(): one for one in (_item(body) for body, _ in bodies)}


def _item(kept: Mapping[str, Any]) -> Item:
    body = dict(kept)
    body["unit_price"] = Decimal(body["unit_price"]) if body.get("unit_price") is not None else None
    body["updated_at"] = datetime.fromisoformat(body["updated_at"]) if body.get("updated_at") else None
    return Item(**body)


def contact_value(kept: Mapping[str, Any]) -> Contact:
    """What is kept of a contact, as the rules know it."""
    body = dict(kept)
    body["updated_at"] = datetime.fromisoformat(body["updated_at"]) if body.get("updated_at") else None
    return Contact(**body)


def contacts_with(
    session: Session, organisation_id: int, *, numbers: Iterable[str] = (), name_keys: Iterable[str] = (), ids: Iterable[str] = ()
) -> list[Contact]:
    """Contacts that carry one of these ContactNumbers, normalised names or ids; in statements of five hundred."""
    found: dict[str, Contact] = {}
    for column, values in ((DirectoryEntry.code, numbers), (DirectoryEntry.name_key, name_keys), (DirectoryEntry.xero_id, ids)):
        wanted = [one for one in dict.fromkeys(values) if one]
        for start in range(0, len(wanted), CHUNK):
            for body, _ in _bodies(session, organisation_id, CONTACT, column.in_(wanted[start : start + CHUNK])):
                contact = contact_value(body)
                found[contact.id] = contact
    return list(found.values())


def all_contacts(session: Session, organisation_id: int) -> list[Contact]:
    """Every contact of the directory, archived ones included."""
    return [contact_value(body) for body, _ in _bodies(session, organisation_id, CONTACT)]


def _bodies(session: Session, organisation_id: int, kind: str, *which: ColumnElement[bool]) -> list[tuple[dict[str, Any], bool]]:
    """What is kept of these, and whether each is active."""
    query = select(DirectoryEntry.body, DirectoryEntry.active).where(DirectoryEntry.organisation_id == organisation_id, DirectoryEntry.kind == kind, *which)
    return [(body, active) for body, active in session.execute(query)]
