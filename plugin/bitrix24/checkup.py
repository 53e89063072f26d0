"""What a portal says about the app itself: what it is allowed, what is bound, and a test event (B§5.1). Nothing of the CRM is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plugin.bitrix24.client import Rest
from plugin.bitrix24.placements import event_names
from plugin.bitrix24.values import names, text, yes

#: What the app cannot do without; the rest of what it asks for only makes it more comfortable.
NEEDED_SCOPES = ("crm", "catalog", "userfieldconfig", "placement", "im")
#: Without this one there are no automation rules, and everything else goes on.
RULES_SCOPE = "bizproc"
TEST_EVENT = "ONAPPTEST"


def missing_scopes(rest: Rest) -> tuple[str, ...]:
    """Scopes that the app was not given: of those that it needs, and the one for automation rules."""
    said = rest.call("scope").result
    granted = names(said if isinstance(said, list) else text(said))
    return tuple(one for one in (*NEEDED_SCOPES, RULES_SCOPE) if one not in granted)


def missing_handlers(rest: Rest, handler: str) -> tuple[str, ...]:
    """Events that should come to this address and do not."""
    reply = rest.batch({"events": ("events", {}), "handlers": ("event.get", {})})
    for problem in reply.errors.values():
        raise problem
    listed = {text(one).upper() for one in reply.results.get("events") or ()}
    rows: list[Mapping[str, Any]] = [row for row in reply.results.get("handlers") or () if isinstance(row, Mapping)]
    bound = {text(row.get("event")).upper() for row in rows if not yes(row.get("offline")) and text(row.get("handler")) == handler}
    return tuple(name for name in event_names(listed) if name not in bound)


def ask_for_event(rest: Rest, word: str) -> None:
    """Let the portal send a test event that brings this word back."""
    rest.call("event.test", {"word": word})
