"""`ostiary client send`: one command to a door, signed, and what the door says to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
from pydantic import TypeAdapter, ValidationError

from appliance.commands.options import Installation, with_installation
from appliance.contract import VERB_ROLES, is_identifier
from appliance.errors import RefusedError, UsageError
from appliance.signing import read_key
from appliance.verbs import VERBS, Consented, EnrolPhoto
from ostiary_client import UNANSWERED, Client
from ostiary_client.photos import photo_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

    from appliance.verbs import Args

PHOTO_S = 30.0  # for a photo to be read on a slow board


@click.command()
@click.argument("verb", type=click.Choice(list(VERB_ROLES)), metavar="VERB")
@click.argument("said", nargs=-1, metavar="[ARG=VALUE]...")
@click.option("--key", "key_file", type=click.Path(path_type=Path), required=True, help="Private key, from keygen.")
@click.option("--client-id", help="Who we are at the door; default is the key file's name without its ending.")
@click.option(
    "--photo", "photos", type=click.Path(path_type=Path), multiple=True, help="Of enrol.photo; may be given again."
)
@click.option(
    "--wait", "wait_s", type=click.FloatRange(0.1, 600), default=10.0, help="Seconds of silence until we give up."
)
@with_installation
def send(
    installation: Installation,
    *,
    verb: str,
    said: tuple[str, ...],
    key_file: Path,
    client_id: str | None,
    photos: tuple[Path, ...],
    wait_s: float,
) -> None:
    """Send VERB with its args to the door, and print what it answers as JSON, a line for each step on the way.

    docs/reference.md lists the verbs and their args; a list is written with commas.
    """
    name = client_id or key_file.stem
    if not is_identifier(name):
        raise UsageError(f"client id {name!r} is not 1 to 63 of A-Z a-z 0-9 _ -, first a letter or digit")
    orders = tuple(_orders(verb, said, photos))
    settings = installation.settings
    with Client(settings.mqtt, settings.device.id, name, read_key(key_file)) as client:
        for args in orders:
            reply = client.send(verb, args, max(wait_s, PHOTO_S) if photos else wait_s, progress=_tell)
            if not reply.ok:
                why = UNANSWERED.get(reply.error, f"the door refuses it: {reply.error}")
                raise RefusedError(f"{verb}: {why}")
            _tell(reply.result)


def _orders(verb: str, said: tuple[str, ...], photos: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    if VERBS[verb] is not EnrolPhoto:
        if photos:
            raise UsageError(f"--photo goes with enrol.photo, not with {verb}")
        yield _read(VERBS[verb], said)
        return
    if not photos:
        raise UsageError("enrol.photo needs at least one --photo")
    try:
        pictures = [photo.read_bytes() for photo in photos]
    except OSError as fault:
        raise UsageError(f"photo {fault.filename} cannot be read: {fault.strerror}") from fault
    yield from photo_parts(pictures, _read(Consented, said))


def _read(model: type[Args], said: tuple[str, ...]) -> dict[str, Any]:
    """Return the args as they are sent. Raises UsageError for one that there is not, or that takes something else."""
    args: dict[str, Any] = {}
    for one in said:
        name, equals, text = one.partition("=")
        info = model.model_fields.get(name)
        if not equals or info is None:
            raise UsageError(f"{one!r} is not an arg of this verb; there are {', '.join(model.model_fields) or 'none'}")
        args[name] = _value(name, info, text)
    try:
        model.model_validate(args)
    except ValidationError as fault:
        first = fault.errors()[0]
        raise UsageError(f"{first['loc'][0]}: {first['msg'].lower()}") from fault
    return args


def _value(name: str, info: FieldInfo, text: str) -> object:
    """Return the text as what the arg takes: text, a number, yes or no, or a list."""
    kind: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    wanted = TypeAdapter[Any](kind)
    for candidate in (text, _json(text), [part for part in text.split(",") if part]):
        try:
            wanted.validate_python(candidate, strict=not isinstance(candidate, list))
        except ValidationError:
            continue
        return candidate
    raise UsageError(f"{name} cannot be {text!r}; docs/reference.md says what it takes")


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _tell(result: Mapping[str, Any]) -> None:
    click.echo(json.dumps(dict(result), ensure_ascii=False))
