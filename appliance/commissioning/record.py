"""The result on disk: one JSON file, signed with the device's own key, without a name, a picture or a template."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cryptography.exceptions import InvalidSignature
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance import __version__, manifest
from appliance.audit import canonical
from appliance.commissioning.trials import Trial  # noqa: TC001 - pydantic reads it
from appliance.errors import RefusedError, StorageError
from appliance.signing import own_key, read_key

if TYPE_CHECKING:
    from appliance.config import Settings

MAX_BYTES = 4 * 1024 * 1024  # ten thousand presentations
RECORDINGS = "recordings:"  # in the place of a camera's source; no camera can have this name
_UNSIGNED = ""
_V4L2 = Path("/sys/class/video4linux")


class Result(BaseModel):
    """Everything that was seen in one commissioning, and what it holds for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    v: Literal[1] = 1
    at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]  # UTC
    version: str = __version__  # of the program
    device_id: str
    conditions: dict[str, str | int | float]  # camera, models and settings under which it was found
    threshold: Annotated[float, Field(ge=0, le=1)]  # `liveness.min_bona_fide` at that time
    people: Annotated[int, Field(ge=0)]  # different people; 0 where nobody counted them
    trials: tuple[Trial, ...]
    sig: Annotated[str, Field(pattern=r"^([0-9a-f]{128})?$")] = _UNSIGNED  # Ed25519 over all the rest

    def signed_bytes(self) -> bytes:
        """Return the bytes that the signature covers."""
        return canonical(self.model_dump(mode="json", exclude={"sig"}))


def conditions(settings: Settings, added: Path | None = None) -> dict[str, str | int | float]:
    """Return what a result holds for: with another camera, model or way of reading, it says nothing.

    `added` is the folder of models that did not come with the program.
    Raises ModelError where a manifest of models cannot be read.
    """
    camera, recognition = settings.camera, settings.recognition
    found: dict[str, str | int | float] = {
        "camera.source": camera.source,
        "camera.width_px": camera.width_px,
        "camera.height_px": camera.height_px,
        "camera.device": device_name(camera.source),
        "recognition.detector": recognition.detector,
        "recognition.embedder": recognition.embedder,
        "recognition.min_frames": recognition.min_frames,
        "recognition.intent_s": recognition.intent_s,
        "recognition.reading_s": recognition.reading_s,
        "recognition.min_face_px": recognition.min_face_px,
        "liveness.min_face_px": settings.liveness.min_face_px,
    }
    for entry, _ in manifest.liveness_of(settings, added):
        found[f"liveness model {entry.file}"] = entry.as_run
    return found


def device_name(source: str) -> str:
    """Return what the kernel calls the camera behind a number or a /dev path; "" where it has no name for it."""
    node = Path(f"/dev/video{source}" if source.isdecimal() else source)
    if not node.is_relative_to("/dev"):
        return ""
    try:  # a link such as /dev/v4l/by-id/... leads to the node
        return (_V4L2 / node.resolve().name / "name").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def store(result: Result, file: Path, key_file: Path) -> Result:
    """Sign the result and write it, whole or not at all, mode 0600; return it as signed.

    The device's key is made where there is none. Raises StorageError, and UsageError for a key that is none.
    """
    signed = result.model_copy(update={"sig": own_key(key_file).sign(result.signed_bytes()).hex()})
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as written:
            written.write(_bytes(signed))
            written.flush()
            os.fsync(written.fileno())
        draft.replace(file)
    except OSError as fault:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise StorageError(f"commissioning result {file} cannot be written: {fault.strerror}") from fault
    return signed


def load(file: Path, key_file: Path) -> Result | None:
    """Return the result in `file`; None where there is no file.

    Raises RefusedError with one line where it was altered in any byte or is another device's, StorageError where
    it cannot be read, and UsageError where this device's key cannot.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise StorageError(f"commissioning result {file} cannot be read: {fault.strerror}") from fault
    try:
        result = Result.model_validate_json(content[:MAX_BYTES])
    except ValidationError as fault:
        raise RefusedError(f"commissioning result {file} is damaged: {fault.errors()[0]['msg']}") from fault
    if content != _bytes(result):  # whatever else the same values could be written as was not written by us
        raise RefusedError(f"commissioning result {file} was altered")
    try:
        read_key(key_file).public_key().verify(bytes.fromhex(result.sig), result.signed_bytes())
    except InvalidSignature as fault:
        raise RefusedError(f"commissioning result {file} was altered, or is another device's") from fault
    return result


def _bytes(result: Result) -> bytes:
    return canonical(result.model_dump(mode="json")) + b"\n"
