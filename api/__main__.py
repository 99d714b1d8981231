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
    except (settings.SettingsError, catalog.CatalogError) as error:
        sys.exit(f"cannot start: {error}")
    granian = [sys.executable, "-m", "granian", *sys.argv[1:], "api.app:create_app"]
    os.execv(sys.executable, granian)  # noqa: S606 - becomes the server
