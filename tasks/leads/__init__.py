"""Lead billing: the Celery door, calls and events, the release of parked leads."""
