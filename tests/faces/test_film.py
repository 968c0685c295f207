"""Redacting a film: every frame, in order, whole or not at all; nothing of the faces, and nothing else lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from appliance import manifest
from appliance.config import Settings
from appliance.drivers.film import FilmWriter, appearing, is_film, open_film, stated
from appliance.errors import RefusedError, StorageError
from appliance.faces.comparing import Thresholds, verify_faces
from appliance.faces.redact import Keep
from appliance.faces.redact_film import redact_film
from appliance.records import Frame, frozen
from tests.pipeline.faces import portrait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from appliance.faces.reader import PictureReader

RECOGNITION = Settings().recognition
THRESHOLDS = Thresholds.of(RECOGNITION, manifest.embedder(RECOGNITION))
RATE = 10.0


class Shown:
    """A film of pictures that are given."""

    def __init__(self, pictures: Sequence[NDArray[np.uint8]]) -> None:
        self._pictures, self._next, self.closed = pictures, 0, False

    def read(self) -> Frame | None:
        """Return the next picture."""
        if self._next == len(self._pictures):
            return None
        self._next += 1
        return Frame(self._pictures[self._next - 1], self._next / RATE, self._next)

    def close(self) -> None:
        """Note it."""
        self.closed = True


def face_at(left: int, face: str = "astronaut") -> NDArray[np.uint8]:
    """Return a frame, 240x480, with a portrait whose left edge is here; without one for a place outside."""
    frame = np.full((240, 480, 3), 200, np.uint8)
    small = np.asarray(cv2.resize(portrait(face), (240, 240), interpolation=cv2.INTER_AREA), np.uint8)
    if 0 <= left <= 240:
        frame[:, left : left + 240] = small
    return frozen(frame)


def redacted(
    reader: PictureReader, pictures: Sequence[NDArray[np.uint8]], keep: Keep | None = None, rate: float = RATE
) -> list[NDArray[np.uint8]]:
    """Return the frames of a film after redaction."""
    written: list[NDArray[np.uint8]] = []
    redact_film(lambda: Shown(pictures), written.append, rate, reader, THRESHOLDS, keep=keep)
    return written


def is_covered(frame: NDArray[np.uint8], before: NDArray[np.uint8], left: int) -> bool:
    """Tell whether eyes, nose and mouth of a portrait there are painted over."""
    part = (slice(40, 75), slice(left + 92, left + 120))
    return bool((frame[part] != before[part]).any(axis=2).mean() > 0.98)


def test_face_that_is_hidden_for_a_moment_stays_covered(reader: PictureReader) -> None:
    """Frames in which a detector sees nothing are covered between those in which it sees a face, where that was."""
    unseen = frozen(np.random.default_rng(1).integers(0, 256, (240, 480, 3)).astype(np.uint8))
    assert reader.film.find(unseen) == ()
    pictures = [face_at(100), face_at(100), unseen, unseen, unseen, face_at(100)]
    done = redacted(reader, pictures)
    assert len(done) == 6
    assert all(is_covered(frame, before, 100) for frame, before in zip(done, pictures, strict=True))


def test_last_frame_is_searched(reader: PictureReader) -> None:
    """A face that comes with the last frame, which is none of the ten a second, is covered."""
    pictures = [face_at(-1)] * 4 + [face_at(100)]
    assert is_covered(redacted(reader, pictures, rate=30.0)[-1], pictures[-1], 100)


def test_one_is_kept_and_everybody_else_covered(reader: PictureReader) -> None:
    """Whoever is kept is seen in every frame in which they are known; a stranger in their place is covered."""
    (known,) = reader.read(portrait("official"))
    assert known.embedding is not None
    pictures = [face_at(0, "official")] * 3 + [face_at(0, "astronaut")] * 3
    done = redacted(reader, pictures, Keep((known.embedding,)))
    assert all(np.array_equal(done[number], pictures[number]) for number in range(3))
    assert all(is_covered(done[number], pictures[number], 0) for number in range(3, 6))


def test_film_that_changes_while_it_is_read_is_refused(reader: PictureReader) -> None:
    """A film that is longer or shorter at the second reading is refused: its frames would not be those searched."""
    for second in (2, 4):
        films = [Shown([face_at(-1)] * 3), Shown([face_at(-1)] * second)]
        both = list(films)
        with pytest.raises(RefusedError, match="has changed"):
            redact_film(lambda films=films: films.pop(0), lambda _: None, RATE, reader, THRESHOLDS)  # type: ignore[misc]
        assert all(film.closed for film in both)


def written(path: Path, pictures: Sequence[NDArray[np.uint8]]) -> Path:
    """Write a film."""
    with appearing(path) as unfinished:
        writer = FilmWriter(unfinished, RATE)
        for one in pictures:
            writer.write(one)
        writer.close()
    return path


def test_film_file_is_redacted_frame_by_frame(reader: PictureReader, tmp_path: Path) -> None:
    """A film file gives a film of as many frames, its size and rate, in which the face is not recognised."""
    source = written(tmp_path / "a.mp4", [face_at(100 + number) for number in range(5)])
    (known,) = reader.read(portrait())
    assert known.embedding is not None
    with appearing(tmp_path / "b.mp4") as unfinished:
        writer = FilmWriter(unfinished, stated(source)[0])
        done = redact_film(lambda: open_film(source), writer.write, RATE, reader, THRESHOLDS)
        writer.close()
    assert done.frames == 5
    assert stated(tmp_path / "b.mp4") == (RATE, 5)
    film = open_film(tmp_path / "b.mp4")
    while (frame := film.read()) is not None:
        assert frame.pixels.shape == (240, 480, 3)
        for one in reader.read(frame.pixels):
            assert one.embedding is None or not verify_faces(known.embedding, one.embedding, THRESHOLDS).identical
    film.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_nothing_appears_when_the_work_breaks_off(tmp_path: Path) -> None:
    """F3: a fault on the way leaves neither a file of the name nor an unfinished one."""

    def break_off() -> None:
        with appearing(tmp_path / "a.mp4") as unfinished:
            unfinished.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    """A file that is there when the work is done, even one that came meanwhile, or a link to one, stays as it is."""
    old, link = tmp_path / "old.png", tmp_path / "link.png"

    def meanwhile(name: Path) -> None:
        with appearing(name) as unfinished:
            unfinished.write_bytes(b"new")
            old.write_bytes(b"old")
            link.unlink(missing_ok=True)
            link.symlink_to(old)

    for name in (old, link):
        with pytest.raises(RefusedError, match="never overwritten"):
            meanwhile(name)
        assert old.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.png", "old.png"]


def test_finished_file_is_its_owners(tmp_path: Path) -> None:
    """What is written can be read by its owner alone until they say otherwise."""
    with appearing(tmp_path / "a.png") as unfinished:
        unfinished.write_bytes(b"new")
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o600


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    """E4: a name in a folder that does not exist is one line."""
    with pytest.raises(StorageError, match="cannot be written"), appearing(tmp_path / "none" / "a.png"):
        pass


def test_full_disk_is_noticed(tmp_path: Path) -> None:
    """F3: a film that the disk did not take whole raises, though the codec says nothing."""
    writer = FilmWriter(tmp_path / "a.mp4", RATE)
    for number in range(5):
        writer.write(face_at(number))
    assert writer._writer is not None
    writer._writer.release()
    (tmp_path / "a.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:2000])
    with pytest.raises(StorageError, match="of 5; is the disk full"):
        writer.close()


def test_film_that_changes_its_size_is_refused(tmp_path: Path) -> None:
    """A6: frames of another size, which the codec would leave out without a word, are refused."""
    writer = FilmWriter(tmp_path / "a.mp4", RATE)
    writer.write(face_at(0))
    with pytest.raises(RefusedError, match="changes its size"):
        writer.write(np.zeros((120, 160, 3), np.uint8))
    with pytest.raises(StorageError, match="no frame"):
        FilmWriter(tmp_path / "b.mp4", RATE).close()


@pytest.mark.parametrize(
    "content",
    [b"", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0\nfile '/etc/passwd'\n", b"\x89PNG\r\n\x1a\n"],
)
def test_what_is_no_film_is_not_shown_to_the_decoder(content: bytes, tmp_path: Path) -> None:
    """E4: a play list, which would have other files or addresses read, is refused by its first bytes."""
    file = tmp_path / "film.mp4"
    file.write_bytes(content)
    assert not is_film(file)
    with pytest.raises(RefusedError, match="is no film"):
        open_film(file)


def test_film_that_is_cut_short_is_one_line(tmp_path: Path) -> None:
    """A9: a file that begins as a film and is none inside is refused in one line."""
    file = tmp_path / "film.mp4"
    file.write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    with pytest.raises(RefusedError, match="cannot be opened"):
        open_film(file)
    with pytest.raises(RefusedError, match="cannot be read"):
        open_film(Path("no\0name.mp4"))
