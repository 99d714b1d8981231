"""What a worker process does at the start of its life; connected to Celery's signals by the app."""

import gc
import sys
from typing import Any

import structlog
from celery import signals

from db import connections
from db.process_start import check_database
from db.roles import Role
from errors import BillingError
from service import logs
from worker import redaction

log = structlog.get_logger()


def connect() -> None:
    """Hook the functions below into the app's processes."""
    signals.setup_logging.connect(_set_up_logging)
    signals.worker_init.connect(_check_database)
    signals.beat_init.connect(_check_database)
    signals.worker_process_init.connect(_after_fork)
    signals.worker_ready.connect(_say_ready)


def _set_up_logging(loglevel: int | None = None, **_: Any) -> None:
    logs.configure(level=loglevel)
    redaction.install()


def _say_ready(sender: Any = None, **_: Any) -> None:
    log.info(f"{getattr(sender, 'hostname', 'celery')} ready.")  # Celery's own line is a library's


def _check_database(**_: Any) -> None:
    try:
        check_database(Role.WORKERS)
    except BillingError as error:
        sys.exit(f"cannot start: {error}")


def _after_fork(**_: Any) -> None:
    # A connection shared with the parent would mix the answers of two processes.
    connections.forget_connections()
    # What was loaded before the fork is never garbage. And a batch makes tens of thousands of
    # objects that live to its end, which the collector would visit again and again.
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
