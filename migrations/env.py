"""Alembic's environment: the engine and the tables come from the application, the lock keeps two upgrades apart."""

from __future__ import annotations

from alembic import context
from flask import current_app
from sqlalchemy import text

#: Any fixed number: two deployments that upgrade at once wait for each other on PostgreSQL.
LOCK = 724_551_901

#: Migrations outlive our column types, so they name what lies in the database.
PLAIN = {"UtcDateTime": "sa.DateTime()", "Json": "sa.Text()", "EncryptedText": "sa.LargeBinary()"}


def plain_type(kind: str, item: object, _context: object) -> str | bool:
    return PLAIN.get(type(item).__name__, False) if kind == "type" else False


database = current_app.extensions["migrate"].db


def run() -> None:
    with database.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_lock({LOCK})"))
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            render_as_batch=True,
            compare_type=True,
            render_item=plain_type,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_unlock({LOCK})"))
            connection.commit()


run()
