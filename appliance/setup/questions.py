"""The questions of the set-up, in order."""

from __future__ import annotations

import zoneinfo
from typing import TYPE_CHECKING

from appliance import places
from appliance.errors import UsageError
from appliance.setup import words
from appliance.setup.place import BOARDS, CHIP, Board
from appliance.setup.question import NONE, YES_NO, Question, always, free, own, setting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.setup.draft import Draft
    from appliance.toml_text import Value


def _board(draft: Draft) -> Board:
    """Return the board that the settings are for."""
    found, driver = draft.place.board, draft.settings.door.driver
    fits = found if found.driver == driver else None
    return fits or next(board for board in (CHIP, *BOARDS.values()) if board.driver == driver)


def board_of(draft: Draft) -> Board:
    """Return the board that was chosen, or that the settings are for."""
    chosen = draft.own.get("board")
    return BOARDS[chosen] if chosen else _board(draft)


def _board_now(draft: Draft) -> str:
    return draft.own.get("board") or (draft.place.board if draft.fresh else _board(draft)).name


def _take_board(draft: Draft, name: str) -> Draft:
    board = BOARDS[name]
    if draft.settings.door.driver != board.driver:
        # Numbers of one board's pins mean nothing on another's.
        fitted = {f"inputs.{one}": "" for one in words.INPUTS} | {f"outputs.{one}": 0 for one in words.OUTPUTS}
        draft = draft.with_settings({"door.driver": board.driver, "door.relay_pin": board.relay_pin, **fitted})
    if draft.place.config_file == places.CONFIG and not draft.settings.door.socket:
        draft = draft.with_settings({"door.socket": str(places.CONTROLLER)})
    return draft.with_own("board", name)


def _zone_now(draft: Draft) -> str:
    return draft.own.get("time_zone", draft.place.time_zone)


def _take_zone(draft: Draft, text: str) -> Draft:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as fault:
        raise UsageError(f"time_zone is {text[:60]!r}; it must be a name such as Europe/Berlin or UTC") from fault
    return draft.with_own("time_zone", text)


def _cameras(draft: Draft) -> tuple[tuple[str, str], ...]:
    found = [(camera.source, camera.words) for camera in draft.place.cameras]
    return (*found, ("simulated", "no camera: made-up visitors"))


def _camera_now(draft: Draft) -> str:
    found = draft.place.cameras
    return found[0].source if found and draft.fresh else draft.settings.camera.source


def _broker_now(draft: Draft) -> str:
    mqtt = draft.settings.mqtt
    if not mqtt.enabled:
        return NONE
    return "here" if mqtt.ca_file == str(pki_of(draft) / "ca.pem") and mqtt.host == "localhost" else "elsewhere"


def _take_broker(draft: Draft, answer: str) -> Draft:
    changes: dict[str, Value] = {"mqtt.enabled": answer != NONE}
    if answer == "here":
        own = pki_of(draft) / "client" / draft.settings.device.id
        changes |= {
            "mqtt.host": "localhost",
            "mqtt.port": 8883,
            "mqtt.tls": True,
            "mqtt.username": "",
            "mqtt.password_file": "",
            "mqtt.ca_file": str(pki_of(draft) / "ca.pem"),
            "mqtt.cert_file": f"{own}.pem",
            "mqtt.key_file": f"{own}.key",
        }
    return draft.with_settings(changes).with_own("broker", answer)


def pki_of(draft: Draft) -> Path:
    """Return where this device's own authority is, or is to be."""
    return draft.place.state / "pki"


def _elsewhere(draft: Draft) -> bool:
    return draft.own.get("broker") == "elsewhere"


def _over_tls(draft: Draft) -> bool:
    return _elsewhere(draft) and draft.settings.mqtt.tls


def _certified(draft: Draft) -> bool:
    return _over_tls(draft) and bool(draft.settings.mqtt.cert_file)


def _by_password(draft: Draft) -> bool:
    return _elsewhere(draft) and not _certified(draft)


def _named(draft: Draft) -> bool:
    return _by_password(draft) and bool(draft.settings.mqtt.username)


def _lamps_now(draft: Draft) -> str:
    return draft.own.get("lamps") or ("yes" if draft.settings.outputs.pins else "no")


def _lamps(draft: Draft) -> bool:
    return draft.own.get("lamps") == "yes"


def _inputs() -> Iterator[Question]:
    for name, (title, look) in words.INPUTS.items():
        yield setting(f"inputs.{name}", title, f"{look}\n{words.WIRE}", trial="find")
        if name == "rex":
            yield setting(
                "door.rex", "Push or non-push", words.PUSH, asked=lambda draft: bool(draft.settings.inputs.rex)
            )


def _outputs() -> Iterator[Question]:
    for name, (title, look) in words.OUTPUTS.items():
        yield setting(f"outputs.{name}", title, f"{look}\n{words.PIN}", asked=_lamps)


def _running(draft: Draft) -> bool:
    return bool(draft.place.running)


QUESTIONS: tuple[Question, ...] = (
    own(
        "board",
        "The board",
        words.BOARD,
        now=_board_now,
        choices=tuple((board.name, board.words) for board in BOARDS.values()),
        take=_take_board,
    ),
    setting("door.chip", "The GPIO chip", words.CHIP, asked=lambda draft: draft.settings.door.driver == "gpiochip"),
    Question("time_zone", "The time zone", words.ZONE, _zone_now, _take_zone, free, always),
    setting("device.id", "The name of this device", words.DEVICE),
    setting("device.door", "The name of the door", words.DOOR),
    setting("camera.source", "The camera", words.CAMERA, trial="look", now=_camera_now, choices=_cameras),
    setting("door.strike", "The lock", words.LOCK),
    setting("door.relay_pin", "The relay of the lock", words.RELAY, trial="click"),
    setting("door.unlock_s", "How long the door stays unlocked", words.UNLOCK),
    *_inputs(),
    own("lamps", "Lamps and buzzer", words.LAMPS, now=_lamps_now, choices=YES_NO),
    *_outputs(),
    own("broker", "The broker", words.BROKER, now=_broker_now, choices=words.BROKERS, take=_take_broker),
    setting("mqtt.host", "The broker's machine", words.HOST, asked=_elsewhere),
    setting("mqtt.port", "The broker's port", words.PORT, asked=_elsewhere),
    setting("mqtt.tls", "The broker's encryption", words.TLS, asked=_elsewhere),
    setting("mqtt.ca_file", "The broker's authority", words.CA, asked=_over_tls),
    setting("mqtt.cert_file", "Our certificate", words.CERT, asked=_over_tls),
    setting("mqtt.key_file", "The key of our certificate", words.KEY, asked=_certified),
    setting("mqtt.username", "Our name at the broker", words.USER, asked=_by_password),
    setting("mqtt.password_file", "Our password at the broker", words.USER_FILE, asked=_named),
    setting("kiosk.language", "The language at the door", words.LANGUAGE),
    setting("kiosk.mirror", "The mirror on the screen", words.MIRROR),
    setting("retention.preset", "How long people are kept", words.RETENTION),
    own(
        "code",
        "The first administrator",
        words.CODE,
        now=lambda _: "yes",
        choices=YES_NO,
        asked=lambda draft: not draft.place.has_account,
        unasked="no",
    ),
    own("restart", "The programs", words.RESTART, now=lambda _: "yes", choices=YES_NO, asked=_running),
    own("check", "A check of everything", words.CHECK, now=lambda _: "yes", choices=YES_NO),
)
