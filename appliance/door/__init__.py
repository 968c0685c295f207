"""The door: who may unlock it, for how long, and what locks it again. Knows no camera and no person.

The reader's side is `ControllerLink`; the controller's is `serve`. `docs/door.md` tells what passes between.
"""

from appliance.door.hardware import DoorHardware
from appliance.door.link import ControllerLink
from appliance.door.lock import Cause, Hold, Refusal
from appliance.door.machine import Machine
from appliance.door.serve import serve

__all__ = ["Cause", "ControllerLink", "DoorHardware", "Hold", "Machine", "Refusal", "serve"]
