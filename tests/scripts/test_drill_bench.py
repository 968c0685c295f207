"""The drills: what they time is the real thing, on a device that holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.commands.options import open_installation
from scripts.benchmarks import drill, growth

if TYPE_CHECKING:
    from pathlib import Path


def test_drills_are_of_a_device_that_holds(tmp_path: Path) -> None:
    """J7: the bench hands out and erases a real person, and its log is a chain that verifies and survives a restore."""
    device = open_installation(None, tmp_path / "state")
    growth.fill(device.state, 0, 12)
    drill.fill_log(device, 300)
    assert drill._drill(device, 0) > 0
    found = drill._backups(device, 1)
    assert len(found["restore_s"]) == 1
    with device.open_gallery() as gallery, device.open_audit() as audit:
        assert gallery.size() == 11
        assert audit.verify().ok
        assert audit.head().seq == 303
    assert len(list(tmp_path.glob("*.zip"))) == 1
