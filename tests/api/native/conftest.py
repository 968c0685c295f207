"""A served appliance for programs, with a key of every role."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

from appliance.api.native.app import PATH
from appliance.contract import Role
from appliance.drivers.photo import encode_jpeg
from appliance.people.person import Consent
from appliance.records import Embedding, Grade
from tests.web.running import door_of, installed, web_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.running import Door, Web

PORTRAITS = Path(__file__).resolve().parents[3] / "appliance" / "drivers" / "faces"


@dataclass
class Api:
    """An appliance as programs see it."""

    web: Web
    keys: dict[Role, str]
    _clients: dict[Role | None, httpx.Client] = field(default_factory=dict)

    def client(self, role: Role | None) -> httpx.Client:
        """Return the client with a key of this role; None: with none."""
        if role not in self._clients:
            headers = {} if role is None else {"X-API-Key": self.keys[role]}
            self._clients[role] = httpx.Client(base_url=self.web.url + PATH, headers=headers, timeout=20)
        return self._clients[role]

    def enrol(self, name: str, portrait: str = "astronaut") -> str:
        """Return the id of somebody who is enrolled from a shipped portrait."""
        data = {"name": name, "consent_by": name, "accept_medium": "true", "accept_alike": "true"}
        files = {"photos": (f"{portrait}.png", picture(portrait), "image/png")}
        answer = self.client(Role.ADMIN).post("/people", data=data, files=files)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["person_id"])

    def known(self, name: str, seed: int) -> str:
        """Return the id of somebody enrolled whose face is nobody's."""
        vector = np.random.default_rng(seed).normal(size=512).astype(np.float32)
        face = (Embedding(vector / np.linalg.norm(vector), "made"), Grade.HIGH)
        with self.web.installation.open_gallery() as gallery:
            return gallery.add(name, Consent(name, datetime.now(UTC)), [face]).person_id

    def close(self) -> None:
        """Hang up."""
        for client in self._clients.values():
            client.close()


def picture(portrait: str = "astronaut") -> bytes:
    """Return a shipped portrait, PNG."""
    return (PORTRAITS / f"{portrait}.png").read_bytes()


def blank() -> bytes:
    """Return a picture of nobody, JPEG."""
    return encode_jpeg(np.full((64, 64, 3), 90, np.uint8))


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """Give the appliance, with no reader running."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        state = Path(folder)
        # Beside the settings, which need not be there, lie the access rules.
        slow = {"freshness_s": 5}  # frames are late where a machine does much else
        made = installed(state, web={"requests_per_s": 10_000}, recognition=slow)
        installation = replace(made, config_file=state / "appliance.toml")
        with web_of(installation) as web:
            found = Api(web, {role: web.key(role) for role in Role})
            yield found
            found.close()


@pytest.fixture(scope="module")
def door(api: Api) -> Iterator[Door]:
    """Give its reader and controller, running."""
    with door_of(api.web.installation) as running:
        yield running
