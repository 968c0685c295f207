"""Where an installed appliance keeps its things, unless it is told otherwise."""

from __future__ import annotations

from pathlib import Path

STATE = Path("/var/lib/ostiary")
CONFIG = Path("/etc/ostiary/appliance.toml")
CONTROLLER = Path("/run/ostiary/controller.sock")  # where the controller's unit listens
COMMAND = Path("/usr/local/bin/ostiary")  # which does for root what it asks for as the reader
