"""`ostiary models`: which models there are, and bringing one's own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance import manifest
from appliance.audit import AuditLog
from appliance.commands.options import Installation, with_installation
from appliance.commands.upgrade import upgrade
from appliance.contract import EventType
from appliance.lone import only_one
from appliance.people.enrolment import CLI
from appliance.records import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.manifest import ModelEntry
    from appliance.model_store import AddedRole

_FILE = click.Path(dir_okay=False, path_type=Path)


_CHANGING = "another ostiary models command is changing the models; wait for it"


@click.group()
def models() -> None:
    """See which models there are, and bring one's own."""


models.add_command(upgrade)


@models.command()
@click.argument("file", type=_FILE)
@click.option("--role", type=click.Choice(["liveness", "embedder"]), required=True, help="What it is for.")
@click.option("--entry", "description", type=_FILE, required=True, help="TOML file of what docs/models.md asks for.")
@with_installation
def add(installation: Installation, file: Path, role: AddedRole, description: Path) -> None:
    """Bring a .tflite FILE into the state folder; it runs once the configuration names it.

    It must answer its golden vectors now and at every start.
    """
    from appliance import model_store  # noqa: PLC0415  listing models must not load the runtime

    with only_one(installation.state / "models.lock", _CHANGING):
        entry, recorded = model_store.add(file, role, description, installation.settings, installation.models_folder)
        _say(installation, f"{role} model {entry.model_id} added, SHA-256 {entry.sha256}")
    click.echo(f"added {entry.model_id}, {entry.licence}, {entry.file}")
    if recorded:
        click.echo("golden vector: none was given; its present answer is kept, which guards against change alone")
    for line in _next_steps(entry, installation.models_folder):
        click.echo(line)


@models.command("list")
@with_installation
def list_models(installation: Installation) -> None:
    """List every model: role, id, licence, the start of its SHA-256, whether it is in use."""
    used = manifest.in_use(installation.settings, installation.models_folder)
    for entry, folder in manifest.every(installation.settings.recognition, installation.models_folder):
        added = "added" if folder == installation.models_folder else "shipped"
        state = "in use" if entry.model_id in used else "not in use"
        click.echo("\t".join((entry.role, entry.model_id, entry.licence, entry.sha256[:12], added, state)))


@models.command()
@click.argument("model_id")
@with_installation
def remove(installation: Installation, model_id: str) -> None:
    """Take out a model that was added; not while the configuration names it."""
    from appliance import model_store  # noqa: PLC0415  listing models must not load the runtime

    with only_one(installation.state / "models.lock", _CHANGING):
        entry = model_store.remove(model_id, installation.settings, installation.models_folder)
        _say(installation, f"{entry.role} model {entry.model_id} removed, SHA-256 {entry.sha256}")
    click.echo(f"removed {model_id}")


def _next_steps(entry: ModelEntry, added: Path) -> Iterator[str]:
    if entry.role == "liveness":
        yield f'to use it: liveness.models = "{entry.model_id}", alone or among others that must agree'
        yield "then a face alone opens only after: ostiary commission spoof"
        return
    yield f'to use it: recognition.embedder = "{entry.model_id}"; then enrol everybody again'
    if entry.measured.door is None:
        yield (
            "nobody is matched by it yet: there is no threshold until it is measured how alike different people look "
            f"to it: scripts/bench impostors FOLDER --added {added} --embedder {entry.model_id} --write"
        )


def _say(installation: Installation, detail: str) -> None:
    device = installation.settings.device
    with AuditLog(installation.audit_file, device.id, device.door) as audit:
        audit.append(Event(EventType.CONFIG_CHANGED, datetime.now(UTC), CLI, "cli", detail=detail))
