"""Flower's own configuration, which overrules its environment; given by `worker/flower.py`."""

import settings
from worker import flower_broker, redaction

# Flower would split FLOWER_BASIC_AUTH at every comma and let in with a part of a password.
basic_auth = [f"{login.user}:{login.password}" for login in settings.flower_logins()]
flower_broker.install()

format_task = redaction.as_flower_shows
