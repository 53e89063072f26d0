"""What the advisory services say, read: holes fail, silence is named, and nothing passes for clean that was not looked at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launch import audit
from launch.audit import CLEAN, HOLES, UNASKED, Found, read_npm, read_python
from launch.tree import Tree

GOOD = {"name": "flask", "version": "3.1.1", "vulns": []}
BAD = {"name": "jinja2", "version": "2.0", "vulns": [{"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"], "aliases": [], "description": "x"}]}
SKIPPED = {"name": "rq", "skip_reason": "Dependency not found on PyPI and could not be audited: rq (2.12.0)"}
NPM_GOOD = {"vulnerabilities": {}, "metadata": {"dependencies": {"total": 7}}}
NPM_BAD = {"vulnerabilities": {"axios": {"severity": "high", "range": "<1.8.2"}}, "metadata": {"dependencies": {"total": 7}}}


def test_holes_and_silence_are_told_apart() -> None:
    found = Found()
    read_python(json.dumps({"dependencies": [GOOD, BAD, SKIPPED], "fixes": []}), found)
    read_npm(json.dumps(NPM_BAD), found)

    assert found.asked == 9
    assert found.holes == ["jinja2 2.0: PYSEC-2019-217, mended in 2.10.1", "axios <1.8.2: high"]
    assert [one.partition(":")[0] for one in found.unasked] == ["rq"]


@pytest.mark.parametrize("said", ["", "ERROR: no route to host", "[]", '{"message": "405 Method Not Allowed", "statusCode": 405}'])
def test_what_is_no_report_is_silence(said: str) -> None:
    found = Found()
    read_python(said, found)
    read_npm(said, found)

    assert (found.asked, found.holes, len(found.unasked)) == (0, [], 2)


@pytest.mark.parametrize(
    ("python", "npm", "status"),
    [
        ([GOOD], json.dumps(NPM_GOOD), CLEAN),
        ([GOOD, BAD, SKIPPED], "", HOLES),
        ([GOOD, SKIPPED], json.dumps(NPM_GOOD), UNASKED),
        ([GOOD], "", UNASKED),
    ],
)
def test_the_exit_status_says_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, python: list[object], npm: str, status: int) -> None:
    programs = tmp_path / "var" / "audit" / "bin"
    programs.mkdir(parents=True)
    for name, said in ((programs / "pip-audit", json.dumps({"dependencies": python})), (tmp_path / "npm", npm)):
        name.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit 1\n")
        name.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(audit, "own_environment", lambda *_: programs / "python")

    assert audit.audit(Tree(tmp_path)) == status
