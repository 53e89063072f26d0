"""Identity, scopes, options and the clock: scope `basic` (B§2.5)."""

from __future__ import annotations

from typing import Any

from sandbox.bitrix24.call import METHODS, Call, method
from sandbox.bitrix24.errors import RestError, missing
from sandbox.bitrix24.filters import compile_filter, order_rows
from sandbox.bitrix24.people import User
from sandbox.bitrix24.php import as_list, as_map, empty_map


@method("app.info")
def app_info(call: Call) -> dict[str, Any]:
    """Whether the app is fully installed and paid for."""
    if call.app is None:
        raise RestError("ACCESS_DENIED", "Access denied! Application context required", 403)
    portal, app = call.portal, call.app
    license_type = "ent250" if portal.plan == "enterprise" else portal.license_family
    return {
        "ID": 5,
        "CODE": "tallybridge.tallybridge",
        "VERSION": app.version,
        "STATUS": app.status,
        "INSTALLED": app.installed,
        "PAYMENT_EXPIRED": "Y" if app.payment_expired else "N",
        "DAYS": app.days,
        "LANGUAGE_ID": portal.language,
        "LICENSE": f"{portal.language}_{license_type}",
        "LICENSE_TYPE": license_type,
        "LICENSE_FAMILY": "ent" if portal.plan == "enterprise" else portal.license_family,
    }


@method("profile")
def profile(call: Call) -> dict[str, Any]:
    user = call.user
    return {"ID": str(user.id), "ADMIN": user.admin, "NAME": user.name, "LAST_NAME": user.last_name, "PERSONAL_GENDER": "", "TIME_ZONE": user.time_zone}


@method("user.admin")
def user_admin(call: Call) -> bool:
    return call.user.admin


@method("user.access")
def user_access(call: Call) -> bool:
    """Access codes U<id>, G<id>, AU; always true for an administrator (B§11.2)."""
    codes = as_list(call.any_case("ACCESS"))
    return call.user.admin or any(code == "AU" or code == f"U{call.user.id}" for code in codes)


@method("access.name")
def access_name(call: Call) -> Any:
    names = {f"U{user.id}": {"provider_id": "user", "provider": "Users", "name": user.full_name} for user in call.portal.users.values()}
    names["AU"] = {"provider_id": "other", "provider": "", "name": "All authorized users"}
    return empty_map({code: names[code] for code in as_list(call.any_case("ACCESS")) if code in names})


@method("server.time")
def server_time(call: Call) -> str:
    return call.portal.now().astimezone(call.portal.zone).isoformat(timespec="seconds")


EXISTING_SCOPES = (
    "bizproc",
    "catalog",
    "crm",
    "im",
    "placement",
    "user",
    "user_basic",
    "user_brief",
    "userfieldconfig",
    "task",
    "disk",
    "entity",
    "salescenter",
    "documentgenerator",
)


@method("scope")
def scope(call: Call) -> list[str]:
    full = call.any_case("full") in (True, "true", "1", 1, "Y")
    return list(EXISTING_SCOPES) if full or call.app is None else list(call.app.scopes)


@method("methods")
def methods_list(call: Call) -> list[str]:
    scopes = call.app.scopes if call.app else EXISTING_SCOPES
    return sorted(one.name for one in METHODS.values() if one.allowed(scopes))


@method("method.get")
def method_get(call: Call) -> dict[str, bool]:
    """Known at all, and allowed with this token's scopes."""
    name = call.any_case("name")
    if not name:
        raise missing("name")
    found = METHODS.get(str(name).lower())
    scopes = call.app.scopes if call.app else EXISTING_SCOPES
    return {"isExisting": found is not None, "isAvailable": found is not None and found.allowed(scopes)}


@method("feature.get")
def feature_get(call: Call) -> dict[str, str]:
    code = call.any_case("CODE")
    if not code:
        raise RestError("CODE_EMPTY", "CODE can't be empty", 400)
    switch = {"rest_offline_extended": "offline_extended", "rest_auth_connector": "auth_connector"}.get(str(code))
    return {"value": call.portal.switch(switch) if switch else "N"}


# --- users ---------------------------------------------------------------------------------------------------------


def _shown_user(call: Call, user: User) -> dict[str, Any]:
    """Fields by scope: user_brief has no e-mail (B§2.5)."""
    shown: dict[str, Any] = {
        "ID": str(user.id),
        "ACTIVE": user.active,
        "NAME": user.name,
        "LAST_NAME": user.last_name,
        "SECOND_NAME": "",
        "TIME_ZONE": user.time_zone,
    }
    shown |= {"WORK_POSITION": user.position, "UF_DEPARTMENT": [1]}
    scopes = call.app.scopes if call.app else ("user",)
    if "user" in scopes or "user_basic" in scopes:
        shown |= {"EMAIL": user.email, "PERSONAL_MOBILE": "", "WORK_PHONE": ""}
    return shown


@method("user.current", scope="user|user_basic|user_brief")
def user_current(call: Call) -> dict[str, Any]:
    return _shown_user(call, call.user)


@method("user.get", scope="user|user_basic|user_brief")
def user_get(call: Call) -> list[dict[str, Any]]:
    """The system user is never returned (B§2.6)."""
    spec = as_map(call.any_case("filter") or {})
    spec |= {key: call.params[key] for key in ("ID", "ACTIVE", "NAME", "LAST_NAME", "EMAIL") if key in call.params}

    def resolve(name: str) -> tuple[str, Any]:
        reader: Any = (
            (lambda value: int(value))
            if name.upper() == "ID"
            else (lambda value: value in (True, "true", "1", 1, "Y"))
            if name.upper() == "ACTIVE"
            else (lambda value: value)
        )
        return name.upper(), reader

    rows = [_shown_user(call, user) | {"ID": user.id} for user in call.portal.users.values() if not user.system]
    found = [row for row in rows if compile_filter(spec, resolve)(row)]
    direction = call.any_case("order") or "ASC"
    order_rows(found, {call.any_case("sort") or "ID": direction if isinstance(direction, str) else "ASC"}, str.upper)
    return [row | {"ID": str(row["ID"])} for row in call.page(found)]


# --- options ---------------------------------------------------------------------------------------------------------


def _option_pairs(call: Call) -> dict[str, Any]:
    """`options` as a map, or a single name and value."""
    given = call.any_case("options")
    if given is None and call.any_case("option") is not None:
        given = {str(call.any_case("option")): call.any_case("value")}
    return as_map(given if given is not None else {key: value for key, value in call.params.items() if key not in ("auth", "start")})


def _read_options(call: Call, stored: dict[str, Any]) -> Any:
    name = call.any_case("option")
    return stored.get(str(name)) if name else empty_map(dict(stored))


@method("app.option.get")
def app_option_get(call: Call) -> Any:
    call.application()
    return _read_options(call, call.portal.app_options)


@method("app.option.set")
def app_option_set(call: Call) -> bool:
    """Only administrators write options of the app (B§6.4)."""
    call.application()
    if not call.user.admin:
        raise RestError("ACCESS_DENIED", "Administrator authorization required", 403)
    call.portal.app_options |= _option_pairs(call)
    return True


@method("user.option.get")
def user_option_get(call: Call) -> Any:
    call.application()
    return _read_options(call, call.portal.user_options.get(call.user.id, {}))


@method("user.option.set")
def user_option_set(call: Call) -> bool:
    call.application()
    call.portal.user_options.setdefault(call.user.id, {}).update(_option_pairs(call))
    return True
