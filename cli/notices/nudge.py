"""Has the notices process look now, after a command that gave it something to do."""

import logging

import structlog

import settings


def send_notices() -> None:
    """Ask for notices to be sent. The sweep does so within seconds, so no error is reported."""
    try:
        settings.require("redis_url")
    except settings.SettingsError:
        return
    # Imported only when needed: Celery takes longer to load than most commands to run.
    from tasks.plumbing import nudges  # noqa: PLC0415

    silence_the_log()
    nudges.send_notices()


def silence_the_log() -> None:
    """Keep the lines of the log out of what this command prints."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
