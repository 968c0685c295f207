"""What the tests of commissioning share: quick settings, and trials made up to have come to something."""

from __future__ import annotations

from appliance.commissioning.record import Result, conditions
from appliance.commissioning.trials import BONA_FIDE, Trial
from appliance.config import Settings
from appliance.contract import Reason

SETTINGS = Settings.model_validate(
    {
        "camera": {"source": "simulated"},
        "recognition": {"reading_s": 1.0},
        "commissioning": {"bona_fide": 2, "attacks": 2, "species": "print, phone"},
    }
)


def trial(
    species: str = BONA_FIDE, passes_up_to: float | None = 0.99, refused: Reason | None = None, *, read: bool = True
) -> Trial:
    """Return a trial that came to this."""
    scores = () if passes_up_to is None else (passes_up_to,)
    return Trial(
        species=species,
        passes_up_to=passes_up_to,
        refused=refused,
        read=read,
        median=passes_up_to,
        scores=scores,
        cues=(),
        seconds=1.0,
    )


def attack(species: str, passes_up_to: float | None = None) -> Trial:
    """Return an attack that was called one, or that passes up to this threshold."""
    return trial(species, passes_up_to, Reason.LIVENESS_FAILED if passes_up_to is None else None)


def unread(species: str = BONA_FIDE) -> Trial:
    """Return a presentation that could not be read."""
    return trial(species, None, Reason.LOW_QUALITY, read=False)


GOOD = (trial(), trial(), attack("print"), attack("print"), attack("phone"), attack("phone"))


def result(trials: tuple[Trial, ...] = GOOD, settings: Settings = SETTINGS) -> Result:
    """Return an unsigned result for these settings."""
    return Result(
        at="2026-11-20T12:00:00Z",
        device_id="ostiary",
        conditions=conditions(settings),
        threshold=settings.liveness.min_bona_fide,
        people=2,
        trials=trials,
    )
