"""Lead disputes: the Celery door, and the quality scores on beat."""
