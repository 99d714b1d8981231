"""What tasks stand on: the broker, nudges, background threads, a mutex, ticks by hand."""
