"""The contact sheet: one row a visit, with the boxes, scores and decisions that the machine came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance import pixels
from appliance.records import Deny, Grant, Refer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from appliance.pipeline import Step
    from appliance.records import Frame, OperatingPoint

TILE_PX = (320, 240)
COLUMNS = 4
_HEAD_PX = 34
_PAPER, _INK = (244, 243, 239), (40, 42, 46)
_COLOURS = {Grant: (46, 160, 67), Deny: (207, 34, 46), Refer: (219, 143, 18)}
_READING = (64, 132, 214)


@dataclass(slots=True)
class _Row:
    title: str
    tiles: list[NDArray[np.uint8]] = field(default_factory=list)
    decided: bool = False


class ContactSheet:
    """Collects a few annotated frames of each visit."""

    def __init__(self) -> None:
        self._rows: list[_Row] = []

    @property
    def empty(self) -> bool:
        """Whether nothing was collected."""
        return not any(row.tiles for row in self._rows)

    def begin(self, title: str) -> None:
        """Start the row of the next visit."""
        self._rows.append(_Row(title))

    def look(self, frame: Frame, step: Step, _point: OperatingPoint) -> None:
        """Keep this frame where it shows something new: the first face, the reading, the decision, what follows."""
        if not self._rows:
            self.begin("")
        row = self._rows[-1]
        read = step.presentation.frames_read if step.presentation is not None else 0
        decides = isinstance(step.decision, Grant | Deny | Refer) and not row.decided
        due = (0, 2, 99, 99)[min(len(row.tiles), 3)]  # frames read that the first and second tile wait for
        after = row.decided and len(row.tiles) < COLUMNS and frame.sequence % 20 == 0
        if step.presentation is not None and (decides or after or (not row.decided and read >= due)):
            row.tiles.append(annotated(frame, step))
            row.decided = row.decided or decides

    def picture(self) -> NDArray[np.uint8]:
        """Return the sheet, (H, W, 3) RGB. Raises ValueError where it is empty."""
        rows = [row for row in self._rows if row.tiles]
        if not rows:
            raise ValueError("nothing was collected")
        width, height = TILE_PX
        sheet = pixels.canvas(COLUMNS * width, len(rows) * (height + _HEAD_PX), _PAPER)
        for number, row in enumerate(rows):
            top = number * (height + _HEAD_PX)
            pixels.draw_text(sheet, row.title, (8, top + 23), _INK, 0.6)
            for column, tile in enumerate(row.tiles[:COLUMNS]):
                left = column * width
                sheet[top + _HEAD_PX : top + _HEAD_PX + height, left : left + width] = tile
        return sheet


def annotated(frame: Frame, step: Step) -> NDArray[np.uint8]:
    """Return the frame as a tile, with each face's box and what the machine thinks of the nearest."""
    width, height = TILE_PX
    tile, scale, offset = pixels.letterbox(frame.pixels, width)
    top = (width - height) // 2
    tile = tile[top : top + height].copy()
    colour = _COLOURS.get(type(step.decision), _READING)
    for face in step.faces:
        x0, y0, x1, y1 = (int(value * scale + offset[index % 2]) for index, value in enumerate(face.box))
        pixels.draw_box(tile, (x0, y0 - top, x1, y1 - top), colour)
    for number, line in enumerate(_captions(step)):
        pixels.draw_box(tile, (0, height - 40 + 20 * number, width, height - 20 + 20 * number), (24, 26, 30), -1)
        pixels.draw_text(tile, line, (6, height - 26 + 20 * number), colour if number else (236, 236, 236), 0.42)
    return tile


def _captions(step: Step) -> tuple[str, str]:
    visit = step.presentation
    if visit is None:
        return "nobody", ""
    best = f"{step.candidates[0].similarity:.2f}" if step.candidates else "-"
    scores = f"live {visit.bona_fide:.2f}  similarity {best}  frames {visit.frames_read}"
    decision = step.decision
    if isinstance(decision, Grant):
        return scores, "GRANT"
    if isinstance(decision, Deny | Refer):
        return scores, f"{type(decision).__name__.upper()} {decision.reason.value}"
    return scores, f"reading ({decision.hint.value})" if decision.hint else "reading"
