"""`ostiary camera accept` and `status`: which camera was taken for this door."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from appliance.commands.options import Installation, with_installation


@click.command()
@with_installation
def accept(installation: Installation) -> None:
    """Take the camera as it is now for the right one, after it was exchanged or moved on purpose.

    What was remembered is forgotten, and the reader learns anew: the device at once, its view as soon as nobody has
    been before it for ten seconds. Without a reader, at its next start.
    """
    from appliance.camera_memory import forget  # noqa: PLC0415 - help must not load what reads it
    from appliance.contract import EventType  # noqa: PLC0415 - as above
    from appliance.people.enrolment import CLI  # noqa: PLC0415 - as above
    from appliance.records import Event  # noqa: PLC0415 - as above

    with installation.open_audit() as audit:
        detail = "the camera that is there now was accepted"
        audit.append(Event(EventType.CONFIG_CHANGED, datetime.now(UTC), CLI, "cli", detail=detail))
    forget(installation.camera_file)
    click.echo("the camera that is there now is taken for this door; its view is learnt when nobody is before it")


@click.command()
@with_installation
def status(installation: Installation) -> None:
    """Show which camera was taken for this door, and whether its view was learnt."""
    from appliance.camera_memory import load  # noqa: PLC0415 - help must not load what reads it

    memory = load(installation.camera_file)
    if memory is None:
        click.echo("no camera was seen yet; the first that the reader opens is taken for this door")
        return
    view = "learnt" if memory.view else "not learnt yet"
    click.echo(f"{memory.identity or 'a camera that has no name'}, since {memory.at[:16].replace('T', ' ')} UTC")
    click.echo(f"its view was {view}")
