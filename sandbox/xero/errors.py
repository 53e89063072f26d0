"""Refusals, in the partner's own shapes (X§9)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from flask import Response, request

from sandbox.xero.words import new_id, to_json, to_xml

NOT_FOUND_TEXT = "The resource you're looking for cannot be found"


def wants_json() -> bool:
    """XML is the default when JSON is not asked for (X§2.1)."""
    return "application/json" in request.headers.get("Accept", "")


class Refused(Exception):
    """One element breaks a rule: its messages, and those of its parts by place (`LineItems`, index)."""

    def __init__(self, *messages: str, parts: dict[tuple[str, int], list[str]] | None = None) -> None:
        super().__init__("; ".join(messages))
        self.messages = list(messages)
        self.parts = parts or {}


class Halt(Exception):
    """The whole request ends with this answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(str(response.status_code))
        self.response = response


def problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    """The body of 401 and 403 (X§9.2)."""
    body: dict[str, object] = {"Type": None, "Title": title, "Status": status, "Detail": detail, "Instance": new_id(), "Extensions": {}}
    return Response(to_json(body), status, headers, mimetype="application/json")


def token_expired(at: datetime) -> Response:
    return problem(401, "Unauthorized", f"TokenExpired: token expired at {at:%m/%d/%Y %H:%M:%S}")


def exception(status: int, number: int, kind: str, message: str, elements: Iterable[object] = ()) -> Response:
    """The body of a refused request (X§9.2)."""
    body: dict[str, object] = {"ErrorNumber": number, "Type": kind, "Message": message}
    found = list(elements)
    if found:
        body["Elements"] = found
    if wants_json():
        return Response(to_json(body), status, mimetype="application/json")
    return Response(to_xml("ApiException", body), status, mimetype="text/xml")


def validation(message: str) -> Halt:
    """A rule of the request itself, not of an element."""
    element = {"ValidationErrors": [{"Message": message}]}
    return Halt(exception(400, 10, "ValidationException", "A validation exception occurred", [element]))


def bad_body(message: str) -> Halt:
    return Halt(exception(400, 14, "PostDataInvalidException", message))


def bad_query(message: str) -> Halt:
    return Halt(exception(400, 16, "QueryParseException", message))


def not_found() -> Halt:
    """404 is HTML, with this text and no JSON (X§9.1)."""
    return Halt(Response(NOT_FOUND_TEXT, 404, mimetype="text/html"))


def forbidden(detail: str = "AuthenticationUnsuccessful") -> Halt:
    return Halt(problem(403, "Forbidden", detail))
