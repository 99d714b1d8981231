"""`python -m api OPTIONS`: check the environment once, then become granian.

Granian reads the environment only in its workers, and restarts a worker that fails for ever.
"""

import os
import sys

import settings
from billing import catalog
from clock import development as development_clock

if __name__ == "__main__":
    try:
        development_clock.follow()
        catalog.get()
        where = settings.listener("api")
    except (settings.SettingsError, catalog.CatalogError) as error:
        sys.exit(f"cannot start: {error}")
    address = ["--host", where.host, "--port", str(where.port)]
    granian = [sys.executable, "-m", "granian", *address, *sys.argv[1:]]
    os.execv(sys.executable, [*granian, "api.app:create_app"])  # noqa: S606 - becomes the server
