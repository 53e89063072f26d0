"""Pages of smart processes: a list of items for each, and a card that shows an item and lets it be deleted, but not changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import abort, request

from sandbox.bitrix24.face import showing
from sandbox.bitrix24.face.acting import acting
from sandbox.bitrix24.portal import Portal

if TYPE_CHECKING:
    from sandbox.bitrix24.face.pages import Face

#: The custom fields that have a column of their own where they exist, by the ends of their names.
OURS = ("XERO_NUMBER", "XERO_STATUS", "XERO_DUE")
#: What the card shows of an item beside its rows, amount and custom fields: field, label.
FACTS = (
    *(("companyId", "Company"), ("contactId", "Contact"), ("mycompanyId", "Your company"), ("assignedById", "Responsible"), ("begindate", "Start date")),
    *(("closedate", "End date"), ("sourceId", "Source"), ("xmlId", "External code")),
)


def address(type_id: int) -> str:
    """Where the list of this type is."""
    return f"/crm/type/{type_id}/list/"


def section(type_id: int) -> str:
    """The entry of the menu that belongs to this type; invoices' for all that has none of its own."""
    return f"process-{type_id}" if type_id >= 128 else "invoices"


def entries(portal: Portal) -> list[tuple[str, str, str, str]]:
    """The menu's entries: key, address, text, icon."""
    return [(section(one), address(one), row["title"], "lines") for one, row in portal.processes.items()]


def listing(see: Face, type_id: int, number: int) -> str:
    """The items of a smart process, newest first, as far as the visitor may read them."""
    portal, search, stage = see.portal, request.args.get("q", ""), request.args.get("stage", "")
    with portal.lock:
        page = showing.documents(portal, type_id, acting(portal), search, stage, number)
        columns = _columns(portal, type_id)
        cells = {one.id: [_cell(portal, field, portal.items(type_id)[one.id]) for field in columns] for one in page.lines}
    return see.render(
        "process.html",
        section(type_id),
        type_id=type_id,
        title=portal.processes[type_id]["title"],
        page=page,
        search=search,
        stage=stage,
        stages=portal.stages(type_id),
        columns=[str(portal.label(one)) for one in columns],
        cells=cells,
        toolbar=see.places(f"CRM_DYNAMIC_{type_id}", "LIST_TOOLBAR"),
        row_menu=see.places(f"CRM_DYNAMIC_{type_id}", "LIST_MENU"),
    )


def card(see: Face, type_id: int, item_id: int) -> str:
    """One item with everything that is known of it."""
    portal, user = see.portal, acting(see.portal)
    with portal.lock:
        item = portal.items(type_id).get(item_id) or abort(404)
        if not user.can("read", type_id, item):
            return see.render("gone.html", section(type_id), text="You do not have permission to view this item.", back=address(type_id))
        return see.render(
            "process_card.html",
            section(type_id),
            type_id=type_id,
            process=portal.processes[type_id],
            item=item,
            line=showing.line(portal, type_id, item),
            facts=[(label, _fact(portal, name, item[name])) for name, label in FACTS if name in item],
            rows=portal.rows(item_id, type_id),
            custom=showing.custom_values(portal, type_id, item),
            notes=showing.notes(portal, type_id, item_id),
            may_delete=user.can("delete", type_id, item),
            tabs=see.places(f"CRM_DYNAMIC_{type_id}", "DETAIL_TAB"),
            toolbar=see.places(f"CRM_DYNAMIC_{type_id}", "DETAIL_TOOLBAR"),
        )


def _columns(portal: Portal, type_id: int) -> list[dict[str, Any]]:
    entity = portal.crm.types[type_id].uf_entity
    own = [one for one in portal.user_fields.values() if one["entityId"] == entity]
    return [one for end in OURS for one in own if one["fieldName"].endswith(f"_{end}")]


def _cell(portal: Portal, field: dict[str, Any], item: dict[str, Any]) -> str:
    value = item.get(field["fieldName"])
    return "—" if value in (None, "", []) else showing.custom_text(portal, field, value)


def _fact(portal: Portal, name: str, value: Any) -> str:
    if name in ("begindate", "closedate"):
        return showing.day(value)
    if name == "assignedById":
        return portal.users[value].full_name if value in portal.users else "—"
    if name in ("companyId", "mycompanyId"):
        return portal.companies[value]["title"] if value in portal.companies else "—"
    if name == "contactId":
        return showing.person_name(portal.contacts[value]) if value in portal.contacts else "—"
    if name == "sourceId":
        return next((one["NAME"] for one in portal.statuses if (one["ENTITY_ID"], one["STATUS_ID"]) == ("SOURCE", value)), "—")
    return str(value or "—")
