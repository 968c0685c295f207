"""An installation whose settings and access rules are files that the pages may change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from appliance import config
from tests.web.running import free_port, installed

if TYPE_CHECKING:
    from appliance.commands.options import Installation

RULES = (Path(__file__).parents[2] / "firmware_config" / "access.toml").read_text(encoding="utf-8")
SETTINGS = """# Our own words, which stay.
[device]
id = "front"
door = "front"

[liveness]
commissioned = "skipped"   # a test door

[web]
port = {port}
"""


def with_files(folder: Path, rules: str = RULES, more: str = "") -> Installation:
    """Return an installation in the folder with both files in a folder of their own."""
    beside = folder / "etc"
    beside.mkdir()
    file = beside / "appliance.toml"
    file.write_text(SETTINGS.format(port=free_port()) + more, encoding="utf-8")
    if rules:
        (beside / "access.toml").write_text(rules, encoding="utf-8")
    return replace(installed(folder), settings=config.load(file), config_file=file)
