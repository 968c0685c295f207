"""`ostiary face`: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from appliance.audit import AuditLog
from appliance.commands.options import Installation, open_installation
from appliance.config import Settings
from appliance.drivers.film import FilmWriter, stated
from appliance.drivers.photo import encode_jpeg, encode_png, read_photo
from appliance.people.gallery import Consent, Gallery
from appliance.pipeline.reading import open_face_reader
from appliance.records import Grade
from tests.commands.test_person import ostiary
from tests.faces.made import head
from tests.pipeline.faces import portrait

if TYPE_CHECKING:
    from pathlib import Path

CONSENT = Consent("they themselves", datetime(2026, 3, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with photos of both portraits, of each twice, of both together, and of nobody."""
    folder = tmp_path_factory.mktemp("photos")
    astronaut, official = head("astronaut"), head("official")
    for name, pixels in (
        ("a", astronaut),
        ("b", official),
        ("both", np.hstack([astronaut, official])),
        ("twins", np.hstack([astronaut, astronaut])),
        ("empty", np.full((64, 64, 3), 128, np.uint8)),
    ):
        (folder / f"{name}.png").write_bytes(encode_png(pixels))
    for name, pixels in (("a2", astronaut), ("b2", official)):
        (folder / f"{name}.jpg").write_bytes(encode_jpeg(np.ascontiguousarray(pixels[:, ::-1]), 80))
    return folder


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Give an installation in which the astronaut is enrolled, in a group, and another person of another model."""
    made = open_installation(None, tmp_path_factory.mktemp("state"))
    with Gallery(made.gallery_file) as gallery:
        reader = open_face_reader(Settings(), protect=gallery.protection.protect)
        embedding, _ = reader.read(portrait("astronaut"), "astronaut")
        person = gallery.add("Ada", CONSENT, [(embedding, Grade.HIGH)])
        subject = gallery.subject(person.person_id)
        assert subject is not None
        gallery.set_access(type(subject)(person.person_id, "Ada", groups=frozenset({"crew"})))
    return made


def ada(installation: Installation) -> str:
    """Return the id of the one who is enrolled."""
    with Gallery(installation.gallery_file) as gallery:
        return gallery.find("Ada")[0].person_id


def said(installation: Installation, *words: str) -> list[dict[str, Any]]:
    """Run the command with --json, and return what it said to a program."""
    code, output = ostiary(installation, "face", *words, "--json")
    assert code == 0, output
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_faces_are_told_of(installation: Installation, photos: Path) -> None:
    """Each face of each photo is a line with place, pose and quality, the largest first; a photo of nobody says so."""
    code, output = ostiary(installation, "face", "detect", str(photos / "both.png"), str(photos / "empty.png"))
    lines = [line for line in output.splitlines() if line.startswith(str(photos))]
    assert code == 0
    assert [line.partition(": ")[0] for line in lines] == [
        f"{photos}/both.png#1",
        f"{photos}/both.png#2",
        f"{photos}/empty.png",
    ]
    assert "quality high" in lines[0]
    assert lines[2].endswith("no face")
    first, second = said(installation, "detect", str(photos / "both.png"))
    assert first["rectangle"]["width_px"] > second["rectangle"]["width_px"]
    assert (first["face_id"], first["mask"], len(first["landmarks"])) == (None, None, 27)


def test_two_photos_are_verified(installation: Installation, photos: Path) -> None:
    """B13: the verdict is told in words without a score, and with one to a program."""
    code, same = ostiary(installation, "face", "verify", str(photos / "b.png"), str(photos / "b2.jpg"))
    assert code == 0
    assert "the same person; a stranger comes this near" in same
    assert "0." not in same
    (told,) = said(installation, "verify", str(photos / "a.png"), str(photos / "b.png"))
    assert not told["identical"]
    assert told["similarity"] < told["threshold"]


def test_photo_is_verified_against_a_person(installation: Installation, photos: Path) -> None:
    """B13: whoever is not the person learns that, and nothing of how near they came."""
    (same,) = said(installation, "verify", str(photos / "a2.jpg"), "--person", "Ada")
    assert same["identical"]
    (other,) = said(installation, "verify", str(photos / "b.png"), "--person", ada(installation))
    assert (other["identical"], other["similarity"], other["words"]) == (False, None, "")


def test_faces_are_identified(installation: Installation, photos: Path) -> None:
    """Whoever is enrolled is told by name, id and how often strangers come as near; anybody else is unknown."""
    code, output = ostiary(installation, "face", "identify", str(photos / "both.png"))
    assert code == 0
    lines = {line.partition("#")[2][:1]: line for line in output.splitlines() if "#" in line}
    assert lines["1"].endswith("#1: unknown")
    assert f"Ada ({ada(installation)}); a stranger comes this near less than once in" in lines["2"]
    told = said(installation, "identify", str(photos / "a2.jpg"), "--group", "crew", "--most", "3")
    assert [one["person_id"] for one in told] == [ada(installation)]
    raised = said(installation, "identify", str(photos / "a2.jpg"), "--threshold", "0.999")
    assert [(one["person_id"], one["candidates"]) for one in raised] == [(None, [])]


def test_similar_faces_are_found(installation: Installation, photos: Path) -> None:
    """Among photos and references those of the same person are found, or all are ranked."""
    places = [str(photos / name) for name in ("a2.jpg", "both.png", "b.png")]
    same = said(installation, "similar", *places, "--person", "Ada")
    with Gallery(installation.gallery_file) as gallery:
        (reference,) = gallery.vectors(ada(installation))
    assert {one["face_id"] for one in same} == {reference, f"{photos}/both.png#2"}
    code, ranked = ostiary(installation, "face", "similar", *places, "--mode", "match-face")
    assert code == 0
    assert ["the same person" in line for line in ranked.splitlines()[-3:]] == [True, False, False]


def test_faces_are_grouped(installation: Installation, photos: Path) -> None:
    """The faces of several photos are sorted by person."""
    code, output = ostiary(
        installation, "face", "group", *(str(photos / name) for name in ("a.png", "b.png", "a2.jpg", "both.png"))
    )
    assert code == 0
    assert output.splitlines()[-3:] == [
        f"group 1: {photos}/a.png#1 {photos}/a2.jpg#1 {photos}/both.png#2",
        f"group 2: {photos}/b.png#1 {photos}/both.png#1",
        "messy: none",
    ]


def test_picture_is_redacted(installation: Installation, photos: Path, tmp_path: Path) -> None:
    """Everybody is covered, or all but the one who is named; what stays of the file is its pixels alone."""
    everybody, but_one = tmp_path / "none.jpg", tmp_path / "one.png"
    assert ostiary(installation, "face", "redact", str(photos / "both.png"), str(everybody))[0] == 0
    assert [one for one in said(installation, "identify", str(everybody)) if one["candidates"]] == []
    command = ("face", "redact", str(photos / "both.png"), str(but_one), "--keep-person", "Ada")
    assert ostiary(installation, *command)[0] == 0
    assert np.array_equal(read_photo(but_one)[60:180, 60:190], head()[60:180, 60:190])
    assert not np.array_equal(read_photo(but_one)[:, 256:], head("official"))


def test_metadata_are_left_out(installation: Installation, photos: Path, tmp_path: Path) -> None:
    """J1: a thumbnail or a note that the source carries, in whatever chunk, is not in the copy."""
    whole = (photos / "a.png").read_bytes()
    note = b"tEXtComment\0planted-marker"
    chunk = (len(note) - 4).to_bytes(4) + note + zlib.crc32(note).to_bytes(4)
    source = tmp_path / "noted.png"
    source.write_bytes(whole[:33] + chunk + whole[33:])
    jpeg = (photos / "a2.jpg").read_bytes()
    exif = b"Exif\0\0planted-marker"
    (tmp_path / "noted.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + jpeg[2:])
    for name in ("noted.png", "noted.jpg"):
        assert b"planted-marker" in (tmp_path / name).read_bytes()
        copy = tmp_path / f"copy-of-{name}"
        assert ostiary(installation, "face", "redact", str(tmp_path / name), str(copy))[0] == 0
        assert b"planted-marker" not in copy.read_bytes()
        assert b"Exif" not in copy.read_bytes()


def test_film_is_redacted(installation: Installation, photos: Path, tmp_path: Path) -> None:
    """A film gives a film of as many frames; that its sound is lost, and whom nobody found, is said."""
    source, copy = tmp_path / "film.mp4", tmp_path / "copy.mp4"
    writer = FilmWriter(source, 10.0)
    for _ in range(3):
        writer.write(np.asarray(cv2.resize(head(), (192, 192), interpolation=cv2.INTER_AREA), np.uint8))
    writer.close()
    command = ("face", "redact", str(source), str(copy), "--keep-face", str(photos / "b.png"))
    code, output = ostiary(installation, *command)
    assert code == 0
    assert "3 frames" in output
    assert output.rstrip().endswith("without sound; who was to be kept was not found, so everybody is covered")
    assert stated(copy) == (10.0, 3)


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("detect", "missing.png"), 1, "cannot be read"),
        (("detect", "cut.png"), 1, "cut short"),
        (("verify", "a.png"), 2, "either OTHER or --person"),
        (("verify", "a.png", "b.png", "--person", "Ada"), 2, "either OTHER or --person"),
        (("verify", "a.png", "--person", "Nobody"), 1, "nobody is enrolled as 'Nobody'"),
        (("verify", "empty.png", "b.png"), 1, "shows no face"),
        (("verify", "twins.png", "b.png"), 1, "shows 2 faces"),
        (("identify", "a.png", "--group", "ghosts"), 1, "nobody is in the group 'ghosts'"),
        (("identify", "a.png", "--most", "101"), 2, "101"),
        (("similar", "a.png"), 2, "other photos or --person"),
        (("group", "a.png"), 2, "1 faces are given; 2 to 1000"),
        (("redact", "a.png", "a.png"), 1, "never overwritten"),
        (("redact", "a.png", "new.gif"), 2, "ends in none of"),
        (("redact", "a.png", "new.png", "--keep-largest", "--keep-person", "Ada"), 2, "one face can stay"),
        (("redact", "a.png", "new.png", "--keep-face", "empty.png"), 1, "shows no face"),
        (("redact", "a.png", "new.mp4"), 1, "is no film"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    installation: Installation, photos: Path, words: tuple[str, ...], code: int, why: str
) -> None:
    """A9, E4: what is refused ends with its exit code and one line, and writes no file."""
    (photos / "cut.png").write_bytes((photos / "a.png").read_bytes()[:-20])
    before = sorted(photos.iterdir())
    named = [str(photos / word) if word.endswith((".png", ".gif", ".mp4")) else word for word in words]
    got, output = ostiary(installation, "face", *named)
    assert (got, sorted(photos.iterdir())) == (code, before)
    assert why in output.splitlines()[-1]


def test_nothing_is_written_about_anybody(installation: Installation, photos: Path) -> None:
    """J3, B16: asking about faces changes neither the gallery nor the audit log."""
    with Gallery(installation.gallery_file) as gallery:
        before = gallery.revision()
    ostiary(installation, "face", "identify", str(photos / "both.png"))
    with Gallery(installation.gallery_file) as gallery, AuditLog(installation.audit_file, "ostiary", "front") as audit:
        assert gallery.revision() == before
        assert audit.head().seq == 0
