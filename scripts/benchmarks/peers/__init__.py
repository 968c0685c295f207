"""Peers: face recognition that others publish, measured side by side with the shipped pipeline on the same frames."""
