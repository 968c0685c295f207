"""The demo: the real reader and controller tell a story with a simulated camera and door, or with your own camera."""
