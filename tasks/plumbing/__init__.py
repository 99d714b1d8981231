"""What tasks stand on: the broker, nudges, work in the background, one process at a time."""
