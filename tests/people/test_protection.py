"""Template protection: a rotation of each device's own, which costs nothing and links nothing."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.people.gallery import Consent, Gallery
from appliance.people.protection import Protection
from appliance.pipeline.matching import search
from appliance.records import Embedding, GallerySnapshot, Grade

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

D = 128
FIRST = [-71, 87, 132, 65]
SIGNS = "d0b7a6eecb54e9d7"


def faces(count: int, seed: int) -> NDArray[np.float32]:
    """Return unit rows."""
    rows = np.random.default_rng(seed).normal(size=(count, D))
    units: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return units


def test_rotation_keeps_every_cosine() -> None:
    """C12: ranking and scores are what they were, to 1e-6, and the way back gives what the model gave."""
    one, rows = Protection(b"1" * 32), faces(300, 1)
    turned = one.protect_all(rows, "m")
    assert np.abs(turned @ turned.T - rows @ rows.T).max() < 1e-6
    assert np.abs(one.restore_all(turned, "m") - rows).max() < 1e-6
    single = one.protect(Embedding(rows[0], "m"))
    assert np.abs(single.vector - turned[0]).max() < 1e-6
    assert np.abs(one.restore(single).vector - rows[0]).max() < 1e-6


def test_two_devices_templates_cannot_be_linked() -> None:
    """J10: one face on two devices looks like two: mated scores lie where those of strangers do (two-sample test)."""
    rows = faces(2000, 2)
    here, there = (Protection(secret * 32).protect_all(rows, "m") for secret in (b"1", b"2"))
    mated = np.einsum("nd,nd->n", here, there)
    strangers = np.einsum("nd,nd->n", here, np.roll(there, 1, axis=0))
    assert abs(mated.mean() - strangers.mean()) < 4 * np.hypot(mated.std(), strangers.std()) / np.sqrt(len(rows))
    assert 0.9 < mated.std() / strangers.std() < 1.1
    assert mated.max() < 0.5


def test_two_models_are_turned_apart() -> None:
    """C9: the rotation of one model says nothing of another's."""
    one = Protection(b"1" * 32)
    assert np.abs(one.matrix("m", D) @ one.matrix("n", D).T - np.eye(D)).max() > 0.1


def test_same_secret_gives_the_same_rotation_for_years() -> None:
    """The matrix is fixed by its definition, not by a library's version: these numbers may never change."""
    matrix = Protection(bytes(range(32))).matrix("model", 64)
    assert np.abs(matrix @ matrix.T - np.eye(64)).max() < 1e-5
    coarse = np.rint(matrix * 1000).astype(np.int32)
    assert coarse[0, :4].tolist() == FIRST
    assert hashlib.sha256(np.sign(coarse).astype(np.int8).tobytes()).hexdigest()[:16] == SIGNS


def test_renewed_templates_are_found_as_before(tmp_path: Path) -> None:
    """J10: after renewal everybody is found as before by probes of the new rotation, and by none of the old one."""
    raw = faces(5, 3)
    with Gallery(tmp_path / "gallery.db") as gallery:
        old = gallery.protection
        people = [
            gallery.add(
                "P", Consent("P", datetime.now(UTC)), [(old.protect(Embedding(row, "m")), Grade.HIGH)]
            ).person_id
            for row in raw
        ]
        stale = Embedding(old.protect_all(raw, "m")[0], "m")
        assert gallery.renew_protection() == 5
        new = gallery.protection
        assert new.protection_id != old.protection_id
        seen = gallery.current("m", D)
        assert [best(new.protect(Embedding(row, "m")), seen) for row in raw] == [(one, 1) for one in people]
        assert search(stale, seen)[0].similarity < 0.5
        assert {one.protection for one in gallery.references(people[0])} == {new.protection_id}


def best(probe: Embedding, seen: GallerySnapshot) -> tuple[str, int]:
    """Return who is most alike, and how alike to four places, as 1 for the same."""
    found = search(probe, seen)[0]
    return found.person_id, round(found.similarity, 4) == pytest.approx(1.0)


def test_template_of_another_rotation_is_not_compared(tmp_path: Path) -> None:
    """C9: a row that was left behind in an old rotation is quarantined, and renewed rows are not."""
    with Gallery(tmp_path / "gallery.db") as gallery:
        gallery.add("P", Consent("P", datetime.now(UTC)), [(Embedding(row, "m"), Grade.HIGH) for row in faces(2, 4)])
        gallery.keyring.renew_secret("protection")
    with Gallery(tmp_path / "gallery.db") as gallery:
        assert gallery.snapshot("m", D).size == 0
        assert {one.reason for one in gallery.findings("m", D)} == {"has a rotation that is not in use"}
