"""What tests all over the tree share."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.broker import PrivateBroker, find_mosquitto, private_broker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Return an empty folder with a path short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateBroker]:
    """Give a real mosquitto that lives as long as the run; retained messages of one test are seen by the next."""
    if find_mosquitto() is None:
        pytest.fail("these tests need a real broker: apt install mosquitto", pytrace=False)
    with private_broker(tmp_path_factory.mktemp("broker"), "mosquitto") as running:
        yield running
