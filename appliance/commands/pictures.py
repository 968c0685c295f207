"""What the `ostiary face` commands share: picture files and enrolled people as faces that can be compared."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import click

from appliance.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.commands.options import Installation
    from appliance.faces.comparing import ListedFace, Thresholds
    from appliance.faces.reader import PictureReader, SeenFace
    from appliance.manifest import ModelEntry
    from appliance.people.gallery import Gallery
    from appliance.records import Embedding, GallerySnapshot


@dataclass(frozen=True)
class Pictures:
    """The people, a reader whose templates are comparable with theirs, and the thresholds."""

    installation: Installation
    gallery: Gallery
    thresholds: Thresholds
    entry: ModelEntry

    @cached_property
    def reader(self) -> PictureReader:
        """The models, loaded when the first picture is read: what is wrong with a name is said before."""
        from appliance.faces.stages import open_picture_reader  # noqa: PLC0415

        installation = self.installation
        protect = self.gallery.protection.protect
        return open_picture_reader(installation.settings, installation.models_folder, protect)

    def faces(self, photo: Path) -> tuple[SeenFace, ...]:
        """Return all faces of a photo, largest first. Raises PhotoError."""
        from appliance.drivers.photo import read_photo  # noqa: PLC0415  --help must not load the image library

        pixels = read_photo(photo)  # before the models are loaded: a broken file is told at once
        return self.reader.read(pixels)

    def only(self, photo: Path) -> Embedding:
        """Return the one face that a photo is of. Raises PhotoError."""
        from appliance.drivers.photo import read_photo  # noqa: PLC0415

        pixels = read_photo(photo)
        return self.reader.only(pixels, str(photo))

    def shown(self, photo: Path) -> list[ListedFace]:
        """Return the faces of a photo that can be read, as FILE#1, FILE#2 ..., largest first; of others a line says so.

        Raises PhotoError.
        """
        from appliance.faces.comparing import ListedFace  # noqa: PLC0415

        listed = []
        for number, one in enumerate(self.faces(photo), start=1):
            if one.embedding is None:
                click.echo(f"{photo}#{number}: cannot be read, and is left out", err=True)
            else:
                listed.append(ListedFace(f"{photo}#{number}", one.embedding))
        return listed

    def person(self, name_or_id: str) -> str:
        """Return the id of the one person meant. Raises RefusedError for nobody or several."""
        from appliance.people.enrolment import only_one  # noqa: PLC0415

        return only_one(self.gallery, name_or_id).person_id

    def enrolled(self, person_id: str) -> list[ListedFace]:
        """Return the references of one person with their ids, by age."""
        from appliance.faces.comparing import ListedFace  # noqa: PLC0415

        found = self.gallery.vectors(person_id).items()
        return [ListedFace(name, one, enrolled=True) for name, one in found if one.model_id == self.entry.model_id]

    def target_of(self, person_id: str) -> float | None:
        """Return the target FPIR that was set for a person; None where none was. Raises StorageError."""
        subject = self.gallery.subject(person_id)
        return None if subject is None else subject.max_fpir

    def within(self, people: tuple[str, ...], groups: tuple[str, ...]) -> frozenset[str] | None:
        """Return the ids of these people and of the groups' members; None where neither is given: everybody.

        Raises RefusedError for somebody who is not enrolled, and for a group that nobody is in.
        """
        if not people and not groups:
            return None
        ids = {self.person(one) for one in people}
        for group in groups:
            members = self.gallery.members(group)
            if not members:
                raise RefusedError(f"nobody is in the group {group!r}")
            ids.update(members)
        return frozenset(ids)

    def snapshot(self) -> GallerySnapshot:
        """Return everybody's references."""
        return self.gallery.current(self.entry.model_id, self.entry.output[0].shape[-1])


@contextmanager
def open_pictures(installation: Installation) -> Iterator[Pictures]:
    """Open the gallery. Raises StorageError; what is read later raises ModelError where a model cannot be loaded."""
    from appliance import manifest  # noqa: PLC0415  --help must not load a model
    from appliance.faces.comparing import Thresholds  # noqa: PLC0415
    from appliance.people.gallery import Gallery  # noqa: PLC0415

    settings, added = installation.settings, installation.models_folder
    entry = manifest.embedder(settings.recognition, added)
    with Gallery(installation.gallery_file) as gallery:
        yield Pictures(installation, gallery, Thresholds.of(settings.recognition, entry, gallery), entry)
