"""`models/manifest.toml`: which model files may be loaded, what goes in and out of each, what was measured."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from appliance.errors import ModelError
from appliance.tail import Tail

if TYPE_CHECKING:
    from appliance.config import RecognitionSettings, Settings

NAME = "manifest.toml"
SHIPPED = Path(__file__).resolve().parents[1] / "models"
CROP_SCALE = 2.7  # what a liveness model sees, over the detection box: as the shipped ones were trained
GOLDEN_SIDE_PX = 512

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


class Calibration(_Entry):
    """Platt's: bona fide = 1 / (1 + exp(-(a * margin + b))), of the logit margin of bona fide over all else."""

    a: Annotated[float, Field(gt=0)]  # never 0 or below: more live must not become less
    b: float


class Golden(_Entry):
    """What a model must answer to a picture that everybody has; tells another colour order or scale by its output."""

    picture: Literal["astronaut", "official"]  # of appliance/drivers/faces, 512x512, in the public domain
    rectangle: tuple[int, int, int, int]  # left, top, width, height of it; brought to the input's size bilinearly
    output: tuple[float, ...]  # the first output, flattened
    max_difference: Annotated[float, Field(gt=0)]  # of any number of it

    @model_validator(mode="after")
    def _lies_inside(self) -> Golden:
        left, top, width, height = self.rectangle
        if min(left, top) < 0 or min(width, height) < 1 or max(left + width, top + height) > GOLDEN_SIDE_PX:
            raise ValueError(f"rectangle {self.rectangle} is not inside {GOLDEN_SIDE_PX}x{GOLDEN_SIDE_PX}")
        return self


class ModelEntry(_Entry):
    """One model file and everything that must be true of it."""

    role: Role
    model_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    file: Annotated[str, Field(pattern=r"^[a-z0-9_]+\.tflite$")]
    default: bool
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    licence: str
    package: str  # where it comes from
    package_version: str = ""
    package_sha256: str = ""
    package_path: str = ""
    colour: Literal["RGB", "BGR"]
    mean: float  # input = (pixel 0..255 - mean) / scale
    scale: Annotated[float, Field(gt=0)]
    input_shape: tuple[int, int, int, int]  # 1, H, W, 3
    input_dtype: Literal["float32"]
    quantisation: str
    output: tuple[Output, ...]
    crop_scale: Annotated[float, Field(ge=1, le=8)] = CROP_SCALE  # liveness only
    bona_fide_class: Annotated[int, Field(ge=0)] = 0  # liveness only: which logit
    calibration: Calibration | None = None  # liveness only; None: the softmax as it is
    golden: tuple[Golden, ...] = ()
    measured: Measured = Measured()

    @property
    def as_run(self) -> str:
        """What decides what this model answers, in words."""
        platt = "" if self.calibration is None else f", a {self.calibration.a:g}, b {self.calibration.b:g}"
        seen = f"{self.colour}, mean {self.mean:g}, scale {self.scale:g}, crop {self.crop_scale:g}"
        return f"{self.model_id}, SHA-256 {self.sha256}, {seen}, class {self.bona_fide_class}{platt}"


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


class Located(NamedTuple):
    """A model and where its file is."""

    entry: ModelEntry
    folder: Path


def folder_of(recognition: RecognitionSettings) -> Path:
    """Return where the installer keeps the models."""
    return Path(recognition.models) if recognition.models else SHIPPED


def embedder(recognition: RecognitionSettings, added: Path | None = None) -> ModelEntry:
    """Return the embedder that the installer chose, without loading it; as `embedder_of`. Raises ModelError."""
    return embedder_of(recognition, added).entry


def embedder_of(recognition: RecognitionSettings, added: Path | None = None) -> Located:
    """Return the embedder that the installer chose: a, b, or by its model id of those in the folder `added` too.

    Raises ModelError.
    """
    folder = folder_of(recognition)
    if recognition.embedder in {"a", "b"}:
        return Located(read(folder).entry("embedder", f"face_embedder_{recognition.embedder}"), folder)
    return _named("embedder", recognition.embedder, every(recognition, added))


def liveness_of(settings: Settings, added: Path | None = None) -> tuple[Located, ...]:
    """Return the liveness models that run together: those of `liveness.models`, else the default one.

    Raises ModelError.
    """
    wanted = settings.liveness.model_ids
    if not wanted:
        folder = folder_of(settings.recognition)
        return (Located(read(folder).entry("liveness"), folder),)
    known = every(settings.recognition, added)
    return tuple(_named("liveness", model_id, known) for model_id in wanted)


def every(recognition: RecognitionSettings, added: Path | None) -> tuple[Located, ...]:
    """Return all models that came with the program, then those in the folder `added`, where it has a manifest.

    Raises ModelError, also where both have a model of one id: which is meant must not hang on an order.
    """
    folder = folder_of(recognition)
    shipped = [Located(entry, folder) for entry in read(folder).model]
    if added is None or not (added / NAME).exists():
        return tuple(shipped)
    own = [Located(entry, added) for entry in read(added).model]
    twice = {one.entry.model_id for one in shipped} & {one.entry.model_id for one in own}
    if twice:
        raise ModelError(f"model {min(twice)} stands in {folder / NAME} and in {added / NAME}; remove one")
    return (*shipped, *own)


def in_use(settings: Settings, added: Path | None = None) -> frozenset[str]:
    """Return the ids of all models that these settings load. Raises ModelError."""
    recognition, shipped = settings.recognition, read(folder_of(settings.recognition))
    detector = shipped.entry("detector" if recognition.detector == "short" else "detector_full_range")
    chosen = (embedder_of(recognition, added), *liveness_of(settings, added))
    return frozenset({detector.model_id, shipped.entry("landmarks").model_id, *(one.entry.model_id for one in chosen)})


def _named(role: Role, model_id: str, known: tuple[Located, ...]) -> Located:
    for one in known:
        if (one.entry.role, one.entry.model_id) == (role, model_id):
            return one
    there = ", ".join(one.entry.model_id for one in known if one.entry.role == role)
    raise ModelError(f"there is no {role} model {model_id}; there are {there}")


def read(folder: Path = SHIPPED) -> Manifest:
    """Return the manifest in `folder`. Raises ModelError with one line where it is missing or wrong."""
    path = folder / NAME
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:  # ValueError: no UTF-8, no TOML, a number of 5,000 digits
        raise ModelError(f"model manifest {path} cannot be read: {fault}") from fault
    return checked(table, str(path))


def checked(table: dict[str, Any], name: str) -> Manifest:
    """Return the manifest that a TOML table holds; `name` is what messages call it. Raises ModelError."""
    try:
        return Manifest.model_validate(table)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"model manifest {name}: {where or 'models'}: {first['msg']}") from fault
