"""An earlier version of this project beside the present one, by turns in one run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from appliance.errors import UsageError

from . import report

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 240


def run(commit: str, rounds: int) -> None:
    """Print both versions' times and their ratio. Raises UsageError where the commit cannot be had or does not run."""
    earlier = checked_out(commit)
    times: dict[str, list[dict[str, float]]] = {"earlier": [], "present": []}
    for _ in range(rounds):
        times["earlier"].append(timed(earlier))
        times["present"].append(timed(ROOT))
    rows, line = [], dict[str, Any]()
    for name in ("p50_ms", "p99_ms", "two_threads_p50_ms", "two_threads_p99_ms", "rss_mb"):
        old = np.array([one.get(name, one[name.removeprefix("two_threads_")]) for one in times["earlier"]])
        new = np.array([one[name] for one in times["present"]])
        ratio = new / old
        line[name] = {
            "earlier": round(float(np.median(old)), 2),
            "present": round(float(np.median(new)), 2),
            "ratio": [round(float(value), 3) for value in (np.median(ratio), ratio.min(), ratio.max())],
        }
        middle, low, high = line[name]["ratio"]
        earlier_now = (f"{line[name]['earlier']:.2f}", f"{line[name]['present']:.2f}")
        rows.append((name, *earlier_now, f"{middle:.2f} ({low:.2f} to {high:.2f})"))
    report.show(
        f"{commit} and this tree, {rounds} turns of {FRAMES} frames", ("median of", "earlier", "present", "ratio"), rows
    )
    report.finish({"bench": "against", "commit": commit, "rounds": rounds, "frames": FRAMES} | line)


def checked_out(commit: str) -> Path:
    """Return a folder with that version of the project."""
    folder = ROOT / "build" / f"against-{commit}"
    if not folder.is_dir():
        made = subprocess.run(
            ["git", "-C", str(ROOT), "worktree", "add", "--detach", "--force", str(folder), commit],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise UsageError(f"commit {commit} cannot be checked out: {made.stderr.strip().splitlines()[-1]}")
    return folder


def timed(folder: Path) -> dict[str, float]:
    """Return the figures of one run of that version's own bench."""
    command = [sys.executable, "-m", "scripts.benchmarks", "latency", "--frames", str(FRAMES)]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise UsageError(f"the bench in {folder} failed: {(ran.stderr or ran.stdout).strip().splitlines()[-1]}")
    line = json.loads(ran.stdout.strip().splitlines()[-1])
    if "one_thread_ms" not in line:  # as it was printed before there were two threads
        return {name: float(line[name]) for name in ("p50_ms", "p99_ms", "rss_mb")}
    one, two = line["one_thread_ms"], line["two_threads_ms"]
    both = {"p50_ms": one["p50"], "p99_ms": one["p99"], "rss_mb": line["rss_mb"]}
    return both | {"two_threads_p50_ms": two["p50"], "two_threads_p99_ms": two["p99"]}
