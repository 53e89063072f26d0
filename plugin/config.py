"""Settings from the environment: read once, reported together when something is missing or malformed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

Need = Literal["database", "redis", "tokens", "bitrix24", "xero", "web"]


class ConfigError(Exception):
    """Every name that is missing or malformed, in one message."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("The configuration is not complete:\n" + "\n".join(f"  {fault}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True)
class Config:
    """What the product must know to run. See the README's table for meanings and defaults."""

    public_url: str = ""
    secret_key: str = ""
    encryption_keys: tuple[str, ...] = ()
    database_url: str = ""
    redis_url: str = ""
    bitrix24_client_id: str = ""
    bitrix24_client_secret: str = ""
    bitrix24_oauth_urls: tuple[str, ...] = ("https://oauth.bitrix.info", "https://oauth.bitrix24.tech")
    bitrix24_portals: tuple[str, ...] = ()
    xero_client_id: str = ""
    xero_client_secret: str = ""
    xero_webhook_keys: tuple[str, ...] = ()
    xero_authorize_url: str = "https://login.xero.com/identity/connect/authorize"
    xero_identity_url: str = "https://identity.xero.com"
    xero_api_url: str = "https://api.xero.com"
    #: PKCE beside the secret; off for an app that Xero does not accept it from (X§1.1 leaves that open).
    xero_pkce: bool = True
    #: All durations (leases, back-off, sweeps) are divided by this; 1 in production, more in fault trials.
    pace: float = 1.0

    @property
    def xero_callback_url(self) -> str:
        return f"{self.public_url}/xero/callback"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, needs: tuple[Need, ...] = ("web",)) -> Config:
        """Read the environment; raise `ConfigError` naming everything that is wrong for these needs."""
        source = os.environ if environ is None else environ
        faults: list[str] = []

        def text(name: str, default: str = "") -> str:
            return source.get(name, "").strip() or default

        def address(name: str, default: str = "") -> str:
            value = text(name, default).rstrip("/")
            if value and not _is_web(value):
                faults.append(f"{name} must be an http(s) address, not {value!r}")
            return value

        def secrets(name: str) -> tuple[str, ...]:
            return tuple(one.strip() for one in text(name).split(",") if one.strip())

        def listed(name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
            return tuple(one.rstrip("/") for one in secrets(name)) or default

        def number(name: str, default: float) -> float:
            try:
                value = float(text(name, str(default)))
            except ValueError:
                value = 0.0
            if not 0 < value < 1_000_000:
                faults.append(f"{name} must be a number above 0, not {text(name)!r}")
            return value or default

        def switch(name: str) -> bool:
            value = text(name, "on").lower()
            if value not in ("on", "off"):
                faults.append(f"{name} must be on or off, not {value!r}")
            return value != "off"

        data = Path(source.get("TALLYBRIDGE_DATA", "var")).absolute()
        config = cls(
            public_url=address("PUBLIC_URL"),
            secret_key=text("SECRET_KEY"),
            encryption_keys=secrets("ENCRYPTION_KEYS"),
            database_url=text("DATABASE_URL", f"sqlite:///{data / 'tallybridge.db'}"),
            redis_url=text("REDIS_URL", f"unix://{data / 'valkey.sock'}"),
            bitrix24_client_id=text("BITRIX24_CLIENT_ID"),
            bitrix24_client_secret=text("BITRIX24_CLIENT_SECRET"),
            bitrix24_oauth_urls=listed("BITRIX24_OAUTH_URL", cls.bitrix24_oauth_urls),
            bitrix24_portals=listed("BITRIX24_PORTALS"),
            xero_client_id=text("XERO_CLIENT_ID"),
            xero_client_secret=text("XERO_CLIENT_SECRET"),
            xero_webhook_keys=secrets("XERO_WEBHOOK_KEY"),
            xero_authorize_url=address("XERO_AUTHORIZE_URL", cls.xero_authorize_url),
            xero_identity_url=address("XERO_IDENTITY_URL", cls.xero_identity_url),
            xero_api_url=address("XERO_API_URL", cls.xero_api_url),
            xero_pkce=switch("XERO_PKCE"),
            pace=number("TALLYBRIDGE_PACE", 1.0),
        )
        if needs == ("database",):
            # The doctor starts with whatever there is, to name all of it; keys that open nothing would stop it.
            faults = _unreachable(config)
            config = replace(config, encryption_keys=() if any(not _is_key(one) for one in config.encryption_keys) else config.encryption_keys)
        else:
            required = {
                "PUBLIC_URL": config.public_url,
                "SECRET_KEY": config.secret_key,
                "ENCRYPTION_KEYS": config.encryption_keys,
                "BITRIX24_CLIENT_ID": config.bitrix24_client_id,
                "BITRIX24_CLIENT_SECRET": config.bitrix24_client_secret,
                "XERO_CLIENT_ID": config.xero_client_id,
                "XERO_CLIENT_SECRET": config.xero_client_secret,
                "XERO_WEBHOOK_KEY": config.xero_webhook_keys,
            }
            faults += [f"{name} is missing" for name, value in required.items() if not value]
            faults += _malformed(config) + _unreachable(config)
        if faults:
            raise ConfigError(faults)
        return config


def _is_web(value: str) -> bool:
    """An http(s) address with a host; `*` in it is allowed."""
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _is_key(value: str) -> bool:
    from cryptography.fernet import Fernet

    try:
        Fernet(value)
    except ValueError:
        return False
    return True


def _unreachable(config: Config) -> list[str]:
    """Addresses of the database and of Redis that no client could even read."""
    from redis import Redis
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    faults = []
    try:
        if make_url(config.database_url).get_backend_name() not in ("sqlite", "postgresql", "postgres"):
            faults.append("DATABASE_URL must begin with postgresql:// or sqlite:///")
    except ArgumentError:
        faults.append("DATABASE_URL is not a database address; it begins with postgresql:// or sqlite:///")
    try:
        Redis.from_url(config.redis_url).close()
    except ValueError:
        faults.append("REDIS_URL must begin with redis://, rediss:// or unix://")
    return faults


def _malformed(config: Config) -> list[str]:
    faults = [
        "ENCRYPTION_KEYS holds a key that is not 32 url-safe base64 bytes (make one with: flask new-key)" for key in config.encryption_keys if not _is_key(key)
    ]
    if config.secret_key and len(config.secret_key) < 16:
        faults.append("SECRET_KEY is shorter than 16 characters")
    for name, values in (("BITRIX24_OAUTH_URL", config.bitrix24_oauth_urls), ("BITRIX24_PORTALS", config.bitrix24_portals)):
        faults += [f"{name} must list http(s) origins, not {value!r}" for value in values if not _is_web(value)]
    return faults
