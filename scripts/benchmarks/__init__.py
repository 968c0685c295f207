"""What `scripts/bench` measures: the shipped pipeline over folders of pictures, n and interval to every rate."""
