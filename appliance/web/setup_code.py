"""The set-up code: who can read it stands at the device, and may make the first account.

There is no default password. While there is no account, one code stands in a file of the state folder that only its
owner reads, and on the console. It is good for half an hour of the present boot, for five tries, and once; nothing but
a command on the device makes another.
"""

from __future__ import annotations

import hmac
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from appliance.errors import RefusedError, StorageError
from appliance.pairing import letters_of, new_code
from appliance.whole_file import write_file

OPEN_S = 30 * 60.0
TRIES = 5
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class SetupCode:
    """A code and what has become of it."""

    code: str
    boot: str  # the boot it was made in: the clock on the wall may be set meanwhile, and one that counts ends there
    made_at_s: float  # of the clock that counts from the boot on, sleep included
    wrong: int

    def is_open(self) -> bool:
        """Tell whether it may still be used."""
        age_s = _counted_s() - self.made_at_s
        return self.boot == _boot() and 0 <= age_s < OPEN_S and self.wrong < TRIES


def offer(file: Path) -> SetupCode | None:
    """Return the code, made where none has ever been; None where it is over, which no restart changes.

    Raises StorageError. Whoever calls has seen that there is no account.
    """
    code = _read(file) if file.exists() else renew(file)
    return code if code.is_open() else None


def is_open(file: Path) -> bool:
    """Tell whether a code is there that may still be used. Raises StorageError."""
    return file.exists() and _read(file).is_open()


def renew(file: Path) -> SetupCode:
    """Return a new code in place of any other. Raises StorageError."""
    return _write(file, SetupCode(new_code(), _boot(), _counted_s(), 0))


def demand(file: Path, said: str) -> None:
    """Count a try, and return where it was the code. Raises RefusedError for any other, and where none is open."""
    code = _read(file) if file.exists() else None
    if code is None or not code.is_open():
        raise RefusedError("no set-up code is open; ostiary web code on the device makes one")
    code = _write(file, replace(code, wrong=code.wrong + 1))  # first: who pulls the plug gains no try
    if not hmac.compare_digest((letters_of(said) or "").encode(), (letters_of(code.code) or "none").encode()):
        left = TRIES - code.wrong
        raise RefusedError(f"this is not the set-up code; it can be tried {left} more times")


def forget(file: Path) -> None:
    """Have no code any more. Raises StorageError."""
    try:
        file.unlink(missing_ok=True)
    except OSError as fault:
        raise StorageError(f"{file} cannot be removed: {fault.strerror}") from fault


def _read(file: Path) -> SetupCode:
    try:
        read = json.loads(file.read_bytes())
        return SetupCode(str(read["code"]), str(read["boot"]), float(read["made_at_s"]), int(read["wrong"]))
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise StorageError(f"the set-up code in {file} cannot be read; ostiary web code makes a new one") from fault


def _write(file: Path, code: SetupCode) -> SetupCode:
    write_file(file, json.dumps(asdict(code)).encode())
    return code


def _boot() -> str:
    return _BOOT.read_text(encoding="ascii").strip()


def _counted_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
