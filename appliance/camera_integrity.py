"""Camera integrity: whether this is the camera that was taken for this door, in focus, and where it was.

What stops it from sending anything true at all, a stall, a stuck picture or a lens cap, is `capture`'s to notice.
The bounds were chosen on other pictures than they were measured on: `scripts/bench camera`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.camera_memory import CameraMemory, load, store
from appliance.camera_view import Detail, Look, View, detail, learnt, look
from appliance.errors import ApplianceError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.config import CameraSettings
    from appliance.records import Frame

_log = logging.getLogger(__name__)

FITS = 0.08  # of `View.fit`; half of the view covered or a third of the light leave more, a turn by 10 degrees less
# Shares of the detail that was learnt. Fog and glare take as much from fine as from coarse, and leave edges in place.
BLURRED, BLURRED_SHAPE, BLURRED_FIT = 0.15, 0.6, 0.5
LEAST_FINE = 0.001  # a view without so much fine detail is judged by its coarse alone
LIGHT = (20.0, 240.0)  # mean luma within which a view is judged: beyond, grain or glare decide
LEARN_LOOKS = 10
BACK_LOOKS = 3
EVERY_S = 1.0
KEEP_AGAIN_LOOKS = 60  # after a memory could not be kept

COMMAND = "ostiary camera accept"
MOVED_WORDS = "camera sees another view than it learnt: it was moved, or something stands before it"
BLURRED_WORDS = "camera is out of focus"
PLAIN_WORDS = "the view has too few edges to be known again"


class CameraIntegrity:
    """Judges the frames of one live camera, about one a second in full. Belongs to the loop's thread.

    Where nothing is remembered in `file`, the camera that is there is taken for the right one, and its view is learnt
    as soon as nobody has been before it for ten looks.
    """

    def __init__(self, file: Path, settings: CameraSettings) -> None:
        self._file = file
        self._on = settings.integrity == "on"
        self._every_s = min(EVERY_S, settings.moved_s / 5)
        self._patience = round(settings.moved_s / self._every_s)  # looks
        self._start()

    def _start(self) -> None:
        """Begin with what the file holds."""
        self._memory: CameraMemory | None = None
        self._view: View | None = None
        self._there = False  # whether a file of ours was there
        self._kept = False  # whether it holds the memory
        self._unkept, self._waited = "", 0  # why not, and for how many looks
        self._unreadable = self._stranger = self._wrong = ""
        self._plain = False
        self._due_s: float | None = None
        self._before: Look | None = None
        self._looks: list[Look] = []
        self._bad = self._good = 0
        if not self._on:
            return
        try:
            memory = load(self._file)
        except ApplianceError as fault:
            self._unreadable, self._there = f"{fault}; run: {COMMAND}", True
            return
        if memory is not None:
            self._memory, self._there, self._kept = memory, True, True
            self._view = View(memory.directions) if memory.view else None

    @property
    def fault(self) -> str:
        """What is wrong with the camera, in words; "" for nothing."""
        return self._unreadable or self._stranger or self._wrong

    @property
    def words(self) -> str:
        """What is watched, in words."""
        if not self._on:
            return "off"
        if self.fault or self._view is not None:
            return self.fault or "ok"
        return PLAIN_WORDS if self._plain else "learning the view"

    def see(self, frame: Frame, identity: str, *, nobody: bool) -> bool:
        """Tell whether faces in the frame may be relied on. `nobody` is whether no face was seen in the last one."""
        if not self._on:
            return True
        if self._due_s is None or not frame.captured_at_s < self._due_s:
            self._due_s = frame.captured_at_s + self._every_s
            if self._there and not self._file.exists():  # an admin has accepted what is there
                self._start()
            self._keep_again()
            self._know(identity)
            if not (self._unreadable or self._stranger):
                self._judge(look(frame), nobody=nobody)
        else:
            self._know(identity)
        return not self.fault

    def _know(self, identity: str) -> None:
        """Compare the device with the one that was remembered; remember the first."""
        if self._unreadable:
            return
        if self._memory is None:
            self._remember(CameraMemory(at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), identity=identity))
        elif identity == self._memory.identity:
            self._stranger = ""
        elif not self._stranger:
            then, now = self._memory.identity or "one without a name", identity or "one without a name"
            self._stranger = f"camera is {now}, and {then} was taken for this door; run: {COMMAND}"

    def _judge(self, now: Look, *, nobody: bool) -> None:
        before, self._before = self._before, now
        if before is None or not LIGHT[0] <= now.light <= LIGHT[1]:
            return
        if self._view is None:
            self._learn(now, nobody=nobody)
            return
        wrong = self._found(self._view, before, now)
        if not wrong:
            self._bad, self._good = 0, self._good + 1
            if self._good >= BACK_LOOKS:
                self._wrong = ""
        elif nobody or self._wrong:  # what covers the view may be the visitor
            self._bad, self._good = self._bad + 1, 0
            if self._bad >= self._patience:
                self._wrong = wrong

    def _found(self, view: View, before: Look, now: Look) -> str:
        """Return what is wrong with the view, in words; "" for nothing. NaN is wrong."""
        fit = view.fit(now)
        if self._memory is None or _blurred(detail((before, now)), fit, self._memory):
            return BLURRED_WORDS
        return "" if fit >= FITS else MOVED_WORDS

    def _learn(self, now: Look, *, nobody: bool) -> None:
        self._looks = [*self._looks, now] if nobody else []
        if len(self._looks) < LEARN_LOOKS or self._memory is None:
            return
        view, seen = learnt(self._looks), detail(self._looks)
        self._looks, self._plain = [], view is None
        if view is not None:
            self._view = view
            self._remember(self._memory.seen(view.directions, seen.fine, seen.coarse))

    def _remember(self, memory: CameraMemory) -> None:
        self._memory, self._kept, self._waited = memory, False, 0
        try:
            store(self._file, memory)
        except StorageError as fault:  # it holds until the end of this run
            if str(fault) != self._unkept:
                _log.error("%s", fault)
            self._unkept = str(fault)
        else:
            self._there, self._kept, self._unkept = True, True, ""

    def _keep_again(self) -> None:
        if self._memory is None or self._kept:
            return
        self._waited += 1
        if self._waited >= KEEP_AGAIN_LOOKS:
            self._remember(self._memory)


def _blurred(seen: Detail, fit: float, learnt_as: CameraMemory) -> bool:
    fine, coarse = seen.fine / max(learnt_as.fine, LEAST_FINE), seen.coarse / max(learnt_as.coarse, LEAST_FINE)
    if learnt_as.fine >= LEAST_FINE and fine < BLURRED and fine < BLURRED_SHAPE * coarse:
        return True
    return coarse < BLURRED and fit < BLURRED_FIT
