"""`flask doctor`: what is wrong with a production configuration, in sentences that say what to do."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from plugin.config import Config
from plugin.models import Bitrix24Login, Portal, XeroLogin
from plugin.receiving import rhythm
from plugin.services import Services

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ("htmx.min.js", "b24jssdk.js")


def examine(services: Services, config: Config | None) -> list[str]:
    """Every fault found; nothing is changed, and nothing is sent to either partner."""
    faults = _database(services)
    if not services.redis_answers():
        faults.append("Redis does not answer at REDIS_URL: pages load and orders are kept, but nothing is sent. Start it or correct the address.")
    if config is not None and not faults:
        faults += _secrets(services)
    if not faults:
        faults += _news(services)
    faults += [f"static/vendor/{name} is missing: run `python3 run.py setup` once." for name in VENDOR if not Path(ROOT, "static", "vendor", name).exists()]
    return faults + (_addresses(config) if config is not None else [])


def _database(services: Services) -> list[str]:
    try:
        with services.db.engine.connect() as connection:
            now = MigrationContext.configure(connection).get_current_heads()
    except SQLAlchemyError as error:
        return [f"The database at DATABASE_URL does not answer ({type(error).__name__}). Start it or correct the address."]
    wanted = ScriptDirectory(str(ROOT / "migrations")).get_heads()
    return [] if set(now) == set(wanted) else ["The database is not at this version: run `flask db upgrade`."]


def _secrets(services: Services) -> list[str]:
    """A key that was taken out too early shows here before it shows as a page that does not open."""
    with services.db.reading() as session:
        for secret in (Portal.application_token, Bitrix24Login.refresh_token, XeroLogin.refresh_token):
            try:
                session.scalars(select(secret).where(secret.is_not(None))).all()
            except RuntimeError:
                return ["ENCRYPTION_KEYS holds no key that opens what is stored: put the former key back, behind the new one."]
    return []


def _news(services: Services) -> list[str]:
    """Changes that no webhook announced (RULES 35). One may be lost on its way; several in a row mean that none arrive."""
    with services.db.reading() as session:
        silent = rhythm.silent(session)
    if not silent:
        return []
    told = (
        f"No webhook announced the last changes in {silent} organisation(s) at Xero; slower sweeps find them. Look into Xero's developer portal: "
        "is the webhook's status OK, its address PUBLIC_URL/xero/webhooks, and XERO_WEBHOOK_KEY its signing key?"
    )
    return [told]


def _addresses(config: Config) -> list[str]:
    faults = []
    parts = urlsplit(config.public_url)
    if parts.scheme != "https" and parts.hostname != "localhost":
        faults.append("PUBLIC_URL is not https: Bitrix24 and Xero refuse it. Put the app behind a TLS proxy and name that address.")
    for name, url in (
        ("XERO_AUTHORIZE_URL", config.xero_authorize_url),
        ("XERO_IDENTITY_URL", config.xero_identity_url),
        ("XERO_API_URL", config.xero_api_url),
    ):
        if urlsplit(url).scheme != "https":
            faults.append(f"{name} is not https: right for trying out, wrong for real books.")
    faults += [f"BITRIX24_OAUTH_URL names {url}, which is not https." for url in config.bitrix24_oauth_urls if urlsplit(url).scheme != "https"]
    faults += [
        f"BITRIX24_PORTALS names {url}, which is not https: tokens would travel in the open."
        for url in config.bitrix24_portals
        if urlsplit(url).scheme != "https"
    ]
    return faults


def remarks(config: Config) -> list[str]:
    """What is right in one situation and not in another."""
    if config.database_url.startswith("sqlite"):
        return ["DATABASE_URL is SQLite: fine on one machine; use PostgreSQL when web and workers run on several."]
    return []
