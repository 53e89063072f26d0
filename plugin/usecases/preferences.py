"""What one person chose for their own pages: rows a page and columns. Kept per user, never shared."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from plugin.domain.crm import Visitor
from plugin.models import Preference
from plugin.services import Services
from plugin.usecases.shown import COLUMNS

SIZES = (10, 25, 50)
DEFAULTS: dict[str, Any] = {"page_size": 25, "columns": list(COLUMNS)}


def get(services: Services, visitor: Visitor) -> dict[str, Any]:
    """The person's choices, defaults where they made none."""
    with services.db.reading() as session:
        chosen = session.scalar(select(Preference.body).where(Preference.portal_id == visitor.portal_id, Preference.user_id == visitor.user_id))
    return {**DEFAULTS, **(chosen or {})}


def put(services: Services, visitor: Visitor, **values: Any) -> None:
    """Keep these choices; what is not one of ours is left out."""
    kept: dict[str, Any] = {}
    if values.get("page_size") in SIZES:
        kept["page_size"] = values["page_size"]
    if isinstance(values.get("columns"), (list, tuple)):
        kept["columns"] = [one for one in COLUMNS if one in values["columns"] or one == "number"]
    if not kept:
        return
    with services.db.transaction() as tx:
        row = tx.scalar(select(Preference).where(Preference.portal_id == visitor.portal_id, Preference.user_id == visitor.user_id).with_for_update())
        if row is None:
            tx.add(Preference(portal_id=visitor.portal_id, user_id=visitor.user_id, body=kept))
        else:
            row.body = {**row.body, **kept}
