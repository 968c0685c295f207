"""Films of the simulated camera's visitors, as a client with a session's token sends them."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from appliance.drivers.photo import encode_jpeg, read_photo
from appliance.drivers.scene import FACES, Renderer, Visit

if TYPE_CHECKING:
    from collections.abc import Sequence

FRAMES = 15  # ten a second; somebody alive is told after eleven or twelve


@dataclass(frozen=True)
class Film:
    """Frames, JPEG, and when each was captured."""

    frames: tuple[bytes, ...] = field(repr=False)
    at_ms: tuple[int, ...]

    @property
    def digest(self) -> str:
        """What the interface calls it by."""
        return hashlib.sha256(b"".join(self.frames)).hexdigest()

    def cut(self, count: int) -> Film:
        """Return its beginning."""
        return Film(self.frames[:count], self.at_ms[:count])


@functools.cache
def film(shows: str = "person", face: str = "astronaut") -> Film:
    """Return a film of somebody, or of a picture of them."""
    visit, renderer = Visit.model_validate({"shows": shows, "face": face, "for_s": 60.0}), Renderer(640, 480)
    frames = tuple(encode_jpeg(renderer.draw(visit, 1 + number / 10)) for number in range(FRAMES))
    return Film(frames, tuple(range(0, 100 * FRAMES, 100)))


@functools.cache
def portrait(face: str = "astronaut") -> bytes:
    """Return a photograph of somebody, JPEG."""
    return encode_jpeg(read_photo(FACES / f"{face}.png"))


def show(
    url: str,
    token: str,
    frames: Sequence[bytes],
    times: object,
    *,
    verify: bool = False,
    image: bytes = b"",
    version: str = "v1.2-preview.1",
) -> httpx.Response:
    """Send frames with a session's token."""
    kind = "detectLivenessWithVerify" if verify else "detectLiveness"
    files = [("frames", (f"{number}.jpg", frame, "image/jpeg")) for number, frame in enumerate(frames)]
    files += [("VerifyImage", ("verify.jpg", image, "image/jpeg"))] if image else []
    return httpx.post(
        f"{url}/face/{version}/{kind}/singleModal",
        headers={"Authorization": f"Bearer {token}", "User-Agent": "film"},
        files=files,
        data={"capturedAtMs": times if isinstance(times, str) else json.dumps(times)},
        timeout=60,
    )
