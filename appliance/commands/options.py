"""What every command shares: `--config`, `--state`, and one clear line for every fault."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import click

from appliance import places

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.access.rules_file import RulesFile
    from appliance.audit import AuditLog
    from appliance.config import Settings
    from appliance.people.gallery import Gallery

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")
_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])?")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
UNFINISHED = "restore/holds"  # in the state folder: a restore that a power cut interrupted
_PATH = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class Installation:
    """One appliance on disk: its settings and the folder that holds everything it remembers."""

    settings: Settings
    state: Path  # an existing folder, mode 0700 when we made it
    config_file: Path | None

    @property
    def gallery_file(self) -> Path:
        """The database of people."""
        return self.state / "gallery.db"

    def open_gallery(self) -> Gallery:
        """Return the people; the caller closes it. Raises StorageError."""
        from appliance.people.gallery import Gallery  # noqa: PLC0415 - the controller has no use for it

        return Gallery(self.gallery_file)

    def open_audit(self) -> AuditLog:
        """Return the audit log; the caller closes it. Raises StorageError."""
        from appliance.audit import AuditLog  # noqa: PLC0415 - likewise

        return AuditLog(self.audit_file, self.settings.device.id, self.settings.device.door)

    @property
    def audit_file(self) -> Path:
        """The database of the audit chain."""
        return self.state / "audit.db"

    @property
    def feed_file(self) -> Path:
        """The last entry of the audit chain that the broker has."""
        return self.state / "feed.cursor"

    @property
    def ledger_file(self) -> Path:
        """The database of used passes, and of who went through last."""
        return self.state / "ledger.db"

    def open_rules(self) -> RulesFile:
        """Return the access rules. Raises ConfigError."""
        from appliance.access.rules_file import RulesFile  # noqa: PLC0415 - a list of people has no use for it

        return RulesFile(self.rules_file, required=bool(self.settings.access.rules))

    @property
    def rules_file(self) -> Path | None:
        """The access rules, which must be there only where `access.rules` names them; None where nothing says where."""
        folder = self.config_file.absolute().parent if self.config_file is not None else None
        named = self.settings.access.rules
        if named:
            return folder / named if folder is not None else Path(named)
        return folder / "access.toml" if folder is not None else None

    @property
    def consent_folder(self) -> Path | None:
        """The folder of consent texts that stands in for the shipped ones, seen from the settings; None for none."""
        named = self.settings.consent.folder
        beside = self.config_file.absolute().parent if self.config_file is not None else Path()
        return beside / named if named else None

    @property
    def enrolment_file(self) -> Path:
        """The database of open invitations, and of what was enrolled in bulk."""
        return self.state / "enrolment.db"

    @property
    def reader_socket(self) -> Path:
        """The Unix socket on which a running reader listens to whoever may run commands here."""
        return self.state / "reader.sock"

    @property
    def web_file(self) -> Path:
        """The database of those who may use the web pages and the HTTP interfaces."""
        return self.state / "web.db"

    @property
    def setup_file(self) -> Path:
        """The code by which the first account is made; there is none once it is."""
        return self.state / "setup.code"

    @property
    def kiosk_file(self) -> Path:
        """The code by which the screen at the door begins its session."""
        return self.state / "kiosk.code"

    @property
    def kept_file(self) -> Path:
        """The database of faces that clients of the face interface keep here."""
        return self.state / "faces.db"

    @property
    def answers_file(self) -> Path:
        """The database of answers that the HTTP interface gives again to the same request."""
        return self.state / "answers.db"

    @property
    def clients_file(self) -> Path:
        """The database of those who may send commands."""
        return self.state / "clients.db"

    @property
    def commissioning_file(self) -> Path:
        """The signed result of trying the liveness at this door."""
        return self.state / "commissioning.json"

    @property
    def camera_file(self) -> Path:
        """What is remembered of the camera: which it is, and what it looked at."""
        return self.state / "camera.json"

    @property
    def device_key_file(self) -> Path:
        """The private key that this device signs its own results with."""
        return self.state / "device.key"

    @property
    def pki_folder(self) -> Path:
        """The private authority for the broker and its clients; there may be none."""
        return self.state / "pki"

    @property
    def models_folder(self) -> Path:
        """The models that were added, with a manifest of their own; there may be none."""
        return self.state / "models"

    @property
    def controller_socket(self) -> Path:
        """The Unix socket on which the controller listens."""
        return Path(self.settings.door.socket) if self.settings.door.socket else self.state / "controller.sock"

    def with_source(self, source: str) -> Installation:
        """Return the same installation looking through another camera or recording."""
        camera = self.settings.camera.model_copy(update={"source": source})
        return replace(self, settings=self.settings.model_copy(update={"camera": camera}))

    def with_door_driver(self, driver: str) -> Installation:
        """Return the same installation with its lines on another driver."""
        door = self.settings.door.model_copy(update={"driver": driver})
        return replace(self, settings=self.settings.model_copy(update={"door": door}))

    def with_controller(self, socket: Path) -> Installation:
        """Return the same installation with a controller that listens elsewhere."""
        door = self.settings.door.model_copy(update={"socket": str(socket)})
        return replace(self, settings=self.settings.model_copy(update={"door": door}))


def open_installation(config_file: Path | None, state: Path | None) -> Installation:
    """Return the installation at these places, with its state folder made where it is missing.

    Without `config_file`, the system's file is read where it exists, else the defaults hold.
    Raises ConfigError, or click.UsageError where the state folder cannot be made or one of both not be looked into.
    """
    from appliance import config  # noqa: PLC0415 - half the time that a list of people takes

    if config_file is None and _is_there(places.CONFIG):
        config_file = places.CONFIG
    settings = config.load(config_file)
    return Installation(settings, open_state(state), config_file)


def open_state(state: Path | None) -> Path:
    """Return the state folder, made where it is missing. Raises click.UsageError where it cannot be, or be used."""
    folder = (state or places.STATE).absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        msg = f"state folder {folder} cannot be made: {fault.strerror}"
        raise click.UsageError(msg) from fault
    if _is_there(folder / UNFINISHED):
        from appliance.backup.restore import finish  # noqa: PLC0415  it is next to never needed

        finish(folder)
    return folder


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as fault:  # an installed device's folders are for its own users
        msg = f"{path} cannot be looked for: {fault.strerror}; root may, by sudo"
        raise click.UsageError(msg) from fault


def duration(text: str) -> float:
    """Return the seconds in `90`, `90s`, `10m`, `8h` or `2d`; click says what is wrong with anything else."""
    read = _DURATION.fullmatch(text)
    if read is None:
        raise click.BadParameter(f"{text!r} is not a time; 90, 90s, 10m, 8h and 2d are")
    return float(read[1]) * _UNIT_S[read[2] or "s"]


def with_installation(
    command: Callable[Concatenate[Installation, _Params], _Result],
) -> Callable[..., _Result]:
    """Give a command `--config` and `--state`, and pass it the Installation they name."""

    @click.option("--config", "config_file", type=_PATH, help=f"Settings [{places.CONFIG}].")
    @click.option("--state", type=_PATH, help=f"Folder of databases and keys [{places.STATE}].")
    @functools.wraps(command)
    def wrapped(config_file: Path | None, state: Path | None, *args: _Params.args, **kwargs: _Params.kwargs) -> _Result:
        return command(open_installation(config_file, state), *args, **kwargs)

    return wrapped


def with_state(command: Callable[Concatenate[Path, _Params], _Result]) -> Callable[..., _Result]:
    """Give a command `--state`, and pass it the folder: for one that needs no settings, and should not wait for them.

    `--config` is taken as everywhere, and not read.
    """

    @click.option("--config", type=_PATH, expose_value=False, help=f"Settings [{places.CONFIG}].")
    @click.option("--state", type=_PATH, help=f"Folder of databases and keys [{places.STATE}].")
    @functools.wraps(command)
    def wrapped(state: Path | None, *args: _Params.args, **kwargs: _Params.kwargs) -> _Result:
        return command(open_state(state), *args, **kwargs)

    return wrapped
