"""Pages for those who run the door, one file for those that belong together."""
