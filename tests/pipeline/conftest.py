"""The shipped models, loaded once for all the pipeline's tests."""

from __future__ import annotations

import pytest

from appliance.config import Settings
from appliance.pipeline.reading import ModelStages


@pytest.fixture(scope="session")
def stages() -> ModelStages:
    """Give every stage over the shipped model files."""
    return ModelStages(Settings())
