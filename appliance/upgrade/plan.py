"""Which embedder is coming: one small file in the state folder, while an upgrade is going on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance import manifest
from appliance.errors import RefusedError, StorageError
from appliance.whole_file import new_file

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.commands.options import Installation
    from appliance.config import Settings
    from appliance.manifest import ModelEntry

_Name = Annotated[str, Field(max_length=63)]


class Plan(BaseModel):
    """An upgrade that is going on."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    v: Literal[1] = 1
    embedder: _Name  # as `recognition.embedder` will name it
    coming: _Name  # its model id
    going: _Name  # the model id in use when it began


def file_of(installation: Installation) -> Path:
    """Return where the plan lies."""
    return installation.state / "upgrade.json"


def load(installation: Installation) -> Plan | None:
    """Return the upgrade that is going on; None for none. Raises StorageError where the file cannot be read."""
    path = file_of(installation)
    try:
        return Plan.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as fault:
        raise StorageError(f"upgrade plan {path} cannot be read; ostiary models upgrade abandon removes it") from fault


def required(installation: Installation) -> Plan:
    """Return the upgrade that is going on. Raises RefusedError for none."""
    plan = load(installation)
    if plan is None:
        raise RefusedError("no upgrade is going on; ostiary models upgrade start MODEL begins one")
    return plan


def begin(installation: Installation, embedder: str) -> Plan:
    """Return a new plan, written down.

    Raises RefusedError where one is going on, for the model in use, and for one to which it was never measured how
    alike strangers look; ModelError for one that there is not.
    """
    there = load(installation)
    if there is not None:
        raise RefusedError(f"an upgrade to {there.embedder} is going on; finish or abandon it first")
    going = manifest.embedder(installation.settings.recognition, installation.models_folder)
    coming = entry_of(installation, embedder)
    if coming.model_id == going.model_id:
        raise RefusedError(f"{embedder} is in use already")
    if coming.measured.door is None:
        raise RefusedError(f"how alike strangers look to {coming.model_id} was never measured; there is no threshold")
    plan = Plan(embedder=embedder, coming=coming.model_id, going=going.model_id)
    with new_file(file_of(installation)) as file:
        file.write(plan.model_dump_json().encode() + b"\n")
    return plan


def with_embedder(settings: Settings, embedder: str) -> Settings:
    """Return the same settings with another embedder."""
    recognition = settings.recognition.model_copy(update={"embedder": embedder})
    return settings.model_copy(update={"recognition": recognition})


def entry_of(installation: Installation, embedder: str) -> ModelEntry:
    """Return the embedder that the settings would name so. Raises ModelError."""
    return manifest.embedder(with_embedder(installation.settings, embedder).recognition, installation.models_folder)
