"""The edge of the door: what the controller needs of a lock, its sensors and its signals, and nothing of the wiring."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Input(StrEnum):
    """A line that tells the controller something; which way it is wired (NO or NC) is the driver's business."""

    CONTACT = "contact"  # active: the door leaf is open
    REX = "rex"  # active: somebody inside asks to leave
    TAMPER = "tamper"  # active: the housing is open
    FIRE = "fire"  # active: the fire alarm asks for release, or its wire is cut
    BELL = "bell"  # active: somebody outside rings
    BOND = "bond"  # active: the lock itself says that it holds; welded relays and jammed bolts show here


class Output(StrEnum):
    """A line beside the lock's; on is whatever makes it shine, sound or close."""

    AUX = "aux"  # the second relay
    ALARM = "alarm"
    RED = "red"
    GREEN = "green"
    BLUE = "blue"
    BUZZER = "buzzer"


@dataclass(frozen=True, slots=True)
class Edge:
    """An input changed; not debounced."""

    input: Input
    active: bool
    at_s: float  # CLOCK_MONOTONIC, as near to the wire as the driver can tell


class LockOutput(Protocol):
    """One output line that holds a lock; low is locked, for a fail-secure and a fail-safe lock alike.

    The line is claimed and low when the constructor returns, without ever having been high. When the owner
    dies in whatever way, the line goes low by itself. Every verb raises DoorError when the line cannot be driven.
    """

    def unlock(self) -> None:
        """Drive the line high; it stays high until `lock`, `close` or the death of this process."""

    def lock(self) -> None:
        """Drive the line low; harmless when it is low already."""

    def is_unlocked(self) -> bool:
        """Tell the level read back from the line itself, which may differ from what was driven."""

    def close(self) -> None:
        """Drive the line low, then release it; harmless when done already."""


class InputLines(Protocol):
    """The inputs that are fitted. Every verb raises DoorError when the lines cannot be read."""

    def fileno(self) -> int:
        """Return a descriptor that is readable while `edges` has something to return."""

    def edges(self) -> tuple[Edge, ...]:
        """Return every change since the last call, oldest first, and forget them; never waits."""

    def levels(self) -> Mapping[Input, bool]:
        """Return how each fitted input is now; True is active."""

    def close(self) -> None:
        """Release the lines; harmless when done already."""


class OutputLines(Protocol):
    """The signals that are fitted; each is off when claimed, and off again when the owner closes or dies."""

    def drive(self, output: Output, *, on: bool) -> None:
        """Switch the output; nothing happens where it is not fitted. Raises DoorError when it cannot be driven."""

    def close(self) -> None:
        """Switch everything off and release the lines; harmless when done already."""


class DoorHardware(Protocol):
    """All lines of one door, claimed together or not at all: where one is not to be had, DoorError and none is kept."""

    @property
    def lock(self) -> LockOutput:
        """The lock."""

    @property
    def inputs(self) -> InputLines:
        """The sensors."""

    @property
    def outputs(self) -> OutputLines:
        """The signals."""

    def close(self) -> None:
        """Lock, switch everything off and release all lines; harmless when done already."""
