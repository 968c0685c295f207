"""The words of the contract as pages say them, in English."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from appliance.access.subject import FactorPolicy, Status
from appliance.commands import ticket_words
from appliance.contract import Alarm, EventType, Hint, LockState, Mode, Phase, Reason, Role
from appliance.people.person import Source
from appliance.records import Flaw, Grade

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS: Final[Mapping[EventType, str]] = MappingProxyType(
    {
        EventType.ACCESS_GRANTED: "Let in",
        EventType.ACCESS_DENIED: "Not let in",
        EventType.APPROVAL_REQUESTED: "An attendant was asked",
        EventType.APPROVAL_GRANTED: "An attendant approved",
        EventType.APPROVAL_DENIED: "An attendant refused",
        EventType.APPROVAL_EXPIRED: "Nobody answered in time",
        EventType.APPROVAL_PARTIAL: "The first of two approved",
        EventType.APPROVAL_AGAIN: "Visitor asked to look again",
        EventType.APPROVAL_ESCALATED: "More attendants were rung",
        EventType.VISITOR_TOLD: "A line was shown to the visitor",
        EventType.REX: "Exit button pressed",
        EventType.REMOTE_UNLOCK: "Opened from afar",
        EventType.DOOR_OPENED: "Door opened",
        EventType.DOOR_CLOSED: "Door closed",
        EventType.DOOR_LOCKED: "Door locked",
        EventType.DOOR_UNLOCKED: "Door unlocked",
        EventType.GRANTED_NOT_ENTERED: "Let in, but did not enter",
        EventType.FORCED_OPEN: "Door forced open",
        EventType.FORCED_OPEN_CLEARED: "Forced door acknowledged",
        EventType.HELD_OPEN_WARNING: "Door open for long",
        EventType.HELD_OPEN: "Door held open",
        EventType.HELD_OPEN_CLEARED: "Held door closed",
        EventType.TAMPER: "Housing opened",
        EventType.TAMPER_CLEARED: "Housing closed",
        EventType.FIRE_RELEASE: "Released by the fire alarm",
        EventType.FIRE_CLEARED: "Fire release ended",
        EventType.LOCKDOWN: "Lockdown began",
        EventType.LOCKDOWN_CLEARED: "Lockdown ended",
        EventType.SPOOF_SUSPECTED: "A picture or mask is suspected",
        EventType.TAILGATING_SUSPECTED: "Somebody may have slipped in",
        EventType.DURESS: "Entered under duress",
        EventType.ENROLLED: "Person enrolled",
        EventType.RENEWAL_OFFERED: "Person could be enrolled once more",
        EventType.UPDATED: "Record changed",
        EventType.ERASED: "Person erased",
        EventType.EXPORTED: "Record handed out",
        EventType.PURGED: "Old records removed",
        EventType.BACKED_UP: "Backup made",
        EventType.RESTORED: "Backup restored",
        EventType.CONFIG_CHANGED: "Settings changed",
        EventType.STARTED: "Appliance started",
        EventType.STOPPED: "Appliance stopped",
        EventType.CAMERA_FAULT: "Camera lost",
        EventType.CAMERA_RESTORED: "Camera back",
        EventType.FAULT: "Fault",
        EventType.BELL: "Bell rung",
    }
)
_GOOD = frozenset(
    {
        EventType.ACCESS_GRANTED,
        EventType.APPROVAL_GRANTED,
        EventType.CAMERA_RESTORED,
        EventType.FORCED_OPEN_CLEARED,
        EventType.HELD_OPEN_CLEARED,
        EventType.TAMPER_CLEARED,
        EventType.FIRE_CLEARED,
        EventType.LOCKDOWN_CLEARED,
    }
)
_WARN = frozenset(
    {
        EventType.ACCESS_DENIED,
        EventType.APPROVAL_DENIED,
        EventType.APPROVAL_EXPIRED,
        EventType.HELD_OPEN_WARNING,
        EventType.TAILGATING_SUSPECTED,
        EventType.REMOTE_UNLOCK,
    }
)
_BAD = frozenset(
    {
        EventType.FORCED_OPEN,
        EventType.HELD_OPEN,
        EventType.TAMPER,
        EventType.FIRE_RELEASE,
        EventType.LOCKDOWN,
        EventType.SPOOF_SUSPECTED,
        EventType.DURESS,
        EventType.CAMERA_FAULT,
        EventType.FAULT,
    }
)

REASONS: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        **ticket_words.REASONS,
        Reason.OK: "as asked",
        Reason.LOW_QUALITY: "the view was too poor",
        Reason.LIVENESS_FAILED: "not a living face",
        Reason.WRONG_PIN: "wrong PIN",
        Reason.EXPIRED: "their time here is over",
        Reason.NOT_YET_VALID: "their time here has not begun",
        Reason.SUSPENDED: "suspended",
        Reason.OUTSIDE_SCHEDULE: "outside their hours",
        Reason.NO_DOOR_RIGHT: "no right to this door",
        Reason.DENY_LISTED: "deny-listed",
        Reason.ANTI_PASSBACK: "already inside",
        Reason.INTERLOCK: "the other door is open",
        Reason.LOCKDOWN: "lockdown",
        Reason.TOO_MANY_ATTEMPTS: "too many tries",
        Reason.STALE: "the visitor had left",
        Reason.DEGRADED_MODE: "the appliance is not whole",
        Reason.OPERATOR_DENIED: "an attendant refused",
        Reason.OPERATOR_TIMEOUT: "nobody answered in time",
    }
)

PHASES: Final[Mapping[Phase, str]] = MappingProxyType(
    {
        Phase.SECURE: "Closed and locked",
        Phase.UNLOCKED: "Unlocked",
        Phase.OPEN: "Open",
        Phase.OPEN_WARNING: "Open for long",
        Phase.HELD_OPEN: "Held open",
        Phase.FORCED: "Forced open",
        Phase.RELEASED: "Released by fire",
        Phase.LOCKDOWN: "Lockdown",
    }
)
PHASE_TONES: Final[Mapping[Phase, str]] = MappingProxyType(
    {
        Phase.SECURE: "good",
        Phase.UNLOCKED: "warn",
        Phase.OPEN: "warn",
        Phase.OPEN_WARNING: "warn",
        Phase.HELD_OPEN: "bad",
        Phase.FORCED: "bad",
        Phase.RELEASED: "bad",
        Phase.LOCKDOWN: "bad",
    }
)
MODES: Final[Mapping[Mode, str]] = MappingProxyType(
    {
        Mode.EMERGENCY: "Fire or lockdown",
        Mode.OPERATOR: "By an operator",
        Mode.SCHEDULED: "By schedule",
        Mode.NORMAL: "Normal",
    }
)
LOCKS: Final[Mapping[LockState, str]] = MappingProxyType(
    {
        LockState.LOCKED: "Locked",
        LockState.UNLOCKED: "Unlocked",
        LockState.LOCKING: "Locking",
        LockState.UNLOCKING: "Unlocking",
        LockState.JAMMED: "Jammed",
        LockState.OPEN: "Open",
    }
)
ALARMS: Final[Mapping[Alarm, str]] = MappingProxyType(
    {
        Alarm.FORCED_OPEN: "the door was forced open",
        Alarm.HELD_OPEN: "the door is held open",
        Alarm.TAMPER: "the housing is open",
        Alarm.FIRE: "the fire alarm is on",
        Alarm.LOCK: "the lock does not follow",
        Alarm.CAMERA: "the camera is lost",
    }
)
HINTS: Final[Mapping[Hint, str]] = MappingProxyType(
    {
        Hint.TOO_DARK: "Too dark",
        Hint.BACKLIT: "Light from behind",
        Hint.TOO_FAR: "Come closer",
        Hint.TOO_NEAR: "Step back",
        Hint.TURN_FACE: "Face the camera",
        Hint.REMOVE_MASK: "Uncover your face",
        Hint.ONE_AT_A_TIME: "One person at a time",
        Hint.HOLD_STILL: "Hold still",
        Hint.SECOND_FACTOR: "Use a PIN or pass too",
        Hint.NEXT_PERSON: "Next person, please",
        Hint.ASKING: "An attendant is asked",
        Hint.SHOW_AGAIN: "Look at the camera again",
        Hint.RING: "Ring the bell",
        Hint.USE_PIN: "Use your PIN",
        Hint.WELCOME: "Welcome",
        Hint.ENROLMENT: "Stand before the camera, alone",
        Hint.LOOK_STRAIGHT: "Look straight ahead",
        Hint.TURN_LEFT: "Turn a little to the left",
        Hint.TURN_RIGHT: "Turn a little to the right",
        Hint.LOOK_UP: "Look up a little",
        Hint.LOOK_DOWN: "Look down a little",
        Hint.ENROLLED: "Enrolled",
    }
)
STATUSES: Final[Mapping[Status, str]] = MappingProxyType(
    {
        Status.ACTIVE: "Active",
        Status.SUSPENDED: "Suspended",
        Status.DENY_LISTED: "Deny-listed",
    }
)
STATUS_TONES: Final[Mapping[Status, str]] = MappingProxyType(
    {Status.ACTIVE: "good", Status.SUSPENDED: "warn", Status.DENY_LISTED: "bad"}
)
FACTORS: Final[Mapping[FactorPolicy, str]] = MappingProxyType(
    {
        FactorPolicy.NONE: "What the door asks for",
        FactorPolicy.PIN: "Always a PIN too",
        FactorPolicy.PASS: "Always a pass too",
        FactorPolicy.ANY: "Always a PIN or a pass too",
    }
)
GRADES: Final[Mapping[Grade, str]] = MappingProxyType({Grade.LOW: "Too poor", Grade.MEDIUM: "Fair", Grade.HIGH: "Good"})
FLAWS: Final[Mapping[Flaw, str]] = MappingProxyType(
    {
        Flaw.TOO_SMALL: "the face is too small",
        Flaw.TOO_LARGE: "the face is too large",
        Flaw.CUT_OFF: "the face is cut off",
        Flaw.YAW: "turned to the side",
        Flaw.PITCH: "looking up or down",
        Flaw.ROLL: "head tilted",
        Flaw.BLUR: "blurred",
        Flaw.TOO_DARK: "too dark",
        Flaw.TOO_BRIGHT: "too bright",
        Flaw.LOW_CONTRAST: "little contrast",
        Flaw.NOISE: "grainy",
        Flaw.COVERED: "the face is covered",
        Flaw.NO_LANDMARKS: "eyes, nose and mouth are not found",
        Flaw.LANDMARKS_DISAGREE: "eyes, nose and mouth are not clear",
    }
)
SOURCES: Final[Mapping[Source, str]] = MappingProxyType(
    {
        Source.PHOTO: "Photo",
        Source.DOOR: "At the door, guided",
        Source.TICKET: "From an approved visit",
        Source.BULK: "Photo, in bulk",
        Source.LINK: "At the door, by invitation",
        Source.IMPORTED: "From another door",
        Source.UPGRADE: "From a kept photo, anew",
    }
)
ROLES: Final[Mapping[Role, str]] = MappingProxyType(
    {
        Role.RECOGNISER: "Recogniser",
        Role.OPERATOR: "Operator",
        Role.ENROLLER: "Enroller",
        Role.AUDITOR: "Auditor",
        Role.ADMIN: "Administrator",
    }
)


def tone_of(event: EventType) -> str:
    """Return how an event is shown: "good", "warn", "bad" or "" for one that is neither."""
    return "good" if event in _GOOD else "warn" if event in _WARN else "bad" if event in _BAD else ""


def voice_in_words(voice: str) -> str:
    """Return who acted, as pages say it: `web:ada` is ada on these pages, anything else as it stands."""
    kind, _, name = voice.partition(":")
    return {"web": f"{name}, on these pages", "key": f"{name}, by API key"}.get(kind, voice) if name else voice


def begun(text: str) -> str:
    """Return a line as the beginning of a sentence: its first letter a capital, every other as it was."""
    return text[:1].upper() + text[1:]
