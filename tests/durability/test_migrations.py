"""A gallery of an earlier version, brought up to date while the power fails."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from appliance.people.gallery import Gallery
from tests.durability.cuts import SCRATCH
from tests.durability.disk import Disk
from tests.durability.platter import Platter
from tests.people.test_taking_over import D, before_sealing


def says(folder: Path) -> tuple[object, ...]:
    """Return what the gallery in the folder says of everybody once it is brought up to date."""
    with Gallery(folder / "gallery.db") as gallery:
        people = tuple((one, gallery.subject(one.person_id)) for one in gallery.people())
        return people, gallery.snapshot("m", D).reference_ids, gallery.findings("m", D)


def test_power_cut_at_any_step_of_a_migration() -> None:
    """F10: cut at any step, an earlier gallery is taken over by the next start as if nothing had been."""
    chance = random.Random(4)  # noqa: S311 - sectors, not a secret
    with tempfile.TemporaryDirectory(dir=SCRATCH) as place:
        folder = Path(place)
        before_sealing(folder / "gallery.db")
        disk = Disk(folder)
        begun = len(disk.trace)
        with disk.mounted():
            wanted = says(folder)
    platter, cuts = Platter(), 0
    for at, op in enumerate(disk.trace):
        platter.take(op, chance)
        if platter.dirty and at >= begun and at % 4 == 0:
            with tempfile.TemporaryDirectory(dir=SCRATCH) as place:
                for name, content in platter.cut(chance).items():
                    (Path(place) / name).write_bytes(content)
                    (Path(place) / name).chmod(0o600)
                assert says(Path(place)) == wanted, at
            cuts += 1
    assert cuts > 30
