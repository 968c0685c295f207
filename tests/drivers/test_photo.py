"""Photos as files: whole and upright, or refused in one line."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.drivers.photo import MAX_BYTES, decode_photo, encode_jpeg, encode_png, read_photo
from appliance.errors import PhotoError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


def picture(height: int = 48, width: int = 64, seed: int = 3) -> NDArray[np.uint8]:
    """Return a smooth picture with four different quarters, so that every turn and mirror of it differs."""
    rows, columns = np.mgrid[0:height, 0:width]
    colours = np.stack([rows * 255 // height, columns * 255 // width, np.full_like(rows, 40 + seed * 20 % 200)], axis=2)
    colours[: height // 2, : width // 2] = (220, 30, 30)
    return colours.astype(np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return one chunk of a PNG, with its true checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 2, interlace: int = 0, extra: bytes = b""
) -> bytes:
    """Return a PNG of these filtered rows: what no encoder makes, with checksums that hold."""
    ihdr = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = chunk(b"IHDR", ihdr) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def exif(orientation: int, order: str) -> bytes:
    """Return an EXIF block with another tag before the orientation; order is "<" or ">"."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    width = struct.pack(order + "HHIHH", 0x0100, 3, 1, 7, 0)
    turned = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return mark + struct.pack(order + "IH", 8, 2) + width + turned + struct.pack(order + "I", 0)


def with_exif(jpeg: bytes, block: bytes) -> bytes:
    """Return the JPEG with an EXIF segment put in."""
    segment = b"Exif\0\0" + block
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def progressive(pixels: NDArray[np.uint8]) -> bytes:
    """Return the picture as a progressive JPEG."""
    import cv2  # noqa: PLC0415  our encoder makes baseline only

    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_QUALITY, 95]
    _, encoded = cv2.imencode(".jpg", pixels[..., ::-1], options)
    return encoded.tobytes()


def refused(content: bytes, match: str, name: str = "x.jpg") -> None:
    """Assert that the photo is refused in one line that says why, its name, and what is allowed."""
    with pytest.raises(PhotoError, match=match) as fault:
        decode_photo(content, name)
    assert "\n" not in str(fault.value)
    assert name in str(fault.value)
    assert "JPEG and PNG" in str(fault.value)


def test_png_comes_back_bit_for_bit(tmp_path: Path) -> None:
    """A PNG in RGB order is returned as it was, (H, W, 3) uint8, read-only, from a file or from bytes."""
    pixels = picture()
    (tmp_path / "a.png").write_bytes(encode_png(pixels))
    seen = read_photo(tmp_path / "a.png")
    assert np.array_equal(seen, pixels)
    assert seen.dtype == np.uint8
    assert not seen.flags.writeable
    assert seen.flags.c_contiguous


@pytest.mark.parametrize("encode", [encode_jpeg, progressive])
def test_jpeg_keeps_colours_in_their_places(encode: Callable[[NDArray[np.uint8]], bytes]) -> None:
    """Baseline and progressive JPEG give the picture in RGB, up to what JPEG loses."""
    pixels = picture()
    off = np.abs(decode_photo(encode(pixels), "a.jpg").astype(int) - pixels)
    assert off.mean() < 4


@pytest.mark.parametrize("encode", [encode_jpeg, progressive, encode_png])
def test_cut_at_every_byte(encode: Callable[[NDArray[np.uint8]], bytes]) -> None:
    """A9: a photo cut short at any byte is refused; not one gives a picture."""
    content = encode(picture(40, 56))
    assert decode_photo(content, "x").shape == (40, 56, 3)
    for length in range(len(content)):
        with pytest.raises(PhotoError):
            decode_photo(content[:length], "x")


@pytest.mark.parametrize("encode", [encode_jpeg, progressive])
def test_cut_and_closed_again(encode: Callable[[NDArray[np.uint8]], bytes], capfd: pytest.CaptureFixture[str]) -> None:
    """A9: a JPEG whose middle is missing, with its end in place, is refused too, and the decoder is not heard."""
    content = encode(np.random.default_rng(5).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    start = content.index(b"\xff\xda")
    cuts = range(start + 40, len(content) - 400, max(1, (len(content) - start) // 25))
    for cut in cuts:
        refused(content[:cut] + b"\xff\xd9", "broken|cut short")
    assert capfd.readouterr().err == ""


def test_progressive_without_its_last_scans() -> None:
    """A9: a progressive JPEG that ends after some of its scans would be a coarse picture, and is refused."""
    content = progressive(picture())
    starts = [at for at in range(len(content) - 1) if content[at : at + 2] == b"\xff\xda"]
    assert len(starts) > 4
    for at in starts:
        refused(content[:at] + b"\xff\xd9", "cut short")


def test_png_with_rows_missing_or_left_over() -> None:
    """A9: a PNG with true checksums and too few or too many rows is refused, not filled up."""
    row = b"\0" + bytes(12)
    assert decode_photo(png(4, 4, row * 4), "x").shape == (4, 4, 3)
    for count in (0, 1, 3, 5, 4000):
        refused(png(4, 4, row * count), "cut short")
    refused(png(4, 4, b"\x09" + row * 4), "cut short")
    refused(png(4, 4, (b"\x09" + bytes(12)) * 4), "broken")  # a filter that there is none of


def test_flipped_byte_in_png_is_refused() -> None:
    """A9: every chunk has a checksum, so that no flipped byte of a PNG goes through."""
    content = encode_png(picture(12, 16))
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        with pytest.raises(PhotoError):
            decode_photo(bytes(damaged), "x")


@settings(max_examples=150, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6), cut=st.integers(0, 10_000))
def test_damaged_jpeg_is_a_picture_of_the_right_size_or_refused(flips: list[tuple[int, int]], cut: int) -> None:
    """A12: no damage to a JPEG raises anything but PhotoError, or gives a picture of a size it does not declare."""
    content = bytearray(progressive(picture(24, 32)))
    for at, value in flips:
        content[at % len(content)] = value
    try:
        pixels = decode_photo(bytes(content[: max(4, len(content) - cut % 50)]), "x")
    except PhotoError as fault:
        assert "\n" not in str(fault)  # noqa: PT017
    else:
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3


@settings(max_examples=100, deadline=None)
@given(start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]), rest=st.binary(max_size=300))
def test_noise_is_refused(start: bytes, rest: bytes) -> None:
    """A12: random bytes, with or without the right beginning, are refused and nothing else."""
    with pytest.raises(PhotoError):
        decode_photo(start + rest, "x")


def test_huge_picture_is_refused_by_its_header() -> None:
    """A10: a true PNG of 16000 x 16000 px in under 1 MB is refused in milliseconds, before any decoding."""
    squeezer = zlib.compressobj(9)
    row = bytes(1 + 16000 * 3)
    body = b"".join(squeezer.compress(row) for _ in range(200)) + squeezer.flush()  # the rest would never be read
    ihdr = struct.pack(">IIBBBBB", 16000, 16000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", body + bytes(700_000)) + chunk(b"IEND", b"")
    started = time.thread_time()  # the processor's, not the clock's: neighbours do not count
    refused(bomb, "16000 x 16000 px")
    assert time.thread_time() - started < 0.05


@pytest.mark.parametrize(
    ("width", "height"), [(12_001, 1), (1, 12_001), (8_000, 5_001), (0, 4), (4, 0), (2**31, 2**31)]
)
def test_sizes_beyond_the_bound(width: int, height: int) -> None:
    """A10: more than 12,000 px a side or 40 megapixels is refused, and so is a side of nothing."""
    refused(png(width, height, b""), f"{width} x {height} px", "big.png")
    if width < 65_536:
        jpeg = bytearray(encode_jpeg(picture()))
        at = jpeg.index(b"\xff\xc0")
        jpeg[at + 5 : at + 9] = struct.pack(">HH", height, width)
        refused(bytes(jpeg), f"{width} x {height} px")


def test_inflating_bomb_stops_early() -> None:
    """A10: a small picture whose data would inflate to gigabytes is refused once it is over its size."""
    bomb = png(4, 4, bytes(200_000_000))
    started = time.thread_time()
    refused(bomb, "too many rows")
    assert time.thread_time() - started < 0.05


def test_endless_scans_are_refused() -> None:
    """A12: a progressive JPEG with more scans than any camera makes is refused before it costs minutes."""
    content = progressive(picture())
    at = content.index(b"\xff\xda")
    scan = content[at : content.index(b"\xff", at + 12)]
    refused(content[:at] + scan * 101 + content[at:], "scans")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(orientation: int, order: str) -> None:
    """A11: each EXIF orientation, in either byte order, in JPEG and PNG, gives the picture upright, once."""
    upright = picture(48, 64)
    stored = {  # how a camera held that way writes the upright picture (Exif 2.32, 4.6.4)
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }
    block = exif(orientation, order)
    seen = decode_photo(with_exif(encode_jpeg(stored[orientation], 95), block), "x.jpg")
    assert seen.shape == upright.shape
    assert np.abs(seen.astype(int) - upright).mean() < 4
    lossless = encode_png(stored[orientation])
    seen = decode_photo(lossless[:33] + chunk(b"eXIf", block) + lossless[33:], "x.png")
    assert np.array_equal(seen, upright)


@pytest.mark.parametrize(
    "block", [b"", b"II*\0", exif(0, "<"), exif(9, ">"), exif(6, "<")[:20], b"II*\0\xff\xff\xff\xff"]
)
def test_senseless_orientation_is_none(block: bytes) -> None:
    """A11: an EXIF block that is cut or makes no sense leaves the picture as it is stored."""
    assert decode_photo(with_exif(encode_jpeg(picture()), block), "x").shape == (48, 64, 3)


@pytest.mark.parametrize(("colour", "depth", "pixel", "rgb"), [
    (0, 8, b"\x50", (80, 80, 80)),
    (0, 16, b"\x50\xff", (80, 80, 80)),
    (2, 16, b"\x50\x01\x60\x01\x70\x01", (80, 96, 112)),
    (4, 8, b"\x50\xff", (80, 80, 80)),
    (6, 8, b"\x50\x60\x70\xff", (80, 96, 112)),
    (6, 8, b"\x50\x60\x70\x00", (255, 255, 255)),
    (6, 8, b"\x00\x00\x00\x80", (127, 127, 127)),
    (6, 16, b"\x50\x00\x60\x00\x70\x00\xff\xff", (80, 96, 112)),
])  # fmt: skip
def test_every_kind_of_png(colour: int, depth: int, pixel: bytes, rgb: tuple[int, int, int]) -> None:
    """A11: grey, 16 bits and alpha become 8-bit RGB; what is transparent is white, so that nothing hides there."""
    rows = (b"\0" + pixel * 5) * 3
    seen = decode_photo(png(5, 3, rows, colour=colour, depth=depth), "x.png")
    assert seen.shape == (3, 5, 3)
    assert {tuple(map(int, value)) for value in seen.reshape(-1, 3)} == {rgb}


def test_palette_and_interlace() -> None:
    """A11: a palette with transparency, and an interlaced picture, are read as any other."""
    palette = chunk(b"PLTE", bytes([10, 20, 30, 200, 100, 50])) + chunk(b"tRNS", b"\xff\x00")
    seen = decode_photo(png(2, 1, b"\0\0\1", colour=3, extra=palette), "x.png")
    assert seen.tolist() == [[[10, 20, 30], [255, 255, 255]]]
    three = decode_photo(png(3, 3, rows_of_adam7(3, 3), interlace=1), "x.png")
    assert three.shape == (3, 3, 3)
    assert not three.any()


def rows_of_adam7(width: int, height: int) -> bytes:
    """Return the black rows of an interlaced RGB picture, pass by pass."""
    rows = b""
    for column, row, across, down in (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ):  # fmt: skip
        columns, lines = len(range(column, width, across)), len(range(row, height, down))
        rows += (b"\0" + bytes(3 * columns)) * lines if columns else b""
    return rows


def test_cmyk_and_twelve_bits_and_lossless_are_refused() -> None:
    """A11: JPEGs of four colours, of twelve bits, or of a kind that is neither baseline nor progressive."""
    jpeg = encode_jpeg(picture())
    at = jpeg.index(b"\xff\xc0")
    refused(jpeg[: at + 9] + b"\x04" + jpeg[at + 10 :], "CMYK")
    refused(jpeg[: at + 4] + b"\x0c" + jpeg[at + 5 :], "8 bits")
    refused(jpeg[:at] + b"\xff\xc3" + jpeg[at + 2 :], "kind")
    refused(jpeg[:at] + b"\xff\xc9" + jpeg[at + 2 :], "kind")


@pytest.mark.parametrize(("start", "kind"), [
    (b"GIF89a", "GIF"), (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"BM", "BMP"),
    (b"\0\0\0\x1cftypavif", "AVIF"), (b"\0\0\0\x1cftypheic", "HEIC"), (b"<svg xmlns", "SVG"), (b"%PDF-1.7", "PDF"),
    (b"", "empty"), (b"hello", "not a picture"),
])  # fmt: skip
def test_other_formats_are_named(start: bytes, kind: str) -> None:
    """A11: what is neither JPEG nor PNG is refused by what it is, whatever its file is called."""
    refused(start + bytes(100) if start else start, kind)


def test_animated_png_is_refused() -> None:
    """A11: an animated PNG has several pictures, and which one was meant nobody can say."""
    refused(png(1, 1, b"\0\0\0\0", extra=chunk(b"acTL", bytes(8))), "animated")


@pytest.mark.parametrize("encode", [encode_jpeg, encode_png])
def test_what_follows_the_picture_is_not_read(encode: Callable[[NDArray[np.uint8]], bytes]) -> None:
    """A11: a polyglot is read as the picture it begins as; what hangs on behind changes no pixel."""
    content = encode(picture())
    seen = decode_photo(content + b"PK\x03\x04" + encode_jpeg(picture(seed=9)), "x")
    assert np.array_equal(seen, decode_photo(content, "x"))


def test_two_threads_never_mix_pictures() -> None:
    """A13: of two photos decoded at once, one good and one broken, each gets its own answer every time."""
    good = encode_jpeg(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    bad = good[: len(good) // 2] + b"\xff\xd9"
    wanted = decode_photo(good, "good")
    answers: list[bool] = []

    def keep_on(content: bytes, *, whole: bool) -> None:
        for _ in range(60):
            try:
                answers.append(np.array_equal(decode_photo(content, "x"), wanted) and whole)
            except PhotoError:
                answers.append(not whole)

    work = ((good, True), (bad, False))
    threads = [threading.Thread(target=keep_on, args=(content,), kwargs={"whole": whole}) for content, whole in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 120


def test_other_peoples_lines_are_passed_on(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What another thread says on standard error while a photo is decoded is not lost, and spoils no photo."""
    import cv2  # noqa: PLC0415

    true_decode = cv2.imdecode

    def talking(buffer: NDArray[np.uint8], flags: int) -> object:
        os.write(2, b"a line of the log\nlibpng warning: iCCP: known incorrect sRGB profile\n")
        return true_decode(buffer, flags)

    monkeypatch.setattr(cv2, "imdecode", talking)
    assert decode_photo(encode_png(picture()), "x").shape == (48, 64, 3)
    assert capfd.readouterr().err == "a line of the log\n"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """E4: a missing file, a folder, a device, a name with a NUL, and a file over 32 MB are each one line."""
    (tmp_path / "big.jpg").write_bytes(b"")
    os.truncate(tmp_path / "big.jpg", MAX_BYTES + 1)
    for place, why in (
        (tmp_path / "none.jpg", "No such file"),
        (tmp_path, "directory"),
        (tmp_path.parent / "/dev/null", "not a file"),
        (tmp_path / "a\0b.jpg", "null byte"),
        (tmp_path / "big.jpg", "larger than"),
    ):
        with pytest.raises(PhotoError, match=why) as fault:
            read_photo(place)
        assert "\n" not in str(fault.value)


def test_name_cannot_break_the_line() -> None:
    """D8: a file name with a line break or an escape sequence is shown quoted."""
    with pytest.raises(PhotoError) as fault:
        decode_photo(b"x", "a\n\x1b[31mb.jpg")
    assert str(fault.value).isprintable()


def test_quality_of_an_encoded_jpeg() -> None:
    """A higher quality gives more bytes, and the result is a baseline JPEG of the same size."""
    pixels = np.random.default_rng(2).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    assert len(encode_jpeg(pixels, 95)) > len(encode_jpeg(pixels, 40))
    assert decode_photo(encode_jpeg(pixels, 40), "x").shape == (32, 48, 3)


FUZZ = """
import sys, numpy as np
from pathlib import Path
from appliance.drivers.photo import decode_photo
from appliance.errors import PhotoError
dice, refused = np.random.default_rng(int(sys.argv[2])), 0
seeds = [path.read_bytes() for path in sorted(Path(sys.argv[1]).iterdir())]
for number in range(int(sys.argv[3])):
    data = bytearray(seeds[number % len(seeds)])
    for _ in range(int(dice.integers(1, 8))):
        at, kind = int(dice.integers(len(data))), int(dice.integers(4))
        if kind == 0:
            data[at] ^= 1 << int(dice.integers(8))
        elif kind == 1:
            data[at : at + int(dice.integers(1, 64))] = b""
        elif kind == 2:
            data[at:at] = dice.bytes(int(dice.integers(1, 16)))
        else:
            data[at : at + 2] = (0xFFFF, 0, 0xFFD8)[int(dice.integers(3))].to_bytes(2, "big")
        data = data or bytearray(b"x")
    try:
        decode_photo(bytes(data), "fuzzed")
    except PhotoError as fault:
        refused += 1
        assert len(str(fault).splitlines()) == 1
print(refused)
"""


def test_ten_thousand_fuzzed_photos_crash_nothing(tmp_path: Path) -> None:
    """A12: JPEG and PNG files bent, cut and stuffed at random: each is a picture or one line, and the process lives."""
    noise = np.random.default_rng(1).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    jpegs = [encode_jpeg(picture(), quality) for quality in (40, 95)] + [encode_jpeg(noise)]
    for number, data in enumerate(
        [*jpegs, with_exif(jpegs[0], exif(6, "<")), encode_png(picture()), encode_png(noise)]
    ):
        (tmp_path / str(number)).write_bytes(data)
    command = [sys.executable, "-c", FUZZ, str(tmp_path), "1", "10000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert 2000 < int(done.stdout) < 10_000  # most are refused, some are bent where it does not matter
