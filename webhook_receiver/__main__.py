"""`python -m webhook_receiver OPTIONS`: check the environment once, then become granian.

Granian reads the environment only in its workers, and restarts those that fail for ever.
"""

import os
import sys

import settings
from billing import catalog
from clock import development

if __name__ == "__main__":
    try:
        development.follow()
        catalog.get()  # the Celery app, which sends the nudges, reads it too
        where = settings.listener("receiver")
    except (settings.SettingsError, catalog.CatalogError) as error:
        sys.exit(f"cannot start: {error}")
    address = ["--host", where.host, "--port", str(where.port)]
    granian = [sys.executable, "-m", "granian", *address, *sys.argv[1:]]
    os.execv(sys.executable, [*granian, "webhook_receiver.app:create_app"])  # noqa: S606 - becomes the server
