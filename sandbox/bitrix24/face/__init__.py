"""The CRM's face."""

from __future__ import annotations

from typing import Any

from flask import Blueprint


def blueprint(portal_of: Any) -> Blueprint:
    return Blueprint("face", __name__)
