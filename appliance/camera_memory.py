"""What is remembered of the camera: which device it is, and what it looked at when nobody was there."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from appliance.errors import RefusedError, StorageError
from appliance.whole_file import write_file

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 16 * 1024
_PLACES, _TURNS = 4800, 16  # of a view: camera_view.py, which needs the image library


class CameraMemory(BaseModel):
    """The camera's memory, as it stands in its file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    v: Literal[1] = 1
    at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]  # UTC
    identity: Annotated[str, Field(max_length=500)]  # what the driver says of the device; "" where it can say nothing
    view: str = ""  # base64 of `View.directions`; "" where none was learnt yet
    fine: Annotated[float, Field(ge=0)] = 0.0  # `Detail` of that view
    coarse: Annotated[float, Field(ge=0)] = 0.0

    @field_validator("view")
    @classmethod
    def _demand_view(cls, text: str) -> str:
        try:
            places = base64.b64decode(text, validate=True)
        except binascii.Error as fault:
            msg = "the view is no base64"
            raise ValueError(msg) from fault
        if text and (len(places) != _PLACES or max(places) > _TURNS):
            msg = f"the view is not one of {_PLACES} places"
            raise ValueError(msg)
        return text

    @property
    def directions(self) -> bytes:
        """The view; b"" for none."""
        return base64.b64decode(self.view)

    def seen(self, directions: bytes, fine: float, coarse: float) -> CameraMemory:
        """Return the same memory with a view."""
        view = base64.b64encode(directions).decode()
        return self.model_copy(update={"view": view, "fine": fine, "coarse": coarse})


def load(file: Path) -> CameraMemory | None:
    """Return what is remembered; None where there is no file.

    Raises RefusedError where it is damaged, StorageError where it cannot be read.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise StorageError(f"camera memory {file} cannot be read: {fault.strerror}") from fault
    try:
        return CameraMemory.model_validate_json(content)
    except ValidationError as fault:
        raise RefusedError(f"camera memory {file} is damaged: {fault.errors()[0]['msg']}") from fault


def store(file: Path, memory: CameraMemory) -> None:
    """Have the file hold this memory, whole, for its owner alone. Raises StorageError."""
    write_file(file, memory.model_dump_json().encode() + b"\n")


def forget(file: Path) -> None:
    """Remember nothing any more: a running reader learns anew. Raises StorageError."""
    try:
        file.unlink(missing_ok=True)
    except OSError as fault:
        raise StorageError(f"camera memory {file} cannot be removed: {fault.strerror}") from fault
