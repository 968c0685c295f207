"""What goes wrong while installing."""

from __future__ import annotations


class InstallError(Exception):
    """A step could not be done; the message is one line, and a second run goes on from there."""


class UnusableError(InstallError):
    """A machine, a user or an option that nothing can be installed with; nothing was changed."""
