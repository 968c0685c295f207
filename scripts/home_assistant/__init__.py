"""The door held against the real Home Assistant: scripts/try_home_assistant."""
