"""A broker that comes and goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripts.benchmarks.__main__ import main

if TYPE_CHECKING:
    import pytest


def test_flapping_broker_loses_no_event(capsys: pytest.CaptureFixture[str]) -> None:
    """D10, D11: a broker is killed as events are sealed; a client that hears the feed has each once and in order."""
    assert main(["flapping", "--times", "1"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["bench"], line["kills"], line["events"], line["heard"]) == ("flapping", 1, 10, 10)
    assert line["descriptors"]["last"] <= line["descriptors"]["first"] + 1
