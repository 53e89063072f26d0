"""Bitrix24's errors as our problems (B§2.4, §3.3, §3.5, §9.3).

Every problem of this table carries `error` (the partner's code), `text` (the partner's words without HTML, localised: shown, never
branched on), `status` (HTTP; 0 inside a batch) and `method`. Further parameters and the codes made elsewhere in this folder:

bitrix24.token_expired            later      refresh once, then repeat the call
bitrix24.token_invalid            reconnect  refresh once, then give up
bitrix24.token_missing            never
bitrix24.grant_invalid            reconnect  the refresh token is dead: somebody must open the app
bitrix24.client_refused           reconnect  our id or secret is wrong, or the app is not installed there
bitrix24.user_gone                reconnect  the token's user was dismissed
bitrix24.not_installed            reconnect  stops the portal
bitrix24.payment_required         reconnect  stops the portal
bitrix24.plan                     reconnect  stops the portal: REST only on commercial plans
bitrix24.blocked                  reconnect  stops the portal: blocked by hand, ask Bitrix24's support
bitrix24.portal_deleted           after      seconds; stops the portal, looked at again daily
bitrix24.busy                     after      seconds; halts the portal's other workers
bitrix24.operating_limit          after      seconds; for this `method` only
bitrix24.portal_fault             later      a write may have been done
bitrix24.not_json                 later      a page instead of an answer (captcha, firewall, site closed)
bitrix24.moved                    later      location (the new REST endpoint, still to be confirmed)
bitrix24.command_skipped          later      a command of a batch without result and without error
bitrix24.access_denied            never
bitrix24.app_not_shared           never      the administrator does not share the app with this user
bitrix24.extranet_user            never
bitrix24.needs_application        never
bitrix24.confirm_waiting          never      until ONAPPMETHODCONFIRM
bitrix24.confirm_denied           never
bitrix24.scope_missing            never
bitrix24.method_not_found         never
bitrix24.not_in_batch             never      call it by itself
bitrix24.batch_too_long           never
bitrix24.request_invalid          never
bitrix24.argument_invalid         never
bitrix24.not_found                never
bitrix24.type_not_supported       never
bitrix24.field_required           never
bitrix24.field_invalid            never
bitrix24.plan_restricts           never      the plan forbids adding or changing this kind of item
bitrix24.unknown                  never      everything else, in full
bitrix24.stage_refused            never      id, stage (writing.py: the other fields were written)
bitrix24.field_missing            never      id, field (writing.py: the portal has no such user field)
bitrix24.no_smart_invoices        never      (stages.py)
bitrix24.unreadable               never      value (values.py)
bitrix24.event_malformed          never      missing (events.py)
launch.*                          see launch.py
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Mapping
from typing import Any

from plugin.domain.problems import LATER, NEVER, RECONNECT, Problem, Retry, after

BUSY_SECONDS = 2.0  # the bucket drains two requests a second (B§4.1)
OPERATING_SECONDS = 60.0  # the budget is counted in ten one-minute buckets (B§4.1)
DAY_SECONDS = 86_400.0
TEXT_LIMIT = 2_000

#: Partner's code in lower case: our code, retry.
TABLE: Mapping[str, tuple[str, Retry]] = {
    "expired_token": ("bitrix24.token_expired", LATER),
    "invalid_token": ("bitrix24.token_invalid", RECONNECT),
    "no_auth_found": ("bitrix24.token_missing", NEVER),
    "invalid_grant": ("bitrix24.grant_invalid", RECONNECT),
    "invalid_client": ("bitrix24.client_refused", RECONNECT),
    "wrong_client": ("bitrix24.client_refused", RECONNECT),
    "authorization_error": ("bitrix24.user_gone", RECONNECT),
    "application_not_found": ("bitrix24.not_installed", RECONNECT),
    "error_oauth": ("bitrix24.not_installed", RECONNECT),
    "not_installed": ("bitrix24.not_installed", RECONNECT),
    "payment_required": ("bitrix24.payment_required", RECONNECT),
    "overload_limit": ("bitrix24.blocked", RECONNECT),
    "portal_deleted": ("bitrix24.portal_deleted", after(DAY_SECONDS)),
    "query_limit_exceeded": ("bitrix24.busy", after(BUSY_SECONDS)),
    "operation_time_limit": ("bitrix24.operating_limit", after(OPERATING_SECONDS)),
    "internal_server_error": ("bitrix24.portal_fault", LATER),
    "error_unexpected_answer": ("bitrix24.portal_fault", LATER),
    "access_denied": ("bitrix24.access_denied", NEVER),
    "access_error": ("bitrix24.access_denied", NEVER),
    "invalid_credentials": ("bitrix24.access_denied", NEVER),
    "200040300010": ("bitrix24.access_denied", NEVER),
    "200040300020": ("bitrix24.access_denied", NEVER),
    "200040300040": ("bitrix24.access_denied", NEVER),
    "user_access_error": ("bitrix24.app_not_shared", NEVER),
    "allowed_only_intranet_user": ("bitrix24.extranet_user", NEVER),
    "wrong_auth_type": ("bitrix24.needs_application", NEVER),
    "method_confirm_waiting": ("bitrix24.confirm_waiting", NEVER),
    "method_confirm_denied": ("bitrix24.confirm_denied", NEVER),
    "insufficient_scope": ("bitrix24.scope_missing", NEVER),
    "invalid_scope": ("bitrix24.scope_missing", NEVER),
    "error_method_not_found": ("bitrix24.method_not_found", NEVER),
    "error_batch_method_not_allowed": ("bitrix24.not_in_batch", NEVER),
    "error_batch_length_exceeded": ("bitrix24.batch_too_long", NEVER),
    "invalid_request": ("bitrix24.request_invalid", NEVER),
    "invalid_arg_value": ("bitrix24.argument_invalid", NEVER),
    "100": ("bitrix24.argument_invalid", NEVER),
    "not_found": ("bitrix24.not_found", NEVER),
    "owner_not_found": ("bitrix24.not_found", NEVER),
    "entity_type_not_supported": ("bitrix24.type_not_supported", NEVER),
    "crm_field_error_required": ("bitrix24.field_required", NEVER),
    "crm_field_error_value_not_valid": ("bitrix24.field_invalid", NEVER),
    "create_dynamic_item_restricted": ("bitrix24.plan_restricts", NEVER),
    "update_dynamic_item_restricted": ("bitrix24.plan_restricts", NEVER),
    "create_dynamic_type_restricted": ("bitrix24.plan_restricts", NEVER),
}

#: The token may be renewed once for these, and the call repeated (B§3.5, column T).
REFRESHABLE = frozenset({"bitrix24.token_expired", "bitrix24.token_invalid"})

#: Nothing more is asked of a portal that answered one of these (B§3.5, column S).
STOPPING = frozenset({"bitrix24.not_installed", "bitrix24.payment_required", "bitrix24.plan", "bitrix24.blocked", "bitrix24.portal_deleted"})


def problem_of(status: int, body: Any, method: str = "") -> Problem | None:
    """The problem that an answer stands for, or None for a good one. `"error" in body` is asked first, whatever the status (B§3.3)."""
    if isinstance(body, Mapping) and "error" in body:
        return _refusal(status, body, method)
    if not isinstance(body, Mapping):
        return Problem("bitrix24.not_json", LATER, error="", text="", status=status, method=method)
    if status == 503 or status == 429:
        return Problem("bitrix24.busy", after(BUSY_SECONDS), error="", text="", status=status, method=method, seconds=int(BUSY_SECONDS))
    if status >= 500:
        return Problem("bitrix24.portal_fault", LATER, error="", text="", status=status, method=method)
    if status >= 400:
        return Problem("bitrix24.unknown", NEVER, error="", text=plain_text(body), status=status, method=method)
    return None


def _refusal(status: int, body: Mapping[str, Any], method: str) -> Problem:
    error, text = _code_and_text(body)
    code, retry = TABLE.get(error.lower(), ("bitrix24.unknown", NEVER))
    if code == "bitrix24.access_denied" and status == 403 and "commercial plan" in text.lower():
        # The one place where words decide: a downgraded plan has no code of its own (B§3.5). A translated text stays "access denied".
        code, retry = "bitrix24.plan", RECONNECT
    if code == "bitrix24.operating_limit":
        retry = after(_until_reset(body))
    seconds = {"seconds": int(retry.seconds)} if retry.kind == "after" else {}
    return Problem(code, retry, error=error, text=text, status=status, method=method, **seconds)


def _code_and_text(body: Mapping[str, Any]) -> tuple[str, str]:
    """`error` may be a string, a number, empty, or an object with code and message (B§3.3, §3.4)."""
    error, text = body.get("error"), body.get("error_description", "")
    if isinstance(error, Mapping):
        error, text = error.get("code", ""), error.get("message", text)
    return str("" if error is None else error).strip(), plain_text(text)


def _until_reset(body: Mapping[str, Any]) -> float:
    spent = body.get("time")
    reset_at = spent.get("operating_reset_at") if isinstance(spent, Mapping) else None
    try:
        return max(1.0, float(reset_at) - time.time()) if reset_at else OPERATING_SECONDS
    except (TypeError, ValueError):
        return OPERATING_SECONDS


def plain_text(value: Any) -> str:
    """The partner's words without tags and entities (B§3.3: descriptions may hold HTML)."""
    text = html.unescape(re.sub(r"<[^<>]*>", " ", str("" if value is None else value)))
    return " ".join(text.split())[:TEXT_LIMIT]
