"""What tests all over the tree share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from appliance.broker import PrivateBroker, find_mosquitto, private_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

# The same examples in every run, however long each takes on a busy machine: what was green here is green there.
# HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


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
