"""Help inside the app: the guide for users (docs/users.md), a page for each of its chapters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from plugin.usecases import NotHere
from plugin.web.render import page

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "users.md"

blueprint = Blueprint("help", __name__, url_prefix="/help")


@dataclass(frozen=True)
class Chapter:
    """One chapter of the guide: its name in addresses, its title, its text."""

    name: str
    title: str
    html: Markup


@blueprint.get("")
def contents() -> ResponseReturnValue:
    """What there is to read."""
    return page("help/contents.html", "help", chapters=chapters())


@blueprint.get("/<name>")
def chapter(name: str) -> ResponseReturnValue:
    """One chapter."""
    found = next((one for one in chapters() if one.name == name), None)
    if found is None:
        raise NotHere
    return page("help/chapter.html", "help", chapter=found, chapters=chapters())


@lru_cache(maxsize=1)
def chapters() -> tuple[Chapter, ...]:
    """The guide in its chapters. It passes no HTML through; links that lead out of it stay as words, and its pictures are left out."""
    reader = MarkdownIt("commonmark").enable("table")
    found = []
    for part in re.split(r"^## ", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        tokens = reader.parse(text)
        for token in tokens:
            token.children = _words(token.children)
        # The guide is ours, and nothing in it is taken over as HTML.
        found.append(Chapter(_name(title), title.strip(), Markup(reader.renderer.render(tokens, reader.options, {}))))  # noqa: S704
    return tuple(found)


def _name(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _words(children: list[Token] | None) -> Any:
    return None if children is None else [one for one in children if one.type not in ("link_open", "link_close", "image")]
