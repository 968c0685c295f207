"""Templates of the embedder that is coming, taken at the door: only where the settings say so, and never unseen.

Somebody whom the model in use has let in, alive, gives a template of the new one: at most one a day and three in all,
each an entry of the log. The very frame it is made of must show the same person to the model in use.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.contract import EventType
from appliance.people.person import Source
from appliance.people.recorded import recorded
from appliance.people.references import BELOW_TAIL
from appliance.pipeline.matching import search
from appliance.records import ActorKind, Event, Grade
from appliance.upgrade.photos import METHOD

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from appliance.manifest import Impostors
    from appliance.people.gallery import Gallery
    from appliance.people.recorded import EventSink
    from appliance.pipeline import Step
    from appliance.records import Actor, AuditEvent, Embedding, GallerySnapshot, Observation, OperatingPoint

MOST = 3  # templates of one person


class LazyUpgrade:
    """Belongs to the loop's thread. `embed` gives a crop's template of the new model, turned as the gallery's are.

    `impostors` is how alike strangers look to that model, `min_bona_fide` what the door asks of a live face.
    """

    def __init__(
        self,
        gallery: Gallery,
        audit: EventSink,
        embed: Callable[[NDArray[np.uint8]], Embedding | None],
        impostors: Impostors,
        *,
        min_bona_fide: float,
        actor: Actor,
    ) -> None:
        self._gallery = gallery
        self._audit = audit
        self._embed = embed
        self._impostors = impostors
        self._min_bona_fide = min_bona_fide
        self._actor = actor
        self._granted: tuple[str, str] | None = None  # presentation, person

    def hear(self, sealed: AuditEvent) -> None:
        """Take note of whom the door lets in by their face."""
        event = sealed.event
        by_face = event.actor is not None and event.actor.kind is ActorKind.PERSON and event.method.startswith("face")
        if event.event_type is EventType.ACCESS_GRANTED and by_face and event.actor is not None:
            self._granted = event.presentation_id, event.actor.id

    def see(self, step: Step, known: GallerySnapshot, point: OperatingPoint) -> None:
        """Take a template of whoever was let in last, from this frame where it will do. Raises StorageError."""
        if self._granted is None:
            return
        presentation_id, person_id = self._granted
        visit = step.presentation
        if visit is None or visit.presentation_id != presentation_id:
            self._granted = None
            return
        if not visit.cues and self._is_shown(visit.latest, person_id, known, point):
            self._granted = None
            made = self._embed(visit.latest.geometry.crop)
            if made is not None and self._is_wanted(person_id, made):
                self._keep(person_id, made)

    def _is_shown(self, seen: Observation, person_id: str, known: GallerySnapshot, point: OperatingPoint) -> bool:
        """Tell whether this one frame, by itself, shows the person, alive and well."""
        if seen.quality.grade is not Grade.HIGH or seen.others or seen.liveness is None:
            return False
        if not seen.liveness.bona_fide >= self._min_bona_fide:  # this way round, NaN is none
            return False
        best, *others = search(seen.embedding, known) or (None,)
        if best is None or best.person_id != person_id or not best.similarity >= point.threshold:
            return False
        return all(best.similarity - other.similarity >= point.margin for other in others)

    def _is_wanted(self, person_id: str, made: Embedding) -> bool:
        """Tell whether the template adds anything, and looks like those of the same model that there are."""
        shadow = [one for one in self._gallery.references(person_id) if one.model_id == made.model_id]
        today = datetime.now(UTC).date()
        if len(shadow) >= MOST or any(one.captured_at.date() == today for one in shadow):
            return False
        vectors = self._gallery.vectors(person_id)
        likeness = [
            float(vectors[one.reference_id].vector @ made.vector) for one in shadow if one.reference_id in vectors
        ]
        return all(one >= self._impostors.tail_start - BELOW_TAIL for one in likeness)

    def _keep(self, person_id: str, made: Embedding) -> None:
        def add() -> int:
            return self._gallery.add_references(person_id, [(made, Grade.HIGH)], source=Source.UPGRADE)

        detail = f"person {person_id}, 1 template of {made.model_id} from a visit that was granted"
        event = Event(EventType.UPDATED, datetime.now(UTC), self._actor, METHOD, detail=detail)
        recorded(self._gallery, self._audit, add, lambda _: event, "nothing was added")
