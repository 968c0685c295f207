"""`ostiary enrol`: what people agree to, and a newcomer before the camera where no reader runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from appliance.cli import root
from appliance.drivers.photo import decode_photo
from appliance.drivers.scene import FACES
from appliance.lone import only_one
from appliance.people.consents import ConsentTexts
from appliance.people.gallery import Gallery

if TYPE_CHECKING:
    from pathlib import Path


def run(tmp_path: Path, *arguments: str, said: str = "") -> tuple[int, str]:
    """Return the exit code and all that was said."""
    config = tmp_path / "appliance.toml"
    if not config.exists():
        config.write_text("")
    result = CliRunner().invoke(
        root, ["enrol", *arguments, "--config", str(config), "--state", str(tmp_path / "state")], input=said
    )
    return getattr(result.exception, "exit_code", result.exit_code), f"{result.output}{result.exception or ''}"


def nobody_is_enrolled(tmp_path: Path) -> bool:
    """Tell whether the gallery is empty."""
    with Gallery(tmp_path / "state" / "gallery.db") as gallery:
        return gallery.people() == ()


def test_consent_text_is_printed_with_its_hash(tmp_path: Path) -> None:
    """J5: what people agree to can be printed, from the program or from a folder of one's own."""
    code, said = run(tmp_path, "consent-text", "--language", "zh")
    assert code == 0
    assert ConsentTexts().read("zh").text in said
    assert ConsentTexts().read("zh").sha256 in said
    own = tmp_path / "texts" / "2027-1"
    own.mkdir(parents=True)
    (own / "en.txt").write_text("Our own words.\n")
    (tmp_path / "appliance.toml").write_text('[consent]\nfolder = "texts"\n')
    code, said = run(tmp_path, "consent-text")
    assert code == 0
    assert said.startswith("Our own words.\n")
    assert "version 2027-1" in said
    assert run(tmp_path, "consent-text", "--language", "zh")[0] == 1


@pytest.mark.parametrize("answers", ["n\n", "\n"])
def test_nobody_is_enrolled_who_does_not_agree(tmp_path: Path, answers: str) -> None:
    """J5: the text is shown and asked about before the camera is opened; anything but yes enrols nobody."""
    code, said = run(tmp_path, "camera", "Ada", said=answers)
    assert code == 1
    assert "there is no consent" in said
    assert "Consent to being recognised" in said


def test_an_attack_before_the_camera_enrols_nobody(tmp_path: Path) -> None:
    """B14: where no reader runs the command guides by itself, and refuses a print as the reader would."""
    scene = tmp_path / "scene.json"
    scene.write_text(json.dumps({"visits": [{"shows": "print", "for_s": 6, "pause_s": 0.1}]}))
    (tmp_path / "appliance.toml").write_text(f'[camera]\nsource = "simulated:{scene}"\n')
    code, said = run(tmp_path, "camera", "Ada", "--agreed")
    assert code == 1
    assert "0 of 5  step before the camera, alone" in said
    assert "it is not a living face" in said
    assert nobody_is_enrolled(tmp_path)


def test_camera_that_is_taken_or_a_recording_is_one_line(tmp_path: Path) -> None:
    """A reader that holds the camera and does not answer ends the command with 3, a recording with 2."""
    (tmp_path / "state").mkdir()
    with only_one(tmp_path / "state" / "reader.lock"):
        code, said = run(tmp_path, "camera", "Ada", "--agreed")
    assert code == 3
    assert "another reader is running" in said
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").write_bytes(b"x")
    (tmp_path / "appliance.toml").write_text(f'[camera]\nsource = "{tmp_path / "photos"}"\n')
    code, said = run(tmp_path, "camera", "Ada", "--agreed")
    assert code == 2
    assert "is a recording; people are enrolled at a camera" in said


def test_photos_are_kept_where_that_was_agreed(tmp_path: Path) -> None:
    """J5: `person add` records which text was agreed to, and keeps a bounded picture only with --keep-photos."""
    state = tmp_path / "state"
    for face, options in (("astronaut", ["--keep-photos", "--consent-text", "1"]), ("official", [])):
        given = ["--consent-by", face, "--group", "staff", "--external-id", face, "--language", "fr", *options]
        photo = ["--photo", str(FACES / f"{face}.png")]
        result = CliRunner().invoke(root, ["person", "add", face, *photo, *given, "--state", str(state)])
        assert result.exit_code == 0, result.output
    with Gallery(state / "gallery.db") as gallery:
        for face, count, version in (("astronaut", 1, "1"), ("official", 0, "")):
            (one,) = gallery.find(face)
            details, photos = gallery.details(one.person_id), gallery.photos(one.person_id)
            assert (one.external_id, one.groups) == (face, ("staff",))
            assert (details.consent.language, details.consent.text_version) == ("fr", version)
            assert len(photos) == count
            assert all(max(decode_photo(kept, "kept").shape) <= 480 for kept in photos)
