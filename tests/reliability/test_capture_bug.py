"""A bug in what reads the camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.capture import Capture
from appliance.errors import CameraError
from tests.broker import wait_for

if TYPE_CHECKING:
    from appliance.records import Frame


class Buggy:
    """A live camera whose driver fails as nobody foresaw."""

    live = True
    identity = ""

    def read(self) -> Frame | None:
        """Fail."""
        raise ZeroDivisionError("simulated bug in a driver")

    def close(self) -> None:
        """Nothing is held."""


def no_camera() -> Buggy:
    """Open nothing: a camera is there already."""
    raise CameraError("not asked for")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is to be seen in the log
def test_bug_in_a_driver_ends_the_reader_instead_of_blinding_it() -> None:
    """A2: a driver's bug ends the capture, and so the service, which is started anew: none lives on blind."""
    capture = Capture(no_camera, stall_s=1.0)
    capture.start(Buggy())
    wait_for(lambda: capture.ended)
    assert isinstance(capture.failed, CameraError)
    assert capture.take(0.0) is None
    capture.stop()
