"""One file per device or model runtime: the only importers of their libraries."""
