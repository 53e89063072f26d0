"""The partner's refusals in the partner's own shape (B§3.3, B§3.5)."""

from __future__ import annotations

from typing import Any


class RestError(Exception):
    """`{"error", "error_description"}` under an HTTP status; some methods answer with 200 (B§3.3)."""

    def __init__(self, code: str | int, description: str, status: int = 400, **extra: Any) -> None:
        super().__init__(f"{code}: {description}")
        self.code, self.description, self.status, self.extra = code, description, status, extra

    def body(self) -> dict[str, Any]:
        return {"error": self.code, "error_description": self.description, **self.extra}


def access_denied(status: int = 400, text: str = "Access denied") -> RestError:
    """Rights; `crm.item.*` uses 400, most others 403 (B§3.5)."""
    return RestError("ACCESS_DENIED", text, status)


def not_found(text: str = "Element not found") -> RestError:
    return RestError("NOT_FOUND", text, 400)


def missing(name: str) -> RestError:
    """A required parameter is absent (B§3.5, code 100)."""
    return RestError("100", f"Could not find value for parameter {{{name}}}", 400)


def invalid_argument(text: str) -> RestError:
    return RestError("INVALID_ARG_VALUE", text, 400)


def nameless(text: str) -> RestError:
    """The empty code of requisites, addresses, currencies and user fields (B§8.7, B§8.8)."""
    return RestError("", text, 400)


def method_not_found() -> RestError:
    return RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", 404)


def wrong_auth_type() -> RestError:
    """An application is required; a webhook was used (B§6.1)."""
    return RestError("WRONG_AUTH_TYPE", "Current authorization type is denied for this method Application context required", 403)
