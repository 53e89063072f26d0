"""Making in the CRM what was made in Xero: import methods, which run no robots, under a mark that is looked for first (B§8.1, §8.11)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from plugin.bitrix24.client import Command, Rest
from plugin.bitrix24.fields import BY_SHORT, Value, encoded
from plugin.bitrix24.kinds import INVOICE, CrmKind
from plugin.bitrix24.packing import groups, rows_under
from plugin.bitrix24.shapes import COMPANY, CONTACT
from plugin.bitrix24.values import amount, ident, text
from plugin.domain.brought import NewRow
from plugin.domain.crm import Address
from plugin.domain.problems import Problem

Kind = Literal["company", "contact"]
TYPES: Mapping[Kind, int] = {"company": COMPANY, "contact": CONTACT}
ORIGINATOR = "XERO"
#: Imports of one request; the answers share its sixty seconds (B§4.2).
TOGETHER = 15
REQUISITE = 8
#: A type of company and of contact that every portal begins with (B§8.3, §8.4).
SUPPLIER = "SUPPLIER"
Day = date  # the type, inside a class that has a field of that name


@dataclass(frozen=True)
class NewDocument:
    """An invoice or bill to be made under the mark of its document in Xero."""

    xero_id: str
    title: str
    number: str  # "" lets the portal number it; a bill has none
    stage_id: str
    date: Day | None
    due_date: Day | None
    company_id: int | None
    contact_id: int | None
    seller_id: int | None
    currency: str
    fields: Mapping[str, Value]


@dataclass(frozen=True)
class NewCustomer:
    """A company or person to be made under the mark of its contact in Xero."""

    xero_id: str
    kind: Kind
    name: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    phones: tuple[tuple[str, str], ...] = ()  # (WORK | MOBILE | FAX, number)
    addresses: tuple[Address, ...] = ()
    tax_number: str = ""
    company_number: str = ""
    supplier: bool = False  # met as one; customers are what Bitrix24 takes a new company for


def marked(rest: Rest, kind: CrmKind, xero_ids: Iterable[str]) -> dict[str, int]:
    """Documents that carry the mark of one of these in Xero: XeroID → id, the oldest where somebody copied one."""
    return _marked(rest, kind.type_id, "xmlId", {}, xero_ids)


def marked_customers(rest: Rest, kind: Kind, xero_ids: Iterable[str]) -> dict[str, int]:
    """Companies or persons that carry the mark of one of these contacts: ContactID → id."""
    extra = {"=originatorId": ORIGINATOR, **({"isMyCompany": "N"} if kind == "company" else {})}
    return _marked(rest, TYPES[kind], "originId", extra, xero_ids)


def _marked(rest: Rest, type_id: int, name: str, extra: Mapping[str, Any], xero_ids: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for group in groups(dict.fromkeys(xero_ids)):
        params = {"entityTypeId": type_id, "select": ["id", name], "filter": {f"@{name}": group, **extra}, "order": {"id": "ASC"}, "start": -1}
        for row in rows_under(rest.call("crm.item.list", params), "items"):
            found.setdefault(text(row.get(name)).lower(), ident(row.get("id")) or 0)
    return found


def alike_invoices(rest: Rest, numbers: Iterable[str], xero_ids: Iterable[str]) -> list[int]:
    """Ids of invoices that have one of these numbers, or whose own field names one of these documents."""
    found: list[int] = []
    for name, values in ((INVOICE.number, numbers), (BY_SHORT["xero_id"].name(INVOICE), xero_ids)):
        for group in groups(dict.fromkeys(one for one in values if one)):
            wanted = {
                "entityTypeId": INVOICE.type_id,
                "useOriginalUfNames": "Y",
                "select": ["id"],
                "filter": {f"@{name}": group},
                "order": {"id": "ASC"},
                "start": -1,
            }
            found += [number for row in rows_under(rest.call("crm.item.list", wanted), "items") if (number := ident(row.get("id")))]
    return list(dict.fromkeys(found))


def named_customers(rest: Rest, kind: Kind, name: str, first_name: str = "", last_name: str = "") -> list[int]:
    """Ids of companies or persons of exactly this name."""
    wanted = {"=title": name, "isMyCompany": "N"} if kind == "company" else {"=name": first_name, "=lastName": last_name}
    params = {"entityTypeId": TYPES[kind], "select": ["id"], "filter": wanted, "order": {"id": "ASC"}, "start": -1}
    return [number for row in rows_under(rest.call("crm.item.list", params), "items") if (number := ident(row.get("id")))]


def import_documents(rest: Rest, kind: CrmKind, wanted: Sequence[NewDocument]) -> dict[str, int | Problem]:
    """Make them; each by itself is made or refused. A taken number costs only the number: the portal then numbers the invoice."""
    made = _import(rest, {one.xero_id: _document_command(kind, one) for one in wanted})
    numbered = [one for one in wanted if one.number and isinstance(problem := made[one.xero_id], Problem) and problem.code == "bitrix24.field_invalid"]
    # The number may be taken by this very document, if somebody else's import of it came to its end meanwhile.
    there = marked(rest, kind, [one.xero_id for one in numbered]) if numbered else {}
    return made | there | _import(rest, {one.xero_id: _document_command(kind, one, with_number=False) for one in numbered if one.xero_id not in there})


def _document_command(kind: CrmKind, one: NewDocument, with_number: bool = True) -> Command:
    fields: dict[str, Any] = {
        "title": one.title,
        "xmlId": one.xero_id,
        "accountNumber": one.number if with_number else "",
        "stageId": one.stage_id,
        "begindate": one.date.isoformat() if one.date else "",
        "closedate": one.due_date.isoformat() if one.due_date else "",
        "companyId": one.company_id or "",
        "contactId": one.contact_id or "",
        "mycompanyId": one.seller_id or "",
        "currencyId": one.currency,
        **encoded(kind, one.fields),
    }
    given = {name: value for name, value in fields.items() if value != ""}
    return "crm.item.import", {"entityTypeId": kind.type_id, "useOriginalUfNames": "Y", "fields": {**given, "isManualOpportunity": "N"}}


def set_rows(rest: Rest, kind: CrmKind, rows: Mapping[int, Sequence[NewRow]]) -> dict[int, Problem]:
    """The rows of these documents are exactly these; the total follows from them. Safe to repeat. Returns what was refused."""
    refused: dict[int, Problem] = {}
    for group in groups(((id_, some) for id_, some in rows.items() if some), TOGETHER):
        commands = {
            f"r{id_}": ("crm.item.productrow.set", {"ownerType": kind.owner_type, "ownerId": id_, "productRows": [_row(one) for one in some]})
            for id_, some in group
        }
        reply = rest.batch(commands)
        refused |= {id_: reply.errors[f"r{id_}"] for id_, _ in group if f"r{id_}" in reply.errors}
    return refused


def _row(one: NewRow) -> dict[str, Any]:
    """A rate of zero is the text "0": as a number with a point it would become "no tax" (B§8.6)."""
    rate = "" if one.tax_rate is None else f"{one.tax_rate.normalize():f}"
    return {"productId": 0, "productName": one.name, "price": one.price, "quantity": one.quantity, "taxRate": rate, "taxIncluded": "Y"}


def totals(rest: Rest, kind: CrmKind, ids: Iterable[int]) -> dict[int, Decimal]:
    """What the CRM makes of them."""
    found: dict[int, Decimal] = {}
    for group in groups(dict.fromkeys(ids)):
        params = {"entityTypeId": kind.type_id, "select": ["id", "opportunity"], "filter": {"@id": group}, "order": {"id": "ASC"}, "start": -1}
        found |= {ident(row.get("id")) or 0: amount(row.get("opportunity")) for row in rows_under(rest.call("crm.item.list", params), "items")}
    return found


def fix_total(rest: Rest, kind: CrmKind, id_: int, total: Decimal) -> None:
    """The total as Xero has it, whatever the rows add up to."""
    rest.call("crm.item.update", {"entityTypeId": kind.type_id, "id": id_, "fields": {"isManualOpportunity": "Y", "opportunity": total}})


def import_customers(rest: Rest, wanted: Sequence[NewCustomer]) -> dict[str, int | Problem]:
    """Make them; each by itself is made or refused. A portal that has removed the type "supplier" gets them without."""
    made = _import(rest, {one.xero_id: _customer_command(one) for one in wanted})
    plain = [one for one in wanted if one.supplier and isinstance(problem := made[one.xero_id], Problem) and problem.code == "bitrix24.field_invalid"]
    return made | _import(rest, {one.xero_id: _customer_command(replace(one, supplier=False)) for one in plain})


def _customer_command(one: NewCustomer) -> Command:
    """Telephones and e-mail go under their old keys, as only these methods take them (B§8.4)."""
    named = {"title": one.name} if one.kind == "company" else {"name": one.first_name or one.name, "lastName": one.last_name}
    fields: dict[str, Any] = {**named, "originatorId": ORIGINATOR, "originId": one.xero_id}
    if one.supplier:
        fields["typeId"] = SUPPLIER
    if one.phones:
        fields["PHONE"] = [{"VALUE": number, "VALUE_TYPE": kind} for kind, number in one.phones]
    if one.email:
        fields["EMAIL"] = [{"VALUE": one.email, "VALUE_TYPE": "WORK"}]
    return "crm.item.import", {"entityTypeId": TYPES[one.kind], "fields": fields}


def _import(rest: Rest, commands: Mapping[str, Command]) -> dict[str, int | Problem]:
    made: dict[str, int | Problem] = {}
    for group in groups(commands, TOGETHER):
        reply = rest.batch({f"i{number}": commands[key] for number, key in enumerate(group)})
        for number, key in enumerate(group):
            problem = reply.errors.get(f"i{number}")
            item = reply.results.get(f"i{number}")
            id_ = ident(item["item"].get("id")) if isinstance(item, Mapping) and isinstance(item.get("item"), Mapping) else None
            made[key] = problem or id_ or Problem("bitrix24.unknown", error="", text="", status=0, method="crm.item.import")
    return made


def add_requisites(rest: Rest, owners: Mapping[int, NewCustomer]) -> None:
    """Tax numbers and addresses of customers just made, in the portal's first active template for their kind. Those that have some keep theirs."""
    wanted = {id_: one for id_, one in owners.items() if one.addresses or one.tax_number or one.company_number}
    presets = rows_under(rest.call("crm.requisite.preset.list", {"filter": {"ACTIVE": "Y"}, "order": {"SORT": "ASC", "ID": "ASC"}}), "") if wanted else []
    preset = next((number for row in presets if (number := ident(row.get("ID")))), None)
    if preset is None:
        return
    for kind, type_id in TYPES.items():
        mine = {id_: one for id_, one in wanted.items() if one.kind == kind}
        for group in groups(mine, TOGETHER):
            held = _requisites(rest, type_id, group)
            reply = (
                rest.batch({f"q{id_}": _requisite_command(type_id, id_, mine[id_], preset) for id_ in group if id_ not in held})
                if set(group) - set(held)
                else None
            )
            held |= {id_: number for id_ in group if reply is not None and (number := ident(reply.results.get(f"q{id_}")))}
            addresses = {f"a{id_}x{one.type_id}": _address_command(held[id_], one) for id_ in group if id_ in held for one in mine[id_].addresses}
            if addresses:
                rest.batch(addresses)  # one that is there already is refused, and stays


def _requisites(rest: Rest, type_id: int, ids: Sequence[int]) -> dict[int, int]:
    params = {"filter": {"ENTITY_TYPE_ID": type_id, "@ENTITY_ID": list(ids)}, "select": ["ID", "ENTITY_ID"]}
    return {ident(row.get("ENTITY_ID")) or 0: ident(row.get("ID")) or 0 for row in rows_under(rest.call("crm.requisite.list", params), "")}


def _requisite_command(type_id: int, id_: int, one: NewCustomer, preset: int) -> Command:
    fields = {
        "ENTITY_TYPE_ID": type_id,
        "ENTITY_ID": id_,
        "PRESET_ID": preset,
        "NAME": one.name,
        "RQ_VAT_ID": one.tax_number,
        "RQ_COMPANY_ID": one.company_number,
    }
    return "crm.requisite.add", {"fields": {**fields, "ORIGINATOR_ID": ORIGINATOR, "XML_ID": one.xero_id}}


def _address_command(requisite_id: int, one: Address) -> Command:
    fields = {"TYPE_ID": one.type_id, "ENTITY_TYPE_ID": REQUISITE, "ENTITY_ID": requisite_id, "ADDRESS_1": one.line1, "ADDRESS_2": one.line2, "CITY": one.city}
    return "crm.address.add", {"fields": {**fields, "PROVINCE": one.province, "POSTAL_CODE": one.postal_code, "COUNTRY": one.country}}
