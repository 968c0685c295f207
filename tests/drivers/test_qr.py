"""QR codes: a pass on a telephone is read, and what anybody else holds up is data at bounded cost."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zxingcpp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from appliance.access.passes import PassRefused, new_pass, read_pass, sign_pass
from appliance.drivers.qr import MAX_CODES, MAX_LETTERS, drawn, modules, read_codes
from appliance.drivers.scene import Renderer, Visit
from scripts.benchmarks.passes import LOOKS, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PASS = sign_pass(new_pass("ab" * 16, 0, timedelta(hours=8), 1), KEY, "ostiary", "front")
SCENE = Renderer(640, 480).draw(Visit(), 2.0)


def code_of(content: str | bytes, **how: object) -> NDArray[np.uint8]:
    """Return any code that zxing can make, with its quiet zone, (n, n) luma."""
    made = zxingcpp.create_barcode(content, zxingcpp.BarcodeFormat.QRCode, **how)
    image: NDArray[np.uint8] = np.asarray(zxingcpp.write_barcode_to_image(made, scale=1, add_quiet_zones=False))
    return np.pad(image, 4, constant_values=255)


def enlarged(code: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Return (n, n) luma as an RGB picture."""
    return np.repeat(np.kron(code, np.ones((scale, scale), np.uint8))[:, :, np.newaxis], 3, 2)


@pytest.mark.parametrize("name", ["180 px", "120 px", "tilted up to 40 degrees", "turned any way", "all a little"])
def test_a_pass_on_a_telephone_is_read(name: str) -> None:
    """A telephone held up before the camera, at an angle, softly focused, in a little glare, gives its very text."""
    rng = np.random.default_rng(5)
    assert [read_codes(shown(modules(PASS), LOOKS[name], SCENE, rng)) for _ in range(4)] == [(PASS,)] * 4


def test_a_pass_is_a_code_of_45_modules() -> None:
    """What a telephone shows is version 7, 45 modules and a border of 4: the figures of docs/factors.md hold."""
    code = modules(PASS)
    assert code.shape == (53, 53)
    assert not code[:4].any()
    assert not code[:, -4:].any()
    assert read_codes(drawn(code, 4)) == (PASS,)


def test_a_view_without_a_code_has_none() -> None:
    """A visitor, black, white and noise: nothing is read into them."""
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    views = [SCENE, np.zeros((480, 640, 3), np.uint8), np.full((480, 640, 3), 255, np.uint8), noise]
    assert [read_codes(view) for view in views] == [()] * 4


@pytest.mark.parametrize(
    "text",
    ["' OR 1=1--", "$(reboot)", "{{7*7}}", "%n%n%n", "../../etc/shadow", "<script>", "\u202egnp", "Zo\u00eb \u95e8"],
)
def test_what_a_code_says_is_data(text: str) -> None:
    """E1, D8: quotes, shells, templates and paths come out letter for letter, and none is a pass."""
    assert read_codes(drawn(modules(text), 6)) == (text,)
    assert isinstance(read_pass(text, KEY.public_key(), "ostiary", "front", 60.0), PassRefused)


@pytest.mark.parametrize(
    "content", [bytes(range(256)), b"\xff\xfe\x00\x01" * 40, b"\x80" * 100, b"\0", b"\xc3\x28\xed\xa0\x80"]
)
def test_bytes_that_are_no_text_are_left_out(content: bytes) -> None:
    """E1: a binary code is dropped, and the pass beside it is read all the same."""
    assert read_codes(enlarged(code_of(content), 5)) == ()
    beside = np.full((500, 1000, 3), 255, np.uint8)
    for left, picture in ((20, enlarged(code_of(content), 4)), (600, drawn(modules(PASS), 6))):
        beside[20 : 20 + picture.shape[0], left : left + picture.shape[1]] = picture
    assert read_codes(beside) == (PASS,)


@pytest.mark.parametrize("letters", [MAX_LETTERS + 1, 2000, 4000])
def test_a_code_of_kilobytes_is_left_out(letters: int) -> None:
    """E1: a code of thousands of letters, the most that one can hold, is dropped; 512 are text."""
    assert read_codes(enlarged(code_of("A" * letters, ec_level="L"), 5)) == ()
    assert read_codes(enlarged(code_of("A" * MAX_LETTERS, ec_level="L"), 5)) == ("A" * MAX_LETTERS,)


def test_of_twenty_codes_the_four_largest_are_read() -> None:
    """E1: twenty codes in view give four texts, the nearest ones, and the pass among them where it is near."""
    wall = np.full((480, 640, 3), 255, np.uint8)
    for number in range(20):
        scale = 4 if number in {3, 9, 14} else 2
        picture = drawn(modules(f"N{number}"), scale)
        top, left = 120 * (number // 5), 128 * (number % 5)
        wall[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    assert len(zxingcpp.read_barcodes(wall)) == 20
    codes = read_codes(wall)
    assert len(codes) == MAX_CODES == 4
    assert set(codes[:3]) == {"N3", "N9", "N14"}


def test_other_codes_than_qr_are_not_looked_for() -> None:
    """Barcodes, Micro QR, Aztec and Data Matrix, each of which zxing can read, are no pass."""
    others = ("Code128", "MicroQRCode", "Aztec", "DataMatrix", "PDF417", "RMQRCode")
    for name in others:
        made = zxingcpp.create_barcode("PASS1", getattr(zxingcpp.BarcodeFormat, name))
        picture = enlarged(np.asarray(zxingcpp.write_barcode_to_image(made, scale=1)), 4)
        assert [code.text for code in zxingcpp.read_barcodes(picture)] == ["PASS1"], name
        assert read_codes(picture) == (), name


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 1), (120, 160), (1080, 1920), (2160, 3840)])
def test_a_picture_of_any_size_is_searched(size: tuple[int, int]) -> None:
    """A7: tiny, odd and very large frames are searched without fault; a code in a large one is found."""
    picture = np.full((*size, 3), 255, np.uint8)
    code = drawn(modules(PASS), 12)
    fits = size[0] > code.shape[0]
    if fits:
        picture[40 : 40 + code.shape[0], 50 : 50 + code.shape[1]] = code
    assert read_codes(picture) == ((PASS,) if fits else ())


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, (53, 53), elements=st.sampled_from([0, 0, 0, 1])), st.integers(1, 5))
def test_a_damaged_code_is_right_or_nothing(damage: NDArray[np.uint8], scale: int) -> None:
    """E1: whatever modules are the wrong way round, what is read is the pass itself or nothing."""
    rng = np.random.default_rng(int(damage.sum()))
    damage = damage & (rng.random(damage.shape) < scale / 20).astype(np.uint8)
    assert read_codes(drawn(modules(PASS) ^ damage.astype(bool), 6)) in {(), (PASS,)}


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=300))
def test_no_content_of_a_code_is_a_fault(content: bytes) -> None:
    """E1: any bytes in a code, torn UTF-8 too, give text or nothing."""
    assert all(isinstance(text, str) and text.encode() for text in read_codes(enlarged(code_of(content), 4)))


def test_more_than_a_code_holds_is_refused() -> None:
    """What does not fit into a code is a ValueError, not half a code."""
    with pytest.raises(ValueError, match="too long"):
        modules("x" * 5000)
