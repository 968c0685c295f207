"""The native HTTP interface, `/api/v1`: what the command line and MQTT do, for programs. docs/api.md is its tour."""
