"""`ostiary enrol camera` and `consent-text`: one person before the door's own camera, and what they agree to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from appliance.commands.consent import given, particular_options, texts_of
from appliance.commands.options import Installation, with_installation
from appliance.contract import Hint
from appliance.errors import HardwareError, RefusedError
from appliance.local_socket import ask
from appliance.people.enrolment import checked_name

if TYPE_CHECKING:
    from appliance.people.enrolment import Particulars

SILENT_S = 75.0  # longer than an enrolment lasts
_SAID = {
    Hint.ENROLMENT: "step before the camera, alone",
    Hint.LOOK_STRAIGHT: "look straight into the camera",
    Hint.TURN_LEFT: "turn the head a little to the left",
    Hint.TURN_RIGHT: "turn the head a little to the right",
    Hint.LOOK_UP: "look up a little",
    Hint.LOOK_DOWN: "look down a little",
    Hint.ENROLLED: "done",
    Hint.TOO_DARK: "more light on the face is needed",
    Hint.BACKLIT: "the light comes from behind, or is too bright",
    Hint.TOO_FAR: "come closer",
    Hint.TOO_NEAR: "step back a little",
    Hint.TURN_FACE: "face the camera",
    Hint.REMOVE_MASK: "uncover the face",
    Hint.ONE_AT_A_TIME: "one person alone, please",
    Hint.HOLD_STILL: "hold still",
}


@click.command("consent-text")
@click.option("--language", default="en", show_default=True, help="Such as en, de, fr, es or zh.")
@click.option("--version", "version", default="", help="An earlier version; default is the newest.")
@with_installation
def consent_text(installation: Installation, *, language: str, version: str) -> None:
    """Print what people are asked to agree to; its version and hash go to standard error."""
    read = texts_of(installation).read(language, version)
    click.echo(read.text, nl=False)
    click.echo(f"version {read.version}, language {read.language}, SHA-256 {read.sha256}", err=True)


@click.command()
@click.argument("name")
@click.option("--consent-by", help="Who agreed to it; default is the person, NAME.")
@click.option("--language", default="en", show_default=True, help="Language in which consent is asked.")
@click.option("--consent-text", "version", default="", help="Version of the text; default is the newest.")
@click.option("--agreed", is_flag=True, help="They have read the text and agreed to it: do not ask here.")
@click.option("--keep-photos/--no-photos", default=None, help="Whether they agreed to pictures being kept; else asked.")
@click.option("--accept-alike", is_flag=True, help="Take a twin of somebody enrolled; the audit log keeps of whom.")
@particular_options
@with_installation
def camera(
    installation: Installation,
    name: str,
    *,
    particulars: Particulars,
    consent_by: str | None,
    language: str,
    version: str,
    agreed: bool,
    keep_photos: bool | None,
    accept_alike: bool,
) -> None:
    """Enrol NAME, who stands before this door's camera, guided by hints; at most a minute.

    A running reader does it, and lets nobody in meanwhile; where none runs, the camera is opened for it.
    """
    name = checked_name(name, "name")
    photos = _agreed(installation, language, version, agreed=agreed, keep_photos=keep_photos)
    consent = given(installation, consent_by or name, language, version, photos=photos)
    from appliance.enrolment.desk import Newcomer  # noqa: PLC0415  listing commands must not load numpy
    from appliance.enrolment.requests import Start  # noqa: PLC0415  as above

    newcomer = Newcomer(name, consent, particulars, accept_alike=accept_alike)
    said = ask(installation.reader_socket, Start.of(newcomer).model_dump(mode="json"), SILENT_S)
    guide = _Guide(installation)
    if said is None:
        from appliance.enrolment.alone import enrol_alone  # noqa: PLC0415  loads models and the image library

        enrol_alone(installation, newcomer, guide.hear)
    else:
        with said:
            for message in said:
                guide.hear(message)
    guide.conclude()


def _agreed(installation: Installation, language: str, version: str, *, agreed: bool, keep_photos: bool | None) -> bool:
    """Have the text read and agreed to, unless that was done; return whether photos may be kept.

    Raises RefusedError where they do not agree.
    """
    if agreed:
        return bool(keep_photos)
    click.echo(texts_of(installation).read(language, version).text)
    if not click.confirm("Does the person agree?"):
        raise RefusedError("there is no consent; nobody is enrolled")
    return click.confirm("And that pictures are kept?") if keep_photos is None else keep_photos


class _Guide:
    """Tells in the terminal how an enrolment goes."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._last: dict[str, Any] = {}

    def hear(self, message: dict[str, Any]) -> None:
        """Say what the person is to do."""
        self._last = message
        if "hint" in message and "person_id" not in message:
            click.echo(f"{message['views']} of 5  {_SAID.get(message['hint'], message['hint'])}")

    def conclude(self) -> None:
        """Say who was enrolled, and who is most alike. Raises RefusedError and HardwareError where nobody was."""
        last = self._last
        if "error" in last:
            raise RefusedError(str(last["error"]))
        if "person_id" not in last:
            raise HardwareError("the reader has stopped; nobody was enrolled")
        click.echo(f"enrolled as {last['person_id']}, {last['references']} references")
        alike = last["look_alike"]
        if not alike:
            click.echo("most alike: nobody, there is no one else")
            return
        with self._installation.open_gallery() as gallery:
            names = " ".join(found.name for found in gallery.find(alike["person_id"]))
        line = f"most alike: {names} ({alike['person_id']}); {alike['words']}"
        click.echo(f"{line}. A human is asked whenever one of the two comes" if alike["referred"] else line)
