"""The session: people first, then each species of attack, until enough of each were read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from appliance.commissioning.trials import BONA_FIDE, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.commissioning.sources import Source
    from appliance.commissioning.trials import Trial, TrialReader

TRIES = 2  # presentations made for each that is wanted; what is never read then stays a shortfall


class Guide(Protocol):
    """Tells the installer how it goes."""

    def face(self) -> None:
        """Hear that a face has come in sight."""
        ...

    def done(self, trial: Trial) -> None:
        """Hear what one presentation came to."""
        ...


def carry_out(source: Source, reader: TrialReader, wanted: Mapping[str, int], guide: Guide) -> tuple[Trial, ...]:
    """Return every trial: as many of each species in `wanted` as asked for that could be read, or twice as many.

    A source that ends gives fewer. Raises CameraError and UsageError as the source does.
    """
    trials: list[Trial] = []
    for species in sorted(wanted, key=lambda one: one != BONA_FIDE):
        read = 0
        for made, frames in enumerate(source.presentations(species), 1):
            trial = reader.read(species, frames, guide.face)
            guide.done(trial)
            trials.append(trial)
            read += trial.outcome(1.0) is not Outcome.NOT_READ
            if read >= wanted[species] or made >= TRIES * wanted[species]:
                break
    return tuple(trials)
