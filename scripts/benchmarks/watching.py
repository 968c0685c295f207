"""A running reader before which somebody stands, and how long each of its frames takes."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from appliance.commands.options import Installation
from appliance.door.child import simulated_controller
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.service import Hooks, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.config import Settings
    from appliance.pipeline import Step
    from appliance.records import Frame, OperatingPoint

_RESAMPLES = 2000


@contextlib.contextmanager
def watching(folder: Path, settings: Settings, took: Callable[[float], None]) -> Iterator[None]:
    """Run a reader before which a stranger stands; `took` hears each frame's milliseconds from capture to its step.

    That is waiting, reading by the models and deciding.
    """
    script, services, ready = Script(Scene()), list[Service](), threading.Event()
    script.play(Visit(for_s=3600))

    def step(frame: Frame, _step: Step, _point: OperatingPoint) -> None:
        took(1e3 * (time.monotonic() - frame.captured_at_s))
        ready.set()

    def work() -> None:
        installation = Installation(settings, folder, None).with_controller(controller)
        services.append(Service(installation, SimulatedCamera(script, settings.camera), Hooks(on_step=step)))
        services[0].run()

    with simulated_controller(folder) as controller:
        thread = threading.Thread(target=work, name="loop")
        thread.start()
        ready.wait(60)
        try:
            yield
        finally:
            services[0].stop()
            thread.join(30)


def ratio(
    times: NDArray[np.float64], others: NDArray[np.float64], percentile: float = 50.0
) -> tuple[float, float, float]:
    """Return the ratio of a percentile of two samples and its 95 % interval, by resampling."""
    chance = np.random.default_rng(0)

    def of(sample: NDArray[np.float64]) -> float:
        return float(np.percentile(sample, percentile))

    ratios = [of(chance.choice(times, times.size)) / of(chance.choice(others, others.size)) for _ in range(_RESAMPLES)]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return of(times) / of(others), float(low), float(high)
