"""Beat's scheduler, which names a Redis Cluster instead of failing at every tick."""

import logging
from typing import Any

from celery import beat

from worker import broker_connection

_log = logging.getLogger(__name__)


class Scheduler(beat.Scheduler):  # type: ignore[misc] # Celery has no types
    """Sends the ticks of `beat_schedule` and keeps no file (`beat_scheduler`, celeryconfig.py)."""

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Send a tick; one that fails is lost. Ends beat if that was a node of a cluster."""
        try:
            return super().apply_async(*args, **options)
        except Exception:
            broker_connection.refuse_cluster(_log)
            raise
