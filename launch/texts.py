"""The catalogues of the interface's texts: brought up to date with the source by `run.py messages`, compiled at set-up."""

from __future__ import annotations

import subprocess
from pathlib import Path

from launch.tree import Advice, Tree, child_environment

_BABEL = ("-m", "babel.messages.frontend", "-q")
_SHAPE = ("--no-location", "--sort-output", "--no-wrap")


def _catalogues(tree: Tree) -> list[Path]:
    return sorted((tree.root / "translations").glob("*/LC_MESSAGES/messages.po"))


def are_ready(tree: Tree) -> bool:
    """Is every catalogue compiled since it was last written?"""
    compiled = ((one, one.with_suffix(".mo")) for one in _catalogues(tree))
    return all(ready.exists() and ready.stat().st_mtime >= one.stat().st_mtime for one, ready in compiled)


def compile_all(tree: Tree) -> None:
    """Make of every catalogue what the app reads."""
    if _babel(tree, "compile", "-d", "translations"):
        raise Advice("The texts in translations/ could not be compiled.")
    for one in _catalogues(tree):
        one.with_suffix(".mo").touch()


def find(tree: Tree, into: Path) -> int:
    """Write the texts that the source shows today into a template without translations."""
    return _babel(tree, "extract", "-F", "translations/babel.cfg", "-k", "lazy_gettext", "-k", "_n:1,2", *_SHAPE, "-o", str(into), ".")


def renew(tree: Tree) -> int:
    """Find the texts in the source, bring every catalogue up to date, compile. A text that changed has to be translated anew."""
    found = tree.root / "translations/messages.pot"
    if code := find(tree, found):
        return code
    for one in _catalogues(tree):
        order = (
            "update",
            "-i",
            str(found),
            "-o",
            str(one),
            "-l",
            one.parts[-3],
            "--no-fuzzy-matching",
            "--ignore-obsolete",
            "--no-wrap",
            "--ignore-pot-creation-date",
        )
        if code := _babel(tree, *order):
            return code
    compile_all(tree)
    return 0


def _babel(tree: Tree, *arguments: str) -> int:
    return subprocess.run([str(tree.python), *_BABEL, *arguments], cwd=tree.root, env=child_environment(), check=False).returncode
