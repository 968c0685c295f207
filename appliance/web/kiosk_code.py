"""The code by which the screen at the door begins its session: made on the device, good once and for a minute."""

from __future__ import annotations

import hmac
import json
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import StorageError
from appliance.web.accounts import digest_of
from appliance.whole_file import write_file

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD_S = 60.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def make(file: Path, clock: Callable[[], float] = time.monotonic) -> str:
    """Return a new code in place of any other; the file holds its digest alone. Raises StorageError."""
    code = secrets.token_urlsafe(32)
    kept = {"digest": digest_of(code), "boot": _BOOT.read_text().strip(), "made_at_s": clock()}
    write_file(file, json.dumps(kept).encode())
    return code


def take(file: Path, said: str, clock: Callable[[], float] = time.monotonic) -> bool:
    """Tell whether this is the code, in its time; then it is good no more. Raises StorageError."""
    try:
        kept = json.loads(file.read_bytes())
        age_s = clock() - float(kept["made_at_s"])
        fresh = kept["boot"] == _BOOT.read_text().strip() and 0 <= age_s < GOOD_S
        if not (fresh and hmac.compare_digest(str(kept["digest"]), digest_of(said))):
            return False
        file.unlink()
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise StorageError(f"the code in {file} cannot be read; ostiary kiosk url makes a new one") from fault
    return True
