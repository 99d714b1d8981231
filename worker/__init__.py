"""The Celery app and the life of its processes."""
