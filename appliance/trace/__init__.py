"""The trace, which is off unless somebody asks for it, and what it shows when it is replayed under other settings."""
