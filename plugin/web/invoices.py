"""The invoice list, and its rows while work runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from plugin.domain.problems import Problem
from plugin.kinds import INVOICE, KINDS
from plugin.usecases import list_invoices, online_link, preferences
from plugin.usecases.shown import COLUMNS, InvoiceFilter, InvoicePage, InvoiceRow, Told
from plugin.web.here import services, visitor, whole, whole_numbers
from plugin.web.render import page, part
from plugin.web.words import PAGE_SIZES, PERIODS, STATES

blueprint = Blueprint("invoices", __name__, url_prefix="/invoices")

RUNNING = ("waiting", "sending")


@blueprint.get("")
def listed() -> str:
    """The page: search, filters and the list."""
    return page("invoices/page.html", "invoices", shown=_page(request.args))


@blueprint.get("/list")
def narrowed() -> ResponseReturnValue:
    """Only the list, for another page of it or other filters."""
    return part("invoices/list.html", shown=_page(request.args))


@blueprint.post("/view")
def keep_view() -> ResponseReturnValue:
    """Remember how this person wants the list, and show it so."""
    if "size" in request.form:
        preferences.put(services(), visitor(), page_size=_size(request.form["size"]))
    if "choosing" in request.form:
        chosen = request.form.getlist("column")
        preferences.put(services(), visitor(), columns=[name for name in COLUMNS if name in chosen or name == "number"])
    return part("invoices/list.html", shown=_page(request.form))


@blueprint.get("/rows")
def rows() -> ResponseReturnValue:
    """The cells of some rows, refreshed in place while work runs."""
    document = asked_document(request.args)
    found = list_invoices.rows(services(), visitor(), KINDS[document], whole_numbers(request.args.getlist("id")[:50]))
    return part("invoices/rows.html", rows=found, running=running(found), columns=preferences.get(services(), visitor())["columns"], document=document)


@blueprint.post("/<int:crm_id>/online")
def online(crm_id: int) -> ResponseReturnValue:
    """The address under which the customer sees the invoice, or why there is none."""
    try:
        return part("invoices/online.html", crm_id=crm_id, url=online_link.get(services(), visitor(), crm_id))
    except Problem as problem:
        return part("invoices/online.html", crm_id=crm_id, problem=Told(problem.code, problem.params))


def running(rows: tuple[InvoiceRow, ...]) -> bool:
    """Is work under way on any of these?"""
    return any(row.transfer in RUNNING for row in rows)


def _page(asked: Mapping[str, str]) -> InvoicePage:
    """The page that a request asks for, as this person wants it."""
    chosen = preferences.get(services(), visitor())
    narrowed_to = replace(asked_filter(asked), size=_size(str(chosen["page_size"])))
    return list_invoices.page(services(), visitor(), narrowed_to, tuple(chosen["columns"]))


def asked_filter(asked: Mapping[str, str]) -> InvoiceFilter:
    """The filter in a request; what makes no sense counts as not asked."""
    period = _among(asked.get("period", ""), PERIODS)
    custom = period == "custom"
    return InvoiceFilter(
        document=asked_document(asked),
        page=max(1, min(whole(asked.get("page", "")), 1_000_000)),
        search=asked.get("search", "").strip()[:200],
        state=_among(asked.get("state", ""), STATES),
        period=period,
        changed_from=_day(asked.get("changed_from", "")) if custom else None,
        changed_to=_day(asked.get("changed_to", "")) if custom else None,
    )


def asked_document(asked: Mapping[str, str]) -> str:
    """The kind of document that a request is about."""
    return _among(asked.get("document", ""), KINDS) or INVOICE.name


def _among(value: str, known: Mapping[str, object]) -> str:
    return value if value in known else ""


def _size(value: str) -> int:
    size = whole(value, 25)
    return size if size in PAGE_SIZES else 25


def _day(value: str) -> date | None:
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None
