"""The face room: the models, as the web's own thread has them loaded, and the transient faces of whoever asked."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.commands.pictures import Pictures, open_pictures
from appliance.faces.transient import TransientFaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.commands.options import Installation


@dataclass(frozen=True)
class FaceRoom:
    """Belongs to one thread, but for `transient`. The models are loaded when the first picture is read, in seconds."""

    pictures: Pictures  # whose templates are comparable with those of the people enrolled
    transient: TransientFaces = field(default_factory=TransientFaces)


@contextmanager
def open_face_room(installation: Installation) -> Iterator[FaceRoom]:
    """Give the face room while the block runs. Raises StorageError."""
    with open_pictures(installation) as pictures:
        yield FaceRoom(pictures)
