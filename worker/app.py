"""The Celery app: `celery -A worker.app worker`, `... beat`, `... flower`.

Settings and catalog are validated before anything starts: a mistake is one line, not a traceback.
"""

import sys

from celery import Celery

import settings
from billing import catalog
from clock import development as development_clock
from worker import bootstrap
from worker import celery_requests as requests

try:
    development_clock.follow()
    catalog.get()
except (settings.SettingsError, catalog.CatalogError) as error:
    sys.exit(f"cannot start: {error}")

app = Celery("billing", task_cls=requests.Task)
app.config_from_object("celeryconfig")
bootstrap.connect()
