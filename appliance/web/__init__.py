"""The web: pages for people and interfaces for programs, in a process of its own beside the reader.

It shows and asks, and decides nothing: live things are asked of the reader over its local socket, people and records
are read and written by the same use-cases as on the command line.
"""
