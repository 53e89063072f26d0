"""What every Accounting call passes before its work: token, organisation, limits, scope, size, idempotency (X§1.6, X§2.1, X§3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, g, request

from sandbox.xero import idempotency, queries
from sandbox.xero.errors import Halt, bad_body, forbidden, problem, token_expired, validation
from sandbox.xero.identity import CONNECTING_ROLES, AccessToken
from sandbox.xero.words import new_id

if TYPE_CHECKING:
    from sandbox.xero.world import World

API = "/api.xro/2.0/"

#: The scope (without `.read`) that a resource needs; any one of several (X§1.6).
_SCOPES = {
    "Invoices": ("accounting.invoices",),
    "CreditNotes": ("accounting.invoices",),
    "Quotes": ("accounting.invoices",),
    "Payments": ("accounting.payments",),
    "Contacts": ("accounting.contacts",),
    **dict.fromkeys(("Organisation", "Accounts", "TaxRates", "TrackingCategories", "Currencies", "BrandingThemes", "Users", "Items"), ("accounting.settings",)),
}
_BROAD = {"Invoices", "CreditNotes", "Quotes", "Payments", "Items"}
_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_BODY_LIMITS = {"10MB": 10 * 1024 * 1024, "3.5MB": int(3.5 * 1024 * 1024)}


class Gate:
    """Lets calls in, or answers in their place."""

    def __init__(self, world: World) -> None:
        self._world = world

    def admit(self) -> Response | None:
        """Called for every request, before faults and latency; only Accounting calls are looked at closely."""
        try:
            if request.path.lower().startswith("/connections"):
                return self._world.limits.count_app_call()
            if not request.path.startswith(API):
                return None
            g.correlation_id = new_id()
            with self._world.lock:
                self._admit()
            return self._begin_idempotent()
        except Halt as halt:
            return halt.response

    def _admit(self) -> None:
        self._check_url()
        token = self.bearer()
        user = token.user
        tenant = request.headers.get("Xero-Tenant-Id", "").lower()
        books = self._world.books.get(tenant)
        if user is None or books is None:
            raise forbidden()
        connection = self._world.identity.connection(user, tenant)
        membership = self._world.identity.membership(user, tenant)
        if connection is None or membership is None or membership.role not in CONNECTING_ROLES:
            raise forbidden()
        age = (self._world.identity.now - connection.created).total_seconds()
        refused = self._world.limits.enter(tenant, age)
        if refused is not None:
            raise Halt(refused)
        g.tenant_id = tenant
        g.books, g.membership = books, membership
        self._check_scope(token)
        if books.organisation.offline:
            raise Halt(Response("The Organisation is offline", 503, mimetype="text/plain"))
        queries.check(request.path.removeprefix(API), self._world.switch("quote_page_size") != "refused")
        self._check_body()

    def bearer(self) -> AccessToken:
        """The token of the call, or 401 (X§9.2)."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise Halt(problem(401, "Unauthorized", "AuthenticationUnsuccessful"))
        token = self._world.identity.access.get(given)
        if token is None:
            raise Halt(problem(401, "Unauthorized", "TokenInvalidSignature"))
        if token.expires < self._world.identity.now:
            raise Halt(token_expired(token.expires))
        return token

    def _check_url(self) -> None:
        limit = self._world.switch("url_limit")
        if limit != "none" and len(request.full_path) > int(limit):
            raise Halt(Response("Request-URI Too Long", 414, mimetype="text/html"))

    def _check_scope(self, token: AccessToken) -> None:
        resource = request.path.removeprefix(API).partition("/")[0]
        wanted = list(_SCOPES.get(resource, ()))
        if resource == "Items" and self._world.switch("items_scope") == "invoices":
            wanted.append("accounting.invoices")
        if not wanted:
            return
        held = set(token.scopes)
        if resource in _BROAD and self._world.switch("broad_scopes") == "accepted":
            wanted.append("accounting.transactions")
        reads = request.method not in _WRITES
        if any(one in held or (reads and f"{one}.read" in held) for one in wanted):
            return
        if self._world.switch("missing_scope") == "403":
            raise forbidden("AuthorizationUnsuccessful")
        header = {"WWW-Authenticate": 'Bearer realm="OAuth2", error="insufficient_scope"'}
        raise Halt(problem(401, "Unauthorized", "AuthorizationUnsuccessful", header))

    def _check_body(self) -> None:
        if request.method not in ("POST", "PUT"):
            return
        raw = request.get_data(cache=True)
        if len(raw) > _BODY_LIMITS[self._world.switch("body_limit")]:
            raise Halt(Response("Request Entity Too Large", 413, mimetype="text/html"))
        if raw and request.mimetype != "application/json":
            raise bad_body("The Content-Type must be application/json")
        if len(request.headers.get("Idempotency-Key", "")) > idempotency.LONGEST:
            raise validation("The Idempotency-Key must not exceed 128 characters")

    def _begin_idempotent(self) -> Response | None:
        key = request.headers.get("Idempotency-Key", "")
        if not key or request.method not in ("POST", "PUT", "PATCH"):
            return None
        mark = idempotency.fingerprint(request.method, request.full_path, request.get_data(cache=True))
        entry, first = self._world.idempotency.begin(key, mark, self._world.identity.now)
        if entry.fingerprint != mark:
            return idempotency.conflict(key, self._world.switch("idempotency_conflict_body") == "json")
        if not first and not entry.answered and self._world.switch("idempotency_running") == "conflict":
            return problem(409, "Conflict", f"A request with Idempotency Key {key} is still running")
        g.idempotent, g.idempotent_first = entry, first
        return None

    def finish(self, response: Response) -> Response:
        """Headers of every Accounting answer."""
        if "correlation_id" in g:
            response.headers.setdefault("Xero-Correlation-Id", g.correlation_id)
        if "tenant_id" in g:
            with self._world.lock:
                response.headers.update(self._world.limits.headers(g.tenant_id))
            g.answered = response.status_code
        return response

    def end(self) -> None:
        """After every request, however it ended."""
        if g.get("idempotent") is not None and g.idempotent_first:
            self._world.idempotency.drop(request.headers.get("Idempotency-Key", ""), g.idempotent)
        if "tenant_id" in g:
            with self._world.lock:
                self._world.limits.leave_call(g.tenant_id, g.get("answered", 500))
