"""What a portal is made of: pipelines and stages, currencies, its own companies, tax rates, facts about itself (B§8.5, §8.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from plugin.bitrix24.client import BatchReply, Command, Reply, Rest, chunks
from plugin.bitrix24.kinds import INVOICE, QUOTE
from plugin.bitrix24.packing import rows_under
from plugin.bitrix24.shapes import COMPANY
from plugin.bitrix24.values import ident, names, optional_amount, text, yes
from plugin.domain.crm import Stage
from plugin.domain.problems import Problem

#: What a portal answers about a type that it does not have: smart invoices switched off (B§14.53), a smart process deleted.
UNKNOWN_TYPE = ("bitrix24.type_not_supported", "bitrix24.not_found")


@dataclass(frozen=True)
class Currency:
    code: str
    name: str
    base: bool
    decimals: int


@dataclass(frozen=True)
class PortalFacts:
    """A portal about itself. What it would not tell is in `lacking`, by method."""

    utc_offset: timedelta | None
    installed: bool
    version: str
    status: str
    payment_expired: bool
    language: str
    scopes: frozenset[str]
    base_currency: str
    lacking: dict[str, Problem] = field(default_factory=dict)


def pipelines(rest: Rest) -> tuple[Stage, ...]:
    """Every stage of every invoice pipeline, in order. Raises bitrix24.no_smart_invoices where the portal has none."""
    categories = sorted(_categories(rest), key=lambda row: (ident(row.get("sort")) or 0, ident(row.get("id")) or 0))
    if not categories:
        raise Problem("bitrix24.no_smart_invoices")
    commands: dict[str, Command] = {f"c{row['id']}": ("crm.status.list", _stage_list(row["id"])) for row in categories}
    stages: list[Stage] = []
    for part in chunks(commands):
        reply = rest.batch(part)
        for category in (row for row in categories if f"c{row['id']}" in part):
            stages += [stage_of(row, category) for row in _rows_of(reply, f"c{category['id']}", "")]
    return tuple(stages)


_MEANINGS = {"success": "S", "failure": "F", "apology": "F"}


def quote_stages(rest: Rest) -> tuple[Stage, ...]:
    """Every stage of the portal's quotes, in order (B§8.5); nothing where the portal has none, or keeps them from this person."""
    try:
        reply = rest.call("crm.status.list", {"filter": {"ENTITY_ID": "QUOTE_STATUS"}, "order": {"SORT": "ASC"}})
    except Problem as problem:
        if problem.retry.kind != "never":
            raise
        return ()
    rows = [row for row in rows_under(reply, "") if text(row.get("ENTITY_ID")) == "QUOTE_STATUS"]
    return tuple(stage_of(_with_extra(row), {}, QUOTE.name) for row in rows)


def _with_extra(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of quotes the meaning and the colour may stand under EXTRA only, the meaning perhaps as a word (B§8.5)."""
    extra = row.get("EXTRA")
    if not isinstance(extra, Mapping):
        return row
    meaning = text(extra.get("SEMANTICS"))
    told = {"SEMANTICS": _MEANINGS.get(meaning.lower(), meaning), "COLOR": extra.get("COLOR")}
    return {**row, **{name: value for name, value in told.items() if value and not row.get(name)}}


def _categories(rest: Rest) -> list[Mapping[str, Any]]:
    try:
        return rows_under(rest.call("crm.category.list", {"entityTypeId": INVOICE.type_id}), "categories")
    except Problem as problem:
        if problem.code in UNKNOWN_TYPE:
            raise Problem("bitrix24.no_smart_invoices") from problem
        raise


def _stage_list(category_id: Any) -> dict[str, Any]:
    return {"filter": {"ENTITY_ID": f"SMART_INVOICE_STAGE_{category_id}"}, "order": {"SORT": "ASC"}}


def stage_of(row: Mapping[str, Any], category: Mapping[str, Any], kind: str = INVOICE.name) -> Stage:
    """SEMANTICS of a stage in progress is null or P; the letter P inside an id means "paid" (B§8.5)."""
    semantics = text(row.get("SEMANTICS"))
    return Stage(
        id=text(row.get("STATUS_ID")),
        name=text(row.get("NAME")),
        color=text(row.get("COLOR")),
        semantics=semantics if semantics in ("S", "F") else "",
        sort=ident(row.get("SORT")) or 0,
        category_id=ident(category.get("id")) or 0,
        category_name=text(category.get("name")),
        system=yes(row.get("SYSTEM")),
        kind=kind,
    )


def currencies(rest: Rest) -> tuple[Currency, ...]:
    """The portal's currencies; only the base one where the list is kept from this person (B§8.10)."""
    reply = rest.batch({"list": ("crm.currency.list", {"order": {"SORT": "ASC"}}), "base": ("crm.currency.base.get", {})})
    base = text(reply.results.get("base"))
    refusal = reply.errors.get("list")
    if refusal is not None and (refusal.retry.kind != "never" or not base):
        raise refusal
    rows = rows_under(Reply(reply.results.get("list")), "") or [{"CURRENCY": base, "BASE": "Y"}]
    return tuple(Currency(text(row.get("CURRENCY")), text(row.get("FULL_NAME")), yes(row.get("BASE")), _decimals(row)) for row in rows)


def _decimals(row: Mapping[str, Any]) -> int:
    written = text(row.get("DECIMALS"))
    return int(written) if written.isdigit() else 2


def sellers(rest: Rest) -> tuple[tuple[int, str], ...]:
    """The portal's own companies: id, title. `isMyCompany` is always said explicitly (B§8.11)."""
    found: list[tuple[int, str]] = []
    start: int | None = 0
    while start is not None:
        params = {"entityTypeId": COMPANY, "select": ["id", "title"], "filter": {"isMyCompany": "Y"}, "order": {"id": "ASC"}, "start": start}
        reply = rest.call("crm.item.list", params)
        found += [(ident(row.get("id")) or 0, text(row.get("title"))) for row in rows_under(reply, "items")]
        start = reply.next if reply.next and reply.next > start else None
    return tuple(found)


def tax_rates(rest: Rest) -> tuple[tuple[str, Decimal | None], ...]:
    """Active rates: name, percent; None is "no VAT", which 0 is not. The catalogue tells administrators, the old method everybody."""
    reply = rest.batch({"new": ("catalog.vat.list", {"order": {"sort": "ASC"}}), "old": ("crm.vat.list", {})})
    if "new" not in reply.errors:
        return tuple((text(row.get("name")), optional_amount(row.get("rate"))) for row in _rows_of(reply, "new", "vats") if yes(row.get("active")))
    return tuple((text(row.get("NAME")), optional_amount(row.get("RATE"))) for row in _rows_of(reply, "old", "") if yes(row.get("ACTIVE")))


def portal_facts(rest: Rest) -> PortalFacts:
    """Clock, plan, scopes and base currency in one request."""
    methods = ("server.time", "app.info", "scope", "crm.currency.base.get")
    reply = rest.batch({method: (method, {}) for method in methods})
    said = reply.results.get("app.info")
    app: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    clock = text(reply.results.get("server.time"))
    granted = reply.results.get("scope")
    return PortalFacts(
        utc_offset=datetime.fromisoformat(clock).utcoffset() if clock else None,
        installed=yes(app.get("INSTALLED")),
        version=text(app.get("VERSION")),
        status=text(app.get("STATUS")),
        payment_expired=yes(app.get("PAYMENT_EXPIRED")),
        language=text(app.get("LANGUAGE_ID")),
        scopes=names(granted if isinstance(granted, list) else text(granted)),
        base_currency=text(reply.results.get("crm.currency.base.get")),
        lacking=dict(reply.errors),
    )


def _rows_of(reply: BatchReply, key: str, name: str) -> list[Mapping[str, Any]]:
    if key in reply.errors:
        raise reply.errors[key]
    return rows_under(Reply(reply.results.get(key)), name)
