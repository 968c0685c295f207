"""Folders short enough for a Unix socket, and one controller shared by the tests that leave it as it was."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.door.running import RunningController

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def state() -> Iterator[Path]:
    """Return an empty state folder with a short path."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def controller() -> Iterator[RunningController]:
    """Return a controller that serves all tests of one file."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder, RunningController(Path(folder)) as running:
        yield running
