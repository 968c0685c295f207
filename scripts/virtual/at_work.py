"""What a machine does when its power is cut: it enrols people and seals events. Runs inside the machine.

python -m scripts.virtual.at_work work STATE    a line for each change that is on disk, until the power goes
python -m scripts.virtual.at_work kept STATE    one line of JSON: who is enrolled, and whether the log's chain holds
"""

from __future__ import annotations

import itertools
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from appliance import manifest
from appliance.audit import AuditLog
from appliance.config import RecognitionSettings
from appliance.contract import EventType
from appliance.people.gallery import Consent, Gallery
from appliance.records import Actor, ActorKind, Embedding, Event, Grade

ACKNOWLEDGED = "acknowledged"


def main(verb: str, state: Path) -> None:
    """Work until the end, or say what is there."""
    with Gallery(state / "gallery.db") as gallery, AuditLog(state / "audit.db", "ostiary", "front") as audit:
        if verb == "work":
            _work(gallery, audit)
        verdict = audit.verify()
        found = {"people": [one.person_id for one in gallery.people()], "head": verdict.head.seq, "why": verdict.why}
        print(json.dumps(found), flush=True)


def _work(gallery: Gallery, audit: AuditLog) -> None:
    """Enrol somebody and seal an event, again and again; each is told once it is on disk."""
    chance, entry = np.random.default_rng(), manifest.embedder(RecognitionSettings())
    dimension = entry.output[0].shape[-1]
    for number in itertools.count(1):
        row = chance.normal(size=dimension)
        template = Embedding((row / np.linalg.norm(row)).astype(np.float32), entry.model_id)
        now = datetime.now(UTC)
        person = gallery.add(f"person {number}", Consent("trial", now), [(template, Grade.HIGH)])
        print(ACKNOWLEDGED, "person", person.person_id, flush=True)
        sealed = audit.append(Event(EventType.BELL, now, Actor(ActorKind.DEVICE, "trial"), detail="x" * 200))
        print(ACKNOWLEDGED, "event", sealed.seq, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
