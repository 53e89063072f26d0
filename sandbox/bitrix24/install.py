"""The app on a portal: its installation, handlers, placements and robots (B§1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

#: The scopes of the version card (B§11.3).
SCOPES = ("crm", "catalog", "placement", "userfieldconfig", "user_brief", "bizproc", "im")


@dataclass
class Handler:
    """A bound event: online with an address, or offline."""

    id: int
    event: str
    url: str
    user_id: int
    offline: bool = False
    connector: str = ""
    own_only: bool = False
    min_timeout: int = 1


@dataclass
class Placement:
    """A bound place in the interface."""

    id: int
    code: str
    url: str
    title: str = ""
    description: str = ""
    group: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    titles: dict[str, dict[str, str]] = field(default_factory=dict)
    user_id: int = 0

    def title_for(self, language: str, fallback: str) -> str:
        """LANG_ALL wins over TITLE; without either, the app's name."""
        entry = self.titles.get(language) or self.titles.get("en") or {}
        return entry.get("TITLE") or self.title or fallback


@dataclass
class Robot:
    """An automation rule's action."""

    code: str
    url: str
    name: Any
    auth_user: int
    subscription: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    returns: dict[str, Any] = field(default_factory=dict)
    document_type: list[str] = field(default_factory=list)
    filter: dict[str, Any] = field(default_factory=dict)
    kind: str = "robot"


@dataclass
class Running:
    """A robot's call that may still be answered with bizproc.event.send."""

    token: str
    robot: str
    document: str
    answered: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


@dataclass
class Installation:
    """What the portal remembers of the app between install and uninstall."""

    application_token: str
    version: int = 1
    installed: bool = False
    status: str = "F"
    scopes: tuple[str, ...] = SCOPES
    installer: int = 1
    payment_expired: bool = False
    days: int | None = None
    handlers: list[Handler] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    robots: dict[str, Robot] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    #: Triggers by code: their names.
    triggers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Opening:
    """The POST with which a portal opens the app in a frame (B§1.4)."""

    url: str
    fields: dict[str, str]
    sid: str
    user_id: int
    placement: str
    options: dict[str, Any]

    @property
    def frame_name(self) -> str:
        """HOST[:PORT]|P|APP_SID (B§7.2)."""
        query = dict(parse_qsl(urlsplit(self.url).query))
        return f"{query['DOMAIN']}|{query['PROTOCOL']}|{self.sid}"
