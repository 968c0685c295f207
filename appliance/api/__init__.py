"""Interfaces over HTTP for programs: the native one, and one that clients of the cloud's face service speak."""
