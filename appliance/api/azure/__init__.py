"""The face interface: what programs that speak to Azure's Face service find here, in its words, at `/face`.

It compares, and decides nothing about a door. docs/face-api.md says where it differs from the service.
"""
