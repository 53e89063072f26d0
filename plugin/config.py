"""Settings from the environment: read once, reported together when something is missing or malformed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
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
            parts = urlsplit(value)
            if value and (parts.scheme not in ("http", "https") or not parts.hostname):
                faults.append(f"{name} must be an http(s) address, not {value!r}")
            return value

        def listed(name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
            return tuple(one.strip().rstrip("/") for one in text(name).split(",") if one.strip()) or default

        data = Path(source.get("TALLYBRIDGE_DATA", "var")).absolute()
        config = cls(
            public_url=address("PUBLIC_URL"),
            secret_key=text("SECRET_KEY"),
            encryption_keys=listed("ENCRYPTION_KEYS"),
            database_url=text("DATABASE_URL", f"sqlite:///{data / 'tallybridge.db'}"),
            redis_url=text("REDIS_URL", f"unix://{data / 'valkey.sock'}"),
            bitrix24_client_id=text("BITRIX24_CLIENT_ID"),
            bitrix24_client_secret=text("BITRIX24_CLIENT_SECRET"),
            bitrix24_oauth_urls=listed("BITRIX24_OAUTH_URL", cls.bitrix24_oauth_urls),
            bitrix24_portals=listed("BITRIX24_PORTALS"),
            xero_client_id=text("XERO_CLIENT_ID"),
            xero_client_secret=text("XERO_CLIENT_SECRET"),
            xero_webhook_keys=listed("XERO_WEBHOOK_KEY"),
            xero_authorize_url=address("XERO_AUTHORIZE_URL", cls.xero_authorize_url),
            xero_identity_url=address("XERO_IDENTITY_URL", cls.xero_identity_url),
            xero_api_url=address("XERO_API_URL", cls.xero_api_url),
            pace=float(text("TALLYBRIDGE_PACE", "1")),
        )
        if needs != ("database",):
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
            faults += _malformed(config)
        if faults:
            raise ConfigError(faults)
        return config


def _malformed(config: Config) -> list[str]:
    from cryptography.fernet import Fernet

    faults = []
    for key in config.encryption_keys:
        try:
            Fernet(key)
        except ValueError:
            faults.append("ENCRYPTION_KEYS holds a key that is not 32 url-safe base64 bytes (make one with: flask new-key)")
    if config.secret_key and len(config.secret_key) < 16:
        faults.append("SECRET_KEY is shorter than 16 characters")
    for name, values in (("BITRIX24_OAUTH_URL", config.bitrix24_oauth_urls), ("BITRIX24_PORTALS", config.bitrix24_portals)):
        faults += [f"{name} must list http(s) origins, not {value!r}" for value in values if urlsplit(value).scheme not in ("http", "https")]
    return faults
