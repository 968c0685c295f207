"""Who may ask about faces, and what asking cannot do."""

from __future__ import annotations

import ast
from pathlib import Path

from appliance.contract import VERB_ROLES, Role
from appliance.faces import ROLES

PACKAGE = Path(__file__).parents[2] / "appliance" / "faces"


def test_recogniser_may_ask_and_nothing_else() -> None:
    """A client that is there to recognise may ask about faces, and is in no verb that opens, enrols or erases."""
    assert Role.RECOGNISER in ROLES
    assert Role.AUDITOR not in ROLES
    assert [verb for verb, roles in VERB_ROLES.items() if Role.RECOGNISER in roles] == ["status"]


def test_use_cases_cannot_change_the_gallery() -> None:
    """B16: no use-case is given a gallery that it could write: but for reading a calibration, they see snapshots."""
    users = {
        f"{path.stem}.{node.attr}"
        for path in PACKAGE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "gallery"
    }
    assert users <= {
        f"comparing.{name}" for name in ("person_ids", "reference_ids", "index", "matrix", "model_id", "revision")
    }
