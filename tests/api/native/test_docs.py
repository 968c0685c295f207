"""docs/api.md is true: every operation stands in it, for whom it is, and its examples do what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.api.native.app import document
from appliance.contract import EventType, Role
from tests.api.native.conftest import picture

if TYPE_CHECKING:
    from tests.api.native.conftest import Api

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([A-Z]+) (/\S*)` \| .+ \| ([a-z, ]+) \|$", re.MULTILINE)


def test_every_operation_is_documented() -> None:
    """No operation is missing on the page, none is there that is not, and each is for whom the page says."""
    told = {(method, path): roles for method, path, roles in ROW.findall(PAGE)}
    wanted = {}
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            roles = operation["x-roles"]
            wanted[method.upper(), path] = "all" if len(roles) == len(Role) else ", ".join(roles)
    assert told == wanted


def test_examples_do_what_they_say(api: Api, tmp_path: Path) -> None:
    """The examples of the tour run one after another: somebody is enrolled, changed, explained, handed out, erased."""
    bash = shutil.which("bash")
    if bash is None or shutil.which("curl") is None:
        pytest.fail("the examples need bash and curl", pytrace=False)
    (tmp_path / "photo.png").write_bytes(picture())
    script = "set -euo pipefail\n" + "\n".join(re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL))
    told = {"PATH": os.environ["PATH"], "DOOR": api.web.url, "KEY": api.keys[Role.ADMIN]}
    done = subprocess.run([bash, "-c", script], check=False, cwd=tmp_path, env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ada at door front, 2026-12-24 08:30 UTC: may enter" in done.stdout
    assert (tmp_path / "export.zip").read_bytes().startswith(b"PK")
    with api.web.installation.open_audit() as audit:
        kinds = [one.event.event_type for one in audit.read()]
    assert kinds == [EventType.ENROLLED, EventType.UPDATED, EventType.EXPORTED, EventType.ERASED]
