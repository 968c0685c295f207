"""What Home Assistant's parts that are tried need to be installed; run by its own Python, and needs nothing of ours."""

import importlib.util
import json
from pathlib import Path

PARTS = [
    "api",
    "automation",
    "config",
    "frontend",
    "mqtt",
    "onboarding",
    "person",
    "recorder",
    "script",
]


def needed() -> list[str]:
    """Return what the parts, and what those rest on, ask for by name and version."""
    found = importlib.util.find_spec("homeassistant")
    folder = Path(found.submodule_search_locations[0]) / "components"
    waiting, seen, asked = list(PARTS), set(), set()
    while waiting:
        part = waiting.pop()
        manifest = folder / part / "manifest.json"
        if part in seen or not manifest.exists():
            continue
        seen.add(part)
        said = json.loads(manifest.read_text())
        asked |= set(said.get("requirements", []))
        waiting += said.get("dependencies", [])
    return sorted(asked)


if __name__ == "__main__":
    print("\n".join(needed()))
