"""What every bell asks is answered by an index, however many portals and documents there are, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection as Door
from sqlalchemy import create_engine, event, insert

from plugin import db
from plugin.db import Database
from plugin.domain.settings import Settings
from plugin.kinds import INVOICE
from plugin.models import Connection, Link, Organisation, Portal, SettingsVersion, Watermark, XeroLogin
from plugin.receiving import rhythm

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PORTALS, DOCUMENTS = 2_000, 20_000
#: The organisation that has all the documents.
LARGE = 7


@pytest.fixture
def thousands(database_url: str) -> Iterator[Database]:
    """Thousands of portals, each with an organisation of its own; one organisation has thousands of documents."""
    engine = create_engine(db.full_url(database_url), **db.engine_options(database_url))
    db.prepare(engine)
    database = Database(engine)
    numbers = range(1, PORTALS + 1)
    with database.transaction() as tx:
        tx.execute(insert(XeroLogin), [{"id": 1, "xero_userid": "olivia"}])
        tx.execute(insert(Organisation), [{"id": number, "tenant_id": f"books {number}"} for number in numbers])
        named = {"domain": "", "client_endpoint": "", "server_endpoint": "", "created_at": NOW}
        tx.execute(insert(Portal), [{"id": number, "member_id": f"m{number}", **named} for number in numbers])
        both = [{"portal_id": number, "organisation_id": number} for number in numbers]
        consent = {"xero_login_id": 1, "xero_connection_id": "c", "connected_by": 1, "connected_at": NOW}
        tx.execute(insert(Connection), [one | consent for one in both])
        chosen = {"number": 1, "body": Settings().to_json(), "created_by": 1, "created_by_name": "", "created_at": NOW}
        tx.execute(insert(SettingsVersion), [one | chosen for one in both])
        tx.execute(insert(Watermark), [{"organisation_id": LARGE, "resource": INVOICE.watermark, "read_at": NOW}])
        links = {"portal_id": LARGE, "organisation_id": LARGE, "crm_kind": "invoice", "xero_kind": "invoice", "xero_status": "PAID", "xero_word": "paid"}
        links |= {"how": "created", "created_at": NOW}
        tx.execute(insert(Link), [links | {"crm_id": number, "xero_id": str(number)} for number in range(DOCUMENTS)])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    yield database
    engine.dispose()


def test_which_list_is_due_is_asked_of_indexes(thousands: Database) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_door: Door, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        asked.append((statement, parameters))

    event.listen(thousands.engine, "before_cursor_execute", note)
    with thousands.reading() as session:
        rhythm.due(session, LARGE, NOW, None)
    event.remove(thousands.engine, "before_cursor_execute", note)

    how = "EXPLAIN QUERY PLAN " if thousands.engine.dialect.name == "sqlite" else "EXPLAIN "
    with thousands.engine.connect() as connection:
        steps = [str(row[-1]) for statement, parameters in asked if "FROM" in statement for row in connection.exec_driver_sql(how + statement, parameters)]
    assert any("ix_connection_organisation" in step for step in steps)
    assert any("ix_link_kind" in step for step in steps)
    assert [step for step in steps if "Seq Scan on connection" in step or "SCAN connection" in step or "Seq Scan on link" in step] == []
