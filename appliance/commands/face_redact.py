"""`ostiary face redact`: a copy of a picture or film without its faces."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress

from appliance.commands.options import Installation, with_installation
from appliance.commands.pictures import open_pictures
from appliance.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.commands.pictures import Pictures
    from appliance.faces.redact import Keep

_FILE = click.Path(path_type=Path)
_ENDINGS = {".jpg": ".jpg", ".jpeg": ".jpg", ".png": ".png", ".mp4": ".mp4"}


@click.command()
@click.argument("source", type=_FILE)
@click.argument("copy", type=_FILE)
@click.option("--keep-person", help="Leave somebody enrolled to be seen, by name or id.")
@click.option("--keep-face", type=_FILE, help="Leave whoever this photo is of to be seen.")
@click.option("--keep-largest", is_flag=True, help="Leave the largest face to be seen; of a film, whoever has it.")
@with_installation
def redact(
    installation: Installation,
    source: Path,
    copy: Path,
    *,
    keep_person: str | None,
    keep_face: Path | None,
    keep_largest: bool,
) -> None:
    """Write COPY (.jpg, .png or .mp4), SOURCE with every face painted over: no sound, no metadata.

    Look at the copy before you give it away: a face that the machine does not find, it does not cover.
    """
    if sum((keep_person is not None, keep_face is not None, keep_largest)) > 1:
        raise UsageError("one face can stay to be seen; --keep-person, --keep-face or --keep-largest")
    ending = _ENDINGS.get(copy.suffix.lower())
    if ending is None:
        raise UsageError(f"{copy} ends in none of {', '.join(_ENDINGS)}")
    if copy.exists():
        raise RefusedError(f"{copy} is there already; a file is never overwritten")
    with open_pictures(installation) as pictures:
        keep = _keep(pictures, keep_person, keep_face, largest=keep_largest)
        (_film if ending == ".mp4" else _picture)(pictures, source, copy, keep)


def _keep(pictures: Pictures, person: str | None, photo: Path | None, *, largest: bool) -> Keep | None:
    from appliance.faces.redact import Keep  # noqa: PLC0415  --help must not load numpy

    if person is not None:
        references = tuple(one.embedding for one in pictures.enrolled(pictures.person(person)))
        if not references:
            raise RefusedError(f"nothing is enrolled of {person!r} for the model in use; enrol them again")
        return Keep(references)
    if photo is not None:
        return Keep((pictures.only(photo),))
    return Keep(largest=True) if largest else None


def _picture(pictures: Pictures, source: Path, copy: Path, keep: Keep | None) -> None:
    from appliance.drivers.film import appearing  # noqa: PLC0415
    from appliance.drivers.photo import encode_jpeg, encode_png, read_photo  # noqa: PLC0415
    from appliance.faces.redact import redact_picture  # noqa: PLC0415

    done = redact_picture(read_photo(source), pictures.reader, pictures.thresholds, keep)
    encode = encode_png if _ENDINGS[copy.suffix.lower()] == ".png" else encode_jpeg
    with appearing(copy) as unfinished:
        unfinished.write_bytes(encode(done.pixels))
    click.echo(f"{copy}: {done.covered} places covered{_missed(keep, found=done.kept)}")


def _film(pictures: Pictures, source: Path, copy: Path, keep: Keep | None) -> None:
    from appliance.drivers.film import FilmWriter, appearing, open_film, stated  # noqa: PLC0415
    from appliance.faces.redact_film import redact_film  # noqa: PLC0415

    open_film(source).close()
    rate, frames = stated(source)
    with appearing(copy) as unfinished, _progress(2 * frames) as told:
        writer = FilmWriter(unfinished, rate)
        done = redact_film(
            lambda: open_film(source),
            writer.write,
            rate,
            pictures.reader,
            pictures.thresholds,
            keep=keep,
            told=told,
        )
        writer.close()
    found = _missed(keep, found=done.kept_frames > 0)
    click.echo(f"{copy}: {done.frames} frames, {done.covered} places covered in them, without sound{found}")


def _missed(keep: Keep | None, *, found: bool) -> str:
    return "" if keep is None or found else "; who was to be kept was not found, so everybody is covered"


@contextmanager
def _progress(steps: int) -> Iterator[Callable[[], None]]:
    """Show a bar of so many steps on standard error; 0 where nobody knows how many."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking, then covering", total=steps or None)
        yield lambda: progress.advance(task)
