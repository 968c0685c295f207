"""Which licences may come along, and the report of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .parts import SupplyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .parts import Model, Package

# Each lets a device be sold and its own program be under another licence.
ALLOWED = frozenset({
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "LicenseRef-public-domain",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
    "Zlib",
})  # fmt: skip
# A library that is loaded, not changed and not linked into ours; its source is with its makers.
ALLOWED_FOR = {"gpiod": "LGPL-2.1-or-later"}
# What wheels bring along beside their own code. Its licence is in none of their metadata.
BUNDLED = {
    "libaom": "BSD-2-Clause, with the Alliance for Open Media's patent licence",
    "libavcodec": "LGPL-2.1-or-later (FFmpeg)",
    "libavformat": "LGPL-2.1-or-later (FFmpeg)",
    "libavif": "BSD-2-Clause",
    "libavutil": "LGPL-2.1-or-later (FFmpeg)",
    "libcrypto": "OpenSSL (version 1.1.1)",
    "libdrm": "MIT",
    "libgfortran": "GPL-3.0-or-later with GCC's runtime exception",
    "libgomp": "GPL-3.0-or-later with GCC's runtime exception",
    "libopenblaso": "BSD-3-Clause (OpenBLAS)",
    "libopenblasp": "BSD-3-Clause (OpenBLAS)",
    "libpng": "libpng-2.0",
    "libquadmath": "LGPL-2.1-or-later",
    "libscipy_openblas": "BSD-3-Clause (OpenBLAS)",
    "libssl": "OpenSSL (version 1.1.1)",
    "libswresample": "LGPL-2.1-or-later (FFmpeg)",
    "libswscale": "LGPL-2.1-or-later (FFmpeg)",
    "libvpx": "BSD-3-Clause",
}


def objections(packages: Sequence[Package], models: Sequence[Model]) -> list[str]:
    """Return a line for each part whose licence may not come along; none is as it should be."""
    parts = [(one.name, one.licence) for one in packages] + [(one.model_id, one.licence) for one in models]
    return [f"{name}: {licence} is not allowed" for name, licence in parts if not _allowed(name, licence)]


def report(
    packages: Sequence[Package],
    models: Sequence[Model],
    debian: Sequence[str],
    bundled: Mapping[str, Sequence[str]],
) -> str:
    """Return docs/licences.md. Raises SupplyError for a bundled library of which no licence is known."""
    unknown = sorted({library for libraries in bundled.values() for library in libraries} - BUNDLED.keys())
    if unknown:
        raise SupplyError(
            f"wheels bring {', '.join(unknown)} along; scripts/supply/licences.py has to know its licence"
        )
    lines = [_HEAD, "| package | version | licence | on |", "| --- | --- | --- | --- |"]
    lines += [f"| {one.name} | {one.version} | {one.licence} | {_where(one.locks)} |" for one in packages]
    lines += [_WHEELS, "| package | library | licence |", "| --- | --- | --- |"]
    lines += [f"| {name} | {one} | {BUNDLED[one]} |" for name, libraries in bundled.items() for one in libraries]
    lines += [_MODELS, "| model | licence | from |", "| --- | --- | --- |"]
    lines += [f"| {one.model_id} | {one.licence} | {one.origin} |" for one in models]
    lines += [_DEBIAN, ", ".join(f"`{name}`" for name in debian) + "."]
    return "\n".join(lines) + "\n"


def _allowed(name: str, licence: str) -> bool:
    """Tell whether every part of an expression may come along, or one of those that may be chosen from."""
    if ALLOWED_FOR.get(name) == licence:
        return True
    terms = [term.split(" AND ") for term in re.sub(r"[()]", "", licence).split(" OR ")]
    return any(all(one.strip() in ALLOWED for one in term) for term in terms)


def _where(locks: Sequence[str]) -> str:
    names = {"runtime": "every device", "pi": "Raspberry Pi", "jetson": "with libgpiod"}
    return names["runtime"] if "runtime" in locks else ", ".join(names[lock] for lock in locks)


_HEAD = """\
# Licences of what is installed

Written by `scripts/sbom` from the locks, the packages' own metadata and the models' manifest; [sbom.json](sbom.json)
says the same to programs (CycloneDX 1.6). Ostiary itself is under Apache-2.0. A licence that is not in the list of
`scripts/supply/licences.py` fails the tests; GPL is not in it. `gpiod` is under LGPL 2.1 or later: it is loaded as it
is, and drives the GPIO chip of a Jetson and of plain Debian.

## Python's packages
"""
_WHEELS = """
## Libraries inside wheels

What the wheels for x86-64 carry beside their own code; those for aarch64 carry about the same. What is linked into a
wheel's own code cannot be seen in this way: its notices are in the package's `dist-info/licenses`. OpenCV's wheel
brings OpenSSL 1.1.1 for FFmpeg, which nobody mends any more: it is used where `camera.source` is an address that
begins with https, rtsps or tls, so use none.
"""
_MODELS = """
## Models

Their notices are in `models/LICENSES`, what is known of them in [the model cards](../models/CARDS.md).
"""
_DEBIAN = """
## Debian's packages

Debian says the licence of each in `/usr/share/doc/NAME/copyright`. They are programs of their own or the system's
libraries; where "a | b" stands, the first that apt knows is taken.
"""
