"""A machine to update, in memory where there is such a folder: a sync of a real disk waits for everybody else's."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.update.places import Places
from tests.update.releases import House, SimulatedMachine, house

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """Return an empty folder."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def installed() -> Iterator[Path]:
    """Return the folder of a machine on which 1.0.0 runs, to be copied."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as folder:
        house(Path(folder))
        yield Path(folder)


@pytest.fixture
def door(memory_folder: Path, installed: Path) -> House:
    """Return a machine on which 1.0.0 runs."""
    folder = memory_folder / "house"
    shutil.copytree(installed, folder, symlinks=True)
    places = Places(folder / "root")
    return House(folder, places, SimulatedMachine(places))
