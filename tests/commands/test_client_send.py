"""`ostiary client send` over a real broker to a real reader: people are enrolled, changed and erased from afar."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from appliance.cli import root
from appliance.clients import Registry
from appliance.commands.options import Installation
from appliance.config import DeviceSettings, Settings
from appliance.contract import Role
from appliance.drivers.photo import encode_jpeg, read_photo
from appliance.drivers.scene import FACES, Scene
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.errors import RefusedError, UsageError
from appliance.service import Hooks, Service
from appliance.signing import new_key
from ostiary_client.photos import PART_BYTES, photo_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.broker import PrivateBroker


@pytest.fixture(scope="module")
def folder(broker: PrivateBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the folder of a door that runs, with the keys of an enroller and of an auditor."""
    folder = tmp_path_factory.mktemp("far")
    installation = Installation(Settings(device=DeviceSettings(id="far"), mqtt=broker.settings), folder, None)
    with Registry(installation.clients_file) as registry:
        registry.add("desk", Role.ENROLLER, new_key(folder / "desk.key"))
        registry.add("audit", Role.AUDITOR, new_key(folder / "audit.key"))
    mqtt = broker.settings
    (folder / "appliance.toml").write_text(
        f'[device]\nid = "far"\n[mqtt]\nenabled = true\nhost = "{mqtt.host}"\nport = {mqtt.port}\n'
        f'username = "{mqtt.username}"\npassword_file = "{mqtt.password_file}"\n'
    )
    started, stop = threading.Event(), threading.Event()

    def work() -> None:
        def turn() -> None:
            started.set()
            if stop.is_set():
                service.stop()

        camera = SimulatedCamera(Script(Scene()), installation.settings.camera)
        service = Service(installation, camera, Hooks(on_turn=turn))
        service.run()

    thread = threading.Thread(target=work, name="loop")
    thread.start()
    assert started.wait(20)
    yield folder
    stop.set()
    thread.join(20)


@pytest.fixture
def send(folder: Path) -> Callable[..., list[dict[str, Any]]]:
    """Return what sends a command as the desk, or as `key`, and gives the JSON lines that it printed."""

    def run(verb: str, *said: str, key: str = "desk") -> list[dict[str, Any]]:
        words = ["client", "send", verb, *said, "--key", str(folder / f"{key}.key")]
        done = CliRunner().invoke(
            root, [*words, "--config", str(folder / "appliance.toml"), "--state", str(folder / "elsewhere")]
        )
        if done.exception is not None:
            raise done.exception
        return [json.loads(line) for line in done.output.splitlines()]

    return run


def test_parts_of_photos_are_the_photos() -> None:
    """Cut for sending, photos are whole again when put together, and only the first part says who it is."""
    photos = [b"a" * (2 * PART_BYTES + 7), b"b"]
    args = list(photo_parts(photos, {"name": "Ada"}))
    assert [(one["photo"], one["part"], one["parts"]) for one in args] == [(1, 1, 3), (1, 2, 3), (1, 3, 3), (2, 1, 1)]
    assert [one.get("person") for one in args] == [{"name": "Ada"}, None, None, None]
    assert len({one["upload_id"] for one in args}) == 1


def test_somebody_is_enrolled_changed_and_erased_from_afar(
    send: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    """J7: from a photo in parts to the receipt, over a broker, with a key and nothing else of the door's."""
    photo = tmp_path / "ada.jpg"
    photo.write_bytes(encode_jpeg(read_photo(FACES / "official.png"), 100))
    assert photo.stat().st_size > PART_BYTES
    *parts, told = send(
        "enrol.photo", "name=Ada Lovelace", "consent_by=Ada Lovelace", "groups=staff,tall", "--photo", str(photo)
    )
    assert parts
    ada = told["person_id"]
    (page,) = send("person.list", "limit=10")
    assert [(one["person_id"], one["name"], one["groups"]) for one in page["people"]] == [
        (ada, "Ada Lovelace", ["staff", "tall"])
    ]
    (changed,) = send("person.update", f"person_id={ada}", "external_id=17", "groups=")
    assert (changed["person"]["external_id"], changed["person"]["groups"]) == ("17", [])
    (erased,) = send("person.remove", f"person_id={ada}")
    assert erased["person_id"] == ada
    assert send("person.list")[0]["total"] == 0


def test_a_role_that_may_not_is_told_so(send: Callable[..., list[dict[str, Any]]]) -> None:
    """An auditor can neither list nor enrol people, and is refused in one line."""
    with pytest.raises(RefusedError, match=r"person\.list: the door refuses it: verb_not_allowed"):
        send("person.list", key="audit")
    assert send("status", key="audit")[0]["camera"] == "ok"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["person.list", "beyond=1"], "not an arg of this verb; there are after, limit, search"),
        (["person.list", "limit=many"], "limit cannot be 'many'"),
        (["person.remove"], "person_id: field required"),
        (["enrol.photo", "name=Ada", "consent_by=Ada"], "needs at least one --photo"),
        (["person.list", "--photo", "x.jpg"], "--photo goes with enrol.photo"),
        (["enrol.photo", "name=Ada", "consent_by=Ada", "--photo", "/none/x.jpg"], "/none/x.jpg cannot be read"),
    ],
)
def test_what_makes_no_command_is_said_before_anything_is_sent(
    send: Callable[..., list[dict[str, Any]]], words: list[str], why: str
) -> None:
    """A wrong arg, value or file is a usage fault in one line."""
    with pytest.raises(UsageError, match=why):
        send(*words)
