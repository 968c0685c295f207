"""Home Assistant: what it is shown of the door, and the little that it may do. docs/home-assistant.md is for people."""

CLIENT_ID = "home-assistant"  # the attendant and operator that it is in the audit log
