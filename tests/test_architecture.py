"""Rules that a reviewer would otherwise have to remember."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.routing import Rule

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ROOT / "plugin"

#: What the world may call without a frame pass. Each of these believes nothing but what it can verify itself.
PUBLIC = {
    "/",  # says what this is
    "/static/<path:filename>",
    "/bitrix24/install",  # the opening POSTs: believed only after Bitrix24 confirms their token
    "/bitrix24/app",
    "/bitrix24/placement",
    "/bitrix24/events",  # application token
    "/bitrix24/robot",
    "/app/pass",  # a new frame pass for an old one, after Bitrix24 confirms the person
    "/xero/connect",  # one-use ticket
    "/xero/callback",  # state and first-party cookie
    "/xero/webhooks",  # signature
    "/healthz",
    "/metrics",
}


def _sources(folder: Path = PLUGIN) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts)


def _files_with(pattern: str) -> list[str]:
    """A line each: where in the product the pattern stands."""
    return [
        str(path.relative_to(ROOT))
        for path in _sources()
        for line in path.read_text().splitlines()
        if re.search(pattern, line, re.IGNORECASE) and not line.lstrip().startswith("#")
    ]


def test_only_one_place_commits() -> None:
    assert _files_with(r"\bcommit\(\)") == ["plugin/db.py"]


def test_the_environment_is_read_in_one_place() -> None:
    assert _files_with(r"\bos\.(environ|getenv)\b") == ["plugin/config.py"]


def test_the_product_has_no_word_for_those_who_stand_in_for_its_partners() -> None:
    assert _files_with("sandbox") == []


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "plugin.domain" if node.level else node.module or ""


def test_the_domain_needs_the_standard_library_only() -> None:
    foreign = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in _sources(PLUGIN / "domain")
        for name in _imports(path)
        if name.partition(".")[0] not in sys.stdlib_module_names and not f"{name}.".startswith("plugin.domain.")
    }
    assert foreign == set()


def test_the_domain_loads_no_framework() -> None:
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in _sources(PLUGIN / "domain")]
    script = f"""
import sys, importlib
for name in {modules}:
    importlib.import_module(name)
print({{"flask", "sqlalchemy", "requests", "rq"}} & set(sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "set()\n"


def _ours() -> list[Path]:
    """Every file that is, or would be, committed; in a copy without its history, all but what .gitignore names."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    if shutil.which("git") and (listed := subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)).returncode == 0:
        return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    ignored = {".git", ".venv", "var", "vendor", "node_modules", "__pycache__"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not any(part in ignored or part.endswith("_cache") for part in path.parts)]


def test_no_file_knows_one_machine() -> None:
    """Neither its folders nor its package index."""
    folders = re.compile(rb"(?<![\w.<>-])/(work|farm|root|Users)/[a-z.]")
    index = re.compile(rb"(resolved\"|--(extra-)?index-url|registry ?=|find-links)")
    ours = [path for path in _ours() if path != Path(__file__)]
    assert [str(path.relative_to(ROOT)) for path in ours if folders.search(path.read_bytes())] == []
    locks = [path for path in ours if path.suffix == ".lock" or path.name in (".npmrc", "package-lock.json", "pyproject.toml", "requirements.txt")]
    assert len(locks) >= 7
    assert [str(path.relative_to(ROOT)) for path in locks if index.search(path.read_bytes())] == []


# --- Guards


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    from plugin import create_app
    from plugin.config import Config

    return create_app(
        Config.from_env(
            {
                "PUBLIC_URL": "http://localhost:8080",
                "SECRET_KEY": "for-tests-only-for-tests-only",
                "ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
                "DATABASE_URL": f"sqlite:///{tmp_path_factory.mktemp('guards') / 'empty.db'}",
                "REDIS_URL": "redis://127.0.0.1:1",
                "BITRIX24_CLIENT_ID": "app.test",
                "BITRIX24_CLIENT_SECRET": "bitrix24-secret",
                "XERO_CLIENT_ID": "xero-test",
                "XERO_CLIENT_SECRET": "xero-secret",
                "XERO_WEBHOOK_KEY": "webhook-key",
            }
        )
    )


def _guarded(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if rule.rule not in PUBLIC]


def test_every_page_that_is_not_public_belongs_to_the_frame(app: Flask) -> None:
    assert [rule.rule for rule in _guarded(app) if not rule.endpoint.startswith("frame.")] == []


def test_every_page_of_the_frame_refuses_who_has_no_pass(app: Flask) -> None:
    client = app.test_client()
    guarded = _guarded(app)
    assert guarded, "no page is guarded"
    for rule in guarded:
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            answer = client.open(re.sub(r"<[^>]+>", "1", rule.rule), method=method)
            assert answer.status_code in (401, 403), f"{method} {rule.rule} answered {answer.status_code} without a frame pass"


def test_no_page_of_the_frame_is_reached_with_a_pass_of_another_making(app: Flask) -> None:
    from plugin.web.frame_pass import HEADER

    answer = app.test_client().get("/app/", headers={HEADER: "made.up.pass"})
    assert answer.status_code in (401, 403)
