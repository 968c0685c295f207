"""The settings files as the web changes them: read, judged before they are kept, and never over somebody else's change.

`access.toml` holds as soon as the reader has seen it, `appliance.toml` from the next start on.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from appliance import config
from appliance.access import rules
from appliance.contract import EventType
from appliance.errors import ConfigError, RefusedError, UsageError
from appliance.records import Actor, Event
from appliance.toml_text import differences, read_table
from appliance.whole_file import new_file, write_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.access.rules import Rules
    from appliance.commands.options import Installation
    from appliance.config import Settings
    from appliance.people.recorded import EventSink
    from appliance.toml_text import Difference

S = TypeVar("S")

MAX_LETTERS = 128 * 1024
_NOTED = 12  # keys that an entry of the log names
# What names a file, or what a camera is read with (a path, an address, a pipeline of programs), is for whoever has the
# device itself: a stolen session must not make the reader open what its thief likes.
ON_THE_DEVICE = frozenset(
    {
        "access.rules",
        "camera.source",
        "consent.folder",
        "door.socket",
        "mqtt.ca_file",
        "mqtt.cert_file",
        "mqtt.key_file",
        "mqtt.password_file",
        "recognition.models",
        "web.cert_file",
        "web.key_file",
    }
)


class ChangedMeanwhileError(RefusedError):
    """The file is not the one that a change was made from: somebody else was quicker."""


@dataclass(frozen=True, slots=True)
class Written:
    """A settings file as it lies on disk."""

    text: str  # "" where there is no file
    version: str  # SHA-256, 64 hex digits; "" where there is no file


@dataclass(frozen=True, slots=True)
class SettingsFile(Generic[S]):
    """One file of settings, and how its text is read. `path` None: nothing says where it would be."""

    path: Path | None
    name: str  # what people call it
    what: str  # what it holds, for the audit log
    parse: Callable[[str, str], S]
    fixed: frozenset[str] = frozenset()  # keys that are changed on the device alone

    def read(self) -> Written:
        """Return the text and its version. Raises ConfigError where there is a file that cannot be read."""
        if self.path is None or not self.path.exists():
            return Written("", "")
        text = config.read(self.path)
        return Written(text, _version(text))

    def check(self, text: str) -> S:
        """Return what the text says. Raises ConfigError, one line with the key, and UsageError if too long."""
        if len(text) > MAX_LETTERS:
            raise UsageError(f"{self.name} has {len(text)} letters; at most {MAX_LETTERS} are allowed")
        return self.parse(text, self.name)

    def changes(self, text: str) -> tuple[Difference, ...]:
        """Return what the text says otherwise than the file, key by key.

        Raises ConfigError, and RefusedError for a key that is changed on the device alone.
        """
        return self._changed(self.read().text, text)

    @property
    def writable(self) -> bool:
        """Whether a change could be kept: the folder of the file may be a read-only one."""
        return self.path is not None and os.access(self.path.parent, os.W_OK)

    def save(self, text: str, expected: str, audit: EventSink, actor: Actor, method: str) -> Written:
        """Return the file with this text, durable, the entry in the log too; the text before is kept beside it.

        Raises ConfigError and UsageError as `check`, ChangedMeanwhileError where the file's version is not the
        `expected` one, RefusedError where nothing says where the file is and as `changes`, and StorageError where it
        cannot be written.
        """
        self.check(text)
        if self.path is None:
            raise RefusedError(f"nothing says where {self.name} is; start with --config")
        old = self.read()
        if old.version != expected:
            raise ChangedMeanwhileError(f"{self.name} was changed meanwhile; look at it again, then change it")
        changed = self._changed(old.text, text)
        if old.text:
            write_file(self.path.with_name(f"{self.path.name}.bak"), old.text.encode())
        with new_file(self.path, replace=True) as file:
            if old.text:  # the reader may run as another user
                found = self.path.stat()
                if os.geteuid() == 0:  # and as whichever user and group it was given to
                    os.fchown(file.fileno(), found.st_uid, found.st_gid)
                os.fchmod(file.fileno(), found.st_mode & 0o777)
            file.write(text.encode())
            audit.append(Event(EventType.CONFIG_CHANGED, datetime.now(UTC), actor, method, detail=self._said(changed)))
        return Written(text, _version(text))

    def _changed(self, before: str, after: str) -> tuple[Difference, ...]:
        found = differences(self._table(before), read_table(after, self.name))
        for key in (one.key for one in found if one.key in self.fixed):
            raise RefusedError(f"{key} is changed on the device alone, in {self.name} itself")
        return found

    def _table(self, text: str) -> dict[str, Any]:
        """Return what a text says; {} for one with a fault, which a better one may take the place of."""
        try:
            return read_table(text, self.name)
        except ConfigError:
            return {}

    def _said(self, changed: tuple[Difference, ...]) -> str:
        """Return which keys were changed, and not to what: a key may be somebody's name for a holiday."""
        keys = [one.key if one.key.isprintable() else repr(one.key) for one in changed]
        more = f" and {len(keys) - _NOTED} more" if len(keys) > _NOTED else ""
        return f"{self.what} changed: {', '.join(keys[:_NOTED]) or 'nothing but comments'}{more}"


def rules_file(installation: Installation) -> SettingsFile[Rules]:
    """Return `access.toml`: who may enter, where and when."""
    return SettingsFile(installation.rules_file, "access.toml", "access rules", rules.parse)


def settings_file(installation: Installation) -> SettingsFile[Settings]:
    """Return `appliance.toml`."""
    return SettingsFile(installation.config_file, "appliance.toml", "settings", config.parse, ON_THE_DEVICE)


def _version(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
