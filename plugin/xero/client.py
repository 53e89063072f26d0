"""One call to the Accounting API: its address, its headers, and its envelope. What may be called when is decided elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from plugin.config import Config
from plugin.domain.problems import Problem
from plugin.wire import Answer, Wire
from plugin.xero.errors import json_object, problem_of
from plugin.xero.parse import objects, part

#: Every collection write: errors per element, and unit prices with four decimals (X§2.4, §2.5).
WRITE_PARAMS: Mapping[str, str] = {"summarizeErrors": "false", "unitdp": "4"}
PAGE_SIZE = 1000
LIST_LENGTH = 50
#: 50 ids and their commas: the longest list that is known to fit into an address (X§2.6).
LIST_CHARS = 1850
KEY_CHARS = 128


class Caller(Protocol):
    """A way to call one organisation, token kept fresh and limits respected: `send` with its first arguments bound.

    It may hand over a refusal as an answer or raise its problem (`errors.problem_of`); everything here bears both.
    """

    def __call__(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        key: str | None = None,
        modified_since: datetime | None = None,
        timeout: float = 60,
    ) -> Answer: ...


def send(
    wire: Wire,
    config: Config,
    token: str,
    tenant_id: str,
    method: str,
    path: str,
    *,
    params: Mapping[str, str] | None = None,
    body: bytes | None = None,
    key: str | None = None,
    modified_since: datetime | None = None,
    timeout: float = 60,
) -> Answer:
    """Send one request of the Accounting API and return whatever came back."""
    headers = {"Authorization": f"Bearer {token}", "Xero-Tenant-Id": tenant_id, "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json; charset=utf-8"
    if key is not None:
        if len(key) > KEY_CHARS:
            raise ValueError(f"an idempotency key has at most {KEY_CHARS} characters (X§10)")
        headers["Idempotency-Key"] = key
    if modified_since is not None:
        headers["If-Modified-Since"] = _utc_seconds(modified_since)
    label = path.split("/", maxsplit=1)[0]  # keeps ids and numbers out of the log
    return wire.send(method, f"{config.xero_api_url}/api.xro/2.0/{path}{_query(params)}", headers=headers, body=body, timeout=timeout, label=label)


def _query(params: Mapping[str, str] | None) -> str:
    """The query with commas as they are, for `IDs=a,b` (X§13.6), and spaces as %20."""
    return f"?{urlencode(params, safe=',', quote_via=quote)}" if params else ""


def _utc_seconds(when: datetime) -> str:
    """UTC, accurate to the second (X§2.1); a time without zone comes from our database and is UTC."""
    aware = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%S")


def segment(value: str) -> str:
    """An id or number as one part of a path."""
    return quote(value, safe="")


def envelope(answer: Answer) -> dict[str, Any]:
    """The JSON object of a success; a 304 is an empty one (X§2.1). Anything else raises its problem."""
    if answer.status == 304:
        return {}
    found = json_object(answer) if 200 <= answer.status < 300 else None
    if found is None:
        raise problem_of(answer)
    return found


def rows(answer: Answer, name: str) -> list[dict[str, Any]]:
    """The objects under the plural key of an envelope."""
    return objects(envelope(answer).get(name))


def single(call: Caller, path: str, name: str, params: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """What one address holds; nothing where Xero knows no such address. A caller may raise the 404's problem or hand over the answer."""
    try:
        return rows(call("GET", path, params=params), name)
    except Problem as problem:
        if problem.code == "xero.not_found":
            return []
        raise


def page_count(answer: Answer, page: int, got: int, page_size: int = PAGE_SIZE) -> int:
    """How many pages there are; where Xero does not say (X§2.2), a full page means at least one more."""
    told = part(envelope(answer).get("pagination")).get("pageCount")
    if isinstance(told, int) and not isinstance(told, bool):
        return told
    return page + 1 if got >= page_size else page if got else page - 1


def comma_lists(values: Iterable[str]) -> Iterator[list[str]]:
    """Values without repeats, in lists short enough for one address (X§2.6)."""
    chunk: list[str] = []
    length = 0
    for value in dict.fromkeys(values):
        size = len(quote(value)) + 1
        if chunk and (len(chunk) == LIST_LENGTH or length + size > LIST_CHARS):
            yield chunk
            chunk, length = [], 0
        chunk.append(value)
        length += size
    if chunk:
        yield chunk
