"""`models/manifest.toml`: which model files may be loaded, what goes in and out of each, what was measured."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from appliance.errors import ModelError
from appliance.tail import Tail

if TYPE_CHECKING:
    from appliance.config import RecognitionSettings

SHIPPED = Path(__file__).resolve().parents[1] / "models"

Role = Literal["detector", "detector_full_range", "landmarks", "embedder", "liveness"]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Output(_Entry):
    """One output tensor, in the interpreter's own order."""

    meaning: str
    shape: tuple[int, ...]


class Impostors(_Entry):
    """How alike different people look to an embedder: an exponential tail fitted to measured comparisons.

    FMR(t) = tail_fmr * exp(-(t - tail_start) / tail_scale) for t >= tail_start.
    """

    data: str
    comparisons: Annotated[int, Field(gt=0)]
    tail_start: Annotated[float, Field(gt=-1, lt=1)]  # cosine
    tail_fmr: Annotated[float, Field(gt=0, lt=1)]  # share of comparisons at or above tail_start
    tail_scale: Annotated[float, Field(gt=0, lt=1)]  # cosine
    tail_scale_ci95: tuple[float, float]

    @property
    def tail(self) -> Tail:
        """The fit itself."""
        return Tail(self.tail_start, self.tail_fmr, self.tail_scale)


class Measured(BaseModel):
    """What was measured of a model; further keys are for readers of the file."""

    model_config = ConfigDict(frozen=True, extra="allow")

    impostors: Impostors | None = None  # one photograph against one
    visits: Impostors | None = None  # the best of a visit's fused probes against one photograph

    @property
    def door(self) -> Impostors | None:
        """What the door's threshold rests on: whole visits, where they were measured."""
        return self.visits or self.impostors


class ModelEntry(_Entry):
    """One model file and everything that must be true of it."""

    role: Role
    model_id: str
    file: Annotated[str, Field(pattern=r"^[a-z0-9_]+\.tflite$")]
    default: bool
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    licence: str
    package: str
    package_version: str
    package_sha256: str
    package_path: str
    colour: Literal["RGB", "BGR"]
    mean: float  # input = (pixel 0..255 - mean) / scale
    scale: Annotated[float, Field(gt=0)]
    input_shape: tuple[int, int, int, int]  # 1, H, W, 3
    input_dtype: Literal["float32"]
    quantisation: str
    output: tuple[Output, ...]
    measured: Measured = Measured()


class Manifest(_Entry):
    """The whole file."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    model: tuple[ModelEntry, ...]

    @model_validator(mode="after")
    def _says_nothing_twice(self) -> Manifest:
        """Which file or embedding space is meant must not hang on the order of the entries."""
        for what, names in (
            ("file", [one.file for one in self.model]),
            ("model_id", [one.model_id for one in self.model]),
            ("default", [one.role for one in self.model if one.default]),
        ):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise ValueError(f"{what} stands twice for {twice[0]}")
        return self

    def entry(self, role: Role, file_stem: str = "") -> ModelEntry:
        """Return the role's default model, or the one whose file is `file_stem`.tflite. Raises ModelError."""
        for entry in self.model:
            if entry.role == role and (entry.file == f"{file_stem}.tflite" if file_stem else entry.default):
                return entry
        raise ModelError(f"models/manifest.toml has no {role} {file_stem or 'marked default'}")


def folder_of(recognition: RecognitionSettings) -> Path:
    """Return where the installer keeps the models."""
    return Path(recognition.models) if recognition.models else SHIPPED


def embedder(recognition: RecognitionSettings) -> ModelEntry:
    """Return the embedder that the installer chose, without loading it. Raises ModelError."""
    return read(folder_of(recognition)).entry("embedder", f"face_embedder_{recognition.embedder}")


def read(folder: Path = SHIPPED) -> Manifest:
    """Return the manifest in `folder`. Raises ModelError with one line where it is missing or wrong."""
    path = folder / "manifest.toml"
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return Manifest.model_validate(table)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise ModelError(f"model manifest {path} cannot be read: {fault}") from fault
    except ValidationError as fault:
        first = fault.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"model manifest {path}: {name or 'models'}: {first['msg']}") from fault
