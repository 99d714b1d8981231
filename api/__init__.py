"""What a platform needs answered at once: the HTTP API, for callers with a key."""
