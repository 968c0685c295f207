"""The report of an enrolment in bulk, one line an outcome, in JSON or in CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json
import os
from typing import TYPE_CHECKING, TextIO

from appliance.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.enrolment.bulk import Outcome

HEADINGS = ("where", "name", "came", "person_id", "references", "photo", "why")
_RUN = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for a formula (OWASP, CSV injection)


def lines_of(outcome: Outcome) -> list[tuple[str, ...]]:
    """Return one row of cells for the outcome, and one more for each photo or row that was refused."""
    whole = (outcome.where, outcome.name, outcome.came.value, outcome.person_id, str(outcome.references), "", "")
    return [whole, *((*whole[:2], "refused", "", "", one.photo, one.why) for one in outcome.refused)]


def as_csv(cells: tuple[str, ...]) -> str:
    """Return one line of CSV; a cell that a spreadsheet would run stands behind an apostrophe."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([f"'{cell}" if cell.startswith(_RUN) else cell for cell in cells])
    return line.getvalue()


def as_json(cells: tuple[str, ...]) -> str:
    """Return one line of JSON."""
    return json.dumps(dict(zip(HEADINGS, cells, strict=True)), ensure_ascii=False) + "\n"


class Report:
    """A new file, mode 0600, that grows by outcomes: CSV where its name ends in .csv, else JSON lines."""

    def __init__(self, path: Path) -> None:
        """Make the file. Raises RefusedError where it exists, UsageError where it cannot be made."""
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as fault:
            raise RefusedError(f"report {path} exists and is not overwritten") from fault
        except OSError as fault:
            raise UsageError(f"report {path} cannot be written: {fault.strerror}") from fault
        self._file: TextIO = os.fdopen(file, "w", encoding="utf-8")
        self._written: Callable[[tuple[str, ...]], str] = as_csv if path.suffix.lower() == ".csv" else as_json
        if self._written is as_csv:
            self._file.write(as_csv(HEADINGS))

    def add(self, outcome: Outcome) -> None:
        """Write one outcome down, at once. Raises UsageError where the disk does not take it."""
        try:
            self._file.writelines(self._written(cells) for cells in lines_of(outcome))
            self._file.flush()
        except OSError as fault:
            raise UsageError(f"report {self._file.name} cannot be written: {fault.strerror}") from fault

    def close(self) -> None:
        """Close the file."""
        self._file.close()
