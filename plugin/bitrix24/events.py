"""Inbound events (B§5): PHP's nested form keys, read defensively, and the names of the events that the app handles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plugin.bitrix24.values import ident, names
from plugin.domain.problems import Problem

KEY_LIMIT, DEPTH_LIMIT, VALUE_LIMIT, KEY_LENGTH = 400, 6, 65_536, 256

#: Smart invoices. Portals that list the names of one type get those, others the common ones; never both (B§5.7).
INVOICE_EVENTS = ("ONCRMDYNAMICITEMADD", "ONCRMDYNAMICITEMUPDATE", "ONCRMDYNAMICITEMDELETE")
CUSTOMER_EVENTS = ("ONCRMCOMPANYADD", "ONCRMCOMPANYUPDATE", "ONCRMCOMPANYDELETE", "ONCRMCONTACTADD", "ONCRMCONTACTUPDATE", "ONCRMCONTACTDELETE")
#: The life of the app itself; ONAPPINSTALL comes to the address in the version card (B§1.5).
LIFE_EVENTS = ("ONAPPUPDATE", "ONAPPUNINSTALL", "ONAPPPAYMENT", "ONAPPTEST")
INVOICE_TYPE = 31
#: What else invoices depend on; a portal that does not list one is not asked for it.
DEPENDENCY_EVENTS = (
    *("ONCRMREQUISITEADD", "ONCRMREQUISITEUPDATE", "ONCRMREQUISITEDELETE", "ONCRMADDRESSREGISTER", "ONCRMADDRESSUNREGISTER"),
    *("CATALOG.PRODUCT.ON.ADD", "CATALOG.PRODUCT.ON.UPDATE", "CATALOG.PRODUCT.ON.DELETE"),
    *("CATALOG.PRICE.ON.ADD", "CATALOG.PRICE.ON.UPDATE", "CATALOG.PRICE.ON.DELETE"),
    *("ONCRMCURRENCYADD", "ONCRMCURRENCYUPDATE", "ONCRMCURRENCYDELETE"),
)
#: "Your queue of offline events has something new" (B§5.5); has no data.
OFFLINE_EVENT = "ONOFFLINEEVENT"
QUOTE_EVENTS = ("ONCRMQUOTEADD", "ONCRMQUOTEUPDATE", "ONCRMQUOTEDELETE")

#: What an event is about, by the beginning of its name, where the changed object has an id of its own.
_SUBJECTS = {
    "ONCRMQUOTE": "quote",
    "ONCRMCOMPANY": "company",
    "ONCRMCONTACT": "contact",
    "ONCRMREQUISITE": "requisite",
    "ONCRMCURRENCY": "currency",
    "CATALOG.PRODUCT": "product",
    "CATALOG.PRICE": "price",
}
_ANCHORS = {4: "company", 3: "contact"}
_KEPT_FIELDS, _KEPT_LENGTH = 12, 64

_PARTS = re.compile(r"\[([^\[\]]*)\]")
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


@dataclass(frozen=True)
class Event:
    """One delivery. Only `application_token`, compared with the stored one, makes it believable (B§2.7); values are never in it."""

    name: str
    data: Mapping[str, Any]
    member_id: str
    domain: str
    application_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    user_id: int | None
    scope: frozenset[str]
    server_endpoint: str
    client_endpoint: str
    status: str
    ts: int

    @property
    def subject_id(self) -> int | None:
        """The changed object's id, where it has a numeric one."""
        return ident(self._fields.get("ID"))

    @property
    def subject(self) -> str:
        """What to read again, such as "invoice:24" or "company:5"; nothing where the app has no use for it."""
        if self.about_invoice:
            return f"invoice:{self.subject_id}" if self.subject_id else ""
        if self.name.startswith("ONCRMADDRESS"):
            anchor, number = _ANCHORS.get(ident(self._fields.get("ANCHOR_TYPE_ID")) or 0), ident(self._fields.get("ANCHOR_ID"))
            return f"{anchor}:{number}" if anchor and number else ""
        kind = next((kind for start, kind in _SUBJECTS.items() if self.name.startswith(start)), "")
        if kind == "currency":
            code = self._fields.get("ID")
            return f"currency:{code[:3].upper()}" if isinstance(code, str) and code.isalpha() else ""
        return f"{kind}:{self.subject_id}" if kind and self.subject_id else ""

    @property
    def deletes(self) -> bool:
        return "DELETE" in self.name

    @property
    def kept(self) -> dict[str, str]:
        """What is stored of it: the few plain values of its fields, never who sent it or with which token (RULES 36)."""
        plain = [(name, value) for name, value in (self._fields or self._asked).items() if isinstance(value, str)]
        return {name[:_KEPT_LENGTH]: value[:_KEPT_LENGTH] for name, value in plain[:_KEPT_FIELDS]}

    @property
    def about_invoice(self) -> bool:
        """Is it one of the invoice events? The common names report every smart process, so type 31 is looked for (B§5.7)."""
        if self.name.removesuffix(f"_{INVOICE_TYPE}") not in INVOICE_EVENTS:
            return False
        return self.name.endswith(f"_{INVOICE_TYPE}") or ident(self._fields.get("ENTITY_TYPE_ID")) == INVOICE_TYPE

    @property
    def _asked(self) -> Mapping[str, Any]:
        """What a test event brings back (B§5.1)."""
        inner = self.data.get("QUERY")
        return inner if self.name == "ONAPPTEST" and isinstance(inner, Mapping) else {}

    @property
    def _fields(self) -> Mapping[str, Any]:
        inner = self.data.get("FIELDS")
        return inner if isinstance(inner, Mapping) else {}


def unnest(items: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """`data[FIELDS][ID]=24` as nested dictionaries. What is malformed, too deep, too long or contradicts an earlier key is left out."""
    root: dict[str, Any] = {}
    for position, (key, value) in enumerate(items):
        if position >= KEY_LIMIT:
            break
        match = _KEY.fullmatch(key) if key and len(key) <= KEY_LENGTH else None  # a part of a multipart body may have no name at all
        if match is None:
            continue
        path = [match[1], *_PARTS.findall(match[2])]
        if len(path) <= DEPTH_LIMIT:
            _place(root, path, value[:VALUE_LIMIT])
    return root


def _place(root: dict[str, Any], path: list[str], value: str) -> None:
    here = root
    for part in path[:-1]:
        below = here.setdefault(part or str(len(here)), {})
        if not isinstance(below, dict):
            return
        here = below
    here.setdefault(path[-1] or str(len(here)), value)


def parse_event(form: Iterable[tuple[str, str]]) -> Event:
    """Read one delivery. `form` is every pair of the body, in order (in Flask: `request.form.items(multi=True)`)."""
    read = unnest(form)
    auth = _map(read.get("auth"))
    name, member_id = _word(read, "event"), _word(auth, "member_id")
    missing = [label for label, value in (("event", name), ("auth[member_id]", member_id)) if not value]
    if missing:
        raise Problem("bitrix24.event_malformed", missing=missing)
    return Event(
        name=name.upper(),
        data=_map(read.get("data")),
        member_id=member_id,
        domain=_word(auth, "domain").lower(),
        application_token=_word(auth, "application_token"),
        access_token=_word(auth, "access_token"),
        refresh_token=_word(auth, "refresh_token"),
        expires_in=ident(auth.get("expires_in")) or 0,
        user_id=ident(auth.get("user_id")),
        scope=names(_word(auth, "scope")),
        server_endpoint=_word(auth, "server_endpoint"),
        client_endpoint=_word(auth, "client_endpoint"),
        status=_word(auth, "status"),
        ts=ident(read.get("ts")) or 0,
    )


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _word(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) and value.isprintable() else ""
