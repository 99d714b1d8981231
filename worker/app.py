"""The Celery app: `celery -A worker.app worker`, `... beat`, `... flower`.

Settings and catalog are validated before anything starts: a mistake is one line, not a traceback.
"""

import sys

from celery import Celery

import settings
from billing import catalog
from clock import development
from worker import bootstrap, celery_requests

try:
    development.follow()
    catalog.get()
except (settings.SettingsError, catalog.CatalogError) as error:
    sys.exit(f"cannot start: {error}")

app = Celery("billing", task_cls=celery_requests.Task)
app.config_from_object("celeryconfig")
bootstrap.connect()
