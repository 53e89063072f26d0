"""Everything there is: the organisations' books, the identity server, limits, keys and deliveries."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from sandbox.controls import Controls
from sandbox.settings import SandboxSettings
from sandbox.xero import demo
from sandbox.xero.books import Books
from sandbox.xero.desk import Desk
from sandbox.xero.gate import Gate
from sandbox.xero.idempotency import Idempotency
from sandbox.xero.identity import Identity
from sandbox.xero.limits import Limits
from sandbox.xero.webhooks import Webhooks


@dataclass
class World:
    """One lock guards it all; calls hold it only while they work."""

    controls: Controls
    settings: SandboxSettings
    lock: threading.RLock = field(default_factory=threading.RLock)
    books: dict[str, Books] = field(default_factory=dict)
    high_volume: int = 100_000

    def __post_init__(self) -> None:
        self.gate = Gate(self)
        self.webhooks = Webhooks(self.controls, self.settings)
        self.fill()

    def fill(self) -> None:
        """As freshly seeded."""
        self.identity = Identity(self.controls, self.settings)
        self.limits = Limits(self.controls, self.controls.clock.now().timestamp(), self.settings.pace)
        self.idempotency = Idempotency()
        self.books.clear()
        demo.fill(self.books, self.identity)

    def reset(self) -> None:
        with self.lock:
            self.webhooks.reset()
            self.controls.reset()
            self.fill()

    def switch(self, name: str) -> str:
        return self.controls.switches.get(name)

    def desk(self, tenant_id: str, user: str = "System Generated", by_app: bool = False) -> Desk:
        return Desk(self.books[tenant_id], self.controls, user, by_app)

    def settle(self, books: Books) -> None:
        """What was done stands: forget how to undo it, and send the news of a connected organisation."""
        books.journal.clear()
        events, books.events = books.events[:], []
        if events and books.tenant_id in self.identity.connected_organisations():
            self.webhooks.announce(books.tenant_id, events)
