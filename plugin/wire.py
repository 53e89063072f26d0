"""The one wire to the outside: always a timeout, never a redirect, never inside a transaction, never an unconfirmed address."""

from __future__ import annotations

import fnmatch
import ipaddress
import json
import logging
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

from plugin.domain.problems import NEVER, Problem

log = logging.getLogger("plugin.wire")


def _without_query(record: logging.LogRecord) -> bool:
    """Some servers read tokens from the query only; urllib3 would write it into a log that somebody set to DEBUG."""
    if isinstance(record.args, tuple):
        record.args = tuple(one.partition("?")[0] if isinstance(one, str) else one for one in record.args)
    return True


logging.getLogger("urllib3.connectionpool").addFilter(_without_query)

#: `transaction()` and `reading()` set `held.depth` on their thread; see `Wire.send`.
held = threading.local()

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
DNS_SECONDS = 60.0
#: However much durations are divided for fault trials: below this a partner that is silent cannot be told from a machine that is busy.
LEAST_SECONDS = 5.0
BODY_LIMIT = 64 * 1024 * 1024


class NoAnswer(Exception):
    """No usable answer came. `sent` tells whether the partner may have done the work all the same."""

    def __init__(self, why: str, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


@dataclass(frozen=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    request_id: str

    def json(self) -> Any:
        """The body as JSON with money as Decimal; `ValueError` when it is something else (an HTML page, say), or beyond all sense."""
        try:
            read = json.loads(self.body, parse_float=_decimal, parse_constant=_no_number)
            return _fit(read) if _UNFIT.search(self.body) else read
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


#: What JSON can write and neither database can keep: NUL, and halves of characters. Whole characters beyond 16 bits look alike.
_UNFIT = re.compile(rb"\\u(0000|[dD][89a-fA-F])")
#: No amount of money and no quantity has more digits before or behind its point.
_DIGITS = 30


def _decimal(written: str) -> Decimal:
    value = Decimal(written)
    if value and abs(value.adjusted()) > _DIGITS:
        raise ValueError(f"{written[:40]} is no sensible number")
    return value


def _no_number(written: str) -> Any:
    raise ValueError(f"{written} is not JSON")


def _fit(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_fit(name): _fit(one) for name, one in value.items()}
    return [_fit(one) for one in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class About:
    """Whom a request concerns, for the call log: the portals with the documents that it is about, and how long it waited for its turn."""

    documents: Mapping[int, tuple[str, ...]]
    organisation_id: int | None = None
    waited: float = 0.0


@contextmanager
def about(concern: About) -> Iterator[None]:
    """What this thread says meanwhile concerns these."""
    before = getattr(held, "about", None)
    held.about = concern
    try:
        yield
    finally:
        held.about = before


@dataclass(frozen=True)
class Talked:
    """One request and what came of it, as an observer sees it. It holds secrets: nothing of it is kept as it is."""

    verb: str
    url: str
    body: bytes
    answer: Answer | None
    failure: str
    seconds: float
    request_id: str
    about: About | None


class Addresses:
    """Which origins may be talked to: those named in the configuration, and https hosts on the public internet."""

    def __init__(self, fixed: tuple[str, ...], portals: tuple[str, ...]) -> None:
        self._fixed = {_origin(one) for one in fixed} - {""}
        self._portals = tuple(_origin(one.replace("*", _ANY)).replace(_ANY, "*") for one in portals)
        self._public: dict[str, float] = {}

    def named(self, url: str) -> bool:
        """Is this origin written in the configuration (wildcards only in a portal's host)?"""
        origin = _origin(url)
        return origin in self._fixed or self._named_portal(origin)

    def portal_allowed(self, url: str) -> bool:
        """May this be a portal? Named ones always; others only by https, a plain host, and no list that excludes them."""
        if self._named_portal(_origin(url)):
            return True
        parts = _parts(url)
        return not self._portals and parts.scheme == "https" and "." in (parts.hostname or "")

    def _named_portal(self, origin: str) -> bool:
        return bool(origin) and any(fnmatch.fnmatchcase(origin, pattern) for pattern in self._portals)

    def confirm(self, url: str) -> None:
        """Raise a problem unless the address is named, or https to a host that resolves to public addresses only."""
        if self.named(url):
            return
        parts = _parts(url)
        host = parts.hostname or ""
        if parts.scheme != "https" or not host:
            raise Problem("wire.address_refused", NEVER, host=host)
        if self._public.get(host, 0.0) > time.monotonic():
            return
        try:
            found = {info[4][0] for info in socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)}
        except (OSError, UnicodeError) as error:
            raise NoAnswer(f"{host} cannot be resolved", sent=False) from error
        if not found or not all(_is_public(str(one)) for one in found):
            raise Problem("wire.address_refused", NEVER, host=host)
        self._public[host] = time.monotonic() + DNS_SECONDS


#: A host and a port and nothing else: neither names before an @ nor signs that two readers of addresses take for different things.
_PLACE = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def _parts(url: str) -> SplitResult:
    """The parts of an address; none at all for what is no plain one."""
    try:
        parts = urlsplit(url)
        return parts if _PLACE.fullmatch(parts.netloc) and parts.port != 0 else urlsplit("")
    except ValueError:  # a port beyond 65535
        return urlsplit("")


#: IPv6 addresses that lead to an IPv4 address in their last four bytes, where a network translates them.
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


def _is_public(written: str) -> bool:
    """Is this an address on the public internet, by whatever spelling?"""
    address = ipaddress.ip_address(written.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _TRANSLATED:
            inner = ipaddress.IPv4Address(address.packed[-4:])
        if inner is not None:
            return _is_public(str(inner))
    return address.is_global and not address.is_multicast


class _PublicConnection(HTTPSConnection):
    """Looks where it has arrived before it says anything: a name may lead elsewhere than when it was looked up."""

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        if not _is_public(str(made.getpeername()[0])):
            made.close()
            raise Problem("wire.address_refused", NEVER, host=self.host)
        return made


class _PublicPool(HTTPSConnectionPool):
    ConnectionCls = _PublicConnection


class _PublicAdapter(HTTPAdapter):
    """For origins that are not named in the configuration: https, and public when it comes to it."""

    def init_poolmanager(self, *arguments: Any, **more: Any) -> None:
        super().init_poolmanager(*arguments, **more)
        self.poolmanager.pool_classes_by_scheme = {"https": _PublicPool}


_ADAPTERS: Mapping[str, type[HTTPAdapter]] = {"named": HTTPAdapter, "public": _PublicAdapter}
#: Origins of which connections are kept, connections to each, and how many seconds they are kept when none of a kind is used.
POOLS, POOL_MOST, KEPT_OPEN = 64, 16, 50.0

#: In the place of a wildcard while an origin is read.
_ANY = "xx--any--xx"


def _origin(url: str) -> str:
    """Scheme, host and port, the usual port left out; empty for what is no plain address."""
    parts = _parts(url)
    if not parts.netloc:
        return ""
    default = {"https": 443, "http": 80}.get(parts.scheme)
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{(parts.hostname or '').lower()}{port}"


class Wire:
    """Sends requests; knows nothing of any partner. `pace` divides its patience, as all durations.

    Connections stay open for whichever thread comes next: to open one again costs two or three ways to the partner and back.
    """

    def __init__(self, addresses: Addresses, agent: str, pace: float = 1.0) -> None:
        self.addresses = addresses
        self._agent, self._pace = agent, pace
        self.observer: Callable[[Talked], None] | None = None
        self._local = threading.local()
        self._adapters = {kind: adapter(pool_connections=POOLS, pool_maxsize=POOL_MOST, max_retries=0) for kind, adapter in _ADAPTERS.items()}
        self._used, self._looking = dict.fromkeys(self._adapters, 0.0), threading.Lock()

    def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float = READ_SECONDS,
        label: str = "",
    ) -> Answer:
        """One request, one answer. Raises `NoAnswer` when none came. The body and query are never logged."""
        if getattr(held, "depth", 0):
            raise RuntimeError("a transaction is open on this thread; talk before or after it")
        self.addresses.confirm(url)
        patience = min(timeout, max(LEAST_SECONDS, timeout / self._pace))
        request_id = uuid.uuid4().hex
        started = time.perf_counter()
        try:
            response = self._session(self.addresses.named(url)).request(
                method,
                url,
                params=params,
                data=body,
                headers={"User-Agent": self._agent, **(headers or {})},
                auth=auth,
                timeout=(min(CONNECT_SECONDS, patience), patience),
                allow_redirects=False,
            )
        except (requests.ConnectTimeout, requests.exceptions.SSLError) as error:
            raise self._no_answer(method, label, url, body, started, request_id, error, sent=False) from error
        except requests.ConnectionError as error:
            refused = "Connection refused" in str(error) or "NameResolutionError" in str(error)
            raise self._no_answer(method, label, url, body, started, request_id, error, sent=not refused) from error
        except requests.RequestException as error:
            raise self._no_answer(method, label, url, body, started, request_id, error, sent=True) from error
        seconds = time.perf_counter() - started
        log.info("%s %s %s %d %.0f ms %s", method, urlsplit(url).netloc, label or urlsplit(url).path, response.status_code, seconds * 1000, request_id)
        answer = Answer(response.status_code, response.headers, response.content, seconds, request_id)
        self._tell(Talked(method, url, body or b"", answer, "", seconds, request_id, getattr(held, "about", None)))
        return answer

    def _tell(self, talked: Talked) -> None:
        if self.observer is not None:
            self.observer(talked)

    def _no_answer(self, method: str, label: str, url: str, body: bytes | None, started: float, request_id: str, error: Exception, sent: bool) -> NoAnswer:
        seconds = time.perf_counter() - started
        log.warning("%s %s no answer after %.0f ms (%s) %s", urlsplit(url).netloc, label or method, seconds * 1000, type(error).__name__, request_id)
        self._tell(Talked(method, url, body or b"", None, type(error).__name__, seconds, request_id, getattr(held, "about", None)))
        return NoAnswer(type(error).__name__, sent)

    def _session(self, named: bool) -> requests.Session:
        """To origins of the configuration, or to the rest of the world."""
        kind = "named" if named else "public"
        adapter, now = self._adapters[kind], time.monotonic()
        with self._looking:  # whoever comes next finds no pool that is being closed
            if now - self._used[kind] > KEPT_OPEN:
                adapter.close()  # the other end, or something on the way, may have closed them without a word
            self._used[kind] = now
        session: requests.Session | None = getattr(self._local, kind, None)
        if session is None:
            session = requests.Session()
            session.trust_env = False
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))  # a call speaks for its own token, and for nothing that was said before
            session.mount("https://", adapter)
            session.mount("http://", adapter)
            setattr(self._local, kind, session)
        return session
