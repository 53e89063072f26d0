"""The portal's /rest/: authentication, limits, scopes, envelopes (B§3, B§4)."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, g, request

from sandbox.bitrix24 import batch, methods
from sandbox.bitrix24.call import METHODS, Call
from sandbox.bitrix24.errors import RestError, method_not_found
from sandbox.bitrix24.people import User
from sandbox.bitrix24.php import nest
from sandbox.bitrix24.portal import Portal

methods.load()


class CeilingReached(Exception):
    """The request would have run longer than sixty simulated seconds (B§4.1)."""


class Request:
    """One HTTP request to a portal's REST."""

    def __init__(self, portal: Portal, name: str, params: dict[str, Any], source: str, webhook: tuple[int, str] | None = None) -> None:
        self.portal, self.name, self.params, self.source, self.webhook = portal, name.lower(), params, source, webhook
        self.started = time.time()
        self.simulated = 0.0
        self.detail: dict[str, Any] = {"portal": portal.name, "method": name, "commands": 0, "user": 0}

    def answer(self) -> tuple[dict[str, Any] | str, int]:
        try:
            self._into_bucket()
            user = self._authenticate()
            self.detail["user"] = user.id
            if self.name == "batch":
                return self._batch(user), 200
            result, more = self._execute(self.name, self.params, user)
            body = {"result": result, **{key: more[key] for key in ("total", "next") if more.get(key) is not None}}
            if isinstance(result, _Bare):
                body = {**result.body, **{key: value for key, value in body.items() if key != "result"}}
            return {**body, "time": more["time"]}, 200
        except RestError as refusal:
            return refusal.body(), refusal.status
        except CeilingReached:
            return "<html><head><title>504 Gateway Time-out</title></head><body><h1>504 Gateway Time-out</h1></body></html>", 504

    # --- before the method ---------------------------------------------------------------------------------------

    @property
    def _limited(self) -> bool:
        return self.portal.limits.enforced and self.portal.switch("limits") == "on"

    def _into_bucket(self) -> None:
        if self._limited:
            with self.portal.lock:
                self.portal.limits.take(self.source, self.portal.plan, self.portal.now().timestamp())
        if "overload" in self.portal.troubles:
            raise RestError("OVERLOAD_LIMIT", "REST API is blocked due to overload.", 503)
        if "deleted" in self.portal.troubles:
            raise RestError("PORTAL_DELETED", "Portal was deleted", int(self.portal.switch("portal_deleted_status")))
        if "not_commercial" in self.portal.troubles:
            raise RestError("ACCESS_DENIED", "REST API is available only on commercial plans.", 403)
        if "internal_error" in self.portal.troubles:
            raise RestError("INTERNAL_SERVER_ERROR", "Internal server error", 500)

    def _authenticate(self) -> User:
        """The table of 401s in B§3.5."""
        if self.webhook is not None:
            user = self.portal.users.get(self.webhook[0])
            if user is None or not user.active or self.webhook[1] != self.portal.webhook_secret:
                raise self._auth_error("INVALID_CREDENTIALS", "Invalid request credentials")
            return user
        token = self.params.get("auth") or self.params.get("access_token")
        if not token or not isinstance(token, str):
            raise self._auth_error("NO_AUTH_FOUND", "Wrong authorization data")
        pair = self.portal.tokens.by_access(token)
        if pair is None:
            code = self.portal.switch("unknown_token_error")
            raise self._auth_error(code, "Wrong authorization data" if code == "NO_AUTH_FOUND" else "Unable to get application by token")
        if pair.member_id != self.portal.member_id or pair.client_id != self.portal.settings.bitrix24_client_id:
            raise self._auth_error("invalid_token", "Unable to get application by token")
        if pair.dead or self.portal.installation is None:
            code = self.portal.switch("app_removed_error")
            raise self._auth_error(code, "Application not installed" if code == "ERROR_OAUTH" else "Application not found")
        if self.portal.tokens.expired(pair):
            raise self._auth_error("expired_token", "The access token provided has expired.")
        return self._user_of(pair.user_id)

    def _user_of(self, user_id: int) -> User:
        app, user = self.portal.installation, self.portal.users.get(user_id)
        if app is not None and app.payment_expired:
            raise self._auth_error("PAYMENT_REQUIRED", "Subscription has been ended")
        if user is None or not user.active:
            raise self._auth_error("authorization_error", "Unable to authorize user")
        if user.extranet:
            raise RestError("allowed_only_intranet_user", "Allowed only intranet user", 403)
        if not user.may_use_app:
            raise RestError("user_access_error", "The user does not have access to the application.", 403)
        return user

    def _auth_error(self, code: str, text: str) -> RestError:
        return RestError(code.upper() if self.portal.switch("error_case") == "upper" else code, text, 401)

    # --- the method ------------------------------------------------------------------------------------------------

    def _execute(self, name: str, params: dict[str, Any], user: User, in_batch: bool = False) -> tuple[Any, dict[str, Any]]:
        found = METHODS.get(name.lower())
        if found is None:
            raise method_not_found()
        if in_batch and not found.in_batch:
            raise RestError("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage", 405)
        app = None if self.webhook else self.portal.installation
        if app is not None and not found.allowed(app.scopes):
            raise RestError(
                "insufficient_scope",
                "The request requires higher privileges than provided by the access token",
                int(self.portal.switch("insufficient_scope_status")),
            )
        self._check_confirmation(found.name)
        now = self.portal.now().timestamp()
        call = Call(self.portal, user, found.name, params, app)
        with self.portal.lock:
            if self._limited:
                self.portal.limits.check_operating(found.name, now)
            started = time.time()
            result = found.run(call)
            cost = self.portal.limits.cost(name.lower())
            self.portal.limits.spend(found.name, cost, now)
        self.simulated += cost
        if self._limited and self.simulated > self.portal.limits.request_ceiling:
            raise CeilingReached
        return result, {"total": call.total, "next": call.next, "time": self._time(found.name, started, now)}

    def _check_confirmation(self, name: str) -> None:
        state = self.portal.confirm_methods.get(name, True)
        if state is None:
            raise RestError("METHOD_CONFIRM_WAITING", "Waiting for confirmation", int(self.portal.switch("method_confirm_status")))
        if state is False:
            raise RestError("METHOD_CONFIRM_DENIED", "Method call denied", 403)

    def _batch(self, user: User) -> dict[str, Any]:
        """Counts as one request; every command counts for operating time (B§4.1)."""
        raw = self.params.get("cmd")
        found = batch.commands(raw, "each")
        self.detail["commands"] = len(found)
        self.detail["methods"] = [text.partition("?")[0] for _, text in found]
        halt = str(self.params.get("halt", 0)) not in ("0", "", "False", "false", "None")
        portal = self.portal
        result = batch.run(
            raw, halt, portal.switch("batch_unresolved"), portal.switch("batch_over_length"), lambda name, params: self._command(name, params, user)
        )
        return {"result": result, "time": self._time("batch", self.started, portal.now().timestamp())}

    def _command(self, name: str, params: dict[str, Any], user: User) -> tuple[Any, dict[str, Any]]:
        if name.lower() == "batch":
            raise RestError("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage", 405)
        result, more = self._execute(name, params, user, in_batch=True)
        return (result.body if isinstance(result, _Bare) else result), more

    def _time(self, name: str, started: float, now: float) -> dict[str, Any]:
        finished = time.time()
        zone, moment = self.portal.zone, self.portal.now()
        written = moment.astimezone(zone).isoformat(timespec="seconds")
        begun = (moment - timedelta(seconds=finished - started)).astimezone(zone).isoformat(timespec="seconds")
        block = {
            "start": started,
            "finish": finished,
            "duration": finished - started,
            "processing": finished - started,
            "date_start": begun,
            "date_finish": written,
        }
        if not self.portal.on_premise:
            block["operating_reset_at"] = self.portal.limits.reset_at(name, now)
            block["operating"] = self.portal.limits.operating(name, now)
        return block


_Bare = methods.Bare


def parameters() -> dict[str, Any]:
    """Query string and body together, form or JSON (B§3.1)."""
    found = nest(request.args.items(multi=True))
    if request.is_json:
        try:
            body = json.loads(request.get_data() or b"{}")
        except ValueError:
            body = {}
        found |= body if isinstance(body, dict) else {}
    elif request.form:
        found |= nest(request.form.items(multi=True))
    return found


def blueprint(portal_of: Any) -> Blueprint:
    """`/rest/{method}[.json]`, `/rest/{user}/{secret}/{method}` and the CORS preflight (B§7.7)."""
    rest = Blueprint("rest", __name__, url_prefix="/rest")

    def respond(body: dict[str, Any] | str, status: int) -> Response:
        text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        answer = Response(text, status, mimetype="text/html" if isinstance(body, str) else "application/json")
        answer.headers["Access-Control-Allow-Origin"] = "*"
        return answer

    @rest.route("/<path:path>", methods=["GET", "POST", "OPTIONS"])
    def call(path: str) -> Response:
        if request.method == "OPTIONS":
            answer = Response(status=200)
            answer.headers.update(
                {
                    "Access-Control-Allow-Origin": "*",
                    "Access-Control-Allow-Headers": "origin, content-type, accept, x-requested-with",
                    "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
                }
            )
            return answer
        portal = portal_of()
        parts = path.strip("/").split("/")
        webhook = (int(parts[0]), parts[1]) if len(parts) == 3 and parts[0].isdigit() else None
        if (len(parts) != 1 and webhook is None) or parts[-1].endswith(".xml"):
            return respond(method_not_found().body(), 404)
        one = Request(portal, parts[-1].removesuffix(".json"), parameters(), request.remote_addr or "", webhook)
        body, status = one.answer()
        g.seen_detail = one.detail
        return respond(body, status)

    return rest
