"""`placement.*`: places in the interface (B§6)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from sandbox.bitrix24.call import Call, method
from sandbox.bitrix24.errors import RestError
from sandbox.bitrix24.fields import integer
from sandbox.bitrix24.install import Placement
from sandbox.bitrix24.php import as_map, empty_map

_OBJECTS = ("SMART_INVOICE", "QUOTE", "COMPANY", "CONTACT", "DEAL")
_PLACES = ("LIST_TOOLBAR", "LIST_MENU", "DETAIL_TAB", "DETAIL_TOOLBAR", "DETAIL_ACTIVITY", "DOCUMENTGENERATOR_BUTTON")
_CRM = {f"CRM_{one}_{place}" for one in _OBJECTS for place in _PLACES}
_CRM |= {f"CRM_{one}_ACTIVITY_TIMELINE_MENU" for one in ("SMART_INVOICE", "QUOTE", "DEAL")}
_CRM |= {"CRM_SMART_INVOICE_ROBOT_DESIGNER_TOOLBAR", "CRM_DEAL_ROBOT_DESIGNER_TOOLBAR", "CRM_SMART_INVOICE_FUNNELS_TOOLBAR", "CRM_FUNNELS_TOOLBAR"}
_CRM |= {"CRM_REQUISITE_AUTOCOMPLETE", "CRM_DETAIL_SEARCH", "CRM_ANALYTICS_MENU", "CRM_ANALYTICS_TOOLBAR"}

#: Code → scope beside `placement` that it needs (B§6.1, B§6.2).
PLACES: dict[str, str] = {
    **dict.fromkeys(sorted(_CRM), "crm"),
    **dict.fromkeys(("LEFT_MENU", "REST_APP_URI", "PAGE_BACKGROUND_WORKER", "USER_PROFILE_MENU", "USER_PROFILE_TOOLBAR"), ""),
}
#: What every smart process offers, behind CRM_DYNAMIC_{entityTypeId}.
_OF_PROCESS = (*_PLACES, "ACTIVITY_TIMELINE_MENU", "ROBOT_DESIGNER_TOOLBAR")
SINGLE = ("PAGE_BACKGROUND_WORKER", "REST_APP_URI")
USER_MODE = ("PAGE_BACKGROUND_WORKER",)


def own_address(call: Call, url: str) -> None:
    """Handlers lie on the app's own host (platform, B§6.1)."""
    given, own = urlsplit(url), urlsplit(call.portal.settings.app_url)
    if given.scheme not in ("http", "https"):
        raise RestError("ERROR_UNSUPPORTED_PROTOCOL", "Unsupported handler protocol", 400)
    if given.hostname != own.hostname or given.port != own.port:
        raise RestError("ERROR_WRONG_HANDLER_URL", "Wrong handler URL", 400)


def known_places(call: Call) -> list[str]:
    app = call.application()
    places = PLACES | {f"CRM_DYNAMIC_{type_id}_{place}": "crm" for type_id in call.portal.processes for place in _OF_PROCESS}
    return [code for code, scope in places.items() if (not scope or scope in app.scopes) and (call.portal.smart_invoices or "SMART_INVOICE" not in code)]


def _argument(call: Call, name: str) -> str:
    value = call.any_case(name)
    if not value:
        raise RestError("ERROR_ARGUMENT", f"Argument '{name}' is null or empty", 200, argument=name)
    return str(value)


@method("placement.list", scope="placement")
def placement_list(call: Call) -> list[str]:
    return known_places(call)


@method("placement.get", scope="placement")
def placement_get(call: Call) -> list[dict[str, Any]]:
    app = call.application()
    call.admin_only()
    shown = []
    for one in app.placements:
        titles = {
            language: {"TITLE": text.get("TITLE", ""), "DESCRIPTION": text.get("DESCRIPTION", ""), "GROUP_NAME": text.get("GROUP_NAME", "")}
            for language, text in one.titles.items()
        }
        row = {
            "placement": one.code,
            "userId": one.user_id,
            "handler": one.url,
            "options": empty_map(one.options),
            "title": one.title,
            "description": one.description,
            "langAll": empty_map(titles),
        }
        shown.append(({"id": one.id} if call.portal.switch("placement_get_id") == "present" else {}) | row)
    return shown


@method("placement.bind", scope="placement")
def placement_bind(call: Call) -> bool:
    """Several refusals come with HTTP 200 (B§6.1)."""
    app = call.application()
    call.admin_only()
    code, url = _argument(call, "PLACEMENT").upper(), _argument(call, "HANDLER")
    if code not in known_places(call):
        raise RestError("ERROR_PLACEMENT_NOT_FOUND", "Placement not found", 400)
    own_address(call, url)
    options, user = as_map(call.any_case("OPTIONS")), integer(call.any_case("USER_ID"))
    if user and code not in USER_MODE:
        raise RestError("ERROR_PLACEMENT_USER_MODE", "User mode is not available", 200)
    if code == "PAGE_BACKGROUND_WORKER" and not options.get("errorHandlerUrl"):
        raise RestError("EMPTY_ERROR_HANDLER_URL", "Option errorHandlerUrl is required", 200)
    if code in SINGLE and any(one.code == code for one in app.placements):
        raise RestError("ERROR_PLACEMENT_MAX_COUNT", "Placement max count", 200)
    if any(one.code == code and one.url == url for one in app.placements):
        raise RestError("ERROR_CORE", "Unable to set placement handler: Handler already binded", 400)
    titles = {str(language): as_map(text) for language, text in as_map(call.any_case("LANG_ALL")).items()}
    app.placements.append(
        Placement(
            call.portal.next_id("placement"),
            code,
            url,
            str(call.any_case("TITLE") or ""),
            str(call.any_case("DESCRIPTION") or ""),
            str(call.any_case("GROUP_NAME") or ""),
            options,
            titles,
            user,
        )
    )
    return True


@method("placement.unbind", scope="placement")
def placement_unbind(call: Call) -> dict[str, int]:
    app = call.application()
    call.admin_only()
    code, url = _argument(call, "PLACEMENT").upper(), call.any_case("HANDLER")
    gone = [one for one in app.placements if one.code == code and url in (None, "", one.url)]
    app.placements[:] = [one for one in app.placements if one not in gone]
    return {"count": len(gone)}
