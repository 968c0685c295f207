"""Whether somebody is alive, asked for its own sake, over frames of the simulated camera's scene."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance import manifest
from appliance.config import Settings
from appliance.drivers.scene import Renderer, Visit
from appliance.errors import UsageError
from appliance.faces.comparing import Thresholds, cosine
from appliance.faces.life import Life, Witnessed, filmed, nobody, witnessed
from appliance.pipeline.policy import configured
from tests.pipeline.faces import portrait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.faces.reader import PictureReader
    from appliance.records import Frame

SETTINGS = Settings()
RULES = configured(SETTINGS, face_only=False)
ENTRY = manifest.embedder(SETTINGS.recognition)
POINT = Thresholds.of(SETTINGS.recognition, ENTRY).point(1)
EMPTY = nobody(ENTRY.model_id, ENTRY.output[0].shape[-1])


def film(*visits: Visit, frames: int = 30, begins_s: float = 1.0) -> tuple[Frame, ...]:
    """Return ten frames a second of each visit, from `begins_s` after first sight, one visit right after the other."""
    renderer = Renderer(640, 480)
    moments = [(visit, begins_s + number / 10) for visit in visits for number in range(frames)]
    pictures = [renderer.draw(visit.model_copy(update={"for_s": 60.0}), at_s) for visit, at_s in moments]
    return filmed(pictures, [number / 10 for number in range(len(moments))])


def told(reader: PictureReader, frames: Sequence[Frame]) -> Witnessed:
    """Return what the frames came to."""
    return witnessed(frames, reader.stages, RULES, EMPTY, POINT)


def test_living_person_is_real_and_read(reader: PictureReader) -> None:
    """B9: a living face is called real, and the template is that of the face."""
    seen = told(reader, film(Visit()))
    assert seen.life is Life.REAL
    assert seen.probe is not None
    assert cosine(seen.probe, reader.only(portrait(), "astronaut")) >= POINT.threshold
    assert seen.best is not None
    assert seen.best.presentation is not None


@pytest.mark.parametrize("shows", ["print", "phone"])
def test_picture_of_a_person_is_a_spoof(reader: PictureReader, shows: str) -> None:
    """B1, B2, B3: a print in the hand and a telephone are called what they are."""
    assert told(reader, film(Visit.model_validate({"shows": shows}))).life is Life.SPOOF


def test_too_few_frames_say_nothing(reader: PictureReader) -> None:
    """B20: what was not seen for long enough is uncertain, and so is an empty room."""
    assert told(reader, film(Visit(), frames=3)).life is Life.UNCERTAIN
    empty = told(reader, filmed([np.full((480, 640, 3), 90, np.uint8)] * 5, [0.1 * at for at in range(5)]))
    assert (empty.life, empty.probe, empty.best) == (Life.UNCERTAIN, None, None)


def test_life_and_identity_are_of_one_face(reader: PictureReader) -> None:
    """B7: a living stranger followed by a print of somebody else is never that other person, alive."""
    seen = told(reader, film(Visit(face="official"), Visit(shows="print")))
    assert seen.probe is not None
    alike = cosine(seen.probe, reader.only(portrait(), "astronaut"))
    assert (seen.life, alike < POINT.threshold) == (Life.REAL, True)  # of the stranger, and it is the stranger's face
    assert told(reader, film(Visit(shows="print"), Visit(face="official"))).life is Life.SPOOF


def test_frames_of_one_camera_have_one_size_and_rising_times() -> None:
    """A4, A6: times that stand still, go back or are no number, and pictures of several sizes, are refused."""
    picture = np.zeros((8, 8, 3), np.uint8)
    for times in ([0.0, 0.0], [1.0, 0.5], [0.0, math.nan], [0.0], []):
        with pytest.raises(UsageError, match="one each is needed, rising"):
            filmed([picture, picture], times)
    with pytest.raises(UsageError, match="of one size"):
        filmed([picture, np.zeros((8, 9, 3), np.uint8)], [0.0, 1.0])
