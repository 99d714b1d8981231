"""The HTTP API: JSON for platforms, for callers with an API key."""
