"""The Celery app: `celery -A worker.app worker`, `... beat`, `... flower`.

What the app needs is judged here: a mistake is one line, not a traceback. Worker and beat judge
every setting before they begin (`bootstrap.py`).
"""

import os
import sys

from celery import Celery

import settings
from billing import catalog
from clock import development
from worker import bootstrap, celery_requests

try:
    development.follow()
    catalog.get()
    settings.require("redis_url")  # for celeryconfig
except (settings.SettingsError, catalog.CatalogError) as error:
    sys.exit(f"cannot start: {error}")

for variable in (
    "CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
):  # fmt: skip
    # Celery would prefer them to what it is given, and our own connections go to REDIS_URL.
    os.environ.pop(variable, None)

app = Celery("billing", task_cls=celery_requests.Task)
app.config_from_object("celeryconfig")
bootstrap.connect()
