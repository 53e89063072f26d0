"""What the app hangs into a portal: user fields, event handlers, places in the interface (B§1.3, §5.1, §6.1). Safe to repeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugin.bitrix24 import robots
from plugin.bitrix24.client import BatchReply, Command, Reply, Rest, chunks
from plugin.bitrix24.events import CUSTOMER_EVENTS, DEPENDENCY_EVENTS, INVOICE_EVENTS, INVOICE_TYPE, LIFE_EVENTS, OFFLINE_EVENT, QUOTE_EVENTS
from plugin.bitrix24.fields import ensure_fields
from plugin.bitrix24.kinds import INVOICE, QUOTE
from plugin.bitrix24.packing import rows_under
from plugin.bitrix24.values import text, yes
from plugin.domain.problems import Problem

#: Words of the places by Bitrix24's language codes (B§12.6); other languages see the English ones.
ACTION = {
    "en": "Create / Edit on Xero",
    "de": "In Xero anlegen / bearbeiten",
    "fr": "Créer / modifier dans Xero",
    "it": "Crea / modifica su Xero",
    "la": "Crear / editar en Xero",
    "br": "Criar / editar no Xero",
    "pl": "Utwórz / edytuj w Xero",
    "ru": "Создать / изменить в Xero",
    "ua": "Створити / змінити в Xero",
}
NAME = {"en": "Xero"}

PLACES: Mapping[str, Mapping[str, str]] = {
    "CRM_SMART_INVOICE_LIST_TOOLBAR": ACTION,
    "CRM_SMART_INVOICE_LIST_MENU": ACTION,
    "CRM_SMART_INVOICE_DETAIL_TAB": NAME,
    "CRM_QUOTE_DETAIL_TAB": NAME,
    "CRM_COMPANY_DETAIL_TAB": NAME,
    "CRM_CONTACT_DETAIL_TAB": NAME,
}


@dataclass(frozen=True)
class Installed:
    """Names of what was added and removed, and what could not be, with the reason. A place that the portal does not offer is in `absent`."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    absent: tuple[str, ...]
    problems: dict[str, Problem]


def ensure_installed(rest: Rest, public_url: str, lang: str) -> Installed:
    """Bring the portal to the state this version needs; an administrator's token. Nothing optional stops an installation."""
    fields: tuple[str, ...] = ()
    problems: dict[str, Problem] = {}
    for kind in (INVOICE, QUOTE):
        try:
            made, refused = ensure_fields(rest, kind)
        except Problem as problem:
            if problem.retry.kind != "never":
                raise
            made, refused = (), {"userfieldconfig": problem}
        fields, problems = (*fields, *made), problems | refused
    known = rest.batch(
        {
            "events": ("events", {}),
            "handlers": ("event.get", {}),
            "offered": ("placement.list", {}),
            "places": ("placement.get", {}),
            "robots": ("bizproc.robot.list", {}),
            "triggers": ("crm.automation.trigger.list", {}),
        }
    )
    problems |= known.errors
    for name in ("robots", "triggers"):
        code = problems[name].code if name in problems else ""
        if code == "bitrix24.scope_missing":
            problems[name] = Problem("robot.scope_missing")
        elif code == "bitrix24.method_not_found":
            del problems[name]  # an older portal without automation by apps lacks nothing that it ever had
    added, removed, absent = _wanted(known, public_url, lang)
    done: dict[str, Any] = {}
    for part in chunks({**removed, **added}):
        reply = rest.batch(part)
        done |= reply.results
        problems |= _alone(rest, part, reply, done)
    return Installed((*fields, *(name for name in added if name in done)), tuple(name for name in removed if name in done), absent, problems)


def _alone(rest: Rest, commands: Mapping[str, Command], reply: BatchReply, done: dict[str, Any]) -> dict[str, Problem]:
    """Some methods may be forbidden in a batch (B§3.5); those are called by themselves."""
    problems = {}
    for name, problem in reply.errors.items():
        if problem.code != "bitrix24.not_in_batch":
            problems[name] = problem
            continue
        try:
            done[name] = rest.call(*commands[name]).result
        except Problem as own:
            problems[name] = own
    return problems


def _wanted(known: BatchReply, public_url: str, lang: str) -> tuple[dict[str, Command], dict[str, Command], tuple[str, ...]]:
    added: dict[str, Command] = {}
    removed: dict[str, Command] = {}
    if "handlers" not in known.errors:
        _want_events(known, f"{public_url}/bitrix24/events", added, removed)
    absent: tuple[str, ...] = ()
    if "places" not in known.errors:
        absent = _want_places(known, f"{public_url}/bitrix24/placement", lang, added, removed)
    if "robots" not in known.errors:
        added["robot"] = robots.robot_command(_words(known, "robots"), f"{public_url}/bitrix24/robot")
    if "triggers" not in known.errors:
        added["trigger"] = robots.trigger_command(lang)
    return added, removed, absent


def _want_events(known: BatchReply, handler: str, added: dict[str, Command], removed: dict[str, Command]) -> None:
    """Bind what is missing; unbind our own handlers at a former address and names that this portal should no longer use."""
    wanted = event_names({name.upper() for name in _words(known, "events")})
    ours = {*_common(), *_specific(), *_OTHERS}
    bound = {(text(row.get("event")).upper(), text(row.get("handler"))) for row in _rows(known, "handlers") if not yes(row.get("offline"))}
    for name, address in sorted(bound):
        if name in ours and (name not in wanted or address != handler):
            removed[f"event.unbind {name} {address}"] = ("event.unbind", {"event": name, "handler": address})
    for name in wanted:
        if (name, handler) not in bound:
            options = {"options": {"minTimeout": OFFLINE_EVERY}} if name == OFFLINE_EVENT else {}
            added[name] = ("event.bind", {"event": name, "handler": handler, **options})


def event_names(listed: set[str]) -> tuple[str, ...]:
    """The events to bind on a portal that lists these: invoices by their own names if it has them, never both (B§5.7, §15.1)."""
    return (*_invoice_events(listed), *(name for name in _OTHERS if name in listed or (not listed and name in _ALWAYS)))


def document_events(listed: set[str]) -> tuple[str, ...]:
    """The events of documents alone, on a portal that lists these."""
    return (*_invoice_events(listed), *(name for name in QUOTE_EVENTS if name in listed))


def _invoice_events(listed: set[str]) -> tuple[str, ...]:
    return _specific() if set(_specific()) <= listed else _common()


_ALWAYS = (*CUSTOMER_EVENTS, *LIFE_EVENTS)
_OTHERS = (*QUOTE_EVENTS, *CUSTOMER_EVENTS, *DEPENDENCY_EVENTS, *LIFE_EVENTS, OFFLINE_EVENT)
#: The portal tells at most every so many seconds that its own queue holds something new (B§5.5).
OFFLINE_EVERY = 10


def _common() -> tuple[str, ...]:
    return INVOICE_EVENTS


def _specific() -> tuple[str, ...]:
    return tuple(f"{name}_{INVOICE_TYPE}" for name in INVOICE_EVENTS)


def _want_places(known: BatchReply, handler: str, lang: str, added: dict[str, Command], removed: dict[str, Command]) -> tuple[str, ...]:
    offered = set(_words(known, "offered"))
    held = {(text(row.get("placement")), text(row.get("handler"))) for row in _rows(known, "places")}
    for place, address in sorted(held):
        if place in PLACES and address != handler:
            removed[f"placement.unbind {place} {address}"] = ("placement.unbind", {"PLACEMENT": place, "HANDLER": address})
    for place, titles in PLACES.items():
        if (not offered or place in offered) and (place, handler) not in held:
            added[place] = ("placement.bind", _place(place, handler, titles, lang))
    return tuple(place for place in PLACES if offered and place not in offered)


def _place(place: str, handler: str, titles: Mapping[str, str], lang: str) -> dict[str, Any]:
    every = {code: {"TITLE": title} for code, title in titles.items()}
    return {"PLACEMENT": place, "HANDLER": handler, "TITLE": titles.get(lang, titles["en"]), "LANG_ALL": every}


def _rows(known: BatchReply, key: str) -> list[Mapping[str, Any]]:
    return rows_under(Reply(known.results.get(key)), "")


def _words(known: BatchReply, key: str) -> list[str]:
    found = known.results.get(key)
    return [text(one) for one in found] if isinstance(found, list) else []
