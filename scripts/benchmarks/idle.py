"""What the appliance costs while nobody is there: processor time of detection alone, at the camera's rate."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from appliance.drivers.scene import Renderer
from appliance.pipeline.following import FollowingStages
from appliance.records import Frame

from . import folder as folders
from . import report
from .latency import HEIGHT_PX, WIDTH_PX

if TYPE_CHECKING:
    from typing import Literal

TURNS = 10


def run(embedder: Literal["a", "b"], detector: Literal["short", "full"], seconds: int) -> None:
    """Print the share of one core that looking at an empty room takes, drawing it not counted."""
    settings, stages = folders.open_stages(embedder, detector)
    rate = settings.camera.frame_rate
    empty = Renderer(WIDTH_PX, HEIGHT_PX).draw(None, 0.0)
    following = FollowingStages(stages)
    shares, looked = [], 0
    counted = round(seconds * rate)
    for turn in range(TURNS):
        before = time.process_time()
        for number in range(counted):
            looked += len(following.detect(Frame(empty, (turn * counted + number) / rate, number)))
        shares.append(100 * (time.process_time() - before) / seconds)
    low, middle, high = (float(value) for value in np.quantile(shares, (0, 0.5, 1)))
    print(f"empty scene, {WIDTH_PX}x{HEIGHT_PX} at {rate:g} frames a second: {middle:.2f} % of a core")
    print(f"{TURNS} turns of {seconds} s of frames: {low:.2f} to {high:.2f} %; faces found: {looked}")
    figures = {"core_percent": round(middle, 3), "range": [round(low, 3), round(high, 3)], "turns": TURNS}
    report.finish({"bench": "idle", "seconds": seconds, "rate": rate} | figures | {"models": report.models(settings)})
