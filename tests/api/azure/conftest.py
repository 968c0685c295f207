"""A served appliance for the face interface, with keys of three kinds, and the service's own clients before it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from azure.ai.vision.face import FaceAdministrationClient, FaceClient
from azure.core.credentials import AzureKeyCredential

from appliance.contract import Role
from appliance.drivers.photo import encode_jpeg
from tests.faces.made import head, two_heads
from tests.web.running import installed, web_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.running import Web

V = "v1.2-preview.1"
MODELS: Any = {"detection_model": "detection_03", "recognition_model": "recognition_04"}


@dataclass(frozen=True)
class Pictures:
    """Pictures as they are sent, JPEG: two people, alone and together, and the first once more, smaller and darker."""

    ada: bytes = field(repr=False)
    again: bytes = field(repr=False)
    bob: bytes = field(repr=False)
    both: bytes = field(repr=False)


@dataclass(frozen=True)
class Service:
    """An appliance as a client of the face service sees it."""

    web: Web
    full: str  # key that may keep faces
    recogniser: str  # key that may compare alone
    pictures: Pictures

    def client(self, key: str = "", **options: Any) -> FaceClient:  # noqa: ANN401 - the client's own
        """Return the client that compares; close it after use."""
        return FaceClient(self.web.url, AzureKeyCredential(key or self.full), **options)

    def administration(self, key: str = "") -> FaceAdministrationClient:
        """Return the client that keeps faces; close it after use."""
        return FaceAdministrationClient(self.web.url, AzureKeyCredential(key or self.full))

    def http(self, key: str = "") -> httpx.Client:
        """Return a plain client at the interface's newest version."""
        headers = {"Ocp-Apim-Subscription-Key": key or self.full}
        return httpx.Client(base_url=f"{self.web.url}/face/{V}", headers=headers, timeout=30)

    def face(self, picture: bytes, life_s: int = 600) -> str:
        """Return the id of the one face of a picture."""
        with self.client() as client:
            (found,) = client.detect(picture, **MODELS, return_face_id=True, face_id_time_to_live=life_s)
        assert found.face_id is not None
        return found.face_id


@pytest.fixture(scope="package")
def service() -> Iterator[Service]:
    """Give a served appliance, alone."""
    ada = head()
    darker = (ada[::2, ::2].astype(float) * 0.8).astype("uint8").repeat(2, 0).repeat(2, 1)
    pictures = Pictures(
        *(encode_jpeg(one, 92) for one in (ada, darker, head("official"), two_heads())),
    )
    with (
        tempfile.TemporaryDirectory(prefix="ostiary-") as folder,
        web_of(installed(Path(folder), web={"requests_per_s": 10_000})) as web,
    ):
        full = web.key(Role.ENROLLER, answers_for="Data protection officer")
        yield Service(web, full, web.key(Role.RECOGNISER), pictures)
