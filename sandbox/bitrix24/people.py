"""The portal's users and what they may do (B§11.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ACTIONS = ("read", "add", "update", "delete", "import")

#: For every action: `all`, `own` (assigned to the user) or `none`.
ADMIN = dict.fromkeys(ACTIONS, "all")
SALES = {"read": "own", "add": "all", "update": "own", "delete": "own", "import": "none"}
CLIENTS_OF_SALES = {"read": "all", "add": "all", "update": "own", "delete": "none", "import": "none"}
VIEWER = {"read": "all", "add": "none", "update": "none", "delete": "none", "import": "none"}
NOTHING = dict.fromkeys(ACTIONS, "none")


@dataclass
class User:
    """Somebody with a login; `rights` by entity type id, `{}` means the role's default."""

    id: int
    name: str
    last_name: str
    email: str
    admin: bool = False
    active: bool = True
    role: str = "sales"
    position: str = ""
    time_zone: str = ""
    extranet: bool = False
    system: bool = False
    may_use_app: bool = True
    view_catalog: bool = True
    change_prices: bool = False
    may_finish: bool = True
    rights: dict[int, dict[str, str]] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        return f"{self.name} {self.last_name}".strip()

    def scope_of(self, action: str, type_id: int) -> str:
        """`all`, `own` or `none` for this action on this type."""
        if type_id in self.rights:
            return self.rights[type_id].get(action, "none")
        if self.admin or self.system:
            return "all"
        if self.role == "viewer":
            return VIEWER[action]
        table = CLIENTS_OF_SALES if type_id in (3, 4) else SALES
        return table[action]

    def can(self, action: str, type_id: int, item: dict[str, Any] | None = None) -> bool:
        """Whether the action is allowed, on this item or on any."""
        reach = self.scope_of(action, type_id)
        return reach == "all" or (reach == "own" and (item is None or item.get("assignedById") == self.id))
