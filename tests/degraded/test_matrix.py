"""docs/degraded.md: each row of the matrix has a test, and the test says that it is the row's."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "degraded.md").read_text(encoding="utf-8")
ANCHOR = re.compile(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`")
# The rows of every table that begins with a fault; the page has others.
MATRIX = [
    line for table in re.findall(r"^\| fault .*\n((?:\|.*\n)+)", PAGE, re.MULTILINE) for line in table.splitlines()[1:]
]
ROWS = [
    (line.split("|")[1].strip(), file, test) for line in MATRIX for file, test in ANCHOR.findall(line) or [("", "")]
]
WANTED = (
    *("broker down", "attendant absent", "clock unset", "supply too weak", "power back after a cut"),
    *(f"camera {what}" for what in ("unplugged", "frozen", "covered", "defocused", "moved", "replaced")),
    *("controller down", "web down", "disk full", "disk read-only", "database damaged", "model hash wrong"),
    *("one stage silent", "one stage slow", "CPU hot", "CPU busy", "memory short"),
)


@cache
def promises(file: str) -> dict[str, str]:
    """Return the docstring of each test in a file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {
        node.name: ast.get_docstring(node) or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_matrix_has_every_row() -> None:
    """No fault that the appliance is to survive is left out of the page, and none stands there unasked."""
    assert sorted({row for row, _, _ in ROWS}) == sorted(WANTED)


@pytest.mark.parametrize(("row", "file", "test"), ROWS, ids=[f"{row}-{test}" for row, _, test in ROWS])
def test_row_has_a_test_that_names_it(row: str, file: str, test: str) -> None:
    """Each row names a test that is there, whose docstring begins with what it promises for this row."""
    assert file, f"{row} names no test"
    assert row.lower() in promises(file)[test].lower()
