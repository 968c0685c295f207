"""Every word that leaves the device, in one place: event types, reasons, hints and MQTT topics.

Payload models that need more than a word live beside their use and are built from these.
"""

from __future__ import annotations

import re
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA: Literal[1] = 1  # version of the event and ticket payloads

MAX_COMMAND_BYTES = 64 * 1024

# Identifiers become topic levels and file names: nothing that MQTT, a path or a shell could read as more.
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def is_identifier(text: str) -> bool:
    """Tell whether `text` may stand as one topic level: 1 to 63 of A-Z a-z 0-9 _ -, first alphanumeric."""
    return _IDENTIFIER.fullmatch(text) is not None


class EventType(StrEnum):
    """What happened; the closed list of `event_type` in an event."""

    ACCESS_GRANTED = "access_granted"
    ACCESS_DENIED = "access_denied"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_GRANTED = "approval_granted"
    APPROVAL_DENIED = "approval_denied"
    APPROVAL_EXPIRED = "approval_expired"
    APPROVAL_PARTIAL = "approval_partial"
    APPROVAL_AGAIN = "approval_again"
    APPROVAL_ESCALATED = "approval_escalated"
    VISITOR_TOLD = "visitor_told"
    REX = "rex"
    REMOTE_UNLOCK = "remote_unlock"
    DOOR_OPENED = "door_opened"
    DOOR_CLOSED = "door_closed"
    DOOR_LOCKED = "door_locked"
    DOOR_UNLOCKED = "door_unlocked"
    GRANTED_NOT_ENTERED = "granted_not_entered"
    FORCED_OPEN = "forced_open"
    FORCED_OPEN_CLEARED = "forced_open_cleared"
    HELD_OPEN_WARNING = "held_open_warning"
    HELD_OPEN = "held_open"
    HELD_OPEN_CLEARED = "held_open_cleared"
    TAMPER = "tamper"
    TAMPER_CLEARED = "tamper_cleared"
    FIRE_RELEASE = "fire_release"
    FIRE_CLEARED = "fire_cleared"
    LOCKDOWN = "lockdown"
    LOCKDOWN_CLEARED = "lockdown_cleared"
    SPOOF_SUSPECTED = "spoof_suspected"
    TAILGATING_SUSPECTED = "tailgating_suspected"
    DURESS = "duress"
    ENROLLED = "enrolled"
    RENEWAL_OFFERED = "renewal_offered"
    UPDATED = "updated"
    ERASED = "erased"
    EXPORTED = "exported"
    PURGED = "purged"
    BACKED_UP = "backed_up"
    RESTORED = "restored"
    CONFIG_CHANGED = "config_changed"
    STARTED = "started"
    STOPPED = "stopped"
    CAMERA_FAULT = "camera_fault"
    CAMERA_RESTORED = "camera_restored"
    FAULT = "fault"
    BELL = "bell"


class Reason(StrEnum):
    """Why a decision fell as it did; the closed list of `reason` in an event and a ticket."""

    OK = "ok"
    UNKNOWN_FACE = "unknown_face"
    LOW_QUALITY = "low_quality"
    LIVENESS_FAILED = "liveness_failed"
    LIVENESS_UNCERTAIN = "liveness_uncertain"
    AMBIGUOUS_MATCH = "ambiguous_match"
    MULTIPLE_FACES = "multiple_faces"
    WRONG_PIN = "wrong_pin"
    SECOND_FACTOR_REQUIRED = "second_factor_required"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    SUSPENDED = "suspended"
    OUTSIDE_SCHEDULE = "outside_schedule"
    NO_DOOR_RIGHT = "no_door_right"
    DENY_LISTED = "deny_listed"
    ANTI_PASSBACK = "anti_passback"
    INTERLOCK = "interlock"
    LOCKDOWN = "lockdown"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    STALE = "stale"
    DEGRADED_MODE = "degraded_mode"
    OPERATOR_DENIED = "operator_denied"
    OPERATOR_TIMEOUT = "operator_timeout"


# Why a human is asked: the closed list of `reason` in a ticket.
REFERRED = frozenset(
    {
        Reason.UNKNOWN_FACE,
        Reason.LIVENESS_UNCERTAIN,
        Reason.AMBIGUOUS_MATCH,
        Reason.MULTIPLE_FACES,
        Reason.SECOND_FACTOR_REQUIRED,
    }
)


class Hint(StrEnum):
    """All that the door itself may say to a visitor: never a name, never a score."""

    TOO_DARK = "too_dark"
    BACKLIT = "backlit"
    TOO_FAR = "too_far"
    TOO_NEAR = "too_near"
    TURN_FACE = "turn_face"
    REMOVE_MASK = "remove_mask"
    ONE_AT_A_TIME = "one_at_a_time"
    HOLD_STILL = "hold_still"
    SECOND_FACTOR = "second_factor"
    NEXT_PERSON = "next_person"
    ASKING = "asking"
    SHOW_AGAIN = "show_again"
    RING = "ring"
    USE_PIN = "use_pin"
    WELCOME = "welcome"
    ENROLMENT = "enrolment"
    LOOK_STRAIGHT = "look_straight"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    LOOK_UP = "look_up"
    LOOK_DOWN = "look_down"
    ENROLLED = "enrolled"


class Role(StrEnum):
    """What a client may ask for; each verb names the roles that may use it."""

    RECOGNISER = "recogniser"
    OPERATOR = "operator"
    ENROLLER = "enroller"
    AUDITOR = "auditor"
    ADMIN = "admin"


_OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})
_ENROLLERS = frozenset({Role.ENROLLER, Role.ADMIN})
_AUDITORS = frozenset({Role.AUDITOR, Role.ADMIN})

# Which roles may use a verb; a verb that is not here does not exist. What each takes: verbs.py.
VERB_ROLES: Mapping[str, frozenset[Role]] = MappingProxyType(
    {
        "approve": _OPERATORS,
        "deny": _OPERATORS,
        "again": _OPERATORS,
        "say": _OPERATORS,
        "open": _OPERATORS,
        "unlock": _OPERATORS,
        "lock": _OPERATORS,
        "release": _OPERATORS,
        "lockdown": _OPERATORS,
        "person.add": _ENROLLERS,
        "person.update": _ENROLLERS,
        "person.remove": _ENROLLERS,
        "person.list": _ENROLLERS,
        "person.renew": _ENROLLERS,
        "enrol.start": _ENROLLERS,
        "enrol.stop": _ENROLLERS,
        "enrol.photo": _ENROLLERS,
        "feed": _AUDITORS,
        "audit.head": _AUDITORS,
        "config.get": _AUDITORS,
        "status": frozenset(Role),
    }
)


# The verb of somebody who is not known yet: no role has it, and it is heard only while the device shows a code.
JOIN = "join"


class LockState(StrEnum):
    """Payload of `lock/state`."""

    LOCKED = "LOCKED"
    UNLOCKED = "UNLOCKED"
    LOCKING = "LOCKING"
    UNLOCKING = "UNLOCKING"
    JAMMED = "JAMMED"
    OPEN = "OPEN"


class Mode(StrEnum):
    """Who rules the lock, highest first; a verb below the ruling mode is refused."""

    EMERGENCY = "EMERGENCY"
    OPERATOR = "OPERATOR"
    SCHEDULED = "SCHEDULED"
    NORMAL = "NORMAL"


class Phase(StrEnum):
    """What the door is doing; the most urgent of what is true."""

    SECURE = "SECURE"
    UNLOCKED = "UNLOCKED"
    OPEN = "OPEN"
    OPEN_WARNING = "OPEN_WARNING"
    HELD_OPEN = "HELD_OPEN"
    FORCED = "FORCED"
    RELEASED = "RELEASED"
    LOCKDOWN = "LOCKDOWN"


class Alarm(StrEnum):
    """What needs somebody to look; a level below `alarm/`."""

    FORCED_OPEN = "forced_open"
    HELD_OPEN = "held_open"
    TAMPER = "tamper"
    FIRE = "fire"
    LOCK = "lock"
    CAMERA = "camera"


class Topic(StrEnum):
    """Levels below `ostiary/<device_id>/`; `alarm`, `cmd` and `reply` take one more level."""

    AVAILABILITY = "availability"
    LOCK_STATE = "lock/state"
    DOOR_CONTACT = "door/contact"
    DOOR_STATE = "door/state"
    ALARM = "alarm"
    EVENT = "event"
    EVENT_FEED = "event/feed"
    APPROVAL_REQUEST = "approval/request"
    APPROVAL_RESULT = "approval/result"
    APPROVAL_IMAGE = "approval/image"
    CMD = "cmd"
    REPLY = "reply"
    HA_LOCK = "ha/lock"
    HA_ANSWER = "ha/answer"
    HA_EVENT = "ha/event"
    HA_IMAGE = "ha/image"
    HA_ACCESS = "ha/access"


# What the broker keeps for whoever comes later: states, and never a picture, a ticket, an event or a command.
RETAINED = frozenset(
    {
        Topic.AVAILABILITY,
        Topic.LOCK_STATE,
        Topic.DOOR_CONTACT,
        Topic.DOOR_STATE,
        Topic.ALARM,
    }
)

# What is said to the door; every other topic is the door's own to say.
TO_THE_DOOR = frozenset({Topic.CMD, Topic.HA_LOCK, Topic.HA_ANSWER})

# Which roles may hear a topic of the door. `reply` is heard by the client that it names, `ha` by Home Assistant alone.
TOPIC_ROLES: Mapping[Topic, frozenset[Role]] = MappingProxyType(
    {
        Topic.AVAILABILITY: frozenset(Role),
        Topic.LOCK_STATE: _OPERATORS | _AUDITORS,
        Topic.DOOR_CONTACT: _OPERATORS | _AUDITORS,
        Topic.DOOR_STATE: _OPERATORS | _AUDITORS,
        Topic.ALARM: _OPERATORS | _AUDITORS,
        Topic.EVENT: _OPERATORS | _ENROLLERS | _AUDITORS,  # an enroller hears of offers to renew
        Topic.EVENT_FEED: _AUDITORS,
        Topic.APPROVAL_REQUEST: _OPERATORS | _ENROLLERS,
        Topic.APPROVAL_RESULT: _OPERATORS | _ENROLLERS,
        Topic.APPROVAL_IMAGE: _OPERATORS,  # whoever enrols has the visitor before them
    }
)


def topic(device_id: str, level: Topic, leaf: str = "") -> str:
    """Return the full topic, such as `ostiary/front/cmd/approve`.

    Raises ValueError where `device_id`, or a part of `leaf` between dots, is not an identifier (it could name a
    wildcard).
    """
    for part in (device_id, *leaf.split(".")) if leaf else (device_id,):
        if not is_identifier(part):
            msg = f"{part!r} cannot be a topic level; allowed are 1 to 63 of A-Z a-z 0-9 _ -"
            raise ValueError(msg)
    return "/".join(("ostiary", device_id, level.value, *((leaf,) if leaf else ())))
