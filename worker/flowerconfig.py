"""Flower's own configuration (`--conf` in the Procfile)."""

from worker import redaction

format_task = redaction.as_flower_shows
