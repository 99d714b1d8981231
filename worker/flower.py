"""`python -m worker.flower OPTIONS`: check the environment once, then become Flower.

Flower reads FLOWER_* itself, and fails with a traceback at the address that Kubernetes puts into
FLOWER_PORT for a service of that name.
"""

import os
import sys

import settings

CONFIGURATION = settings.PROJECT_DIR / "worker" / "flowerconfig.py"

if __name__ == "__main__":
    try:
        settings.require()
        settings.flower_logins()
        where = settings.listener("flower")
    except settings.SettingsError as error:
        sys.exit(f"cannot start: {error}")
    for variable in ("FLOWER_PORT", "FLOWER_HOST"):
        os.environ.pop(variable, None)
    celery = [sys.executable, "-m", "celery", "-A", "worker.app", "flower"]
    options = [f"--conf={CONFIGURATION}", f"--address={where.host}", f"--port={where.port}"]
    os.execv(sys.executable, [*celery, *options, *sys.argv[1:]])  # noqa: S606 - becomes the server
