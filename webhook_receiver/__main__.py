"""`python -m webhook_receiver OPTIONS`: check the environment once, then become granian.

Granian reads the environment only in its workers, and restarts those that fail for ever.
"""

import sys

import settings
from billing import catalog
from clock import development
from db.process_start import check_database
from db.roles import Role
from errors import BillingError
from service import granian

if __name__ == "__main__":
    try:
        settings.require()
        development.follow()
        catalog.get()  # the Celery app, which sends the nudges, reads it too
        where = settings.listener("receiver")
        check_database(Role.DOORS)
    except (settings.SettingsError, catalog.CatalogError, BillingError) as error:
        sys.exit(f"cannot start: {error}")
    granian.become("webhook_receiver.server:create_server", where)
