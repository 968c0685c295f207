"""A bill of materials in CycloneDX 1.6: the same parts give the same bytes."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from appliance import __version__

from .parts import Package

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .parts import Model

_NAMESPACE = uuid.UUID("6f737469-6172-4979-8573-626f6d000000")  # ours; the rest follows from the contents
_LOCKS = "ostiary:locks"


def text(packages: Sequence[Package], models: Sequence[Model], debian: Sequence[str]) -> str:
    """Return the bill as JSON. It has no time: it changes when a part changes, and then only."""
    components = [
        *(_package(one) for one in packages),
        *(_model(one) for one in models),
        *({"type": "platform", "bom-ref": f"deb:{name}", "name": name} for name in debian),
    ]
    own = f"pkg:generic/ostiary@{__version__}"
    bill: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "ostiary",
                "version": __version__,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
        "dependencies": _dependencies(own, packages, components),
    }
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(bill, sort_keys=True))}"
    return json.dumps(bill, indent=1, ensure_ascii=False) + "\n"


def read(bill: str) -> dict[str, Package]:
    """Return the packages that a bill of ours holds, by name."""
    parsed = json.loads(bill)
    names = {one["bom-ref"]: one["name"] for one in parsed["components"]}
    needs = {one["ref"]: tuple(names[ref] for ref in one["dependsOn"]) for one in parsed["dependencies"]}
    return {
        one["name"]: Package(
            one["name"],
            one["version"],
            one["licenses"][0].get("expression") or one["licenses"][0]["license"]["name"],
            tuple(one["properties"][0]["value"].split(" ")),
            needs[one["bom-ref"]],
        )
        for one in parsed["components"]
        if one["type"] == "library"
    }


def _package(one: Package) -> dict[str, Any]:
    # An expression must be SPDX's; what is in the public domain has none.
    spdx = not one.licence.startswith("LicenseRef")
    return {
        "type": "library",
        "bom-ref": one.purl,
        "name": one.name,
        "version": one.version,
        "purl": one.purl,
        "licenses": [{"expression": one.licence} if spdx else {"license": {"name": one.licence}}],
        "properties": [{"name": _LOCKS, "value": " ".join(one.locks)}],
    }


def _model(one: Model) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{one.model_id}",
        "name": one.model_id,
        "hashes": [{"alg": "SHA-256", "content": one.sha256}],
        "licenses": [{"expression": one.licence}],
        "properties": [{"name": "ostiary:file", "value": one.file}, {"name": "ostiary:origin", "value": one.origin}],
    }


def _dependencies(own: str, packages: Sequence[Package], components: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    purls = {one.name: one.purl for one in packages}
    needed = {need for one in packages for need in one.needs}
    others = [str(one["bom-ref"]) for one in components if one["name"] not in purls]
    return [
        {"ref": own, "dependsOn": [*(one.purl for one in packages if one.name not in needed), *others]},
        *({"ref": one.purl, "dependsOn": [purls[need] for need in one.needs]} for one in packages),
    ]
