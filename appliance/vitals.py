"""What a running reader can be asked at any moment, from any thread, without holding it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.records import DoorState


@dataclass(frozen=True, slots=True)
class BrokerVitals:
    """The way to the broker; counts since the start."""

    connected: bool
    connects: int
    dropped: int  # messages: too large, or too many
    expired: int  # messages that would have come too late
    feed_lag: int  # events that the broker has not acknowledged
    commands: Mapping[tuple[str, str], int]  # by verb, and done or refused
    refused: Mapping[str, int]  # commands that were none, by fault


@dataclass(frozen=True, slots=True)
class BoardVitals:
    """The board itself, as far as it tells."""

    celsius: float | None = None  # of its hottest part; None where it does not say
    slowed: bool = False  # it runs slower than it could, as it is too hot or its supply too weak
    under_voltage: bool = False


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the reader is; counts since the start."""

    camera_ok: bool
    controller_ok: bool
    door: DoorState | None  # None while no controller is there
    references: int  # templates in the gallery
    frames_dropped: int  # a newer one came first
    frames_unfit: int  # out of order, or the same once more
    camera_reopened: int
    broker: BrokerVitals | None  # None where there is none in the settings
    board: BoardVitals = BoardVitals()
