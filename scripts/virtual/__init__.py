"""`scripts/vm`: Debian roots of another processor, and whole machines with a real systemd."""
