"""`python -m web OPTIONS`: check the environment once, then become granian.

Granian reads the environment only in its workers, and restarts a worker that fails for ever.
"""

import sys

import settings
from billing import catalog
from clock import development as development_clock
from db.process_start import check_database
from db.roles import Role
from errors import BillingError
from service import granian, signing

if __name__ == "__main__":
    try:
        settings.require()
        development_clock.follow()
        catalog.get()
        signing.require_secret()
        where = settings.listener("web")
        check_database(Role.DOORS)
    except (settings.SettingsError, catalog.CatalogError, BillingError) as error:
        sys.exit(f"cannot start: {error}")
    granian.become("web.server:create_server", where)
