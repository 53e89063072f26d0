"""What Xero's refusals mean to us. Opens with the tables: partner's error, our problem code, retry.

Codes and their parameters (every problem from `problem_of_errors` also has `messages`: Xero's own words, as a list):

| Code | Parameters | When |
|---|---|---|
| xero.number_taken | | a document of this number exists |
| xero.paid_or_credited | | a payment or credit note is allocated, so amounts or status are fixed |
| xero.locked_period | date (as Xero wrote it, may be empty) | dated before the period lock |
| xero.locked_year | date (as Xero wrote it, may be empty) | dated before the end of year lock |
| xero.wrong_status | | the document's status in Xero does not permit this |
| xero.account_archived | account | the account is archived or deleted |
| xero.account_invalid | account | the account does not exist or may not stand on this document |
| xero.account_missing | | a line of a document to be approved has no account |
| xero.tax_account_mismatch | tax_type, account | this tax rate cannot be used with this account |
| xero.tax_invalid | tax_type | the tax rate does not exist or is not usable |
| xero.tax_missing | | a line has no tax rate |
| xero.currency_missing | currency | the organisation does not use this currency |
| xero.lines_missing | | a document to be approved has no lines |
| xero.contact_missing | | no contact given |
| xero.contact_name_taken | name | another active contact has this name |
| xero.contact_number_taken | | another contact has our number (wording not documented) |
| xero.contact_archived | | the contact is archived |
| xero.name_taken | | "Please enter a unique Name" (accounts, items) |
| xero.email_invalid | | the e-mail address was refused |
| xero.url_invalid | | the link back to the CRM was refused |
| xero.item_invalid | item | no such item |
| xero.item_exists | item | an item of this code exists |
| xero.stock_missing | | a tracked item has not enough stock |
| xero.payment_too_large | | more than is due |
| xero.payment_account_archived | | the bank account is archived |
| xero.approval_limit | | the plan's number of approvable invoices is used up |
| xero.key_reused | | our idempotency key was used for another request |
| xero.gone | | Xero has no document of this id |
| xero.refused | | any other validation message |
| xero.unanswered | | the answer does not mention the element: look before sending again |
| xero.token_expired | detail | refresh and repeat once |
| xero.token_invalid | detail | the access token is refused; after one refresh: reconnect |
| xero.scope_missing | detail | consent lacks a scope: ask for it, the rest goes on |
| xero.disconnected | detail | the organisation is not connected any more, or the user lost access |
| xero.forbidden | detail | role, plan or feature does not permit it |
| xero.blocked | text | an HTML 403 from the edge (TLS, firewall) |
| xero.not_found | text | 404: unknown id or address |
| xero.conflict | text | 409 |
| xero.too_large | | 413: split the batch |
| xero.query_too_broad, xero.query_refused, xero.body_refused | detail | our request was wrong |
| xero.limit_minute, xero.limit_day, xero.limit_concurrent, xero.limit_app | seconds | 429 |
| xero.server_error | status, text, correlation | 500, 502, 504: the work may have been done all the same |
| xero.organisation_offline | seconds | 503 of one organisation |
| xero.unavailable | seconds, text | 503 of Xero |
| xero.unknown | status, text (in full, first 2 KB), correlation | anything else |

The codes of sign-in stand in `plugin.xero.oauth`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from plugin.domain.problems import LATER, NEVER, RECONNECT, Problem, Retry, after
from plugin.wire import Answer
from plugin.xero.limits_seen import seen
from plugin.xero.parse import messages, part, text

#: Validation messages (X§9.3), by pattern because wording changes without notice; the first row that fits any message decides.
MESSAGES: tuple[tuple[str, str, Retry], ...] = (
    (r"is used with a different request", "xero.key_reused", LATER),
    (r"end of year lock date(?:.*?currently set at (?P<date>[\w ,/:-]+))?", "xero.locked_year", NEVER),
    (r"period lock date(?:.*?currently set at (?P<date>[\w ,/:-]+))?", "xero.locked_period", NEVER),
    (r"has a payment or credit note allocated|has payments or credit notes allocated", "xero.paid_or_credited", NEVER),
    (r"contact number\b.*\b(?:unique|already)", "xero.contact_number_taken", NEVER),
    (r"(?:#|\bnumber) must be unique", "xero.number_taken", NEVER),
    (r"not of valid status|status change is invalid|only be made against authorised", "xero.wrong_status", NEVER),
    (r"limit of invoices you can approve", "xero.approval_limit", NEVER),
    (r"matched an archived contact", "xero.contact_archived", NEVER),
    (r"contact name (?P<name>.+?) is already assigned", "xero.contact_name_taken", NEVER),
    (r"contact must be specified|must contain at least 1 of the following elements to identify the contact", "xero.contact_missing", NEVER),
    (r"not subscribed to currency (?P<currency>\w+)", "xero.currency_missing", NEVER),
    (r"account code '(?P<account>.*?)' has been archived", "xero.account_archived", NEVER),
    (r"taxtype code '(?P<tax_type>.*?)' cannot be used with account code '(?P<account>.*?)'", "xero.tax_account_mismatch", NEVER),
    (r"account code '(?P<account>.*?)' (?:is not a valid code|has been removed)", "xero.account_invalid", NEVER),
    (r"account must be valid|account code (?:or id )?must be specified", "xero.account_missing", NEVER),
    (r"taxtype code '(?P<tax_type>.*?)' does not exist", "xero.tax_invalid", NEVER),
    (r"taxtype field is mandatory", "xero.tax_missing", NEVER),
    (r"price list item with code '(?P<item>.*?)' already exists", "xero.item_exists", NEVER),
    (r"item code '(?P<item>.*?)' is not valid", "xero.item_invalid", NEVER),
    (r"insufficient stock", "xero.stock_missing", NEVER),
    (r"line items must be specified", "xero.lines_missing", NEVER),
    (r"email address must be valid", "xero.email_invalid", NEVER),
    (r"url must be a valid absolute url", "xero.url_invalid", NEVER),
    (r"exceeds the amount outstanding", "xero.payment_too_large", NEVER),
    (r"bank account is archived", "xero.payment_account_archived", NEVER),
    (r"enter a unique name", "xero.name_taken", NEVER),
    (r"supplied id was not found|could not be found", "xero.gone", NEVER),
)

#: 401 and 403 (X§9.1): status, what headers or body must contain, code, retry. The first row that fits decides.
REFUSALS: tuple[tuple[tuple[int, ...], str, str, Retry], ...] = (
    ((401, 403), "insufficient_scope", "xero.scope_missing", NEVER),
    ((401, 403), "authorizationunsuccessful", "xero.scope_missing", NEVER),
    ((401,), "tokenexpired", "xero.token_expired", LATER),
    ((403,), "authenticationunsuccessful", "xero.disconnected", RECONNECT),
    ((401,), "", "xero.token_invalid", RECONNECT),
    ((403,), "", "xero.forbidden", NEVER),
)

#: A renewed token may help once; a second refusal means what it says (X§9.1).
REFRESHABLE = frozenset({"xero.token_expired", "xero.token_invalid"})

#: 400 by `Type` (X§9.1).
TYPES: dict[str, str] = {
    "highvolumeexception": "xero.query_too_broad",
    "queryparseexception": "xero.query_refused",
    "postdatainvalidexception": "xero.body_refused",
}

#: Other statuses (X§9.1).
STATUSES: dict[int, tuple[str, Retry]] = {
    404: ("xero.not_found", NEVER),
    409: ("xero.conflict", LATER),
    413: ("xero.too_large", NEVER),
    500: ("xero.server_error", LATER),
    502: ("xero.server_error", LATER),
    504: ("xero.server_error", LATER),
}

#: 429 by `X-Rate-Limit-Problem` (X§3.2): code, and seconds where `Retry-After` is absent.
LIMITS: dict[str, tuple[str, int]] = {
    "minute": ("xero.limit_minute", 60),
    "day": ("xero.limit_day", 3600),
    "concurrent": ("xero.limit_concurrent", 2),
    "appminute": ("xero.limit_app", 60),
}

OFFLINE_SECONDS = 300
UNAVAILABLE_SECONDS = 120
TEXT_BYTES = 2048

_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?")


def problem_of(answer: Answer) -> Problem:
    """The problem behind an answer that is not a success (or that is one and cannot be read)."""
    if answer.status == 429:
        return _limited(answer)
    if answer.status == 400:
        return _bad_request(answer)
    if answer.status in (401, 403):
        return _refused(answer)
    if answer.status == 503:
        return _unavailable(answer)
    # A page instead of an answer, and whatever a gateway says beyond 500, passes; the same question may be asked again.
    passing = (answer.status >= 500 and answer.status != 501) or 200 <= answer.status < 300
    code, retry = STATUSES.get(answer.status, ("xero.unknown", LATER if passing else NEVER))
    return Problem(code, retry, status=answer.status, text=body_text(answer), correlation=correlation(answer))


def problem_of_errors(found: Sequence[str]) -> Problem:
    """The problem behind the validation messages of one element."""
    said = list(dict.fromkeys(found))
    if not said:
        return Problem("xero.unanswered", LATER, messages=said)
    for pattern, code, retry in MESSAGES:
        for message in said:
            if match := re.search(pattern, message, re.IGNORECASE | re.DOTALL):
                values = {name: (value or "").strip() for name, value in match.groupdict().items()}
                return Problem(code, retry, messages=said, **values)
    return Problem("xero.refused", NEVER, messages=said)


def unknown_outcome(answer: Answer) -> bool:
    """May the work have been done although this answer does not say so (X§9.1)? On 409 the same key may still be running."""
    return answer.status in (409, 500, 502, 504) or (200 <= answer.status < 300 and json_object(answer) is None)


def json_object(answer: Answer) -> dict[str, Any] | None:
    """The body if it is a JSON object. HTML, XML, plain text and nothing at all occur (X§9.1)."""
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def body_text(answer: Answer) -> str:
    """The first 2 KB as text, tokens masked (X§9.1)."""
    return _JWT.sub("***", answer.body[:TEXT_BYTES].decode("utf-8", "replace")).strip()


def correlation(answer: Answer) -> str:
    """The id that Xero's support asks for (X§2.1)."""
    found = {name.lower(): value for name, value in answer.headers.items()}
    return found.get("xero-correlation-id") or found.get("x-correlation-id", "")


def _limited(answer: Answer) -> Problem:
    """A kind we do not know is treated like the minute limit."""
    heard = seen(answer.headers)
    code, default = LIMITS.get(heard.problem, LIMITS["minute"])
    seconds = default if heard.retry_after is None else heard.retry_after
    return Problem(code, after(seconds), seconds=seconds)


def _bad_request(answer: Answer) -> Problem:
    found = json_object(answer) or {}
    if said := messages(found):
        return problem_of_errors(said)
    detail = _detail(found) or body_text(answer)
    if code := TYPES.get(text(_any_case(found, "type")).lower()):
        return Problem(code, NEVER, detail=detail)
    known = problem_of_errors([detail]) if detail else None
    if known and known.code != "xero.refused":
        return known
    return Problem("xero.unknown", NEVER, status=answer.status, text=body_text(answer), correlation=correlation(answer))


def _refused(answer: Answer) -> Problem:
    found = json_object(answer)
    if found is None and answer.status == 403 and body_text(answer).startswith("<"):
        return Problem("xero.blocked", NEVER, text=body_text(answer))
    headers = {name.lower(): value for name, value in answer.headers.items()}
    said = f"{headers.get('www-authenticate', '')} {body_text(answer)}".lower()
    code, retry = next((code, retry) for statuses, word, code, retry in REFUSALS if answer.status in statuses and word in said)
    return Problem(code, retry, detail=_detail(found or {}) or body_text(answer))


def _unavailable(answer: Answer) -> Problem:
    said = body_text(answer)
    if "organisation is offline" in said.lower():
        return Problem("xero.organisation_offline", after(OFFLINE_SECONDS), seconds=OFFLINE_SECONDS)
    return Problem("xero.unavailable", after(UNAVAILABLE_SECONDS), seconds=UNAVAILABLE_SECONDS, text=said)


def _detail(found: dict[str, Any]) -> str:
    """The sentence of a problem JSON or an exception JSON; keys come in either casing (X§9.2)."""
    return next((said for name in ("detail", "message", "title") if (said := text(_any_case(part(found), name)))), "")


def _any_case(found: dict[str, Any], name: str) -> object:
    return next((value for key, value in found.items() if key.lower() == name), None)
