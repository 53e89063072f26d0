"""Help inside the app: every chapter of the guide opens, names nothing outside of it, and every step of the set-up leads to one."""

from __future__ import annotations

import re

import pytest

from plugin.web import guide
from plugin.web.words import HELP_OF_STEP


def test_every_step_leads_to_a_chapter_that_there_is() -> None:
    names = {one.name for one in guide.chapters()}
    assert len(names) > 8
    assert set(HELP_OF_STEP.values()) <= names


@pytest.mark.parametrize("chapter", guide.chapters(), ids=lambda one: one.name)
def test_a_chapter_is_text_and_nothing_else(chapter: guide.Chapter) -> None:
    assert chapter.title
    assert len(chapter.html) > 100
    assert not re.search(r"<(script|style|a|img|iframe)\b|\sstyle=|javascript:", chapter.html)
    assert "](" not in chapter.html
