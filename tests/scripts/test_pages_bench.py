"""The bench of the pages asks for the pages that people open."""

from __future__ import annotations

import re
from pathlib import Path

from appliance.web import pages as shown
from scripts.benchmarks import pages


def test_bench_asks_for_the_pages_of_people() -> None:
    """What is measured are the pages that grow with the people, each of somebody enrolled, and the menu's."""
    asked = pages._paths(10_000, ["a" * 32, "b" * 32])
    menu = set(re.findall(r'\("(/\w*)"', Path(shown.__file__).with_name("templates").joinpath("nav.html").read_text()))
    measured = {re.split(r"[?]", path)[0] for paths in asked.values() for path in paths}
    assert {"/", "/people", "/groups", "/enrol", "/door", "/attempts", "/audit", "/settings", "/schedules"} <= menu
    assert menu - measured <= {"/explain", "/commissioning", "/clients", "/accounts", "/keys", "/backup"}
    assert asked["person"] == [f"/people/{'a' * 32}", f"/people/{'b' * 32}"]
    assert all("after=" in path for path in asked["people, far"])
