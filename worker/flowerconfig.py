"""Flower's own configuration, which overrules its environment; given by `worker/flower.py`."""

import settings
from service import logs
from worker import flower_broker, redaction

logs.configure()  # or Flower, started with FLOWER_DEBUG, would log what passes through it
# Flower would split FLOWER_BASIC_AUTH at every comma and let in with a part of a password.
basic_auth = [f"{login.user}:{login.password}" for login in settings.flower_logins()]
flower_broker.install()
format_task = redaction.as_flower_shows
