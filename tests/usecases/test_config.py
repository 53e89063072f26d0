"""The configuration: read once, everything that is wrong named together."""

from __future__ import annotations

import pytest

from plugin.config import Config, ConfigError

GOOD = {
    "PUBLIC_URL": "https://app.example/",
    "SECRET_KEY": "a secret of sixteen characters and more",
    "ENCRYPTION_KEYS": "dGhpcnR5LXR3byBieXRlcywgZm9yIHRlc3RzIG9ubHk=",
    "BITRIX24_CLIENT_ID": "app.1",
    "BITRIX24_CLIENT_SECRET": "secret",
    "XERO_CLIENT_ID": "id",
    "XERO_CLIENT_SECRET": "secret",
    "XERO_WEBHOOK_KEY": "abc/, def==",
}


def test_everything_has_a_default_but_the_keys() -> None:
    config = Config.from_env(GOOD)

    assert (config.public_url, config.xero_callback_url) == ("https://app.example", "https://app.example/xero/callback")
    assert config.xero_api_url == "https://api.xero.com"
    assert config.bitrix24_oauth_urls[0] == "https://oauth.bitrix.info"
    assert config.database_url.startswith("sqlite:///")


def test_a_secret_is_taken_as_it_is() -> None:
    assert Config.from_env(GOOD).xero_webhook_keys == ("abc/", "def==")


def test_missing_names_are_reported_together() -> None:
    with pytest.raises(ConfigError) as raised:
        Config.from_env({})

    assert raised.value.faults == [f"{name} is missing" for name in GOOD]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "app.example"),
        ("PUBLIC_URL", "http://[::1"),
        ("PUBLIC_URL", "https://host:port"),
        ("XERO_API_URL", "ftp://api.example"),
        ("ENCRYPTION_KEYS", "short"),
        ("ENCRYPTION_KEYS", f"{GOOD['ENCRYPTION_KEYS']},short"),
        ("SECRET_KEY", "short"),
        ("BITRIX24_OAUTH_URL", "https://good.example,oauth"),
        ("BITRIX24_PORTALS", "acme.example"),
        ("DATABASE_URL", "mysql://host/db"),
        ("DATABASE_URL", "no address"),
        ("REDIS_URL", "localhost:6379"),
        ("XERO_PKCE", "maybe"),
        ("TALLYBRIDGE_PACE", "fast"),
        ("TALLYBRIDGE_PACE", "0"),
        ("TALLYBRIDGE_PACE", "nan"),
    ],
)
def test_what_is_malformed_is_reported_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Config.from_env({**GOOD, name: value})

    (fault,) = raised.value.faults
    assert fault.startswith(name)


def test_wildcards_stand_in_portals() -> None:
    assert Config.from_env({**GOOD, "BITRIX24_PORTALS": "https://*.bitrix24.com, http://crm.local:8080"}).bitrix24_portals[1] == "http://crm.local:8080"
