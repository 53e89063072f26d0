"""What may be kept of a request or an answer: its shape, its ids, states, dates and amounts. Everything else is left out.

By what is allowed, not by what is forbidden: a text under a key that is not listed here is replaced by its length, so that
a field which a partner adds tomorrow gives nothing away. Sentences of errors stay, without addresses, numbers and names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

#: Rows of a list that are kept, characters of a whole body, and of one sentence.
ROWS, LONGEST, SENTENCE = 3, 6000, 400
DEPTH = 12

#: Texts under these keys say what something is, never who or how much money where.
_TELLING = frozenset(
    [
        "accountcode",
        "accounttype",
        "active",
        "billstatus",
        "class",
        "code",
        "contactstatus",
        "creditnotenumber",
        "currency",
        "currencycode",
        "currencyid",
        "direction",
        "entitytypeid",
        "event",
        "event_type",
        "field",
        "fieldname",
        "fields_title",
        "handler",
        "invoicenumber",
        "kind",
        "lineamounttypes",
        "method",
        "offline",
        "opened",
        "ownertype",
        "ownertypeid",
        "placement",
        "quotenumber",
        "reportingcode",
        "scope",
        "select",
        "semantics",
        "sentstatus",
        "stage",
        "stageid",
        "status",
        "statusattributestring",
        "systemaccount",
        "taxtype",
        "tenanttype",
        "type",
        "typeid",
        "unit",
        "user_type_id",
        "version",
        "order",
        "organisationstatus",
        "organisationtype",
        "edition",
        "countrycode",
        "lang",
        "ismultiple",
    ]
)
#: Sentences of the partners about an error.
_SENTENCES = frozenset({"error", "error_description", "error_information", "message", "detail"})
#: These are never kept, whatever their value looks like.
_SECRET = re.compile(
    r"auth|token|secret|password|verifier|session|sess_?id|cookie|member_?id|client_?id|refresh|phone|mobile|fax|email|bank|tax_?number|company_?number"
    r"|account_?number|registration|userid|skype|(?<![a-z])code_|(?<![a-z])state(?![a-z])",
    re.IGNORECASE,
)
_ID_KEY = re.compile(r"(id|ids|key)$", re.IGNORECASE)
_ID = re.compile(r"[\w:.\-]{1,64}")
_GUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_HARMLESS = re.compile(
    r"|[YNyn]|true|false|-?\d{1,7}|-?\d{1,12}\.\d{1,6}|\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?"
    r"|/Date\(\d+([+-]\d+)?\)/|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
)
_METHOD = re.compile(r"[a-z][a-z0-9]*(\.[a-z0-9]+)*", re.IGNORECASE)
_EMAIL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+")
_QUOTED = re.compile(r"(?<=[\s(])(['\"“‘]).{1,200}?(['\"”’])(?=[\s.,;)]|$)|(?<=contact name ).{1,200}?(?= is already| must be| already)", re.IGNORECASE)
_NUMBER = re.compile(r"\+?\d[\d ()\-./]{6,}\d")
_LONG = re.compile(r"[A-Za-z0-9_\-.=+/]{40,}")
#: Words of a query that steer what is answered; the values of all others are left out.
_STEERING = frozenset(
    [
        "ids",
        "invoicenumbers",
        "statuses",
        "order",
        "page",
        "pagesize",
        "unitdp",
        "summarizeerrors",
        "summaryonly",
        "includearchived",
        "createdbymyapp",
        "datefrom",
        "dateto",
        "version",
    ]
)


def body(raw: bytes) -> str:
    """A JSON body as it may be kept; of anything else only how much it was."""
    if not raw:
        return ""
    try:
        read = json.loads(raw)
    except (ValueError, RecursionError):
        return f"({len(raw)} bytes that are no JSON)"
    return _storable(json.dumps(_kept("", read, 0), ensure_ascii=False, indent=1)[:LONGEST])


def address(url: str) -> str:
    """Path and query as they may be kept."""
    parts = urlsplit(url)
    shown = [f"{name}={value if name.lower() in _STEERING else '…'}" for name, value in parse_qsl(parts.query, keep_blank_values=True)]
    return _storable(unquote(parts.path) + (f"?{'&'.join(shown)}" if shown else ""))


def _storable(text: str) -> str:
    """What no database keeps is left out: halves of characters, as in a cut emoji, and NUL."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def sentence(text: str) -> str:
    """A partner's sentence without addresses, telephone numbers, names in quotes and anything that could be a key."""
    for pattern in (_EMAIL, _QUOTED, _LONG, _NUMBER):
        text = pattern.sub("…", text)
    return text[:SENTENCE]


def _kept(key: str, value: Any, depth: int) -> Any:
    if depth > DEPTH:
        return "…"
    if isinstance(value, dict):
        if key == "cmd":
            return {name: command(str(one)) for name, one in list(value.items())[: ROWS * 10]}
        return {name[:80]: _kept(name, one, depth + 1) for name, one in list(value.items())[:200]}
    if isinstance(value, list):
        more = [f"… {len(value) - ROWS} more"] if len(value) > ROWS else []
        return [_kept(key, one, depth + 1) for one in value[:ROWS]] + more
    if isinstance(value, str):
        return _text(key, value)
    if isinstance(value, bool) or value is None:
        return value
    return "…" if _SECRET.search(key) or len(str(value)) > 12 else value


def _text(key: str, value: str) -> str:
    bare = re.sub(r"^[^A-Za-z]+", "", key)
    word = bare.lower()
    if not value:
        return value
    if _SECRET.search(bare):
        return f"…({len(value)})"
    if word in _SENTENCES or (bare == "Title" and len(value) < 60):
        return sentence(value)
    if _HARMLESS.fullmatch(value) or (word in _TELLING and len(value) <= 120) or (_ID_KEY.search(bare) and _ID.fullmatch(value)):
        return value
    return f"…({len(value)})"


def command(packed: str) -> str:
    """One command of a batch: its method, and its parameters as they may be kept."""
    method, _, query = packed.partition("?")
    if not _METHOD.fullmatch(method):
        return "…"
    pairs = parse_qsl(query, keep_blank_values=True)
    shown = [f"{name}={_text(_last(name), value)}" for name, value in pairs[: ROWS * 10]]
    return method + (f"?{'&'.join(shown)}" if shown else "") + ("&…" if len(pairs) > ROWS * 10 else "")


def _last(name: str) -> str:
    """`filter[@id][0]` is about `id`."""
    parts = [part for part in re.split(r"[\[\]]+", name) if part and not part.isdigit()]
    return parts[-1] if parts else ""


#: Kinds of our subjects by Bitrix24's type numbers.
_TYPES = {"31": "invoice", "7": "quote", "4": "company", "3": "contact"}
_OWNERS = {"SI": "invoice", "Q": "quote"}


def documents(url: str, raw: bytes) -> tuple[str, ...]:
    """What a request names: the ids of Xero in its address, and the CRM's documents by type and id."""
    found = dict.fromkeys(guid.lower() for guid in _GUID.findall(url))
    for pairs in _parameters(raw):
        found |= dict.fromkeys(_subjects(pairs))
    return tuple(found)


def _parameters(raw: bytes) -> Iterator[list[tuple[str, str]]]:
    try:
        read = json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        return
    if not isinstance(read, Mapping):
        return
    commands = read.get("cmd")
    if isinstance(commands, Mapping):
        for one in commands.values():
            yield parse_qsl(str(one).partition("?")[2])
    elif "auth" in read:
        yield list(_flat("", read))


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _flat(f"{name}[{key}]" if name else str(key), one)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _flat(f"{name}[{place}]", one)
    else:
        yield name, str(value)


def _subjects(pairs: list[tuple[str, str]]) -> Iterator[str]:
    named = [(re.sub(r"^[^A-Za-z]+", "", _last(name)).lower(), value) for name, value in pairs]
    kind = next((_TYPES[value] for name, value in named if name in ("entitytypeid", "ownertypeid") and value in _TYPES), "")
    kind = kind or next((_OWNERS[value] for name, value in named if name == "ownertype" and value in _OWNERS), "")
    for name, value in named:
        if kind and name in ("id", "ownerid", "entityid") and value.isdigit():
            yield f"{kind}:{value}"
