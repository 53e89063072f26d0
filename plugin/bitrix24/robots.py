"""Automation rules and triggers (B§10): the rule "Create / Edit on Xero", its calls and answers, and the trigger "Invoice paid in Xero"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plugin.bitrix24.client import Command, Rest
from plugin.bitrix24.events import unnest
from plugin.bitrix24.values import ident
from plugin.domain.problems import Problem

#: Of this app in a portal; people's rules name them, so they never change.
ROBOT, TRIGGER = "tallybridge_send", "tallybridge_paid"

#: Bitrix24's documents that the rule is for: the last word of a document type, our kind of document, and the class (B§10.1).
DOCUMENTS: Mapping[str, tuple[str, str]] = {
    "SMART_INVOICE": ("invoice", "Bitrix\\Crm\\Integration\\BizProc\\Document\\SmartInvoice"),
    "QUOTE": ("quote", "Bitrix\\Crm\\Integration\\BizProc\\Document\\Quote"),
}

#: What later rules can use: number, status, link, and why it did not go.
RETURNS: Mapping[str, Mapping[str, str]] = {
    "number": {"en": "Number in Xero", "de": "Nummer in Xero", "ru": "Номер в Xero"},
    "status": {"en": "Status in Xero", "de": "Status in Xero", "ru": "Статус в Xero"},
    "link": {"en": "Link to Xero", "de": "Link zu Xero", "ru": "Ссылка в Xero"},
    "problem": {"en": "Problem, empty if there is none", "de": "Problem, leer wenn es keines gibt", "ru": "Проблема, пусто если её нет"},
}
ROBOT_NAME = {"en": "Create / Edit on Xero", "de": "In Xero anlegen / bearbeiten", "ru": "Создать / изменить в Xero"}
ROBOT_DESCRIPTION = {
    "en": "Sends the document to Xero and waits for the result. Later rules can use its number, status and link.",
    "de": "Sendet das Dokument an Xero und wartet auf das Ergebnis. Spätere Regeln können Nummer, Status und Link verwenden.",
    "ru": "Отправляет документ в Xero и ждёт результата. Следующие правила могут использовать номер, статус и ссылку.",
}
TRIGGER_NAME = {"en": "Invoice paid in Xero", "de": "Rechnung in Xero bezahlt", "ru": "Счёт оплачен в Xero"}


def robot_command(known: Iterable[str], handler: str) -> Command:
    """Register the rule, or bring the one that is known up to date."""
    fields = {
        "HANDLER": handler,
        "USE_SUBSCRIPTION": "Y",
        "NAME": ROBOT_NAME,
        "DESCRIPTION": ROBOT_DESCRIPTION,
        "RETURN_PROPERTIES": {code: {"Name": names, "Type": "string"} for code, names in RETURNS.items()},
        "FILTER": {"INCLUDE": [["crm", class_, name] for name, (_, class_) in DOCUMENTS.items()]},
    }
    if ROBOT in known:
        return "bizproc.robot.update", {"CODE": ROBOT, "FIELDS": fields}
    return "bizproc.robot.add", {"CODE": ROBOT, **fields}


def trigger_command(lang: str) -> Command:
    """Register the trigger under its name in the portal's language; one that is there gets the name anew."""
    return "crm.automation.trigger.add", {"CODE": TRIGGER, "NAME": TRIGGER_NAME.get(lang, TRIGGER_NAME["en"])}


@dataclass(frozen=True)
class RobotCall:
    """An automation rule reached us. Only `application_token`, compared with the stored one, makes it believable (B§10.2)."""

    member_id: str
    application_token: str = field(repr=False)
    code: str
    event_token: str = field(repr=False)
    kind: str  # our kind of document; empty for one that the rule is not for
    document_id: int
    waits: bool  # the rule waits for bizproc.event.send


def parse_robot_call(form: Iterable[tuple[str, str]]) -> RobotCall:
    """Read one call; raises bitrix24.event_malformed where it lacks what every call has."""
    read = unnest(form)
    auth = read.get("auth")
    given = auth if isinstance(auth, dict) else {}
    call = RobotCall(
        member_id=_word(given, "member_id"),
        application_token=_word(given, "application_token"),
        code=_word(read, "code"),
        event_token=_word(read, "event_token"),
        kind=DOCUMENTS.get(_document(read)[0], ("", ""))[0],
        document_id=_document(read)[1],
        waits=_word(read, "use_subscription").upper() != "N",
    )
    missing = [name for name in ("member_id", "event_token", "document_id") if not getattr(call, name)]
    if missing:
        raise Problem("bitrix24.event_malformed", missing=missing)
    return call


def _document(read: Mapping[str, Any]) -> tuple[str, int]:
    """`document_id[2]` is `SMART_INVOICE_12` or `QUOTE_7`: a type, and the digits after the last underscore."""
    parts = read.get("document_id")
    name, _, number = _word(parts if isinstance(parts, dict) else {}, "2").rpartition("_")
    return name, ident(number) or 0


def _word(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) and value.isprintable() else ""


def answer(rest: Rest, event_token: str, values: Mapping[str, str], log: str) -> bool:
    """Tell the waiting rule how it ended. A token answers once: one that was answered, or waited too long, is refused, which is no error (B§10.3)."""
    try:
        rest.call("bizproc.event.send", {"EVENT_TOKEN": event_token, "RETURN_VALUES": dict(values), "LOG_MESSAGE": log})
    except Problem as problem:
        if problem.code != "bitrix24.access_denied":
            raise
        return False
    return True


def paid_command(type_id: int, id_: int) -> Command:
    """Tell automation that this document is paid.

    True says only that it was heard: whether a stage moves is the portal's choice. A trigger that is not registered has no
    error code, and moves nothing either.
    """
    return "crm.automation.trigger.execute", {"CODE": TRIGGER, "OWNER_TYPE_ID": type_id, "OWNER_ID": id_}
