"""Photos as files: JPEG and PNG in, upright RGB out, whole or not at all.

The header is read by the small parsers here, before the decoder sees a byte: a picture that would not fit in
memory costs nothing, and one that was cut short is never shown half grey.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import threading
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from appliance.errors import PhotoError
from appliance.records import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

MAX_BYTES = 32 * 1024 * 1024
MAX_SIDE_PX = 12_000
MAX_PIXELS = 40_000_000
MAX_SCANS = 100  # progressive JPEGs have about ten; thousands of scans of a large picture would take minutes

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # in a scan, FF 00 is a byte and FF D0..D7 are restarts
_FOREIGN = (  # what people send instead, by where and how it begins
    (0, b"GIF8", "a GIF"),
    (8, b"WEBP", "a WebP"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (0, b"BM", "a BMP"),
    (4, b"ftypavif", "an AVIF"),
    (4, b"ftyp", "a HEIC or a film"),
    (0, b"<svg", "an SVG"),
    (0, b"<?xml", "an SVG or other XML"),
    (0, b"%PDF", "a PDF"),
)
# The decoder tells of broken data only on standard error, and then returns what it made up for the rest.
_BROKEN = re.compile(
    rb"(?m)^(Corrupt JPEG data|Premature end of JPEG|Inconsistent progression|Invalid SOS|libpng error).*\n?"
)
_CHATTER = re.compile(rb"(?m)^(libpng warning|Warning: unknown JFIF|Unknown Adobe color|\[ ?(WARN|ERROR)).*\n?")
_STDERR = 2
_decoding = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Header:
    width_px: int
    height_px: int
    orientation: int  # EXIF, 1..8
    end: int  # where the picture ends; what follows is not ours
    alpha: bool


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Return the photo at `path` as `decode_photo` does. Raises PhotoError, one line that names the file."""
    return decode_photo(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """Return what is in a photo's file, at most 32 MB and one byte. Raises PhotoError, one line that names the file."""
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _refusal(str(path), "is not a file")
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as fault:  # ValueError: a name with a NUL in it
        reason = getattr(fault, "strerror", None) or fault
        raise _refusal(str(path), f"cannot be read: {reason}") from fault


def decode_photo(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Return the picture in `data`: (H, W, 3) RGB, read-only, upright after EXIF, transparency over white.

    Baseline and progressive JPEG of grey or colour, and PNG of any depth, whole, of at most 32 MB, 12,000 px a
    side and 40 megapixels. Anything else, and any picture that is cut short or that the decoder finds broken,
    raises PhotoError: one line with `name`, what it is and what is allowed.
    """
    if len(data) > MAX_BYTES:
        raise _refusal(name, f"is larger than {MAX_BYTES} bytes")
    header = _read_header(data, name)
    if header.width_px * header.height_px > max_pixels:
        size = f"{header.width_px} x {header.height_px} px"
        raise _refusal(name, f"is {size}; at most {max_pixels:,} pixels are taken here")
    flags = cv2.IMREAD_UNCHANGED if header.alpha else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    decoded: NDArray[Any] | None
    with _listening(name):
        try:
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8, header.end), flags)
        except cv2.error as fault:
            raise _refusal(name, "is broken: the decoder gave up") from fault
    if decoded is None or decoded.shape[:2] != (header.height_px, header.width_px):
        raise _refusal(name, "is broken: the decoder gave no picture of the size in its header")
    return frozen(np.ascontiguousarray(_upright(_rgb(decoded), header.orientation)))


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Return (H, W, 3) RGB pixels as a baseline JPEG of `quality` 1..100."""
    return _encode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return (H, W, 3) RGB pixels as a PNG, without loss."""
    return _encode(".png", pixels, [])


def _encode(suffix: str, pixels: NDArray[np.uint8], options: list[int]) -> bytes:
    _, encoded = cv2.imencode(suffix, np.ascontiguousarray(pixels[..., ::-1]), options)
    return encoded.tobytes()


def _refusal(name: str, what: str) -> PhotoError:
    shown = name if name.isprintable() else repr(name)
    return PhotoError(f"photo {shown} {what}; allowed are whole JPEG and PNG files of up to 12,000 px a side")


def _read_header(data: bytes, name: str) -> _Header:
    if data.startswith(_JPEG):
        header = _read_jpeg(data, name)
    elif data.startswith(_PNG):
        header = _read_png(data, name)
    else:
        kinds = (kind for at, magic, kind in _FOREIGN if data[at : at + len(magic)] == magic)
        raise _refusal(name, f"is {next(kinds, 'not a picture we know') if data else 'empty'}")
    return header


def _check_size(width_px: int, height_px: int, name: str) -> None:
    fits = 0 < width_px <= MAX_SIDE_PX and 0 < height_px <= MAX_SIDE_PX and width_px * height_px <= MAX_PIXELS
    if not fits:
        raise _refusal(name, f"is {width_px} x {height_px} px, beyond {MAX_PIXELS // 1_000_000} megapixels or a side")


def _read_jpeg(data: bytes, name: str) -> _Header:
    size: tuple[int, int] | None = None
    orientation, scans = 1, 0
    missing: set[tuple[int, int]] = set()  # (component, coefficient) that no scan has given to its last bit yet
    for marker, body, end in _jpeg_segments(data, name):
        if marker == 0xD9 and size and not missing:
            return _Header(*size, orientation, end, alpha=False)
        if marker in {0xC0, 0xC2} and size is None:
            size = _jpeg_size(body, name)
            missing = {(component, place) for component in body[6::3] for place in range(64)}
        elif 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            raise _refusal(name, f"is a JPEG of a kind that cameras do not make (frame {marker:#x})")
        elif marker == 0xDA:
            scans += 1
            if scans > MAX_SCANS or size is None:
                raise _refusal(name, f"is a JPEG with {scans} scans, at most {MAX_SCANS} after its header")
            missing -= _scanned(body)
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = _orientation(body[6:])
    raise _refusal(name, "is a JPEG that is cut short")


def _jpeg_segments(data: bytes, name: str) -> Iterator[tuple[int, bytes, int]]:
    """Yield (marker, body, offset after it) up to and with the end marker; stop where the data stop."""
    at = 2
    while match := _MARKER.search(data, at):
        marker, at = match[1][0], match.end()
        if marker == 0xD9:
            yield marker, b"", at
            return
        if marker in {0x01, 0xD8}:
            raise _refusal(name, "is a broken JPEG: a marker stands where none may")
        length = int.from_bytes(data[at : at + 2])
        if length < 2 or at + length > len(data):
            return
        yield marker, data[at + 2 : at + length], at + length
        at += length


def _scanned(body: bytes) -> set[tuple[int, int]]:
    """Return what a scan with this header gives to the last bit: (component, coefficient 0..63)."""
    count = body[0] if body else 0
    if len(body) < 4 + 2 * count or body[3 + 2 * count] & 0x0F:  # a later scan brings the lower bits
        return set()
    first, last = body[1 + 2 * count], min(body[2 + 2 * count], 63)
    return {(component, place) for component in body[1 : 1 + 2 * count : 2] for place in range(first, last + 1)}


def _jpeg_size(body: bytes, name: str) -> tuple[int, int]:
    if len(body) < 6 or body[0] != 8 or body[5] not in {1, 3}:
        raise _refusal(name, "is a JPEG in CMYK or of more than 8 bits")
    width_px, height_px = int.from_bytes(body[3:5]), int.from_bytes(body[1:3])
    _check_size(width_px, height_px, name)
    return width_px, height_px


_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# first column, first row, column step, row step of each pass (PNG specification, 8.2)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def _read_png(data: bytes, name: str) -> _Header:
    width_px = height_px = expected = 0
    orientation, transparent = 1, False
    squeezed: list[bytes] = []
    for kind, body, end in _png_chunks(data, name):
        if (width_px == 0) != (kind == b"IHDR"):
            raise _refusal(name, "is a broken PNG: its header is missing or stands twice")
        if kind == b"IHDR":
            width_px, height_px = int.from_bytes(body[0:4]), int.from_bytes(body[4:8])
            _check_size(width_px, height_px, name)
            expected = _png_bytes(width_px, height_px, body, name)
            transparent = body[9] in {4, 6}
        elif kind == b"acTL":
            raise _refusal(name, "is an animated PNG")
        elif kind == b"IDAT":
            squeezed.append(body)
        elif kind == b"IEND" and _inflates_to(squeezed, expected):
            return _Header(width_px, height_px, orientation, end, transparent)
        orientation = _orientation(body) if kind == b"eXIf" else orientation
        transparent |= kind == b"tRNS"
    raise _refusal(name, "is a PNG that is cut short or has too many rows")


def _png_bytes(width_px: int, height_px: int, ihdr: bytes, name: str) -> int:
    """Return how many bytes the rows of such a picture inflate to."""
    if len(ihdr) != 13 or ihdr[9] not in _PNG_CHANNELS or ihdr[12] > 1:
        raise _refusal(name, "is a PNG of an unknown kind")
    bits = ihdr[8] * _PNG_CHANNELS[ihdr[9]]
    total = 0
    for column, row, across, down in _ADAM7 if ihdr[12] else ((0, 0, 1, 1),):
        columns, rows = -(-(width_px - column) // across), -(-(height_px - row) // down)
        total += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    return total


def _png_chunks(data: bytes, name: str) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield (kind, body, offset after it), each with the right checksum; stop where the data stop."""
    at = len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if end > len(data):
            return
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            raise _refusal(name, f"is a broken PNG: the checksum at byte {at} is wrong")
        yield data[at + 4 : at + 8], data[at + 8 : end - 4], end
        at = end


def _inflates_to(squeezed: list[bytes], expected: int) -> bool:
    """Tell whether the compressed rows give exactly `expected` bytes; never holds more than a megabyte."""
    inflate, got = zlib.decompressobj(), 0
    try:
        for body in squeezed:
            rest = body
            while rest and got <= expected:
                got += len(inflate.decompress(rest, 1 << 20))
                rest = inflate.unconsumed_tail
    except zlib.error:
        return False
    return got == expected and inflate.eof


def _orientation(exif: bytes) -> int:
    """Return the orientation 1..8 in a TIFF block; 1 where there is none or it makes no sense."""
    if exif[:4] not in {b"II*\0", b"MM\0*"}:
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], "little" if exif.startswith(b"II") else "big")

    first = number(4, 4)
    for at in range(first + 2, min(first + 2 + 12 * number(first, 2), len(exif)), 12):
        if number(at, 2) == 0x0112:  # Orientation, type 3 (short), one value
            value = number(at + 8, 2)
            return value if number(at + 2, 2) == 3 and 1 <= value <= 8 else 1
    return 1


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    # Exif 2.32, 4.6.4: where row 0 and column 0 of the stored picture lie in the upright one.
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return pixels


def _rgb(decoded: NDArray[Any]) -> NDArray[np.uint8]:
    """Return RGB of what the decoder gave: grey, BGR or BGRA of 8 or 16 bits; transparency over white."""
    levels: NDArray[np.uint8] = (decoded >> 8 if decoded.dtype == np.uint16 else decoded).astype(np.uint8)
    if levels.ndim == 2:
        return np.repeat(levels[..., None], 3, axis=2)
    colour = levels[..., 2::-1]
    if levels.shape[2] == 3 or levels[..., 3].min() == 255:
        return colour
    # What a viewer sees is what is enrolled: a picture hidden under full transparency must not be.
    alpha = levels[..., 3:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


@contextmanager
def _listening(name: str) -> Iterator[None]:
    """Keep the decoder's complaints from the user; broken data raise PhotoError, anybody else's line is passed on."""
    with _decoding, tempfile.TemporaryFile() as heard:
        ours = os.dup(_STDERR)
        try:
            os.dup2(heard.fileno(), _STDERR)
            yield
        finally:
            os.dup2(ours, _STDERR)
            os.close(ours)
            heard.seek(0)
            said = heard.read()
            others = _CHATTER.sub(b"", _BROKEN.sub(b"", said))
            if others:
                os.write(_STDERR, others)
        if _BROKEN.search(said):
            raise _refusal(name, "is broken: data are missing or damaged inside")
