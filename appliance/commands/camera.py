"""`ostiary camera`: which cameras are here, and what one sees, in the terminal."""

from __future__ import annotations

import contextlib
import select
import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

from appliance.commands.camera_memory import accept, status
from appliance.commands.options import Installation, duration, with_installation

if TYPE_CHECKING:
    from appliance.config import Settings
    from appliance.setup.sight import Looking

_PERIOD_S = 0.5
_AROUND = 6  # lines of a terminal that the picture leaves for words
_WIDEST, _TALLEST = 78, 40


@click.group()
def camera() -> None:
    """List the cameras, and aim one."""


camera.add_command(status)
camera.add_command(accept)


@camera.command("list")
@with_installation
def list_cameras(installation: Installation) -> None:
    """List what camera.source could name here; exit 1 for nothing. The one in use is marked."""
    from appliance.setup.place import look_around  # noqa: PLC0415 - help must not load the image library

    found = look_around(installation.config_file or installation.state, installation.state).cameras
    used = installation.settings.camera.source
    for one in found:
        click.echo(f"{'*' if one.source == used else ' '} {one.source}  {one.words}")
    if not found:
        click.echo(f"no camera was found; camera.source is {used}")
        raise click.exceptions.Exit(1)


@camera.command()
@click.option("--for", "for_s", type=duration, default="30s", show_default=True, help="How long; Enter ends it too.")
@with_installation
def preview(installation: Installation, for_s: float) -> None:
    """Show what the camera sees, made of letters, and what is seen of a face: size, sharpness, light. Keeps nothing."""
    show(installation, installation.settings, for_s)


def show(installation: Installation, settings: Settings, for_s: float) -> None:
    """Show for so long what the camera of `settings` sees; Enter ends it. Raises CameraError, ModelError."""
    from rich.console import Console, Group  # noqa: PLC0415 - as above
    from rich.live import Live  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    from appliance.setup.sight import every, frames, picture, see  # noqa: PLC0415 - as above

    stages = _stages(settings, installation)
    console = Console()
    columns, lines = shutil.get_terminal_size()
    wide, high = min(columns - 2, _WIDEST), min(lines - _AROUND, _TALLEST)
    end_s = time.monotonic() + for_s
    shown = Live(console=console, auto_refresh=False) if console.is_terminal else contextlib.nullcontext()
    with contextlib.closing(frames(installation, settings)) as seen, shown as live:
        for frame in every(seen, _PERIOD_S):
            words = see(frame, stages).words
            if live is None:  # a file, or a terminal that cannot go back: words alone
                click.echo(words)
            else:
                small = picture(frame.pixels, wide, max(high, 4), colours=console.color_system is not None)
                live.update(Group(small, Text(words)), refresh=True)
            if time.monotonic() > end_s or _entered():
                return


def _stages(settings: Settings, installation: Installation) -> Looking:
    from appliance.errors import HardwareError  # noqa: PLC0415 - as above
    from appliance.pipeline.reading import ModelStages  # noqa: PLC0415 - as above

    try:
        return ModelStages(settings, installation.models_folder)
    except ImportError as fault:
        raise HardwareError(f"the model runtime cannot be loaded: {fault}") from fault


def _entered() -> bool:
    """Tell whether somebody has pressed Enter, and take that line away."""
    if sys.stdin is None or not sys.stdin.isatty() or not select.select([sys.stdin], [], [], 0)[0]:
        return False
    sys.stdin.readline()
    return True
