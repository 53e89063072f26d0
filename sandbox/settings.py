"""What both stand-ins must agree on: the app's keys and everybody's address."""

from __future__ import annotations

from dataclasses import dataclass, field

#: The portals of the demo, in the order of their ports. Each is an origin of its own, as real portals are.
PORTALS = ("harbour", "stranger", "onpremise", "oldinvoices", "westcoast")


@dataclass
class SandboxSettings:
    """Addresses are filled in when the ports are bound; everything else is known before."""

    app_url: str = "http://localhost:8080"
    host: str = "127.0.0.1"
    bitrix24_client_id: str = "app.5f3c0sandbox.00000001"
    bitrix24_client_secret: str = "sandbox-bitrix24-secret"
    xero_client_id: str = "5A4DB0X0C11E47ID0000000000000001"
    xero_client_secret: str = "sandbox-xero-secret"
    xero_webhook_key: str = "sandbox-webhook-key"
    portal_urls: dict[str, str] = field(default_factory=dict)
    oauth_url: str = ""
    xero_url: str = ""
    #: Fault trials live faster: the limits' windows are divided by this, as the app divides its own durations.
    pace: float = 1.0

    def app_environment(self) -> dict[str, str]:
        """The environment under which the product talks to this sandbox and to nothing else."""
        return {
            "PUBLIC_URL": self.app_url,
            "BITRIX24_CLIENT_ID": self.bitrix24_client_id,
            "BITRIX24_CLIENT_SECRET": self.bitrix24_client_secret,
            "BITRIX24_OAUTH_URL": self.oauth_url,
            "BITRIX24_PORTALS": ",".join(self.portal_urls.values()),
            "XERO_CLIENT_ID": self.xero_client_id,
            "XERO_CLIENT_SECRET": self.xero_client_secret,
            "XERO_WEBHOOK_KEY": self.xero_webhook_key,
            "XERO_AUTHORIZE_URL": f"{self.xero_url}/identity/connect/authorize",
            "XERO_IDENTITY_URL": self.xero_url,
            "XERO_API_URL": self.xero_url,
        }
