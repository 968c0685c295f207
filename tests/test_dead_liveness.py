"""A liveness model that is gone, mad or dead, through the whole reader: whatever it says, nobody gets in by face."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

import pytest

from appliance import manifest
from appliance.commands.options import Installation
from appliance.config import Settings
from appliance.contract import EventType, Reason
from appliance.door.child import simulated_controller
from appliance.drivers.scene import Visit
from appliance.errors import ModelError
from appliance.pipeline.reading import ModelStages, PhotoReader
from appliance.service import Service
from tests.models import crafted
from tests.test_service import enrol, kinds, levels, play

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.records import Event

NAN, INF = float("nan"), float("inf")
DEAD = [[0, 0, 0]] * 3
ALIVE = [[1, 1, 1], [0, 0, 0], [0, 0, 0]]  # the brighter, the more live: whatever it sees, a little else
DIED = "faceplugin-minifasnet-tuned-hybrid"
ANSWERS = {
    "constant": crafted.classifier(DEAD, (9, 0, 0)),
    "barely live": crafted.classifier(DEAD, (1, 0, 0)),
    "saturated": crafted.classifier(DEAD, (1e6, 0, 0)),
    "NaN": crafted.classifier(DEAD, (NAN, 0, 0)),
    "NaN beside": crafted.classifier(DEAD, (9, NAN, 0)),
    "infinite": crafted.classifier(DEAD, (INF, 0, 0)),
    "all infinite": crafted.classifier(DEAD, (INF, INF, INF)),
    "minus infinite beside": crafted.classifier(DEAD, (9, -INF, -INF)),
}


@pytest.fixture(scope="module")
def reader() -> PhotoReader:
    """Give the shipped stages, loaded once."""
    return PhotoReader(ModelStages(Settings()))


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Give an installation with models of its own and a controller, at which a face alone may open."""
    shutil.copytree(manifest.SHIPPED, tmp_path / "models-folder")
    settings = Settings.model_validate(
        {
            "liveness": {"commissioned": "skipped"},
            "recognition": {"models": str(tmp_path / "models-folder"), "reading_s": 2.0},
        }
    )
    with simulated_controller(tmp_path) as socket:
        yield Installation(settings, tmp_path, None).with_controller(socket)


def put(installation: Installation, content: bytes) -> None:
    """Have the manifest vouch for this liveness model, as if it had been so from the start."""
    folder = manifest.folder_of(installation.settings.recognition)
    listing = folder / "manifest.toml"
    entry = manifest.read(folder).entry("liveness")
    (folder / entry.file).write_bytes(content)
    before, mine = listing.read_text().split(f'file = "{entry.file}"')
    mine = mine.replace(entry.sha256, hashlib.sha256(content).hexdigest())
    mine = mine.replace("input_shape = [1, 128, 128, 3]", f"input_shape = [1, {crafted.SIDE_PX}, {crafted.SIDE_PX}, 3]")
    mine = mine.replace("mean = 0.0\nscale = 1.0", "mean = 127.5\nscale = 127.5")
    listing.write_text(f'{before}file = "{entry.file}"{mine}')


def with_models(installation: Installation, *model_ids: str) -> Installation:
    """Return the same installation with these liveness models."""
    table = installation.settings.model_dump()
    table["liveness"]["models"] = ", ".join(model_ids)
    return Installation(Settings.model_validate(table), installation.state, None)


def never_opened(installation: Installation, events: list[Event]) -> None:
    """Assert that nobody was granted and the line never driven."""
    assert EventType.ACCESS_GRANTED not in {one.event_type for one in events}
    assert levels(installation) == [0]


@pytest.mark.parametrize("answer", ANSWERS)
def test_dead_or_mad_model_grants_nobody(installation: Installation, reader: PhotoReader, answer: str) -> None:
    """B20: whatever the constant, NaN or infinity, an enrolled face is not let in; a human is asked at the end."""
    put(installation, ANSWERS[answer])
    enrol(installation, reader, "astronaut")
    events = play(installation, Visit(for_s=4))
    assert kinds(events)[0] == (EventType.APPROVAL_REQUESTED, Reason.LIVENESS_UNCERTAIN)
    never_opened(installation, events)


def test_model_that_answers_in_its_place_lets_people_in(installation: Installation, reader: PhotoReader) -> None:
    """B20: the refusals above are of what the model says: one that answers a little differently each time grants."""
    put(installation, crafted.classifier(ALIVE, (9, 0, 0)))
    enrol(installation, reader, "astronaut")
    assert kinds(play(installation, Visit(for_s=4))) == [(EventType.ACCESS_GRANTED, Reason.OK)]


def test_model_that_only_ever_says_attack_refuses(installation: Installation, reader: PhotoReader) -> None:
    """B20: one that died on the other side grants nobody either."""
    put(installation, crafted.classifier(DEAD, (-9, 0, 0)))
    enrol(installation, reader, "astronaut")
    never_opened(installation, play(installation, Visit(for_s=4)))


@pytest.mark.parametrize("answer", ["constant", "NaN", "infinite"])
def test_dead_model_among_several_grants_nobody(installation: Installation, reader: PhotoReader, answer: str) -> None:
    """B20: of two models that must agree, one dead is enough, though the other calls the face live."""
    put(installation, ANSWERS[answer])
    enrol(installation, reader, "astronaut")
    both = with_models(installation, DIED, "faceplugin-minifasnet-hybrid")
    events = play(both, Visit(for_s=4))
    assert kinds(events)[0] == (EventType.APPROVAL_REQUESTED, Reason.LIVENESS_UNCERTAIN)
    never_opened(installation, events)


def test_two_live_models_let_people_in_and_no_print(installation: Installation, reader: PhotoReader) -> None:
    """B3: both shipped models together grant a live enrolled face, and refuse a print of it."""
    enrol(installation, reader, "astronaut")
    both = with_models(installation, DIED, "faceplugin-minifasnet-hybrid")
    assert kinds(play(both, Visit(for_s=4))) == [(EventType.ACCESS_GRANTED, Reason.OK)]
    refused = play(both, Visit(shows="print", for_s=4))
    assert (EventType.ACCESS_DENIED, Reason.LIVENESS_FAILED) in kinds(refused)
    assert EventType.ACCESS_GRANTED not in {one.event_type for one in refused}


@pytest.mark.parametrize("named", [True, False])
def test_missing_model_stops_the_start(installation: Installation, named: bool) -> None:
    """B20: without the file of any liveness model that is to run the reader does not start, and names it."""
    if named:
        installation = with_models(installation, DIED, "faceplugin-minifasnet-hybrid")
    folder = manifest.folder_of(installation.settings.recognition)
    entry = manifest.read(folder).entry("liveness")
    (folder / entry.file).unlink()
    with pytest.raises(ModelError, match=f"{entry.file} cannot be read"):
        Service(installation)


def test_unknown_model_stops_the_start(installation: Installation) -> None:
    """B20: a liveness model that nobody added is never passed over in favour of another."""
    with pytest.raises(ModelError, match="there is no liveness model other; there are faceplugin"):
        Service(with_models(installation, DIED, "other"))
