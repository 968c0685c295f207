"""The picture reader over the shipped models, loaded once for all tests of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.config import Settings
from appliance.faces.stages import open_picture_reader

if TYPE_CHECKING:
    from appliance.faces.reader import PictureReader


@pytest.fixture(scope="session")
def reader() -> PictureReader:
    """Give the reader of pictures."""
    return open_picture_reader(Settings())
