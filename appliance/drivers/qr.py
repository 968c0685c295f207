"""QR codes: those in view as text, and text as a code. What a code says is data, whatever it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import zxingcpp

from appliance import pixels
from appliance.records import frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CODES = 4
MAX_LETTERS = 512
QUIET_ZONE = 4  # modules of white around a code (ISO/IEC 18004)
_ORDINARY = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCodeModel2)
_MAX_SIDE_PX = 1280  # of what is searched: a larger picture costs time and shows a pass no better


def read_codes(picture: NDArray[np.uint8]) -> tuple[str, ...]:
    """Return the text of the codes in an (H, W, 3) RGB picture, the largest first, at most 4; () for none.

    Codes of bytes that are no text, and of more than 512 letters, are left out.
    """
    grey = pixels.luma(pixels.shrunk(picture, _MAX_SIDE_PX) if max(picture.shape) > _MAX_SIDE_PX else picture)
    # Codes are dark on light and near enough to fill part of the view: what else zxing would try costs twice the time.
    found = zxingcpp.read_barcodes(
        grey, _ORDINARY, try_downscale=False, try_invert=False, text_mode=zxingcpp.TextMode.Plain
    )
    texts = [code for code in found if code.content_type == zxingcpp.ContentType.Text and len(code.text) <= MAX_LETTERS]
    return tuple(code.text for code in sorted(texts, key=_size, reverse=True)[:MAX_CODES])


def modules(text: str) -> NDArray[np.bool_]:
    """Return the code of `text` at error correction M, (n, n) with its quiet zone; True is dark.

    Raises ValueError for more text than a code holds.
    """
    code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCodeModel2, ec_level="M")
    light = np.asarray(zxingcpp.write_barcode_to_image(code, scale=1, add_quiet_zones=False))
    return frozen(np.pad(light == 0, QUIET_ZONE))


def drawn(code: NDArray[np.bool_], scale: int) -> NDArray[np.uint8]:
    """Return a code of `modules` as an (H, W, 3) RGB picture, `scale` pixels a module."""
    light = np.where(np.repeat(np.repeat(code, scale, 0), scale, 1), 0, 255).astype(np.uint8)
    return frozen(np.repeat(light[:, :, np.newaxis], 3, 2))


def _size(code: zxingcpp.Barcode) -> int:
    corners = code.position
    across, down = corners.bottom_right.x - corners.top_left.x, corners.bottom_right.y - corners.top_left.y
    return across * across + down * down
