"""How long the reader takes from its start to READY, and what memory it holds while it works: the real process."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from appliance import manifest
from appliance.door.child import simulated_controller
from appliance.drivers.faiss_index import indexed
from appliance.errors import UsageError
from appliance.people.gallery import Consent, Gallery
from appliance.pipeline.embedding import unit
from appliance.records import Grade

from . import report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEADLINE_S = 60.0


def run(turns: int, references: int, work_s: float) -> None:
    """Print the time to READY and the peak memory after `work_s` of visits. Raises UsageError where it stays silent."""
    ready_s, spent_s, peak_mb = [], [], []
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        state = Path(folder)
        _enrol(state, references)
        with simulated_controller(state) as door:
            settings = state / "appliance.toml"
            settings.write_text(f'[camera]\nsource = "simulated"\n\n[door]\nsocket = "{door}"\n')
            command = [sys.executable, "-m", "appliance", "run", "--config", str(settings), "--state", str(state)]
            for turn in range(turns):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                with started(command) as (process, elapsed_s):
                    ready_s.append(elapsed_s)
                    if turn == turns - 1:
                        time.sleep(work_s)
                    peak_mb.append(_peak_mb(process.pid))
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                spent_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    ready, spent = np.array(ready_s), np.array(spent_s[:-1] or spent_s)
    print(f"start to READY with {references:,} references: median {np.median(ready):.2f} s", end="")
    print(
        f" ({ready.min():.2f} to {ready.max():.2f}, n {turns}); processor time until stopped {np.median(spent):.2f} s"
    )
    print(f"peak memory of the reader after {work_s:g} s of the simulated camera: {peak_mb[-1]:.0f} MB")
    line: dict[str, object] = {"bench": "start", "turns": turns, "references": references, "work_s": work_s}
    line |= {"ready_s": [round(float(value), 3) for value in ready], "cpu_s": round(float(np.median(spent)), 3)}
    report.finish(line | {"peak_mb": round(peak_mb[-1], 1)})


def _enrol(state: Path, references: int) -> None:
    embedder = manifest.read().entry("embedder")
    dice = np.random.default_rng(1)
    agreed = Consent("bench", datetime.now(UTC))
    with Gallery(state / "gallery.db", indexed) as gallery, gallery.transaction():
        for number in range(references):
            template = unit(dice.normal(size=embedder.output[0].shape[-1]), embedder.model_id)
            if template is not None:
                gallery.add(f"person {number}", agreed, [(template, Grade.HIGH)])


@contextlib.contextmanager
def started(command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Run the reader while the block runs; give its process and the seconds to READY."""
    with (
        tempfile.TemporaryDirectory(prefix="ostiary-") as folder,
        contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager,
    ):
        manager.bind(f"{folder}/notify")
        manager.settimeout(DEADLINE_S)
        before_s = time.monotonic()
        process = subprocess.Popen(
            command, env=os.environ | {"NOTIFY_SOCKET": f"{folder}/notify"}, stdout=subprocess.DEVNULL, stderr=-1
        )
        try:
            while b"READY=1" not in manager.recv(256):
                pass
            yield process, time.monotonic() - before_s
        except TimeoutError as fault:
            raise UsageError(f"the reader was not ready within {DEADLINE_S:g} s") from fault
        finally:
            process.terminate()
            process.communicate()


def _peak_mb(process_id: int) -> float:
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
