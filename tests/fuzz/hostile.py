"""What an attacker, a broken proxy or a careless script may send: words, forms, bodies, headers and whole requests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, quote_from_bytes, urlencode

from hypothesis import strategies as st

Who = Literal["nobody", "forged", "ended", "sales", "administrator", "stranger"]

#: Each would leave text, an attribute in double or in single quotes; none may come back as it is.
BREAK_OUTS = ("<tb-x>", '"tb-x=', "'tb-x=")

WORDS = (
    "",
    " ",
    "0",
    "1",
    "-1",
    "1.5",
    "1e400",
    "NaN",
    "Infinity",
    "9" * 30,
    "9" * 400,
    str(2**31),
    str(2**63),
    str(-(2**63) - 1),
    "0x10",
    "٣",  # a digit, but not one of ours
    "１",
    "true",
    "null",
    "None",
    "[]",
    "{}",
    "../../../etc/passwd",
    "%00",
    "%s%n",
    "\x00",
    "a\x00b",
    "\r\nSet-Cookie: tb=1",
    "\u202eevil\u202c",
    "שלום عالم",
    "😀👩‍👩‍👧‍👦",
    "\ufeff",
    "\ufffe",
    "\x7f\x1b[31m",
    "' OR 1=1 --",
    '"; DROP TABLE portal; --',
    "{{7*7}}${7*7}<%= 7*7 %>",
    "%(count)s %d",
    "javascript:alert(1)",
    "0001-01-01",
    "9999-12-31",
    "2026-02-30",
    "10000-01-01",
    *BREAK_OUTS,
    "<script>alert(1)</script>" + BREAK_OUTS[0],
)
LONG = ("a" * 10_000, "9" * 10_000, "😀" * 5_000, "[" * 10_000, "%" * 5_000, "<tb-x>" * 2_000)

#: The names that the pages read, so that what is hostile arrives somewhere.
NAMES = (
    "AUTH_ID", "REFRESH_ID", "AUTH_EXPIRES", "member_id", "DOMAIN", "PROTOCOL", "LANG", "APP_SID", "SERVER_ENDPOINT", "APPLICATION_TOKEN",
    "APPLICATION_SCOPE", "status", "PLACEMENT", "PLACEMENT_OPTIONS", "event", "ts", "event_handler_id", "data[FIELDS][ID]", "data[CLEAN]",
    "data[VERSION]", "data[LANGUAGE_ID]", "data", "auth", "auth[member_id]", "auth[domain]", "auth[application_token]", "auth[access_token]",
    "auth[refresh_token]", "auth[expires_in]", "auth[user_id]", "auth[server_endpoint]", "auth[client_endpoint]", "auth[scope]",
    "ticket", "state", "code", "error", "page", "show", "was", "id", "kind", "all", "all_linked", "search", "period", "changed_from", "changed_to",
    "size", "choosing", "column", "same", "tenant_id", "income", "expense", "income-text", "expense-text", "start_date", "seller", "number_policy",
    "number_prefix", "create_contacts", "item_code_source", "stage:N", "status:paid", "tax:15", "_method", "__proto__",
)  # fmt: skip
EVENTS = ("ONAPPINSTALL", "ONAPPUPDATE", "ONAPPUNINSTALL", "ONAPPPAYMENT", "ONCRMDYNAMICITEMUPDATE_31", "ONCRMCOMPANYUPDATE", "onx")
KEYS = ("a[", "a]", "[a]", "a[[b]]", "a[]b", "a" + "[b]" * 50, "a" + "[]" * 200, "[" * 300, "data[FIELDS][ID][0]", "auth[member_id][]", "\x00[\x00]")

words = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(WORDS),
    st.text(max_size=40),
    st.integers().map(str),
    st.sampled_from(LONG),
    st.sampled_from(("all", "custom", "sent")),
)
names = st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(KEYS), st.text(max_size=12))
pairs = st.lists(st.tuples(names, words), max_size=8)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(WORDS), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(("events", "ID", "tenantId", "resourceId", "x")), inner, max_size=4)),
    max_leaves=8,
)
webhook_events = st.fixed_dictionaries(
    {},
    optional={
        "tenantId": json_values,
        "resourceId": json_values,
        "eventCategory": st.one_of(st.just("INVOICE"), json_values),
        "eventType": json_values,
        "tenantType": st.one_of(st.just("ORGANISATION"), json_values),
        "eventDateUtc": json_values,
    },
)
json_texts = st.one_of(
    json_values.map(json.dumps),
    st.lists(webhook_events, max_size=4).map(lambda found: json.dumps({"events": found})),
    st.sampled_from(('{"events":', "[" * 3_000, '{"a":' * 3_000, "\ufeff{}", '"\\ud800"', '{"events":[null,1,"x",{}]}', "NaN", "1e999", "-", "{'a':1}")),
)
option_texts = st.one_of(
    json_texts,
    st.dictionaries(st.sampled_from(("ID", "ENTITY_ID", "URI")), st.one_of(json_values, st.sampled_from((float("inf"), 2**80, -1, "7"))), max_size=3).map(
        json.dumps
    ),
)


@dataclass(frozen=True)
class Form:
    """The body of a request and what it says that it is."""

    body: bytes
    content_type: str

    def __repr__(self) -> str:
        """Short enough to be read, and for Hypothesis to say."""
        shown = repr(self.body) if len(self.body) <= 2_000 else f"{self.body[:2_000]!r}…{len(self.body)} bytes"
        return f"Form({shown}, {self.content_type!r})"


BOUNDARY = "tb-boundary"


def _multipart(given: list[tuple[str, str]]) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode("utf-8", "replace") + value.encode("utf-8", "replace") + b"\r\n"
        for name, value in given
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def encoded(given: list[tuple[str, str]]) -> bytes:
    """As a browser writes a form."""
    return urlencode(given, errors="replace").encode()


CONTENT_TYPES = (
    "", "application/x-www-form-urlencoded", "application/json", "application/json; charset=utf-16", "multipart/form-data", "text/html", "text/xml", "\x7f/x",
    "multipart/form-data; boundary=", f"multipart/form-data; boundary={BOUNDARY}", "application/x-www-form-urlencoded; charset=klingon", "a" * 3_000,
)  # fmt: skip

forms = st.one_of(
    pairs.map(lambda given: Form(encoded(given), "application/x-www-form-urlencoded")),
    pairs.map(lambda given: Form(encoded(given), "application/x-www-form-urlencoded")),
    pairs.map(lambda given: Form(_multipart(given), f"multipart/form-data; boundary={BOUNDARY}")),
    json_texts.map(lambda text: Form(text.encode("utf-8", "replace"), "application/json")),
    st.builds(Form, st.binary(max_size=200), st.sampled_from(CONTENT_TYPES)),
    st.builds(Form, pairs.map(encoded), st.sampled_from(CONTENT_TYPES)),
    st.sampled_from(
        (Form(b"&" * 20_000, CONTENT_TYPES[1]), Form(b"a=b&" * 5_000, CONTENT_TYPES[1]), Form(b"", CONTENT_TYPES[1]), Form(b"%ff=%fe%", CONTENT_TYPES[1]))
    ),
)

HEADERS = (
    "Accept", "Accept-Language", "Cookie", "HX-Request", "HX-Target", "HX-Current-URL", "Host", "Origin", "Referer", "User-Agent", "X-Forwarded-For",
    "X-Forwarded-Host", "X-Forwarded-Proto", "X-HTTP-Method-Override", "Range", "If-None-Match", "If-Modified-Since", "Authorization", "x-xero-signature",
    "Content-Encoding", "Transfer-Encoding", "X-Frame-Pass", "Expect", "Forwarded",
)  # fmt: skip
HEADER_VALUES = (
    "tallybridge_connect=x", 'tallybridge_connect="\\377\\000"; ;=;', "dialog-content", "true", "evil.test:99999", "[::1", "bytes=0-", "bytes=9-1", '"', "gzip",
    "chunked", "de-DE,de;q=NaN", "x" * 4_000, "zz-zz-zz", "sha256=", "=" * 44, "é", "tallybridge_connect=" + "%F0%9F%98%80" * 9,
)  # fmt: skip
# A server hands headers over as latin-1 without line ends; what else it refuses itself is tried over a socket (test_raw.py).
header_words = st.one_of(
    st.sampled_from(HEADER_VALUES),
    st.sampled_from([one for one in WORDS if one.isascii() and one.isprintable()]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
)
headers = st.lists(st.tuples(st.sampled_from(HEADERS), header_words), max_size=4)
header_floods = st.integers(50, 99).map(lambda count: [(f"X-Flood-{number}", "x" * 200) for number in range(count)])

queries = st.one_of(
    st.just(""),
    pairs.map(lambda given: urlencode(given, errors="replace")),
    st.binary(max_size=60).map(lambda raw: quote_from_bytes(raw, safe="&=[]%+;")),
    st.sampled_from(("%", "%zz", "&&&", "=", "page=%ff", "id=1" + "&id=2" * 2_000, "a[b][c]=1")),
)
path_parts = st.one_of(
    st.sampled_from(
        ("1", "2", "0", "-1", "99999999999999999999", "9" * 300, "1.0", "1e3", "٣", "a", "..", "%2e%2e", "1;x", "1%00", " 1", "+1", "0001", str(2**63))
    ),
    words.filter(lambda one: len(one) < 500).map(lambda one: quote(one.encode("utf-8", "replace"), safe="")),
)
stray_paths = st.one_of(
    st.sampled_from(
        ("/.env", "/.git/config", "/app", "/app/", "/App/Invoices", "//app/invoices", "/app//invoices", "/static/../wsgi.py", "/static/..%2f..%2fwsgi.py", "/*")
    ),
    st.binary(min_size=1, max_size=40).map(lambda raw: "/" + quote_from_bytes(raw, safe="/%")),
    st.lists(path_parts, max_size=4).map(lambda parts: "/app/" + "/".join(parts)),
)
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "BREW")
