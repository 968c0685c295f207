"""What is carried to a device that has no network: `scripts/bundle`, and the check that there are wheels for it."""
