"""Bodies as Xero wants them: money exactly as it is, the same bytes for the same content, plain text without control characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from json.encoder import encode_basestring


def encode(value: object) -> bytes:
    """JSON in UTF-8 with Decimals written as exact numbers. A repeated call must repeat its bytes (X§10.1), so order is kept as given.

    Floats and nulls are refused: a float is not money, and what null does differs per field (X§2.7).
    """
    return _json(value).encode()


def _json(value: object) -> str:
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return number(Decimal(value))
    if isinstance(value, date):
        return f'"{value.isoformat()[:10]}"'
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{encode_basestring(str(name))}:{_json(one)}" for name, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_json(one) for one in value) + "]"
    raise TypeError(f"{type(value).__name__} does not belong in a body for Xero")


def number(value: Decimal) -> str:
    """A finite Decimal in plain digits, without exponent or trailing zeros: equal values give equal bytes."""
    if not value.is_finite():
        raise ValueError(f"{value} is no amount")
    digits = format(value, "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return "0" if digits in ("-0", "") else digits


def decimals(value: Decimal, most: int) -> Decimal:
    """The value itself if it has at most so many decimals. Xero would round silently, and then totals differ (X§2.4)."""
    if value != round(value, most):
        raise ValueError(f"{value} has more than {most} decimals")
    return value


def one_line(value: str, most: int) -> str:
    """Composed (NFC), every run of white space and control characters one space, trimmed, cut."""
    if value.isascii() and value.isprintable():
        return " ".join(value.split())[:most].rstrip()
    kept = (" " if char.isspace() or unicodedata.category(char) in ("Cc", "Cs") else char for char in unicodedata.normalize("NFC", value))
    return " ".join("".join(kept).split())[:most].rstrip()


def many_lines(value: str, most: int) -> str:
    """Plain text with line ends and tabs kept and other control characters stripped (X§13.3), trimmed, cut."""
    if value.isprintable():
        return value.strip()[:most].rstrip()
    plain = value.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char for char in plain if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs")).strip()[:most].rstrip()
