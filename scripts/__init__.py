"""The project's own tools; each command beside this file runs one of them."""
