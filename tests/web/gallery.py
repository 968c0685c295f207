"""People enrolled for the pages' tests without a model: their templates are random, everything else is real."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from appliance import manifest
from appliance.people.person import Consent
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from appliance.commands.options import Installation


def enrolled(installation: Installation, *names: str, references: int = 1) -> list[str]:
    """Enrol people of these names, and return their ids."""
    model = manifest.read().entry("embedder")
    ids = []
    with installation.open_gallery() as gallery:
        for name in names:
            rows = np.random.default_rng(gallery.size() + 1).normal(size=(references, model.output[0].shape[-1]))
            units = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
            looks = [(Embedding(row, model.model_id), Grade.HIGH) for row in units]
            ids.append(gallery.add(name, Consent(name, datetime.now(UTC)), looks).person_id)
    return ids
