"""Sentences about what happened: a code, parameters, who, and what it is about. Rendered when read, in the reader's language."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import insert

from plugin.db import Transaction
from plugin.models import Activity
from plugin.sentences import sentence

SEARCHED_MOST = 2000


def record(
    tx: Transaction,
    portal_id: int,
    code: str,
    now: datetime,
    *,
    organisation_id: int | None = None,
    subject: str = "",
    user_id: int | None = None,
    user_name: str = "",
    batch_id: int | None = None,
    xero_id: str = "",
    cause: str = "",
    **params: Any,
) -> None:
    """Write one sentence down."""
    record_many(
        tx,
        [
            row(
                portal_id,
                code,
                now,
                organisation_id=organisation_id,
                subject=subject,
                user_id=user_id,
                user_name=user_name,
                batch_id=batch_id,
                xero_id=xero_id,
                cause=cause,
                **params,
            )
        ],
    )


def row(portal_id: int, code: str, now: datetime, **rest: Any) -> dict[str, Any]:
    """One sentence as a row for `record_many`."""
    columns = {"organisation_id": None, "subject": "", "user_id": None, "user_name": "", "batch_id": None, "xero_id": "", "cause": ""}
    given = {name: rest.pop(name, default) for name, default in columns.items()}
    params = {name: value if isinstance(value, (int, bool, list, dict)) or value is None else str(value) for name, value in rest.items()}
    return {"portal_id": portal_id, "code": code, "at": now, "params": params, "search": _words(code, params, given), **given}


def _words(code: str, params: dict[str, Any], given: dict[str, Any]) -> str:
    """What a search looks through: the sentence in English, what changed, who, and the codes, which other languages are found by."""
    changes = [str(word) for one in params.get("changes") or () for word in (one["before"], one["after"])]
    causes = [str(params["problem"])] if params.get("problem") else []
    return searched(" ".join([sentence(code, params, "en"), *changes, given["user_name"], given["subject"], code, *causes]))[:SEARCHED_MOST]


def searched(text: str) -> str:
    """As texts are compared in a search."""
    return text.casefold()


def record_many(tx: Transaction, rows: list[dict[str, Any]]) -> None:
    """Write many down, in one statement."""
    if rows:
        table: Any = Activity.__table__
        tx.execute(insert(table), rows)
