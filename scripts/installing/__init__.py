"""`scripts/install`, with nothing but Python's standard library: it runs before anything else is there."""
