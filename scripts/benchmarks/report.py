"""How a bench reports: a table for the reader, then one line of JSON for the machine."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from appliance import manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from appliance.config import Settings
    from appliance.rates import Rate

MOST_NAMED = 10


def models(settings: Settings, added: Path | None = None) -> dict[str, str]:
    """Return the model id behind each role under these settings."""
    shipped = manifest.read()
    recognition = settings.recognition
    return {
        "detector": shipped.entry("detector" if recognition.detector == "short" else "detector_full_range").model_id,
        "landmarks": shipped.entry("landmarks").model_id,
        "embedder": manifest.embedder(recognition, added).model_id,
        "liveness": shipped.entry("liveness").model_id,
    }


def percent(rate: Rate) -> str:
    """Return a rate in words: percent, interval and n."""
    if not rate.n:
        return "no trials"
    low, high = rate.ci95
    return f"{100 * rate.value:.2f} %  (95 %: {100 * low:.2f} to {100 * high:.2f}; n {rate.n})"


def interval(rate: Rate) -> list[float]:
    """Return the 95 % interval for the JSON line."""
    return [round(end, 5) for end in rate.ci95]


def number(value: float, digits: int = 5) -> float | None:
    """Return a number for the JSON line; None, which is null, where there is none: JSON has no NaN."""
    return round(value, digits) if math.isfinite(value) else None


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on standard output."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    # A pipe has no width: 80 columns would break the figures.
    Console(width=None if sys.stdout.isatty() else 140).print(table, markup=False)


def name(what: str, named: Sequence[object]) -> None:
    """Print how many things went a way that the reader should know of, and the first of them."""
    if not named:
        return
    print(f"{len(named)} {what}:")
    for one in named[:MOST_NAMED]:
        print(f"  {one}")
    if len(named) > MOST_NAMED:
        print(f"  and {len(named) - MOST_NAMED} more")


def finish(line: dict[str, Any]) -> None:
    """Print the JSON line, the last of all."""
    print(json.dumps(line, allow_nan=False), flush=True)
