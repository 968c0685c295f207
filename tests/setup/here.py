"""Places of a set-up that a test decides, and drafts that begin in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.setup.draft import begin
from appliance.setup.place import SIMULATED, FoundCamera, Place

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.setup.draft import Draft
    from appliance.setup.place import Board

USB = FoundCamera("/dev/video0", "a camera on a wire")


def place(
    folder: Path, board: Board = SIMULATED, cameras: tuple[FoundCamera, ...] = (), running: tuple[str, ...] = ()
) -> Place:
    """Return a place whose file and state are in `folder`."""
    state = folder / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    return Place(folder / "appliance.toml", state, board, cameras, "Europe/Berlin", running)


def draft(folder: Path, text: str | None = None, board: Board = SIMULATED, *cameras: FoundCamera) -> Draft:
    """Return where the set-up begins with this text as the settings; with None there is no file yet."""
    here = place(folder, board, cameras)
    if text is not None:
        here.config_file.write_text(text, encoding="utf-8")
    return begin(here)
