"""Are there known holes in what we lean on? Python's and npm's own advisory services are asked; whoever could not be asked is named."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Any

from launch.setup import DEV, NODE, own_environment
from launch.tree import Tree, child_environment

CLEAN, HOLES, UNASKED = 0, 1, 3
#: Beside the tool's own list of packages, so that it cannot pin ours.
TOOL = "launch/audit.requirements.txt"


@dataclass
class Found:
    """What the services said: known holes, and packages about which nothing could be learnt, with the reason."""

    asked: int = 0
    holes: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)


def audit(tree: Tree) -> int:
    """Everything in the lock files, the tests' packages included. 0: no known hole; 1: at least one; 3: no service could say."""
    found = Found()
    read_python(_python(tree), found)
    read_npm(_npm(tree), found)
    for line in found.holes:
        print(f"HOLE         {line}")
    for line in found.unasked:
        print(f"NOT AUDITED  {line}")
    print(f"{found.asked} packages audited, {len(found.holes)} known holes, {len(found.unasked)} not audited")
    return HOLES if found.holes else UNASKED if found.unasked else CLEAN


def read_python(said: str, found: Found) -> None:
    """What pip-audit wrote as JSON."""
    try:
        packages: list[dict[str, Any]] = json.loads(said)["dependencies"]
    except (ValueError, KeyError, TypeError):
        found.unasked.append(f"Python packages: {said.strip()[-300:] or 'no answer'}")
        return
    for one in packages:
        if "skip_reason" in one:
            found.unasked.append(f"{one['name']}: {one['skip_reason']}")
            continue
        found.asked += 1
        found.holes += [f"{one['name']} {one['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no version'}" for hole in one["vulns"]]


def read_npm(said: str, found: Found) -> None:
    """What `npm audit --json` wrote."""
    try:
        report: dict[str, Any] = json.loads(said)
        packages, total = report["vulnerabilities"], report["metadata"]["dependencies"]["total"]
    except (ValueError, KeyError, TypeError):
        found.unasked.append(f"front-end packages: {said.strip()[:120] or 'no answer'}")
        return
    found.asked += int(total)
    found.holes += [f"{name} {one['range']}: {one['severity']}" for name, one in sorted(packages.items())]


def _python(tree: Tree) -> str:
    tool = own_environment(tree, "audit", TOOL).parent / "pip-audit"
    options = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    return _said(tree, [str(tool), *options, "--requirement", DEV, "--requirement", NODE])


def _npm(tree: Tree) -> str:
    npm = shutil.which("npm")
    return _said(tree, [npm, "audit", "--json", "--package-lock-only"]) if npm else "npm is not on this machine"


def _said(tree: Tree, command: list[str]) -> str:
    """Both tools write their findings to standard output and end with another status than 0 where there are any."""
    done = subprocess.run(command, cwd=tree.root, env=child_environment(), capture_output=True, text=True, errors="replace", check=False)
    return done.stdout or done.stderr
