"""Arithmetic on pixels: the one place outside the drivers that knows OpenCV.

Pixels are (H, W, 3) uint8 RGB; points are x, y in pixels with (0, 0) the centre of the first one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Small pictures: the threads' hand-over costs more than they save, and the second core has other work.
cv2.setNumThreads(1)

FOLLOW_ERROR = 25.0  # mean luma levels by which a followed point's surroundings may differ


def letterbox(pixels: NDArray[np.uint8], side_px: int) -> tuple[NDArray[np.uint8], float, tuple[float, float]]:
    """Return the picture fitted into a black square, with the scale and offset that took it there.

    A point p of the picture lies at scale * p + offset in the square.
    """
    height, width = pixels.shape[:2]
    scale = side_px / max(height, width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (side_px - inner[0]) // 2, (side_px - inner[1]) // 2
    square = np.zeros((side_px, side_px, 3), np.uint8)
    # INTER_AREA averages what falls into a pixel: linear would alias a 1080p picture brought to 128.
    square[top : top + inner[1], left : left + inner[0]] = cv2.resize(pixels, inner, interpolation=cv2.INTER_AREA)
    return square, scale, (float(left), float(top))


def warp(
    pixels: NDArray[np.uint8], matrix: NDArray[np.float64], side_px: int, *, cubic: bool = False
) -> NDArray[np.uint8]:
    """Return a square cut out by the 2x3 affine `matrix` (outside -> inside); what lies outside is black.

    `cubic` keeps more of a small face's detail than bilinear interpolation, in three times the time.
    """
    how = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    warped = cv2.warpAffine(pixels, matrix, (side_px, side_px), flags=how)
    return cast("NDArray[np.uint8]", warped)


def crop(pixels: NDArray[np.uint8], rectangle: tuple[int, int, int, int], side_px: int) -> NDArray[np.uint8]:
    """Return the rectangle left, top, width, height, which must lie inside the picture, resized to a square."""
    left, top, width, height = rectangle
    part = pixels[top : top + height, left : left + width]
    return cast("NDArray[np.uint8]", cv2.resize(part, (side_px, side_px), interpolation=cv2.INTER_LINEAR))


def shrunk(pixels: NDArray[np.uint8], max_side_px: int) -> NDArray[np.uint8]:
    """Return the picture no larger than `max_side_px` a side; a smaller one is a copy of itself."""
    scale = min(1.0, max_side_px / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return cast("NDArray[np.uint8]", cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def averaged(pixels: NDArray[np.uint8], width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Return an (H, W) or (H, W, 3) picture brought to this size; each pixel is the mean of what falls into it."""
    return cast("NDArray[np.uint8]", cv2.resize(pixels, (width_px, height_px), interpolation=cv2.INTER_AREA))


def swapped(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture with its first and last colour exchanged: RGB as BGR, laid out anew."""
    return cast("NDArray[np.uint8]", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def luma(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H, W) brightness, 0..255, ITU-R BT.601."""
    return cast("NDArray[np.uint8]", cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def halved_luma(pixels: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    """Return the brightness of a picture halved so many times, (H >> times, W >> times)."""
    small = pixels
    for _ in range(times):  # each has a fast path; a factor of three in one step costs five times as much
        size = (small.shape[1] // 2, small.shape[0] // 2)
        whole = small[: 2 * size[1], : 2 * size[0]]
        small = cast("NDArray[np.uint8]", cv2.resize(whole, size, interpolation=cv2.INTER_AREA))
    return luma(small)


def relit(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H, W) luma over the mean of its surroundings, 110 for the same: a lamp's flicker divides out."""
    return cast("NDArray[np.uint8]", cv2.divide(grey, cv2.blur(grey, (15, 15)), scale=110.0))


def detail(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (H, W) luma without its grain and without slow changes of light: differences from the surroundings."""
    return against_surroundings(without_grain(grey), 19)


def against_surroundings(picture: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """Return an (H, W) picture less the mean of the square about each pixel: without slow changes of light."""
    return cast("NDArray[np.float32]", picture - cv2.blur(picture, (side_px, side_px)))


def slopes(picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return by how much an (H, W) picture rises to the right and downwards, in levels a pixel (Sobel)."""
    right = cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=0.125)
    down = cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=0.125)
    return cast("NDArray[np.float32]", right), cast("NDArray[np.float32]", down)


def second_differences(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the Laplacian of an (H, W) picture."""
    return cast("NDArray[np.float32]", cv2.Laplacian(grey, cv2.CV_32F))


def moved(picture: NDArray[np.float32], homography: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return an (H, W) picture moved by a 3x3 homography (before -> after); what comes from outside is 0."""
    return cast("NDArray[np.float32]", cv2.warpPerspective(picture, homography, picture.shape[1::-1]))


def range_within(picture: NDArray[np.float32], radius_px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the least and the greatest of each pixel's square neighbourhood in an (H, W) picture."""
    around = np.ones((2 * radius_px + 1, 2 * radius_px + 1), np.uint8)
    return (
        cast("NDArray[np.float32]", cv2.erode(picture, around)),
        cast("NDArray[np.float32]", cv2.dilate(picture, around)),
    )


def follow(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    points: NDArray[np.float32],
    expected: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return where (n, 2) points of one (H, W) luma picture lie in another, looked for from `expected` on.

    The second array tells which of them were found (Lucas and Kanade, pyramids of three levels).
    """
    found, status, error = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        points[:, np.newaxis],
        expected[:, np.newaxis].copy(),
        winSize=(11, 11),
        maxLevel=2,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 8, 0.03),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=5e-4,  # the points of a soft picture too
    )
    return np.asarray(found[:, 0], np.float32), (status[:, 0] > 0) & (error[:, 0] < FOLLOW_ERROR)


def spread(picture: NDArray[np.uint8] | NDArray[np.float32]) -> tuple[float, float]:
    """Return mean and standard deviation of an (H, W) picture; in a third of numpy's time."""
    mean, deviation = cv2.meanStdDev(picture)
    return float(mean[0, 0]), float(deviation[0, 0])


def without_grain(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (H, W) luma under a Gaussian blur of 1 px."""
    return cast("NDArray[np.float32]", cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0))


def finest_detail(smooth: NDArray[np.float32]) -> float:
    """Return the variance of second differences over 3 px, in the direction where it is least: 0 for a flat picture.

    A lens out of focus takes detail in every direction, a movement in one.
    """
    centre = 2 * smooth[3:-3:2, 3:-3]  # every second row tells as much, in half the time
    around = (
        (smooth[:-6:2, 3:-3], smooth[6::2, 3:-3]),
        (smooth[3:-3:2, :-6], smooth[3:-3:2, 6:]),
        (smooth[:-6:2, :-6], smooth[6::2, 6:]),
        (smooth[:-6:2, 6:], smooth[6::2, :-6]),
    )
    return min(spread(centre - one - other)[1] for one, other in around) ** 2


def grain(grey: NDArray[np.uint8]) -> float:
    """Return the standard deviation of noise in (H, W) luma levels, after Immerkaer (CVIU 64, 1996)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = cv2.filter2D(grey, cv2.CV_32F, kernel)
    return cv2.norm(response, cv2.NORM_L1) / response.size * math.sqrt(math.pi / 2) / 6


def blurred(pixels: NDArray[np.uint8], sigma_px: float) -> NDArray[np.uint8]:
    """Return the picture under a Gaussian blur."""
    return cast("NDArray[np.uint8]", cv2.GaussianBlur(pixels, (0, 0), sigma_px))


def canvas(width_px: int, height_px: int, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a picture of one colour."""
    return np.full((height_px, width_px, 3), colour, np.uint8)


def draw_box(
    picture: NDArray[np.uint8], corners: tuple[int, int, int, int], colour: tuple[int, int, int], width_px: int = 2
) -> None:
    """Draw a rectangle x0 y0 x1 y1 into the picture; what lies outside is cut off."""
    cv2.rectangle(picture, corners[:2], corners[2:], colour, width_px, cv2.LINE_AA)


def draw_text(
    picture: NDArray[np.uint8],
    text: str,
    at: tuple[int, int],
    colour: tuple[int, int, int] = (255, 255, 255),
    scale: float = 0.45,
) -> None:
    """Write one line of ASCII into the picture, its base line beginning at `at`."""
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
