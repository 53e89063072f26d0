"""Migrations go up, down and up again, and end where the models are, on both databases."""

from __future__ import annotations

from pathlib import Path

import flask_migrate
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from plugin import create_app, db
from plugin.config import Config
from plugin.models import Base

MIGRATIONS = str(Path(__file__).parents[2] / "migrations")


def test_up_down_up_equals_the_models(empty_database_url: str) -> None:
    app = create_app(Config(secret_key="x" * 16, database_url=empty_database_url, redis_url="unix:///nowhere"))
    engine = app.extensions["tallybridge"].db.engine
    with app.app_context():
        flask_migrate.upgrade(MIGRATIONS)
        flask_migrate.downgrade(MIGRATIONS, revision="base")
        assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
        flask_migrate.upgrade(MIGRATIONS)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata) == []
        assert {*Base.metadata.tables} <= {*inspect(connection).get_table_names()}
    engine.dispose()


def test_partial_indexes_are_the_same_on_both(empty_database_url: str) -> None:
    app = create_app(Config(secret_key="x" * 16, database_url=empty_database_url, redis_url="unix:///nowhere"))
    engine = app.extensions["tallybridge"].db.engine
    with app.app_context():
        flask_migrate.upgrade(MIGRATIONS)
    found = {one["name"] for table in Base.metadata.tables for one in inspect(engine).get_indexes(table) if one["unique"]}
    engine.dispose()

    assert {"uq_job_waiting", "uq_job_running", "uq_connection_live", "uq_link_crm", "uq_link_document"} <= found
    assert db.full_url("postgres://x/y").startswith("postgresql+psycopg://")
