"""Alembic's environment: the engine and the tables come from the application, the lock keeps two upgrades apart."""

from __future__ import annotations

from alembic import context
from flask import current_app
from sqlalchemy import text

#: Any fixed number: two deployments that upgrade at once wait for each other on PostgreSQL.
LOCK = 724_551_901

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
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_unlock({LOCK})"))
            connection.commit()


run()
