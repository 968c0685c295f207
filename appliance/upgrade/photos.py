"""Reading kept photos again by the embedder that is coming."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.contract import EventType
from appliance.errors import ModelMismatchError, RefusedError
from appliance.people.enrolment import Photo, read_looks
from appliance.people.person import Source
from appliance.people.recorded import recorded
from appliance.people.references import choose
from appliance.records import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from appliance.people.enrolment import FaceReader
    from appliance.people.gallery import Gallery
    from appliance.people.recorded import EventSink
    from appliance.people.references import Standard
    from appliance.records import Actor

METHOD = "upgrade"
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Read:
    """What became of one person's photos."""

    person_id: str
    templates: int  # of the new model; 0 for none
    why: str  # "" where there are any


@dataclass(frozen=True, slots=True)
class PhotoUpgrade:
    """Gives everybody of whom photos are kept templates of the model that is coming, in the shadow."""

    gallery: Gallery
    audit: EventSink
    reader: FaceReader  # of the model that is coming; its templates are not turned yet
    decode: Callable[[bytes, str], NDArray[np.uint8]]
    model_id: str
    dimension: int
    standard: Standard  # of that model
    actor: Actor

    def run(self) -> Iterator[Read]:
        """Read everybody who has none yet, one by one; can be broken off and taken up. Raises StorageError."""
        seen = 0
        while page := self.gallery.people(after=seen, limit=_PAGE):
            seen += len(page)
            for person in page:
                if self.model_id not in person.models and not person.withdrawn:
                    yield self._read(person.person_id)

    def _read(self, person_id: str) -> Read:
        photos = self.gallery.photos(person_id)
        if not photos:
            return Read(person_id, 0, "no photo is kept")
        known = self.gallery.current(self.model_id, self.dimension)
        try:
            pictures = (Photo(str(number), self.decode(one, str(number))) for number, one in enumerate(photos, 1))
            chosen = choose(read_looks(pictures, self.reader, self.gallery.protection), known, self.standard)
        except (RefusedError, ModelMismatchError) as fault:
            return Read(person_id, 0, str(fault))
        references = [(look.embedding, look.grade) for look in chosen.kept]
        counted = f"person {person_id}, {len(references)} templates of {self.model_id} from kept photos"
        event = Event(EventType.UPDATED, datetime.now(UTC), self.actor, METHOD, detail=counted)

        def add() -> int:
            return self.gallery.add_references(person_id, references, source=Source.UPGRADE)

        recorded(self.gallery, self.audit, add, lambda _: event, "nothing was added")
        return Read(person_id, len(references), "")
