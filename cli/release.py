"""Having parked leads released as soon as an operator has made credit available."""

import logging

import structlog

from billing.leads import parking
from db.session import transaction


def release_parked() -> None:
    """Ask a worker to release parked leads, where one is covered by now.

    Beat does so by itself within seconds: it does not matter, and is not told, where Redis cannot
    be reached.
    """
    with transaction() as session:
        if not parking.is_release_due(session):
            return
    # Imported for those who need it: Celery takes longer to load than a command to run.
    from tasks.plumbing import nudges  # noqa: PLC0415

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    nudges.send_release()
