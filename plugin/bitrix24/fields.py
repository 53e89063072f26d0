"""Our own user fields on documents (B§8.8). They are for people to look at; identity is our link (RULES 16)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from plugin.bitrix24.client import BATCH, Command, Rest
from plugin.bitrix24.kinds import CrmKind
from plugin.bitrix24.values import decode_date, iso, moment, text
from plugin.domain.problems import Problem

#: What a field may be set to; None clears it, money is an amount with its currency.
Value = str | date | datetime | tuple[Decimal, str] | None


@dataclass(frozen=True)
class OwnField:
    """A user field by the short name under which the rest of the product knows it."""

    short: str
    kind: str
    label: str

    def name(self, kind: CrmKind) -> str:
        """What the field is called on this kind of document."""
        return f"UF_{kind.field_entity}_{self.short.upper()}"


OWN_FIELDS = (
    OwnField("xero_id", "string", "Xero: id"),
    OwnField("xero_number", "string", "Xero: number"),
    OwnField("xero_status", "string", "Xero: status"),
    OwnField("xero_url", "url", "Xero: link"),
    OwnField("xero_sending", "string", "Xero: sending"),
    OwnField("xero_paid", "money", "Xero: paid"),
    OwnField("xero_due", "money", "Xero: due"),
    OwnField("xero_paid_on", "date", "Xero: paid on"),
    OwnField("xero_synced", "datetime", "Xero: last exchange"),
    OwnField("xero_error", "string", "Xero: problem"),
)
BY_SHORT: Mapping[str, OwnField] = {one.short: one for one in OWN_FIELDS}


def own_fields(kind: CrmKind) -> tuple[OwnField, ...]:
    """Our fields on this kind of document, in their order."""
    return tuple(BY_SHORT[short] for short in kind.own_fields)


def names(kind: CrmKind) -> tuple[str, ...]:
    """What these fields are called there."""
    return tuple(one.name(kind) for one in own_fields(kind))


def encode(value: Value) -> str:
    """A value as Bitrix24 takes it (B§8.0): moments with their offset, bare dates, money as `100.50|USD`, empty to clear."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return f"{value[0]:.2f}|{value[1]}"
    return value


def encoded(kind: CrmKind, values: Mapping[str, Value]) -> dict[str, str]:
    """Values by short name as the `fields` of an update; what this kind has no field for is left out."""
    return {BY_SHORT[short].name(kind): encode(value) for short, value in values.items() if short in kind.own_fields}


def own_values(kind: CrmKind, item: Mapping[str, Any]) -> dict[str, str]:
    """Our fields of an item, by short name; dates as 2026-08-21, moments as UTC. Absent and empty ones are left out."""
    read = {one.short: _decoded(one.kind, item.get(one.name(kind))) for one in own_fields(kind)}
    return {short: value for short, value in read.items() if value}


def _decoded(kind: str, value: Any) -> str:
    if kind == "date":
        day = decode_date(value)
        return day.isoformat() if day else ""
    if kind == "datetime":
        at = moment(value)
        return iso(at) if at else ""
    return text(value)


def ensure_fields(rest: Rest, kind: CrmKind) -> tuple[tuple[str, ...], dict[str, Problem]]:
    """Create the fields that are missing. Returns what was added and what could not be, by field name. Needs CRM settings rights."""
    known = existing_fields(rest, kind)
    commands: dict[str, Command] = {
        one.name(kind): ("userfieldconfig.add", {"moduleId": "crm", "field": _definition(kind, one, sort)})
        for sort, one in enumerate(own_fields(kind), start=1)
        if one.name(kind) not in known
    }
    if not commands:
        return (), {}
    reply = rest.batch(commands)
    return tuple(reply.results), dict(reply.errors)


def _definition(kind: CrmKind, one: OwnField, sort: int) -> dict[str, Any]:
    return {
        "entityId": kind.field_entity,
        "fieldName": one.name(kind),
        "userTypeId": one.kind,
        "xmlId": one.name(kind),
        "sort": 900 + sort,
        "multiple": "N",
        "mandatory": "N",
        "editFormLabel": one.label,
    }


def existing_fields(rest: Rest, kind: CrmKind) -> set[str]:
    """Names of the portal's fields on this kind of document. Whether the list can be filtered by entity is open (B§15.12), so it is filtered here again."""
    try:
        return _listed(rest, kind, {"entityId": kind.field_entity})
    except Problem as problem:
        if problem.retry.kind != "never" or problem.code == "bitrix24.access_denied":
            raise
        return _listed(rest, kind, None)


def _listed(rest: Rest, kind: CrmKind, wanted: Mapping[str, str] | None) -> set[str]:
    params: dict[str, Any] = {"moduleId": "crm", "select": {"0": "*"}, "order": {"id": "ASC"}}
    if wanted:
        params["filter"] = wanted
    found: set[str] = set()
    start: int | None = 0
    while start is not None:
        reply = rest.call("userfieldconfig.list", {**params, "start": start})
        rows = reply.result.get("fields") if isinstance(reply.result, Mapping) else None
        found |= {text(row.get("fieldName")) for row in rows or [] if text(row.get("entityId")) == kind.field_entity}
        start = reply.next if reply.next and reply.next >= start + BATCH else None
    return found
