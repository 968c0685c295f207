"""Nobody's templates change by themselves."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "appliance"


def test_references_are_written_by_enrolment_alone() -> None:
    """B16: templates never drift with who comes to the door, because nothing but enrolment writes any."""
    writers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Constant) and "INTO reference " in str(node.value))
        or (isinstance(node, ast.Attribute) and ast.unparse(node) == "gallery.add")
    }
    assert writers == {"people/gallery.py", "people/enrolment.py"}
    table = (PACKAGE / "people/gallery.py").read_text(encoding="utf-8")
    assert table.count("INTO reference ") == 1
    assert "UPDATE reference" not in table
