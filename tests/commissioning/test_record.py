"""The stored result and what it clears: whole, this device's, and for this camera and model, or nobody is let in."""

from __future__ import annotations

import json
import os
import shutil
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from appliance import manifest
from appliance.commands.options import Installation
from appliance.commissioning.clearance import clearance
from appliance.commissioning.record import MAX_BYTES, Result, device_name, load, store
from appliance.config import Settings
from appliance.contract import EventType, Reason
from appliance.door.child import simulated_controller
from appliance.drivers.photo import read_photo
from appliance.drivers.scene import FACES, Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.errors import ApplianceError, RefusedError, StorageError
from appliance.people.gallery import Consent, Gallery
from appliance.pipeline.reading import ModelStages, PhotoReader
from appliance.service import Hooks, Service
from appliance.signing import new_key
from tests.commissioning.made import GOOD, SETTINGS, attack, result, trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.commissioning.trials import Trial
    from appliance.records import AuditEvent, Embedding, Grade


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Give an installation at which everything passed."""
    made = Installation(SETTINGS, tmp_path, None)
    store(result(), made.commissioning_file, made.device_key_file)
    return made


def changed(installation: Installation, section: str, **values: object) -> Installation:
    """Return the same state folder with other settings."""
    table = installation.settings.model_dump()
    table[section] |= values
    return Installation(Settings.model_validate(table), installation.state, None)


def test_result_comes_back_as_it_was_stored(installation: Installation) -> None:
    """What is loaded is what was stored, signed; the file and the key are the device's alone."""
    loaded = load(installation.commissioning_file, installation.device_key_file)
    assert loaded is not None
    assert loaded.model_copy(update={"sig": ""}) == result()
    for file in (installation.commissioning_file, installation.device_key_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in installation.state.iterdir()) == ["commissioning.json", "device.key"]


def test_result_holds_no_picture_no_template_and_no_name(installation: Installation) -> None:
    """J1: a stored presentation is a few numbers and words from closed lists, and nothing else."""
    stored = json.loads(installation.commissioning_file.read_bytes())
    assert stored.keys() == set(Result.model_fields)
    assert {frozenset(one) for one in stored["trials"]} == {
        frozenset({"species", "passes_up_to", "refused", "read", "median", "scores", "cues", "seconds"})
    }


def test_any_altered_byte_is_refused(installation: Installation) -> None:
    """F6: whichever one byte of the result is changed, taken away or added, it is refused in one line."""
    file = installation.commissioning_file
    whole = file.read_bytes()
    flipped = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for content in [*flipped, whole[:-1], whole + b" ", b" " + whole, whole[: len(whole) // 2]]:
        file.write_bytes(content)
        with pytest.raises(RefusedError) as fault:
            load(file, installation.device_key_file)
        assert "\n" not in str(fault.value)


def test_every_flipped_byte_keeps_the_door_from_opening(installation: Installation) -> None:
    """B20: a result that was tampered with clears nothing, and the line says so."""
    file = installation.commissioning_file
    whole = file.read_bytes()
    for at in range(0, len(whole), 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        assert not clearance(installation).face_only


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"NaN",
        b"[]",
        b"{}",
        b"0.9999",
        b"\x00" * 4096,
        b"\xff\xfe",
        b"{" * 100_000,
        b"1" * (MAX_BYTES + 1),
    ],
    ids=["empty", "null", "NaN", "list", "object", "constant", "zeros", "bytes", "nested", "huge"],
)
def test_file_that_is_no_result_clears_nothing(installation: Installation, content: bytes) -> None:
    """B20: an empty, constant, deep or huge file is one line, and no face alone opens."""
    installation.commissioning_file.write_bytes(content)
    cleared = clearance(installation)
    assert not cleared.face_only
    assert "commissioning.json" in cleared.words
    assert "\n" not in cleared.words


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": float("nan")},
        {"threshold": 0.0},
        {"trials": []},
        {"v": 2},
        {"conditions": {}},
        {"sig": ""},
        {"sig": "0" * 128},
        {"extra": 1},
    ],
    ids=str,
)
def test_edited_result_clears_nothing(installation: Installation, change: dict[str, Any]) -> None:
    """B20: a result that was edited, however sensibly, is not the one that was signed."""
    fields = json.loads(installation.commissioning_file.read_bytes()) | change
    installation.commissioning_file.write_text(
        json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    )
    assert not clearance(installation).face_only


def test_result_of_another_device_clears_nothing(installation: Installation, tmp_path: Path) -> None:
    """A result that was copied from another device is refused, for all that it passed there."""
    other = Installation(SETTINGS, tmp_path / "other", None)
    other.state.mkdir()
    new_key(other.device_key_file)
    shutil.copy(installation.commissioning_file, other.commissioning_file)
    assert "another device" in clearance(other).words
    assert not clearance(other).face_only


def test_what_cannot_be_read_clears_nothing(installation: Installation) -> None:
    """No result, no key, a key that is none, and a folder in the file's place: one line each, and nothing raised."""
    key = installation.device_key_file.read_bytes()
    installation.device_key_file.write_text("no key")
    assert "device.key" in clearance(installation).words
    installation.device_key_file.unlink()
    assert "device.key" in clearance(installation).words
    installation.device_key_file.write_bytes(key)
    assert clearance(installation).face_only
    installation.commissioning_file.unlink()
    assert clearance(installation).words.endswith("run: ostiary commission spoof")
    installation.commissioning_file.mkdir()
    assert "cannot be read" in clearance(installation).words
    assert not clearance(installation).face_only


def test_result_that_cannot_be_written_is_one_line(installation: Installation) -> None:
    """F3: where the result cannot be written, the one before stays and nothing half-written is left."""
    whole = installation.commissioning_file.read_bytes()
    nowhere = installation.state / "none" / "commissioning.json"
    with pytest.raises(StorageError, match="none"):
        store(result(), nowhere, installation.device_key_file)
    installation.commissioning_file.with_suffix(f".{os.getpid()}.tmp").mkdir()  # the draft's place is taken
    with pytest.raises(ApplianceError):
        store(result(()), installation.commissioning_file, installation.device_key_file)
    assert installation.commissioning_file.read_bytes() == whole


def test_passed_and_unchanged_is_cleared(installation: Installation) -> None:
    """Where everything passed and nothing changed, a face alone may open, and the line says on what grounds."""
    cleared = clearance(installation)
    assert cleared.face_only
    assert not cleared.skipped
    assert "2026-11-20, 0 of 2 people refused, 0 of 2 print accepted, 0 of 2 phone accepted at 0.5" in cleared.words


@pytest.mark.parametrize(
    ("section", "value", "word"),
    [
        ("camera", {"source": "0"}, "camera.source is 0, and was simulated"),
        ("camera", {"width_px": 1280}, "camera.width_px is 1280, and was 640"),
        ("recognition", {"detector": "full"}, "recognition.detector is full"),
        ("recognition", {"reading_s": 4.0}, "recognition.reading_s is 4.0"),
        ("liveness", {"min_face_px": 60.0}, "liveness.min_face_px is 60.0"),
        ("liveness", {"min_bona_fide": 0.49}, "min_bona_fide is 0.49, and was 0.5"),
        ("liveness", {"min_bona_fide": 0.995}, "2 of 2 people were refused"),
        ("commissioning", {"species": "print, phone, mask"}, "0 mask presentations"),
        ("commissioning", {"attacks": 3}, "2 print presentations were read; 3 are needed"),
    ],
)
def test_whatever_has_changed_is_named(
    installation: Installation, section: str, value: dict[str, Any], word: str
) -> None:
    """Another camera, another way of reading or a laxer threshold: it has to be done again, and the line says why."""
    cleared = clearance(changed(installation, section, **value))
    assert not cleared.face_only
    assert word in cleared.words
    assert cleared.words.endswith("run: ostiary commission spoof")


def test_another_model_asks_again(installation: Installation, tmp_path: Path) -> None:
    """I3: with another liveness model, valid and of the same name, nothing is cleared, and both are named."""
    models = tmp_path / "models"
    shutil.copytree(manifest.SHIPPED, models)
    moved = changed(installation, "recognition", models=str(models))
    assert clearance(moved).face_only  # the same files elsewhere are the same model
    listing = models / "manifest.toml"
    sha256 = manifest.read().entry("liveness").sha256
    listing.write_text(listing.read_text().replace(sha256, sha256[::-1]))
    cleared = clearance(moved)
    assert not cleared.face_only
    assert f"SHA-256 {sha256[::-1]}" in cleared.words
    assert f"was {manifest.read().entry('liveness').model_id}" in cleared.words
    listing.unlink()
    assert not clearance(moved).face_only


@pytest.mark.parametrize(
    ("models", "word"),
    [
        ("faceplugin-minifasnet-hybrid", "faceplugin-minifasnet-hybrid, SHA-256"),
        ("faceplugin-minifasnet-tuned-hybrid, faceplugin-minifasnet-hybrid", "was none"),
        ("nobody-added-this", "there is no liveness model nobody-added-this"),
    ],
)
def test_another_set_of_models_asks_again(installation: Installation, models: str, word: str) -> None:
    """I3: with another liveness model, a further one or an unknown one, nothing is cleared."""
    assert clearance(changed(installation, "liveness", models="faceplugin-minifasnet-tuned-hybrid")).face_only
    cleared = clearance(changed(installation, "liveness", models=models))
    assert not cleared.face_only
    assert word in cleared.words


def test_another_calibration_asks_again(installation: Installation, tmp_path: Path) -> None:
    """I3: the same file read in another way, or with another calibration, is another model."""
    models = tmp_path / "models"
    shutil.copytree(manifest.SHIPPED, models)
    moved = changed(installation, "recognition", models=str(models))
    assert clearance(moved).face_only
    listing = models / "manifest.toml"
    file = f'file = "{manifest.read().entry("liveness").file}"'
    text = listing.read_text()
    for line in ("calibration = {a = 2.0, b = 1.0}", "crop_scale = 3.0", "bona_fide_class = 1"):
        listing.write_text(text.replace(file, f"{file}\n{line}"))
        cleared = clearance(moved)
        assert not cleared.face_only
        assert "liveness model" in cleared.words


def test_stricter_threshold_is_judged_anew(installation: Installation) -> None:
    """An attack that passed at 0.5 keeps the door shut there, and not where the threshold was raised above it."""
    trials: tuple[Trial, ...] = (*GOOD, attack("print", 0.6))
    store(result(trials), installation.commissioning_file, installation.device_key_file)
    assert "1 of 3 print presentations passed" in clearance(installation).words
    assert clearance(changed(installation, "liveness", min_bona_fide=0.65)).face_only


def test_skipping_is_said_plainly(tmp_path: Path) -> None:
    """Where the installer skips it, a face alone opens and the line says that nothing was shown."""
    cleared = clearance(changed(Installation(SETTINGS, tmp_path, None), "liveness", commissioned="skipped"))
    assert (cleared.face_only, cleared.skipped) == (True, True)
    assert 'liveness.commissioned is "skipped"' in cleared.words


def test_camera_is_named_by_the_kernel() -> None:
    """A source that is no camera of the kernel's, or that is not there, has no device name."""
    for source in ("simulated", "picamera2", "/etc/passwd", "/dev/null", "9999", "http://a/dev/video0", ""):
        assert device_name(source) == ""


# --- the door itself ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def face() -> tuple[Embedding, Grade]:
    """Give a portrait's template, read once."""
    embedding, quality = PhotoReader(ModelStages(SETTINGS)).read(read_photo(FACES / "astronaut.png"), "astronaut")
    return embedding, quality.grade


@pytest.fixture
def door(installation: Installation, face: tuple[Embedding, Grade]) -> Iterator[Installation]:
    """Give a commissioned door with a controller process, at which somebody is enrolled."""
    with Gallery(installation.gallery_file) as gallery:
        protected = gallery.protection.protect(face[0])
        gallery.add("Ada", Consent("Ada", datetime(2026, 1, 1, tzinfo=UTC)), [(protected, face[1])])
    with simulated_controller(installation.state) as socket:
        yield installation.with_controller(socket)


def visited(door: Installation) -> list[tuple[EventType, Reason | None]]:
    """Have the enrolled person come; return every event's type and reason but the lock's own."""
    events: list[AuditEvent] = []
    camera = SimulatedCamera(Script(Scene(visits=(Visit(for_s=3),))), door.settings.camera, paced=False)
    service = Service(door, camera, Hooks(on_event=events.append))
    service.link.connect(5.0)
    service.run()
    assert service.clearance.words in (events[0].event.detail or "")
    apart = {EventType.STARTED, EventType.STOPPED, EventType.DOOR_LOCKED, EventType.DOOR_UNLOCKED}
    return [(one.event.event_type, one.event.reason) for one in events if one.event.event_type not in apart]


def levels(door: Installation) -> list[int]:
    """Return every level the lock's line was driven to."""
    return [level for _, level, _ in SimulatedDoorObserver(door.state / "simulated-door").history()]


def test_commissioned_door_opens_for_a_face(door: Installation) -> None:
    """After it has passed, somebody enrolled and live is granted."""
    assert visited(door) == [(EventType.ACCESS_GRANTED, Reason.OK)]
    assert levels(door) == [0, 1, 0]


def _flip(door: Installation) -> None:
    whole = bytearray(door.commissioning_file.read_bytes())
    whole[len(whole) // 2] ^= 1
    door.commissioning_file.write_bytes(whole)


def _forget(door: Installation) -> None:
    door.commissioning_file.unlink()


def _fail(door: Installation) -> None:
    store(result((*GOOD, attack("phone", 0.9), trial())), door.commissioning_file, door.device_key_file)


@pytest.mark.parametrize("harm", [_flip, _forget, _fail], ids=["tampered", "missing", "failed"])
def test_door_that_is_not_cleared_asks_a_human(door: Installation, harm: Callable[[Installation], None]) -> None:
    """B20: with no result, a tampered one, or one that did not pass, the right live face is referred."""
    harm(door)
    events = visited(door)
    assert events[0] == (EventType.APPROVAL_REQUESTED, Reason.SECOND_FACTOR_REQUIRED)
    assert EventType.ACCESS_GRANTED not in {kind for kind, _ in events}
    assert levels(door) == [0]
