"""Who may do what: users, memberships, consents, tokens and connections (X§1)."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sandbox.controls import Controls
from sandbox.settings import SandboxSettings
from sandbox.xero.words import new_id

ISSUER = "https://identity.xero.com"
RESOURCES = f"{ISSUER}/resources"
KEY_ID = "sandbox-1"

CODE_LIFE = timedelta(minutes=5)
ACCESS_LIFE = timedelta(minutes=30)
GRACE = timedelta(minutes=30)
REFRESH_LIFE = timedelta(days=60)
CONNECTING_ROLES = ("STANDARD", "FINANCIALADVISER")

SIGN_IN = ("openid", "profile", "email", "offline_access")
APP_SCOPES = ("app.connections", "marketplace.billing")
_PAIRED = ("invoices", "payments", "banktransactions", "manualjournals", "settings", "contacts", "attachments")
_REPORTS = ("aged", "balancesheet", "banksummary", "budgetsummary", "executivesummary", "profitandloss", "trialbalance", "taxreports")
GRANULAR = frozenset(
    (
        *SIGN_IN,
        *(f"accounting.{name}{read}" for name in _PAIRED for read in ("", ".read")),
        *(f"accounting.reports.{name}.read" for name in (*_REPORTS, "tenninetynine")),
        "accounting.journals.read",
        "accounting.budgets.read",
        "paymentservices",
    )
)
BROAD = frozenset(("accounting.transactions", "accounting.transactions.read", "accounting.reports.read"))


@dataclass(frozen=True)
class User:
    """Somebody with a login."""

    key: str
    id: str
    first_name: str
    last_name: str
    email: str

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}"


@dataclass
class Membership:
    """A user's place in one organisation (X§6.9)."""

    user: User
    tenant_id: str
    role: str
    updated: datetime
    subscriber: bool = False
    bank_admin: bool = True


@dataclass
class Connection:
    """An organisation, given to the app by one user (X§1.5)."""

    id: str
    user_id: str
    tenant_id: str
    auth_event_id: str
    created: datetime
    updated: datetime


@dataclass
class Code:
    """An authorisation code: one use, five minutes."""

    user: User
    scopes: tuple[str, ...]
    auth_event_id: str
    redirect_uri: str
    challenge: str
    expires: datetime


@dataclass
class AccessToken:
    """`user` is None for the app's own token."""

    user: User | None
    scopes: frozenset[str]
    expires: datetime


@dataclass
class RefreshToken:
    """One of a family that descends from one consent; only the newest is current."""

    user: User
    scopes: tuple[str, ...]
    auth_event_id: str
    family: str
    used: datetime
    replaced: datetime | None = None


class OAuthError(Exception):
    """A refusal of the token endpoint (X§1.7)."""

    def __init__(self, error: str, status: int = 400) -> None:
        super().__init__(error)
        self.error, self.status = error, status


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign_jwt(claims: dict[str, Any]) -> str:
    """A JWT, RS256."""
    head = {"alg": "RS256", "kid": KEY_ID, "typ": "JWT"}
    signed = ".".join(_b64(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
    return f"{signed}.{_b64(_key().sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def jwks() -> dict[str, Any]:
    """The public key, as the discovery document points to it."""
    numbers = _key().public_key().public_numbers()
    modulus, exponent = (_b64(one.to_bytes((one.bit_length() + 7) // 8, "big")) for one in (numbers.n, numbers.e))
    return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": modulus, "e": exponent}]}


@dataclass
class Identity:
    """Xero's identity server."""

    controls: Controls
    settings: SandboxSettings
    users: dict[str, User] = field(default_factory=dict)
    memberships: list[Membership] = field(default_factory=list)
    connections: dict[str, Connection] = field(default_factory=dict)
    consented: dict[str, set[str]] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    access: dict[str, AccessToken] = field(default_factory=dict)
    refresh: dict[str, RefreshToken] = field(default_factory=dict)
    app_minute: list[datetime] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        return self.controls.clock.now()

    def membership(self, user: User, tenant_id: str) -> Membership | None:
        return next((one for one in self.memberships if one.user == user and one.tenant_id == tenant_id), None)

    def connection(self, user: User, tenant_id: str) -> Connection | None:
        return next((one for one in self.connections.values() if one.user_id == user.id and one.tenant_id == tenant_id), None)

    def connected_organisations(self) -> set[str]:
        """An organisation counts once, however many of its users connected it (X§1.5)."""
        return {one.tenant_id for one in self.connections.values()}

    def known_scopes(self) -> frozenset[str]:
        return GRANULAR | BROAD if self.controls.switches.get("broad_scopes") == "accepted" else GRANULAR

    # Consent.

    def consent(self, user: User, tenant_id: str | None, scopes: tuple[str, ...], redirect_uri: str, challenge: str, others: Sequence[str] = ()) -> str:
        """The user says yes: a connection or several, and a code to fetch tokens with. Scopes add up (X§1.6)."""
        event = new_id()
        for one in (tenant_id, *others):
            if one is not None:
                self._connect(user, one, event)
        granted = self.consented.setdefault(user.id, set())
        granted |= set(scopes)
        code = secrets.token_urlsafe(32)
        self.codes[code] = Code(user, tuple(sorted(granted)), event, redirect_uri, challenge, self.now + CODE_LIFE)
        return code

    def _connect(self, user: User, tenant_id: str, event: str) -> None:
        known = self.connection(user, tenant_id)
        if known is not None:
            known.auth_event_id, known.updated = event, self.now
            return
        connection = Connection(new_id(), user.id, tenant_id, event, self.now, self.now)
        self.connections[connection.id] = connection

    # Tokens.

    def exchange(self, code: str, redirect_uri: str, verifier: str) -> dict[str, Any]:
        """A code for tokens; once (X§1.3)."""
        found = self.codes.pop(code, None)
        if found is None or found.expires < self.now or found.redirect_uri != redirect_uri:
            raise OAuthError("invalid_grant")
        if found.challenge and _b64(hashlib.sha256(verifier.encode()).digest()) != found.challenge:
            raise OAuthError("invalid_grant")
        return self._tokens(found.user, found.scopes, found.auth_event_id, new_id())

    def renew(self, token: str) -> dict[str, Any]:
        """Rotation: a new pair; the one before may be used again for 30 minutes (X§1.3)."""
        found = self.refresh.get(token)
        if found is None or found.used + REFRESH_LIFE < self.now:
            raise OAuthError("invalid_grant")
        if found.replaced is not None and found.replaced + GRACE < self.now:
            raise OAuthError("invalid_grant")
        for one in self.refresh.values():
            if one.family == found.family and one.replaced is None:
                one.replaced = self.now
        return self._tokens(found.user, found.scopes, found.auth_event_id, found.family)

    def app_token(self, scopes: tuple[str, ...]) -> dict[str, Any]:
        """Client credentials of a web app: no organisation, no user (X§1.1)."""
        if not scopes or any(one not in APP_SCOPES for one in scopes):
            raise OAuthError("invalid_scope")
        expires = self.now + ACCESS_LIFE
        claims = self._claims(expires) | {"aud": RESOURCES, "client_id": self.settings.xero_client_id, "jti": secrets.token_hex(16), "scope": list(scopes)}
        token = sign_jwt(claims)
        self.access[token] = AccessToken(None, frozenset(scopes), expires)
        return {"access_token": token, "expires_in": 1800, "token_type": "Bearer", "scope": " ".join(scopes)}

    def revoke(self, token: str) -> None:
        """Every connection that this user gave to the app goes, and every refresh token (X§1.3)."""
        found = self.refresh.get(token)
        if found is None:
            return
        user = found.user
        self.refresh = {key: one for key, one in self.refresh.items() if one.user != user}
        self.connections = {key: one for key, one in self.connections.items() if one.user_id != user.id}
        self.consented.pop(user.id, None)

    def _claims(self, expires: datetime) -> dict[str, Any]:
        return {"nbf": int(self.now.timestamp()), "exp": int(expires.timestamp()), "iss": ISSUER}

    def _tokens(self, user: User, scopes: tuple[str, ...], event: str, family: str) -> dict[str, Any]:
        expires = self.now + ACCESS_LIFE
        session = hashlib.sha256(f"{user.id}{family}".encode()).hexdigest()[:32]
        who = {
            "sub": hashlib.sha256(user.id.encode()).hexdigest()[:32],
            "auth_time": int(self.now.timestamp()),
            "xero_userid": user.id,
            "global_session_id": session,
        }
        claims = self._claims(expires) | who | {"aud": RESOURCES, "client_id": self.settings.xero_client_id, "jti": secrets.token_hex(16)}
        access = sign_jwt(claims | {"authentication_event_id": event, "scope": list(scopes)})
        self.access[access] = AccessToken(user, frozenset(scopes), expires)
        answer: dict[str, Any] = {"access_token": access, "expires_in": 1800, "token_type": "Bearer", "scope": " ".join(scopes)}
        if "openid" in scopes:
            answer["id_token"] = self._id_token(user, scopes, who, access)
        if "offline_access" in scopes:
            answer["refresh_token"] = secrets.token_urlsafe(32)
            self.refresh[answer["refresh_token"]] = RefreshToken(user, scopes, event, family, self.now)
        return answer

    def _id_token(self, user: User, scopes: tuple[str, ...], who: dict[str, Any], access: str) -> str:
        claims = self._claims(self.now + CODE_LIFE) | who
        claims |= {"iat": claims["nbf"], "aud": self.settings.xero_client_id, "sid": who["global_session_id"]}
        claims["at_hash"] = _b64(hashlib.sha256(access.encode()).digest()[:16])
        if "profile" in scopes:
            claims |= {"preferred_username": user.email, "given_name": user.first_name, "family_name": user.last_name, "name": user.name}
        if "email" in scopes:
            claims["email"] = user.email
        return sign_jwt(claims)
