"""The builder of models/: run it as `scripts/build_models`."""
