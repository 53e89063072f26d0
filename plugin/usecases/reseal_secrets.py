"""After a new key was put first in ENCRYPTION_KEYS: seal every stored secret with it, so that the old key can be taken away."""

from __future__ import annotations

from typing import cast

from sqlalchemy import Table, select, update

from plugin.db import EncryptedText
from plugin.models import Base
from plugin.services import Services


def reseal(services: Services) -> int:
    """Seal again, row by row while everything runs. Returns how many secrets lie under the first key now."""
    count = 0
    for mapper in Base.registry.mappers:
        table = cast(Table, mapper.local_table)
        sealed = [column for column in table.columns if isinstance(column.type, EncryptedText)]
        if not sealed:
            continue
        with services.db.reading() as session:
            ids = list(session.scalars(select(table.c.id)))
        for number in ids:
            with services.db.transaction() as tx:
                # Locked, so that a pair refreshed meanwhile is not put back to what it was.
                row = tx.execute(select(*sealed).where(table.c.id == number).with_for_update()).one_or_none()
                held = {column.name: value for column, value in zip(sealed, row or (), strict=False) if value is not None}
                if held:
                    tx.execute(update(table).where(table.c.id == number).values(**held))
                    count += len(held)
    return count
