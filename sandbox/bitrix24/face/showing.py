"""What the pages show of items: plain values and words, nothing stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sandbox.bitrix24.automation import may_stand_on
from sandbox.bitrix24.fields import COMPANY, CONTACT, QUOTE, integer
from sandbox.bitrix24.people import User
from sandbox.bitrix24.portal import Portal

PAGE = 20


@dataclass(frozen=True)
class Line:
    """An invoice, an estimate or an item of a smart process in a list."""

    id: int
    number: str
    title: str
    client: str
    stage: str
    colour: str
    amount: str
    currency: str
    day: str
    due: str
    responsible: str
    extra: str


@dataclass(frozen=True)
class Page:
    """A page of a list with what the pager needs."""

    lines: list[Any]
    total: int
    number: int
    pages: int


def money(value: Any) -> str:
    return f"{Decimal(str(value or 0)):,.2f}"


def day(value: date | None) -> str:
    return f"{value.day} {value:%b %Y}" if value else "—"


def moment(portal: Portal, value: datetime | None) -> str:
    return f"{value.astimezone(portal.zone):%-d %b %Y, %H:%M}" if value else "—"


def robot_names(portal: Portal, type_id: int) -> dict[str, str]:
    """The app's robots that may stand on this type, by code, in the portal's language."""
    app = portal.installation
    found = [one for one in app.robots.values() if may_stand_on(one, portal.document_type(type_id))] if app is not None else []
    return {one.code: str(one.name.get(portal.language) or one.name.get("en")) if isinstance(one.name, dict) else str(one.name) for one in found}


def client_name(portal: Portal, item: dict[str, Any]) -> str:
    """Company, else person."""
    company = portal.companies.get(item.get("companyId") or 0)
    person = portal.contacts.get(item.get("contactId") or 0)
    names = [company["title"] if company else "", person_name(person) if person else ""]
    return " · ".join(one for one in names if one) or ("(deleted company)" if item.get("companyId") else "")


def person_name(person: dict[str, Any]) -> str:
    return f"{person.get('name') or ''} {person.get('lastName') or ''}".strip()


def line(portal: Portal, type_id: int, item: dict[str, Any]) -> Line:
    stage_id = item.get("stageId") or ""
    stage = portal.stages(type_id).get(stage_id, {"NAME": stage_id, "COLOR": "#c9ccd0"})
    user = portal.users.get(item["assignedById"])
    return Line(
        item["id"],
        str(item.get("accountNumber") or item.get("quoteNumber") or item["id"]),
        str(item.get("title") or ""),
        client_name(portal, item),
        stage["NAME"],
        stage["COLOR"],
        money(item.get("opportunity")),
        str(item.get("currencyId") or ""),
        day(item.get("begindate")),
        day(item.get("actualDate" if type_id == QUOTE else "closedate")),
        user.full_name if user else "",
        " · ".join(str(value) for _, value in custom_values(portal, type_id, item) if not str(value).startswith("http"))[:60],
    )


def custom_values(portal: Portal, type_id: int, item: dict[str, Any]) -> list[tuple[str, Any]]:
    """The filled custom fields with their labels."""
    found = []
    for one in portal.user_fields.values():
        value = item.get(one["fieldName"])
        if one["entityId"] == portal.crm.types[type_id].uf_entity and value not in (None, "", []):
            found.append((str(portal.label(one)), custom_text(portal, one, value)))
    return found


def custom_text(portal: Portal, field: dict[str, Any], value: Any) -> str:
    """The value of a custom field in words."""
    if isinstance(value, datetime):
        return moment(portal, value)
    if isinstance(value, date):
        return day(value)
    if field["userTypeId"] == "enumeration":
        return next((one["value"] for one in field["enum"] if one["id"] == integer(value)), str(value))
    if field["userTypeId"] == "money":
        return str(value).replace("|", " ")
    if field["userTypeId"] == "boolean":
        return "Yes" if value else "No"
    return str(value)


def documents(portal: Portal, type_id: int, user: User, search: str, stage: str, number: int) -> Page:
    """Newest first, narrowed by search and stage, only what this user may read."""
    needle = search.casefold()
    table = portal.crm.tables[type_id]
    found = []
    for id_ in reversed(table.ids):
        item = table.by_id[id_]
        if (stage and item.get("stageId") != stage) or not user.can("read", type_id, item):
            continue
        text = f"{item.get('accountNumber') or item.get('quoteNumber') or ''} {item.get('title') or ''} {client_name(portal, item) if needle else ''}"
        if needle in text.casefold():
            found.append(item)
    return cut([line(portal, type_id, item) for item in _slice(found, number)], len(found), number)


def _slice(found: list[Any], number: int) -> list[Any]:
    return found[(number - 1) * PAGE : number * PAGE]


def cut(lines: list[Any], total: int, number: int) -> Page:
    return Page(lines, total, number, max(1, -(-total // PAGE)))


def clients(portal: Portal, type_id: int, user: User, search: str, number: int) -> Page:
    """Companies or contacts by name."""
    needle = search.casefold()
    found = []
    for item in portal.crm.tables[type_id]:
        name = item["title"] if type_id == COMPANY else person_name(item)
        if user.can("read", type_id, item) and needle in f"{name} {item.get('email') or ''} {item.get('phone') or ''}".casefold():
            found.append(
                {
                    "id": item["id"],
                    "name": name,
                    "email": item.get("email") or "",
                    "phone": item.get("phone") or "",
                    "mine": item.get("isMyCompany") == "Y",
                    "kind": item.get("typeId") or "",
                }
            )
    return cut(_slice(found, number), len(found), number)


def requisites(portal: Portal, type_id: int, item_id: int) -> list[dict[str, Any]]:
    """A client's requisites with their addresses in words."""
    kinds = {1: "Street", 8: "Postal", 6: "Legal", 4: "Registered", 9: "Beneficiary", 11: "Delivery"}
    found = []
    for one in portal.requisites.values():
        if (one["ENTITY_TYPE_ID"], one["ENTITY_ID"]) != (type_id, item_id):
            continue
        places = [(kinds.get(key[0], "Address"), _address(row)) for key, row in portal.addresses.items() if key[1:] == (8, one["ID"])]
        found.append({"name": one["NAME"], "number": one["RQ_COMPANY_ID"], "tax": one["RQ_VAT_ID"], "places": places})
    return found


def _address(row: dict[str, Any]) -> str:
    return ", ".join(str(row[name]) for name in ("ADDRESS_1", "ADDRESS_2", "CITY", "PROVINCE", "POSTAL_CODE", "COUNTRY") if row.get(name))


def notes(portal: Portal, type_id: int, item_id: int) -> list[dict[str, Any]]:
    """Timeline, newest first: entries of apps and people, and moves between stages."""
    found = [
        {"kind": one["kind"], "title": one.get("title") or "Comment", "text": one["text"], "who": _who(portal, one["authorId"]), "at": one["created"]}
        for one in portal.timeline_of(item_id, type_id)
    ]
    stages = portal.stages(type_id)
    for row in portal.crm.history:
        if (row["OWNER_TYPE_ID"], row["OWNER_ID"]) == (type_id, item_id):
            name = stages.get(row["STAGE_ID"], {"NAME": row["STAGE_ID"]})["NAME"]
            found.append({"kind": "stage", "title": "Created" if row["TYPE_ID"] == 1 else "Stage changed", "text": name, "who": "", "at": row["CREATED_TIME"]})
    found.sort(key=lambda one: one["at"], reverse=True)
    return [{**one, "at": moment(portal, one["at"])} for one in found]


def _who(portal: Portal, user_id: int) -> str:
    user = portal.users.get(user_id)
    return user.full_name if user else "Tallybridge"


def choices(portal: Portal, user: User) -> dict[str, Any]:
    """What the card's select boxes offer."""
    companies = [one for one in portal.crm.tables[COMPANY] if user.can("read", COMPANY, one)]
    return {
        "companies": sorted(((one["id"], one["title"]) for one in companies if one.get("isMyCompany") != "Y"), key=lambda one: one[1].casefold()),
        "sellers": [(one["id"], one["title"]) for one in companies if one.get("isMyCompany") == "Y"],
        "contacts": sorted(((one["id"], person_name(one)) for one in portal.crm.tables[CONTACT]), key=lambda one: one[1].casefold()),
        "users": [(one.id, one.full_name) for one in portal.users.values() if one.active],
        "currencies": list(portal.currencies),
        "products": [_product_choice(portal, one) for one in portal.catalog.products.values()],
        "vats": [one["rate"] for one in portal.catalog.vats.values()],
    }


def _product_choice(portal: Portal, one: dict[str, Any]) -> dict[str, Any]:
    price = portal.catalog.price_of(one["id"])
    rate = portal.catalog.vats.get(one["vatId"] or 0, {}).get("rate")
    net = Decimal(str(price["price"])) if price else Decimal(0)
    gross = net * (1 + Decimal(str(rate or 0)) / 100)
    return {"id": one["id"], "name": one["name"], "price": f"{gross + Decimal('1e-9'):.2f}", "rate": "" if rate is None else f"{rate:g}"}


def products(portal: Portal, search: str, number: int) -> Page:
    needle = search.casefold()
    found = [one for one in portal.catalog.products.values() if needle in f"{one['name']} {one['code'] or ''}".casefold()]
    lines = []
    for one in _slice(found, number):
        price = portal.catalog.price_of(one["id"])
        rate = portal.catalog.vats.get(one["vatId"] or 0, {}).get("rate")
        section = portal.catalog.sections.get(one["iblockSectionId"] or 0, {}).get("name", "")
        lines.append(
            {
                "id": one["id"],
                "name": one["name"],
                "code": one["code"] or "",
                "section": section,
                "price": f"{money(price['price'])} {price['currency']}" if price else "—",
                "tax": "No tax" if rate is None else f"{rate:g}%",
            }
        )
    return cut(lines, len(found), number)
