"""A client of an Ostiary door over MQTT: hear tickets and events, send signed commands. docs/client.md is its guide.

It needs paho-mqtt, cryptography and pydantic, and nothing of the door's own: no camera, no model, no database.
"""

from appliance.config import MqttSettings
from appliance.drivers.mqtt_connection import Pace
from appliance.signing import new_key, public_text, read_key
from ostiary_client.client import Client
from ostiary_client.heard import UNANSWERED, Availability, Event, Outcome, Reply, Ticket
from ostiary_client.joining import join

__all__ = [
    "UNANSWERED",
    "Availability",
    "Client",
    "Event",
    "MqttSettings",
    "Outcome",
    "Pace",
    "Reply",
    "Ticket",
    "join",
    "new_key",
    "public_text",
    "read_key",
]
