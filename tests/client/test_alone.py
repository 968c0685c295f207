"""The client on a machine of its own: what it needs, and the example of its page."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import ostiary_client
from appliance.attendant import Denied
from appliance.clients import Registry
from appliance.contract import Role
from appliance.signing import new_key
from tests.broker import wait_for
from tests.doorway import doorway

if TYPE_CHECKING:
    from appliance.broker import PrivateBroker

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
# paho-mqtt, cryptography and pydantic, with what they bring: as the page says.
ONLY_THESE = """
import sys

NEEDED = {
    "appliance", "ostiary_client", "paho", "cryptography", "_cffi_backend", "pydantic", "pydantic_core",
    "annotated_types", "typing_extensions", "typing_inspection",
}

class OnlyThese:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        ours = root in NEEDED | sys.stdlib_module_names or root.startswith("_sysconfigdata")
        if root == "sqlite3" or not ours:
            raise ModuleNotFoundError(f"{name} is not needed here")

sys.meta_path.insert(0, OnlyThese())
"""


def alone(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program where nothing else is installed."""
    return subprocess.run(
        [sys.executable, "-c", ONLY_THESE + program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_it_loads_nothing_of_the_doors_own(tmp_path: Path) -> None:
    """Three libraries will do: no image library, numpy, model or database comes with it, in any of its modules."""
    modules = sorted(path.stem for path in (ROOT / "ostiary_client").glob("[a-z]*.py"))
    assert {"client", "feed", "joining", "photos"} <= set(modules)
    lines = "\n".join(f"import ostiary_client.{name}" for name in modules)
    done = alone(lines, tmp_path)
    assert done.returncode == 0, done.stderr
    assert alone("import numpy", tmp_path).returncode != 0


def test_the_page_names_what_there_is() -> None:
    """Each call of the page exists, and each public call is on the page."""
    calls = {name for name in vars(ostiary_client.Client) if not name.startswith("_")} - {"connect", "close"}
    assert [name for name in calls if f"`{name}" not in PAGE] == []
    assert "py.typed" in {path.name for path in (ROOT / "ostiary_client").iterdir()}


def test_the_example_of_the_page_answers_a_ticket(broker: PrivateBroker, tmp_path: Path) -> None:
    """docs/client.md: the program there runs as it stands, but for its broker and its patience."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    settings = {key: value for key, value in broker.settings.model_dump().items() if value}
    program, changed = re.subn(r"(?m)^broker = .*$", f"broker = MqttSettings(**{settings!r})", program)
    assert changed == 1
    with Registry(tmp_path / "clients.db") as registry:
        registry.add("guard", Role.OPERATOR, new_key(tmp_path / "guard.key"))
    with doorway(broker.settings, tmp_path / "clients.db", 20.0) as door:
        running = subprocess.Popen(
            [sys.executable, "-c", ONLY_THESE + program.replace("timeout_s=5", "timeout_s=2")],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        while running.poll() is None and not door.verdicts:
            door.ask("visit")
            with suppress(AssertionError):
                wait_for(lambda: door.verdicts, 0.3)
        said = running.communicate(timeout=20)[0]
    assert running.returncode == 0
    assert "unknown_face ('ada', 'bob')" in said
    assert said.rstrip().endswith("refused")
    assert {type(verdict) for verdict in door.verdicts} == {Denied}
