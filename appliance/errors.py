"""The fault tree: every fault that Ostiary can name, each with the exit code it ends a command with.

An answer (a stranger, a refusal) is a value, never one of these. The message of each names the thing,
its value and what is allowed, in one line, because that line is all that a user sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.records import DoorState


class ApplianceError(Exception):
    """A fault that has a name; a command that meets it prints the message and exits with `exit_code`."""

    exit_code = 1


class RefusedError(ApplianceError):
    """What was asked is understood and refused: a bad photo, an unknown person, a broken chain."""


class UsageError(ApplianceError):
    """What was asked cannot be understood: a wrong option, key, type or range."""

    exit_code = 2


class ConfigError(UsageError):
    """`appliance.toml` has an unknown key, a wrong type or a value out of range."""


class HardwareError(ApplianceError):
    """A device or a shipped file that the appliance rests on is missing, busy or broken."""

    exit_code = 3


class CameraError(HardwareError):
    """The camera or recording cannot be opened, or has gone."""


class CameraStalledError(CameraError):
    """No new frame arrived within the deadline; the service reopens the camera."""


class ModelError(HardwareError):
    """A model file is missing, altered, or not what the manifest says."""


class DoorError(HardwareError):
    """The door hardware or the controller process cannot be reached, or is busy."""


class DoorRefusedError(DoorError):
    """The controller understood and refused; `reason` is its word for why, `state` the door at that moment."""

    exit_code = 1

    def __init__(self, verb: str, reason: str, state: DoorState) -> None:
        super().__init__(f"the controller refused the {verb}: {reason}")
        self.reason = reason
        self.state = state


class StorageError(HardwareError):
    """A database cannot be read or written, or comes from a newer version."""


class BrokerError(HardwareError):
    """The MQTT broker cannot be reached, or refuses us."""


class PhotoError(RefusedError):
    """An image cannot be used: not a JPEG or PNG, too large, broken, no face or several."""


class ModelMismatchError(ApplianceError):
    """Two embeddings of different models were about to be compared; that has no meaning."""
