"""The door: who may unlock it, for how long, and what locks it again. Knows no camera and no person.

The reader's side is `ControllerLink`; the controller's is `serve`. `docs/door.md` tells what passes between.
"""

from appliance.door.hardware import LockOutput
from appliance.door.link import ControllerLink
from appliance.door.lock import Cause, DoorChange, Refusal
from appliance.door.serve import serve

__all__ = ["Cause", "ControllerLink", "DoorChange", "LockOutput", "Refusal", "serve"]
