"""Liveness sessions over real webcam recordings, which lie beside the checkout and are never part of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from azure.ai.vision.face import FaceSessionClient
from azure.ai.vision.face.models import CreateLivenessWithVerifySessionContent
from azure.core.credentials import AzureKeyCredential

from appliance.drivers.opencv import Recording
from appliance.drivers.photo import encode_jpeg
from tests.api.azure.films import Film, show

if TYPE_CHECKING:
    from tests.api.azure.conftest import Service

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "video"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the recordings are not at {FOLDER}")

WISH = {"livenessOperationMode": "Passive", "deviceCorrelationId": "a-phone", "sendResultsToClient": True}
EVERY = 3  # of thirty frames a second
FRAMES = 25


def recorded(name: str, count: int = FRAMES) -> Film:
    """Return the beginning of a recording, ten frames a second."""
    recording, frames = Recording(FOLDER / f"{name}.mp4"), []
    for number in range(EVERY * count):
        frame = recording.read()
        if frame is not None and number % EVERY == 0:
            frames.append(frame)
    recording.close()
    times = (round(1000 * (one.captured_at_s - frames[0].captured_at_s)) for one in frames)
    return Film(tuple(encode_jpeg(one.pixels) for one in frames), tuple(times))


@pytest.mark.parametrize(
    ("shown", "pictured", "told"),
    [
        ("tran_live", "tran_live", ("realface", True)),
        ("tran_live", "lestari_live", ("realface", False)),
        ("tran_replay", "tran_live", ("spoofface", False)),
    ],
)
def test_recording_of_somebody(service: Service, shown: str, pictured: str, told: tuple[str, bool]) -> None:
    """B3: a recording of a person is real and of the person of the picture, that of a telephone before it a spoof."""
    with FaceSessionClient(service.web.url, AzureKeyCredential(service.full)) as client:
        seen, picture = recorded(shown), recorded(pictured, 1).frames[0]
        wish = CreateLivenessWithVerifySessionContent(WISH)
        session = client.create_liveness_with_verify_session(wish, verify_image=picture)
        answer = show(service.web.url, session.auth_token, seen.frames, seen.at_ms, verify=True)
        client.delete_liveness_with_verify_session(session.session_id)
    body = answer.json()
    assert (body["livenessDecision"], body["verifyResult"]["isIdentical"]) == told
