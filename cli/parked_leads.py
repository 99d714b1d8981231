"""The release of parked leads, asked for as soon as an operator has made credit available."""

import logging

import structlog

import settings
from billing.leads import parking
from db.session import transaction


def request_release() -> None:
    """Ask a worker to release parked leads if one of them is covered now.

    Beat does so by itself within seconds, so nothing is reported if Redis cannot be reached, or if
    REDIS_URL is wrong: credit needs no Redis.
    """
    with transaction() as session:
        if not parking.is_release_due(session):
            return
    try:
        settings.require("redis_url")
    except settings.SettingsError:
        return
    # Imported only when needed: Celery takes longer to load than most commands to run.
    from tasks.plumbing import nudges  # noqa: PLC0415

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    nudges.send_release()
