"""What a worker process does at the start of its life; connected to Celery's signals by the app."""

import gc
import sys
from typing import Any

import structlog
from celery import signals

import settings
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
    for at_start in (_judge_settings, _check_database):
        signals.worker_init.connect(at_start)
        signals.beat_init.connect(at_start)
    signals.worker_process_init.connect(_after_fork)
    signals.worker_ready.connect(_say_ready)


def _set_up_logging(loglevel: int | None = None, **_: Any) -> None:
    _judge_settings()
    logs.configure(level=loglevel)
    redaction.install()


def _say_ready(sender: Any = None, **_: Any) -> None:
    log.info(f"{getattr(sender, 'hostname', 'celery')} ready.")  # Celery's own line is a library's


def _judge_settings(**_: Any) -> None:
    # Not when the app is imported: commands import it too, and need few of the settings.
    try:
        settings.require()
    except settings.SettingsError as error:
        sys.exit(f"cannot start: {error}")


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
