"""`ostiary ha`: the code, what is shown, and the way out of Home Assistant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from appliance.audit import AuditLog
from appliance.cli import root
from appliance.clients import Registry
from appliance.contract import EventType, Role
from appliance.errors import ApplianceError, UsageError
from appliance.home_assistant import CLIENT_ID
from appliance.home_assistant.code import CodeFile, Tried
from appliance.signing import new_key
from tests.broker import bystander

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.broker import PrivateBroker

CODE = "471193"


def ostiary(state: Path, *words: str, typed: str = "") -> tuple[int, str]:
    """Run one command; return the exit code and what was shown, the fault's line among it."""
    command = ["ha", *words, "--state", str(state)]
    done = CliRunner().invoke(root, command, input=typed, standalone_mode=False)
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, f"{done.output}{done.exception}"
    assert done.exception is None, done.exception
    return 0, done.output


def configured(folder: Path, broker: PrivateBroker, *, enabled: bool) -> Path:
    """Write the settings of a door at this broker."""
    mqtt = broker.settings
    config = folder / "appliance.toml"
    config.write_text(
        f"""
[device]
id = "gone"
[mqtt]
enabled = true
host = "{mqtt.host}"
port = {mqtt.port}
username = "{mqtt.username}"
password_file = "{mqtt.password_file}"
[home_assistant]
enabled = {str(enabled).lower()}
"""
    )
    return config


def test_a_code_is_set_changed_and_taken_away(tmp_path: Path) -> None:
    """J3, J8: no output and no entry has the code; each change is in the audit log, a refused one is not."""
    shown = [ostiary(tmp_path, "code", typed=f"{CODE}\n{CODE}\n")]
    assert CodeFile(tmp_path).enter(CODE, 1.0, 1.0) is Tried.RIGHT
    shown.append(ostiary(tmp_path, "code", "--stdin", typed="582914\n"))
    assert CodeFile(tmp_path).enter("582914", 2.0, 2.0) is Tried.RIGHT
    shown += [ostiary(tmp_path, "code", "--stdin", typed="12345\n"), ostiary(tmp_path, "code", "--remove")]
    shown += [ostiary(tmp_path, "code", "--remove"), ostiary(tmp_path, "code", "--remove", "--stdin")]
    assert [code for code, _ in shown] == [0, 0, 1, 0, 1, 2]
    with AuditLog(tmp_path / "audit.db", "ostiary", "front") as audit:
        events = [entry.event for entry in audit.read()]
    assert [event.event_type for event in events] == [EventType.CONFIG_CHANGED] * 3
    assert not any(code in f"{shown}{events}" for code in (CODE, "582914", "12345"))


def test_what_is_shown(tmp_path: Path) -> None:
    """What Home Assistant would be told is JSON with --json; without, what stands in the way of orders is said."""
    code, text = ostiary(tmp_path, "show")
    assert code == 0
    assert "home_assistant.enabled is false" in text
    assert "home_assistant.commands is false" in text
    assert "ostiary ha code" in text
    assert json.loads(ostiary(tmp_path, "show", "--json")[1])["dev"]["identifiers"] == ["ostiary_ostiary"]


def test_the_door_is_taken_back(tmp_path: Path, broker: PrivateBroker) -> None:
    """D16: what is retained of the device goes, under this name and the one before; nothing else at the broker does."""
    topics = [f"{prefix}/device/gone/config" for prefix in ("homeassistant", "before")]
    (tmp_path / "home-assistant.topic").write_text(topics[1])
    with bystander(broker.settings, "home", "+/device/gone/#") as home:
        for one in (*topics, "homeassistant/device/gone/other"):
            home.say(one, b"{}", retained=True)
            home.until(one, b"{}")
        code, text = ostiary(tmp_path, "remove", "--config", str(configured(tmp_path, broker, enabled=True)))
        assert code == 0, text
        assert "shows it again" in text
        assert {home.next().topic for _ in topics} == set(topics)
    with bystander(broker.settings, "later", "+/device/gone/#") as later:
        assert later.next().topic == "homeassistant/device/gone/other"
        assert later.heard.empty()
        later.say("homeassistant/device/gone/other", b"", retained=True)
    code, text = ostiary(tmp_path, "remove")
    assert (code, "mqtt.enabled is false" in text) == (1, True)


def test_nobody_else_has_its_name(tmp_path: Path) -> None:
    """J8: no client can be added under whose name the orders of Home Assistant stand in the audit log."""
    with Registry(tmp_path / "clients.db") as registry:
        with pytest.raises(UsageError, match="is that of Home Assistant"):
            registry.add(CLIENT_ID, Role.AUDITOR, new_key(tmp_path / "a.key"))
        assert registry.entries() == ()
