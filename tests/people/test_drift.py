"""Nobody's templates change by themselves."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "appliance"
ADDERS = {"people/enrolment.py", "upgrade/lazy.py", "upgrade/photos.py"}


def test_references_are_written_by_enrolment_alone() -> None:
    """B16: templates never drift with who comes to the door, because nothing but enrolment writes any."""
    writers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Constant) and "INTO reference " in str(node.value))
        or (isinstance(node, ast.Attribute) and ast.unparse(node) == "gallery.add")
    }
    assert writers == {"people/shelf.py", "people/enrolment.py", "people/taking_over.py"}
    table = (PACKAGE / "people/shelf.py").read_text(encoding="utf-8")
    assert table.count("INTO reference ") == 1
    # The one change of a template that there is turns all of them alike, by a new secret.
    assert table.count("UPDATE reference") == table.count("UPDATE reference SET protection = ?, sealed = ?") == 1


def test_references_are_added_where_somebody_has_asked_for_it() -> None:
    """B16: besides an enrolment only a renewal that was asked for and a change of the model give a reference."""
    adders = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "add_references"
    }
    assert adders == ADDERS
