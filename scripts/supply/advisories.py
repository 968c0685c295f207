"""Known holes: advisories in OSV's form, held against the locks."""

from __future__ import annotations

import json
import re
import zipfile
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version

from .parts import SupplyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_ECOSYSTEM = "PyPI"


def read(path: Path) -> list[dict[str, Any]]:
    """Return the advisories of a file: one, a list of them, or a zip of such files, as OSV exports them.

    Raises SupplyError where the file cannot be read, or holds none: an empty list would let everything pass.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                found = [json.loads(packed.read(name)) for name in packed.namelist() if name.endswith(".json")]
        else:
            parsed = json.loads(path.read_bytes())
            found = parsed if isinstance(parsed, list) else [parsed]
        about = [package for one in found for package in _ranges(one)]
    except (OSError, ValueError, zipfile.BadZipFile) as fault:
        raise SupplyError(f"advisories {path} cannot be read: {fault}") from fault
    except (AttributeError, KeyError, TypeError) as fault:
        raise SupplyError(f"advisories {path} are not in OSV's form: {fault}") from fault
    if not about:
        raise SupplyError(f"advisories {path} say nothing of any package of Python's")
    return found


def holes(advisories: Iterable[dict[str, Any]], pins: Mapping[str, str]) -> list[str]:
    """Return a line for each advisory that applies to a pinned version; none is as it should be."""
    return sorted(
        f"{name} {pins[name]}: {one['id']}{_aliases(one)} {one.get('summary', '')}".rstrip()
        for one in advisories
        if not one.get("withdrawn")
        for name in {name for name, affected in _ranges(one) if name in pins and _affects(affected, pins[name])}
    )


def newest(advisories: Iterable[dict[str, Any]]) -> str:
    """Return when the newest of them was changed, as it says."""
    return max((str(one.get("modified", "")) for one in advisories), default="")


def _aliases(one: dict[str, Any]) -> str:
    return f" ({', '.join(one['aliases'])})" if one.get("aliases") else ""


def _ranges(one: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the packages of Python's that an advisory is about, each with what of it is affected."""
    return [
        (re.sub(r"[-_.]+", "-", affected["package"]["name"]).lower(), affected)
        for affected in one.get("affected") or []
        if affected.get("package", {}).get("ecosystem") == _ECOSYSTEM
    ]


def _affects(affected: dict[str, Any], pinned: str) -> bool:
    if pinned in affected.get("versions", []):
        return True
    version = Version(pinned)
    return any(
        low <= version and (high is None or version < high or (closed and version == high))
        for one in affected.get("ranges", [])
        if one["type"] in {"ECOSYSTEM", "SEMVER"}
        for low, high, closed in _spans(one["events"])
    )


def _spans(events: Iterable[dict[str, str]]) -> Iterator[tuple[Version, Version | None, bool]]:
    """Yield each span of versions: from, to, and whether the last belongs to it."""
    low: Version | None = None
    for event in sorted(events, key=lambda one: _version(next(iter(one.values())))):
        ((kind, text),) = event.items()
        if kind == "introduced":
            low = low or _version(text)
        elif kind in {"fixed", "last_affected"} and low is not None:
            yield low, _version(text), kind == "last_affected"
            low = None
    if low is not None:
        yield low, None, False


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion as fault:
        raise SupplyError(f"an advisory names {text!r}, which is no version") from fault
