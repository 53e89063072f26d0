"""Words for people inside Bitrix24: notifications, lines in a document's history, names of users (B§8.9, §2.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from plugin.bitrix24.client import Command, Reply, Rest
from plugin.bitrix24.packing import groups, rows_under
from plugin.bitrix24.values import ident, moment, text

ICON = "info"


def notify(rest: Rest, user_id: int, message: str, tag: str) -> bool:
    """A notification from the app. One with the same tag replaces the earlier one, so this is safe to repeat. Scope `im`."""
    return bool(rest.call("im.notify.system.add", {"USER_ID": user_id, "MESSAGE": message, "TAG": tag}).result)


def log_line(rest: Rest, entity_type_id: int, id_: int, title: str, words: str) -> None:
    """A line in an item's history. Needs the right to edit it."""
    rest.call(*log_command(entity_type_id, id_, title, words))


def log_command(entity_type_id: int, id_: int, title: str, words: str) -> Command:
    """The same as a command of a batch."""
    fields = {"entityTypeId": entity_type_id, "entityId": id_, "title": title, "text": words, "iconCode": ICON}
    return "crm.timeline.logmessage.add", {"fields": fields}


def lines_since(rest: Rest, entity_type_id: int, wanted: Mapping[int, datetime]) -> dict[int, set[tuple[str, str]]]:
    """Title and words of the app's lines in the history of these items, each from its moment on; the newest fifty of an item."""
    found: dict[int, set[tuple[str, str]]] = {}
    for part in groups(wanted):
        commands = {f"i{id_}": ("crm.timeline.logmessage.list", {"entityTypeId": entity_type_id, "entityId": id_, "order": {"id": "DESC"}}) for id_ in part}
        reply = rest.batch(commands)
        for id_ in part:
            rows = rows_under(Reply(reply.results.get(f"i{id_}")), "logMessages")
            recent = (row for row in rows if (at := moment(row.get("created"))) is not None and at >= wanted[id_])
            found[id_] = {(text(row.get("title")), text(row.get("text"))) for row in recent}
    return found


def user_names(rest: Rest, ids: Iterable[int]) -> dict[int, str]:
    """Names by user id, as far as the portal tells them; the scope `user_brief` suffices. Raises bitrix24.scope_missing without one."""
    found: dict[int, str] = {}
    for group in groups(dict.fromkeys(ids)):
        for row in rows_under(rest.call("user.get", {"FILTER": {"@ID": group}}), ""):
            name = " ".join(part for part in (text(row.get("NAME")), text(row.get("LAST_NAME"))) if part)
            found[ident(row.get("ID")) or 0] = name
    return found
