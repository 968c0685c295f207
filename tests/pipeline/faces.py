"""What the pipeline's tests look at: the public-domain portraits, and observations made up number by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.drivers.photo import read_photo
from appliance.drivers.scene import FACES, Renderer, Visit
from appliance.pipeline.alignment import TEMPLATE
from appliance.pipeline.embedding import unit
from appliance.records import (
    Embedding,
    FaceDetection,
    Flaw,
    Frame,
    Geometry,
    Grade,
    Liveness,
    Observation,
    Quality,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL = "test-8"
RATE = 15.0  # frames a second
NO_PIXELS = np.zeros((48, 64, 3), np.uint8)


def portrait(face: str = "astronaut") -> NDArray[np.uint8]:
    """Return (512, 512, 3) RGB of a portrait."""
    return read_photo(FACES / f"{face}.png")


def frame(pixels: NDArray[np.uint8], at_s: float = 0.0) -> Frame:
    """Return the pixels as a frame."""
    return Frame(pixels, at_s, round(at_s * RATE))


def warped(
    pixels: NDArray[np.uint8], turn: NDArray[np.float64], size: tuple[int, int] = (640, 480)
) -> NDArray[np.uint8]:
    """Return a picture of `size` (width, height) in which the 2x3 matrix has laid `pixels` on grey."""
    laid = cv2.warpAffine(pixels, turn, size, flags=cv2.INTER_AREA, borderValue=(128, 128, 128))
    return np.asarray(laid, np.uint8)


def placed(face_px: float, centre: tuple[float, float], roll_deg: float = 0.0) -> NDArray[np.uint8]:
    """Return a 640x480 picture with the portrait's face so wide, there, and turned clockwise by so much."""
    scale, angle = face_px / 104, np.radians(roll_deg)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    return warped(portrait(), np.column_stack([turn, np.array(centre) - turn @ (225, 120)]))


def still_print(face: str = "astronaut") -> NDArray[np.uint8]:
    """Return a 640x480 picture of the room with a print held up, before any sensor noise."""
    return Renderer(640, 480)._with_visitor(Visit.model_validate({"face": face, "shows": "print"}), 2.0)


def noisy(pixels: NDArray[np.uint8], sigma: float, random: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture as a sensor with noise of `sigma` luma levels would give it."""
    grain = random.normal(0, sigma, pixels.shape)
    return np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8)


def direction(*numbers: float) -> Embedding:
    """Return a template of eight numbers, the last of them 0 unless given, brought to unit length."""
    vector = np.zeros(8)
    vector[: len(numbers)] = numbers
    embedding = unit(vector, MODEL)
    assert embedding is not None
    return embedding


def seen_face(box: tuple[float, float, float, float] = (200, 100, 350, 250), score: float = 0.9) -> FaceDetection:
    """Return a detection whose keypoints lie where a level face has them."""
    x0, y0, x1, y1 = box
    at = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.5, 0.8), (0.1, 0.5), (0.9, 0.5)])
    keypoints = at * (x1 - x0, y1 - y0) + (x0, y0)
    return FaceDetection(np.array(box, np.float32), keypoints.astype(np.float32), score)


def level_geometry(**changes: float) -> Geometry:
    """Return the geometry of a face that looks straight ahead, in a textured crop, but for what is named."""
    random = np.random.default_rng(5)
    crop = np.repeat(random.integers(60, 190, (28, 28, 3)), 4, axis=0).repeat(4, axis=1).astype(np.uint8)
    values = {"yaw_deg": 0.0, "pitch_deg": 0.0, "roll_deg": 0.0, "presence": 1.0} | changes
    return Geometry(
        landmarks=np.zeros((468, 2), np.float32), five_points=(TEMPLATE + 200).astype(np.float32), crop=crop, **values
    )


def observation(
    at_s: float,
    embedding: Embedding | None,
    bona_fide: float | None = 1.0,
    *,
    box: tuple[float, float, float, float] = (200, 100, 350, 250),
    grade: Grade = Grade.HIGH,
    flaws: tuple[Flaw, ...] = (),
    others: int = 0,
) -> Observation:
    """Return one frame's evidence; None for what was not read."""
    return Observation(
        frame(NO_PIXELS, at_s),
        seen_face(box),
        level_geometry(),
        Quality(grade, flaws, 150.0, 60.0, 0.1, 120.0, 2.0),
        None if bona_fide is None else Liveness(bona_fide, "liveness"),
        embedding,
        others,
    )


def live_walk(count: int, start_s: float = 0.0, about: int = 0, seed: int = 1) -> list[tuple[float, Embedding]]:
    """Return times and templates of somebody who moves: they drift about one direction, with a little noise."""
    random = np.random.default_rng(seed)
    walk = []
    for number in range(count):
        vector = 0.01 * random.normal(size=8)
        vector[about] += 1.0
        vector[(about + 1) % 8] += 0.3 * np.sin(number / 4)
        embedding = unit(vector, MODEL)
        assert embedding is not None
        walk.append((start_s + number / RATE, embedding))
    return walk
