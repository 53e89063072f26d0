"""Smart processes: the types of items that a portal defines for itself, and what each of their options brings (B§8.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.bitrix24.fields import EntityType, Field, fields_of
from sandbox.bitrix24.people import NOTHING

if TYPE_CHECKING:
    from sandbox.bitrix24.portal import Portal

#: The options that a caller sets, in the order in which a type is shown; everything is off until somebody wants it, but new pipelines are open to all.
OPTIONS = (
    *("isCategoriesEnabled", "isStagesEnabled", "isBeginCloseDatesEnabled", "isClientEnabled", "isUseInUserfieldEnabled", "isLinkWithProductsEnabled"),
    *("isMycompanyEnabled", "isDocumentsEnabled", "isSourceEnabled", "isObserversEnabled", "isRecyclebinEnabled", "isAutomationEnabled", "isBizProcEnabled"),
    "isSetOpenPermissions",
)
#: Facts that the portal alone sets.
SYSTEM_OPTIONS = ("isPaymentsEnabled", "isCountersEnabled")
#: What a place for bills needs: the client, product rows with an amount, stages, two dates, and which of the own companies was billed.
PLACE_FOR_BILLS = ("isClientEnabled", "isLinkWithProductsEnabled", "isStagesEnabled", "isBeginCloseDatesEnabled", "isMycompanyEnabled")

#: Where a smart process may be shown beside its own section.
LINKED_USER_FIELDS = ("CALENDAR_EVENT|UF_CRM_CAL_EVENT", "TASKS_TASK|UF_CRM_TASK", "TASKS_TASK_TEMPLATE|UF_CRM_TASK")

#: Code after the colon, name, colour, semantics, whether the portal itself needs it: what every new pipeline begins with.
STAGES = (
    ("NEW", "Start", "#22B9FF", None, "Y"),
    ("PREPARATION", "Preparation", "#88B9FF", None, "N"),
    ("CLIENT", "Approval", "#10e5fc", None, "N"),
    ("SUCCESS", "Success", "#00ff00", "S", "Y"),
    ("FAIL", "Failure", "#ff0000", "F", "Y"),
)

_ALWAYS = """
id integer R
entityTypeId integer R
title string
xmlId string
createdTime datetime R
updatedTime datetime R
createdBy user R
updatedBy user R
assignedById user
opened boolean *
webformId integer
categoryId crm_category
lastActivityBy user R
lastActivityTime datetime R
"""
#: Option → the fields that exist with it only.
_BY_OPTION = {
    "isBeginCloseDatesEnabled": "begindate date\nclosedate date",
    "isClientEnabled": "companyId crm_company\ncontactId crm_contact\ncontactIds crm_contact many",
    "isObserversEnabled": "observers user many",
    "isStagesEnabled": "movedTime datetime R\nmovedBy user R\nstageId crm_status\npreviousStageId crm_status R",
    "isSourceEnabled": "sourceId crm_status :SOURCE\nsourceDescription text",
    "isLinkWithProductsEnabled": "currencyId crm_currency\nisManualOpportunity boolean\nopportunity double\ntaxValue double",
    "isMycompanyEnabled": "mycompanyId crm_company",
}

#: The first numbers that a portal gives. Never equal, so that an id taken for an entityTypeId finds nothing.
FIRST_ID, FIRST_TYPE, FIRST_CATEGORY = 13, 1030, 52


def allowed_type(type_id: int) -> bool:
    """Whether a smart process may have this entityTypeId: 128 to 192, or an even number from 1030."""
    return 128 <= type_id <= 192 or (type_id >= FIRST_TYPE and type_id % 2 == 0)


def entity_type(row: dict[str, Any]) -> EntityType:
    """The type behind a row: its names (DYNAMIC_128, T80, CRM_{id}) and the fields that its options bring."""
    type_id = row["entityTypeId"]
    text = _ALWAYS + "".join(f"{lines}\n" for option, lines in _BY_OPTION.items() if row[option] == "Y")
    fields = {one.name: one for one in fields_of(text)}
    for parent in row["relations"]["parent"]:
        if parent["isPredefined"] == "N":
            name = f"parentId{parent['entityTypeId']}"
            fields[name] = Field(name, "crm_entity", title=name, settings={"parentEntityTypeId": parent["entityTypeId"]})
    return EntityType(type_id, f"T{type_id:x}", f"CRM_{row['id']}", f"DYNAMIC_{type_id}", row["title"], fields, "ONCRMDYNAMICITEM")


class Processes:
    """The smart processes of one portal, by entityTypeId."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.by_type: dict[int, dict[str, Any]] = {}
        self.categories: dict[int, int] = {}

    def add(
        self, title: str, options: dict[str, str], user: int, type_id: int = 0, relations: dict[str, Any] | None = None, linked: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """A new smart process with one pipeline, open for items at once."""
        now = self.portal.moment()
        row: dict[str, Any] = {"id": self.portal.next_id("process") + FIRST_ID - 1, "title": title, "code": "", "createdBy": user}
        row |= {"entityTypeId": type_id or self._free_type(), "customSectionId": None}
        row |= {name: options.get(name, "Y" if name == "isSetOpenPermissions" else "N") for name in OPTIONS} | dict.fromkeys(SYSTEM_OPTIONS, "N")
        row |= {"createdTime": now, "updatedTime": now, "updatedBy": user, "customSections": []}
        row["relations"] = {"parent": [*_clients(row), *(relations or {}).get("parent", [])], "child": (relations or {}).get("child", [])}
        row["linkedUserFields"] = dict.fromkeys(LINKED_USER_FIELDS, "N") | ((linked or {}) if row["isUseInUserfieldEnabled"] == "Y" else {})
        # The invoices' pipeline has another number on every portal, and so do these.
        self.categories[row["entityTypeId"]] = self.portal.next_id("category") + FIRST_CATEGORY - 1 + 10 * self.portal.invoice_category
        self.by_type[row["entityTypeId"]] = row
        self.portal.crm.add_type(entity_type(row))
        if row["isStagesEnabled"] == "Y":
            self._stages(row["entityTypeId"])
        if row["isSetOpenPermissions"] == "N":
            for one in self.portal.users.values():
                if not one.admin:
                    one.rights[row["entityTypeId"]] = NOTHING  # until an administrator gives them some
        return row

    def remove(self, type_id: int) -> None:
        """The smart process with its items, stages and custom fields is gone."""
        row, stages = self.by_type.pop(type_id), self.stage_entity(type_id)
        del self.categories[type_id]
        for one in self.portal.users.values():
            one.rights.pop(type_id, None)
        portal = self.portal
        portal.crm.remove_type(type_id)
        portal.statuses[:] = [one for one in portal.statuses if one["ENTITY_ID"] != stages]
        for id_ in [id_ for id_, one in portal.user_fields.items() if one["entityId"] == f"CRM_{row['id']}"]:
            del portal.user_fields[id_]
        portal.user_field_version += 1

    def stage_entity(self, type_id: int) -> str:
        """The directory of the stages, DYNAMIC_{entityTypeId}_STAGE_{categoryId}; empty for a type that is no smart process."""
        return f"DYNAMIC_{type_id}_STAGE_{self.categories[type_id]}" if type_id in self.categories else ""

    def _free_type(self) -> int:
        return max([FIRST_TYPE - 2, *self.by_type]) + 2

    def _stages(self, type_id: int) -> None:
        category = self.categories[type_id]
        for place, (code, name, colour, semantics, system) in enumerate(STAGES):
            row = {"ID": self.portal.next_id("status") + 100, "ENTITY_ID": self.stage_entity(type_id), "STATUS_ID": f"DT{type_id}_{category}:{code}"}
            row |= {"NAME": name, "NAME_INIT": name, "SORT": (place + 1) * 10, "SYSTEM": system, "CATEGORY_ID": category}
            self.portal.statuses.append(row | {"COLOR": colour, "SEMANTICS": semantics})


def _clients(row: dict[str, Any]) -> list[dict[str, Any]]:
    """With the client's field the type is bound to contacts and companies by itself."""
    wanted = (3, 4) if row["isClientEnabled"] == "Y" else ()
    return [{"entityTypeId": one, "isChildrenListEnabled": "Y", "isPredefined": "Y"} for one in wanted]
