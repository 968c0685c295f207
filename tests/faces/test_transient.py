"""Transient faces: known for their time, to whoever has the id, in memory alone."""

from __future__ import annotations

import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.errors import RefusedError, UsageError
from appliance.faces.transient import MAX_LIFE_S, MIN_LIFE_S, TransientFace, TransientFaces
from tests.faces.made import facing

if TYPE_CHECKING:
    from pathlib import Path

FACE = TransientFace(facing(1.0), np.zeros(4, np.float32))


class Clock:
    """A clock that the test sets."""

    now_s = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.mark.parametrize("for_s", [MIN_LIFE_S, 3600.0, MAX_LIFE_S])
def test_face_is_known_for_its_time_and_no_longer(for_s: float) -> None:
    """An id stands for its face until its time is over, then for nothing, and the face is gone from memory (J3)."""
    clock = Clock()
    faces = TransientFaces(clock=clock)
    face_id = faces.keep(FACE, for_s)
    clock.now_s += for_s - 0.001
    assert faces.get(face_id) is FACE
    clock.now_s += 0.001
    with pytest.raises(RefusedError, match="detect the face again"):
        faces.get(face_id)
    assert faces._faces == {}


@pytest.mark.parametrize("for_s", [59.9, 86_400.1, 0.0, -1.0, float("nan"), float("inf")])
def test_time_to_live_has_bounds(for_s: float) -> None:
    """A time under a minute, over a day or none at all is refused, and nothing is kept."""
    faces = TransientFaces()
    with pytest.raises(UsageError, match="60 to 86400 s"):
        faces.keep(FACE, for_s)
    assert len(faces) == 0


def test_ids_are_guids_that_tell_nothing() -> None:
    """Ids are random GUIDs: the same face twice gives two, and no part of them counts up (J4)."""
    faces = TransientFaces()
    ids = [faces.keep(FACE) for _ in range(1000)]
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one) for one in ids)
    bits = np.array([[int(bit) for bit in f"{int(one.replace('-', ''), 16):0128b}"] for one in ids])
    free = [n for n in range(128) if n not in {48, 49, 50, 51, 64, 65}]  # version and variant
    assert len(set(ids)) == 1000
    assert (np.abs(bits[:, free].mean(axis=0) - 0.5) < 0.1).all()  # six standard deviations


def test_unknown_and_expired_ids_read_alike() -> None:
    """Whoever guesses learns nothing of what was once known."""
    clock = Clock()
    faces = TransientFaces(clock=clock)
    known = faces.keep(FACE, 60.0)
    clock.now_s += 60.0
    said = []
    for face_id in (known, "never-given"):
        with pytest.raises(RefusedError) as refused:
            faces.get(face_id)
        said.append(str(refused.value))
    assert said[0] == said[1]


def test_store_is_bounded_and_drops_the_oldest() -> None:
    """A flood of faces takes no more memory than the bound; what goes is the oldest."""
    faces = TransientFaces(most=3)
    ids = [faces.keep(FACE) for _ in range(5)]
    assert len(faces) == 3
    for face_id in ids[:2]:
        with pytest.raises(RefusedError):
            faces.get(face_id)
    assert [faces.get(face_id) for face_id in ids[2:]] == [FACE] * 3


def test_expired_faces_make_room_first() -> None:
    """Where the time of some is over, nobody whose time is not is dropped for a newcomer."""
    clock = Clock()
    faces = TransientFaces(most=2, clock=clock)
    lasting = faces.keep(FACE, 3600.0)
    faces.keep(FACE, 60.0)
    clock.now_s += 60.0
    faces.keep(FACE, 3600.0)
    assert faces.get(lasting) is FACE


def test_forgotten_face_is_gone() -> None:
    """A face can be dropped before its time; dropping an unknown one is no fault."""
    faces = TransientFaces()
    face_id = faces.keep(FACE)
    faces.forget(face_id)
    faces.forget(face_id)
    with pytest.raises(RefusedError):
        faces.get(face_id)


def test_store_is_never_written_down(tmp_path: Path) -> None:
    """J1, J3: the store refuses to be pickled, and no text of a face shows its template."""
    faces = TransientFaces()
    faces.keep(FACE)
    with (tmp_path / "faces").open("wb") as file, pytest.raises(TypeError, match="never written down"):
        pickle.dump(faces, file)
    assert (tmp_path / "faces").read_bytes() == b""
    assert "1.0" not in repr(FACE)


def test_threads_share_one_store() -> None:
    """Threads that keep and get at once see each its own faces, and the bound holds."""
    faces = TransientFaces(most=64)

    def work(_: int) -> bool:
        return faces.get(faces.keep(FACE)) is FACE

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(400)))
    assert len(faces) == 64
