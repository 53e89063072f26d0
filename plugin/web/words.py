"""The fixed words of the pages: for every state its label, its colour and its icon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _

from plugin.domain.settings import BILL_WORDS
from plugin.usecases.shown import CallShown


@dataclass(frozen=True)
class Chip:
    """A status chip: never colour alone, always icon and word."""

    tone: str
    icon: str
    label: Any


TRANSFER = {
    "not_sent": Chip("neutral", "dash", _("Not sent")),
    "waiting": Chip("neutral", "clock", _("Waiting")),
    "sending": Chip("blue", "refresh", _("Sending")),
    "sent": Chip("green", "check", _("Sent")),
    "changed": Chip("amber", "differs", _("Changed")),
    "problem": Chip("red", "alert", _("Problem")),
    "voided": Chip("outline", "cross", _("Voided")),
}

OUTCOME = {
    "": Chip("neutral", "clock", _("Waiting")),
    "waiting": Chip("neutral", "clock", _("Waiting")),
    "running": Chip("blue", "refresh", _("Running")),
    "created": Chip("green", "check", _("Created")),
    "updated": Chip("green", "check", _("Updated")),
    "unchanged": Chip("green", "check", _("Up to date")),
    "refused": Chip("amber", "differs", _("Did not go")),
    "problem": Chip("red", "alert", _("Problem")),
    "cancelled": Chip("outline", "cross", _("Cancelled")),
}

VERDICT = {
    "new": Chip("blue", "plus", _("New")),
    "update": Chip("green", "refresh", _("Update")),
    "refused": Chip("red", "alert", _("Cannot go")),
}

BATCH_STATE = {
    "preparing": Chip("blue", "refresh", _("Preparing")),
    "to_confirm": Chip("amber", "clock", _("To be confirmed")),
    "running": Chip("blue", "refresh", _("Running")),
    "done": Chip("green", "check", _("Done")),
    "cancelled": Chip("outline", "cross", _("Cancelled")),
}

BATCH_KIND = {"send": _("Create / Edit on Xero"), "pull": _("Update from Xero")}

STATUS = {
    "draft": _("Draft"),
    "submitted": _("Awaiting approval"),
    "authorised": _("Awaiting payment"),
    "sent": _("Sent to customer"),
    "overdue": _("Overdue"),
    "part_paid": _("Part paid"),
    "paid": _("Paid"),
    "voided": _("Voided"),
    "accepted": _("Accepted"),
    "declined": _("Declined"),
    "invoiced": _("Invoiced"),
    "deleted": _("Deleted"),
}

#: What a stage may order in Xero; the empty word keeps the document here.
ORDERED_STATUS = {
    "": _("Do not send"),
    "DRAFT": _("Draft"),
    "SUBMITTED": _("Awaiting approval"),
    "AUTHORISED": _("Awaiting payment"),
    "VOIDED": _("Voided"),
}

ORDERED_QUOTE_STATUS = {
    "": _("Do not send"),
    "DRAFT": _("Draft"),
    "SENT": _("Sent"),
    "ACCEPTED": _("Accepted"),
    "DECLINED": _("Declined"),
    "INVOICED": _("Invoiced"),
    "DELETED": _("Deleted"),
}

LIST = {"invoice": _("Invoices"), "quote": _("Quotes")}

#: Which side changed a field since the last transfer.
CHANGED_BY = {"crm": _("Bitrix24"), "xero": _("Xero"), "both": _("Both")}

COLUMN = {
    "number": _("Number"),
    "title": _("Title"),
    "customer": _("Customer"),
    "amount": _("Amount"),
    "stage": _("Stage"),
    "changed": _("Last change"),
    "xero": _("Xero"),
    "xero_status": _("Xero status"),
    "batch": _("Last batch"),
}

STATES = {"": _("All invoices"), "not_sent": _("Not sent"), "sent": _("Sent"), "changed": _("Changed since"), "problem": _("Problem")}

ALL = {"invoice": _("All invoices"), "quote": _("All quotes")}

PERIODS = {
    "": _("Any time"),
    "today": _("Today"),
    "7days": _("Last 7 days"),
    "30days": _("Last 30 days"),
    "month": _("This month"),
    "quarter": _("This quarter"),
    "custom": _("Custom dates"),
}

GROUPS = {
    "": _("Everything"),
    "sent": _("Sent to Xero"),
    "back": _("Came from Xero"),
    "stopped": _("Stopped"),
    "customers": _("Customers"),
    "settings": _("Set-up and settings"),
}

#: Who or what caused something, where it was not a person.
CAUSES = {
    "automatic": _("By itself, after a change in Bitrix24"),
    "rule": _("By an automation rule of Bitrix24"),
    "xero": _("By itself, Xero told us"),
    "sweep": _("By itself, found by a sweep"),
}

SELF_TEST_STEPS = {
    "portal": _("Your Bitrix24 answers"),
    "rights": _("Rights and permissions are complete"),
    "handlers": _("Messages of Bitrix24 are bound"),
    "event": _("A test message arrives"),
    "xero": _("Xero answers"),
    "organisation": _("The organisation is connected"),
    "webhooks": _("Messages from Xero arrive in time"),
}

SELF_TEST_STATE = {
    "open": Chip("neutral", "clock", _("Waiting")),
    "running": Chip("blue", "refresh", _("Running")),
    "ok": Chip("green", "check", _("Fine")),
    "fault": Chip("red", "alert", _("Fault")),
    "skipped": Chip("outline", "dash", _("Left out")),
}

STEPS = (_("Organisation"), _("Ledgers"), _("Stages"), _("Taxes"), _("Check"))

#: The chapter of the guide that explains each step.
HELP_OF_STEP = {1: "numbers", 2: "products", 3: "stages-and-statuses", 4: "the-same-total-to-the-cent", 5: "the-first-synchronisation"}

SYNC_STAGES = {
    "accounts": _("Reading accounts"),
    "taxes": _("Reading tax rates"),
    "items": _("Reading and linking items"),
    "contacts": _("Reading and linking contacts"),
    "documents": _("Looking for invoices that exist on both sides"),
    "done": _("Finishing"),
}

NUMBER_POLICIES = {"crm": _("Use the number from Bitrix24"), "xero": _("Let Xero give the number")}

ITEM_CODES = {"code": _("The product's code in Bitrix24"), "xmlId": _("The product's external id in Bitrix24"), "id": _("The product's id, as B24-…")}

PAGE_SIZES = (10, 25, 50)


def call_chip(call: CallShown) -> Chip:
    """How a call ended."""
    if call.status is None:
        return Chip("red", "alert", _("No answer"))
    if call.status < 400:
        return Chip("green", "check", str(call.status))
    return Chip("amber" if call.status in (429, 503) else "red", "alert", str(call.status))


WORDS: dict[str, Any] = {
    "TRANSFER": TRANSFER,
    "OUTCOME": OUTCOME,
    "VERDICT": VERDICT,
    "BATCH_STATE": BATCH_STATE,
    "BATCH_KIND": BATCH_KIND,
    "STATUS": STATUS,
    "ORDERED_STATUS": ORDERED_STATUS,
    "ORDERED_QUOTE_STATUS": ORDERED_QUOTE_STATUS,
    "LIST": LIST,
    "ALL": ALL,
    "COLUMN": COLUMN,
    "CHANGED_BY": CHANGED_BY,
    "BILL_WORDS": BILL_WORDS,
    "STATES": STATES,
    "PERIODS": PERIODS,
    "GROUPS": GROUPS,
    "SELF_TEST_STEPS": SELF_TEST_STEPS,
    "SELF_TEST_STATE": SELF_TEST_STATE,
    "CAUSES": CAUSES,
    "STEPS": STEPS,
    "HELP_OF_STEP": HELP_OF_STEP,
    "SYNC_STAGES": SYNC_STAGES,
    "NUMBER_POLICIES": NUMBER_POLICIES,
    "ITEM_CODES": ITEM_CODES,
    "PAGE_SIZES": PAGE_SIZES,
    "call_chip": call_chip,
}
