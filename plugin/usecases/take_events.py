"""What a portal told us is taken from the inbox: each event becomes an order to look at its document, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from plugin import inbox
from plugin.db import Transaction
from plugin.models import Callback
from plugin.services import Services


def drain(services: Services, portal_id: int, should_stop: Callable[[], bool]) -> None:
    """Take everything that the portal has told us so far. Safe from any process at any time."""
    inbox.drain(services, inbox.portal_bell(portal_id), _take, should_stop)


def _take(tx: Transaction, messages: Sequence[Callback]) -> None:
    """Nothing follows the CRM by itself yet."""
