"""What commands that enrol share: the consent, who was told what of it, and what else is said of a newcomer."""

from __future__ import annotations

import functools
import os
import pwd
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import click

from appliance.people.consents import ConsentTexts
from appliance.people.enrolment import Particulars, checked, checked_language, checked_name
from appliance.people.person import Consent

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.commands.options import Installation
    from appliance.people.enrolment import Photo
    from appliance.pipeline.reading import PhotoReader

_Result = TypeVar("_Result")


def texts_of(installation: Installation) -> ConsentTexts:
    """Return the consent texts of this installation."""
    return ConsentTexts(installation.consent_folder)


def given(
    installation: Installation,
    given_by: str,
    language: str,
    version: str | None,
    *,
    photos: bool,
    at: datetime | None = None,
) -> Consent:
    """Return the consent to a text of ours, by version, or to words that we do not know: None.

    Raises RefusedError for a name, a language or a text that there is not.
    """
    read = texts_of(installation).read(language, version) if version is not None else None
    return Consent(
        checked_name(given_by, "consent"),
        at or datetime.now(UTC),
        checked_language(language),
        read.version if read is not None else "",
        read.sha256 if read is not None else "",
        photos=photos,
        recorded_by=operator(),
    )


def operator() -> str:
    """Return who runs this command: the login name, of whoever became root too."""
    try:
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user without an entry, as in a container
        return f"uid {os.getuid()}"


def particular_options(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """Give a command `--external-id`, `--group` and `--tag`, and pass it the `particulars` they make."""

    @click.option("--external-id", default="", help="How another system calls them; nobody else may have it.")
    @click.option("--group", "groups", multiple=True, help="Put into this group; again for more.")
    @click.option("--tag", "tags", multiple=True, help="A word that dynamic groups go by; again for more.")
    @functools.wraps(command)
    def wrapped(
        *args: object, external_id: str, groups: tuple[str, ...], tags: tuple[str, ...], **kwargs: object
    ) -> _Result:
        said = Particulars(external_id.strip(), tags=frozenset(tags), groups=frozenset(groups))
        return command(*args, particulars=checked(said), **kwargs)

    return wrapped


def kept(photo: Photo, reader: PhotoReader) -> bytes:
    """Return what is kept of a photo where that was agreed to: head and shoulders, JPEG, at most 480 px a side."""
    from appliance.drivers.photo import encode_jpeg  # noqa: PLC0415  a text must not wait for the image library
    from appliance.picture import portrait  # noqa: PLC0415  as above

    faces = reader.faces(photo.pixels)
    return encode_jpeg(portrait(photo.pixels, faces[0], faces))
