"""Tallybridge: Bitrix24 invoices to Xero, statuses and payments back. `create_app` is the one place where parts meet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from plugin.config import Config
    from plugin.db import Database
    from plugin.services import Services

__version__ = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent


def create_app(config: Config, services: Services | None = None) -> Flask:
    """The application for this configuration. `services` replaces the real parts, such as the clock."""
    # Imports stand here so that `import plugin.domain` loads neither Flask nor SQLAlchemy.
    from flask import Flask
    from flask_migrate import Migrate
    from flask_sqlalchemy import SQLAlchemy

    from plugin import cli, db, models, web

    app = Flask("plugin", template_folder=str(ROOT / "templates"), static_folder=str(ROOT / "static"), static_url_path="/static")
    app.config.update(
        SECRET_KEY=config.secret_key,
        SQLALCHEMY_DATABASE_URI=db.full_url(config.database_url),
        SQLALCHEMY_ENGINE_OPTIONS=db.engine_options(config.database_url),
        MAX_CONTENT_LENGTH=1024 * 1024,
        MAX_FORM_MEMORY_SIZE=1024 * 1024,
        MAX_FORM_PARTS=2000,
    )
    if config.encryption_keys:
        db.vault.open(config.encryption_keys)
    tables = SQLAlchemy(metadata=models.Base.metadata)
    tables.init_app(app)
    Migrate(app, tables, directory=str(ROOT / "migrations"), render_as_batch=True, compare_type=True)
    with app.app_context():
        engine = tables.engine
    db.prepare(engine)
    app.extensions["tallybridge"] = services or make_services(config, db.Database(engine))
    web.register(app)
    cli.register(app)
    return app


def make_services(config: Config, database: Database) -> Services:
    """The real parts for this configuration; nothing is contacted yet."""
    from plugin.bells import Bells
    from plugin.call_log import CallLog
    from plugin.counts import Counts
    from plugin.limits import Bitrix24Limits, XeroLimits, patient_redis
    from plugin.news import NewsMemory
    from plugin.services import Services
    from plugin.wire import Addresses, Wire

    redis = patient_redis(config.redis_url)
    fixed = (*config.bitrix24_oauth_urls, config.xero_identity_url, config.xero_api_url)
    bells = Bells(redis)
    database.ringer = bells.ring
    wire = Wire(Addresses(fixed, config.bitrix24_portals), f"Tallybridge/{__version__} ({config.public_url})", config.pace)
    call_log = CallLog(database, (config.xero_api_url, config.xero_identity_url))
    wire.observer = call_log.take
    xero_limits, bitrix24_limits = XeroLimits(redis, config.pace), Bitrix24Limits(redis, config.pace)
    return Services(config, database, wire, redis, bells, Counts(redis), xero_limits, bitrix24_limits, call_log, NewsMemory(config.pace))
