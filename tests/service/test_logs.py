"""The logs of every process: our lines at LOG_LEVEL, and of libraries only what they warn of."""

import json
import os
import subprocess
import sys

import pytest

import settings

LIBRARIES = [
    "stripe", "urllib3.connectionpool", "razorpay", "requests", "werkzeug", "kombu", "amqp",
    "celery.worker.strategy", "celery.app.trace", "celery.redirected", "sqlalchemy.engine",
    "sqlalchemy.pool", "asyncio", "redis", "tornado.general", "flask.app", "alembic", "granian",
]  # fmt: skip

PROCESSES = {
    "receiver": "from webhook_receiver.app import create_app; create_app()",
    "api": "from api.app import create_app; create_app()",
    "worker": "from worker import app, bootstrap; bootstrap._set_up_logging(10)",
    "beat": "from worker.app import app; app.log.setup('DEBUG')",
    "flower": "import worker.app, worker.flowerconfig",
}
"""How each process sets up its logs, as it does when it starts."""

LINES = """
import logging, structlog
{start}
for name in {libraries}:
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.debug("the payer is asha@example.org")
    logger.info("the payer is asha@example.org")
    logger.warning("%s warns", name)
structlog.get_logger().debug("ours")
"""


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("process", PROCESSES)
def test_no_level_of_ours_lets_a_library_show_what_passes_through_it(process: str) -> None:
    code = LINES.format(start=PROCESSES[process], libraries=LIBRARIES)
    environment = {
        **os.environ, "LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json", "STRIPE_LOG": "debug",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=settings.PROJECT_DIR,
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    shown = done.stdout + done.stderr

    assert "asha" not in shown
    for name in LIBRARIES:
        assert f"{name} warns" in shown
    assert '"event": "ours"' in shown


def test_the_sdk_of_stripe_prints_nothing_past_the_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import gateways.stripe.client\n"
        "from stripe import _util\n"
        "_util.log_debug('answer', body='asha@example.org')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "STRIPE_LOG": "debug"},
        cwd=settings.PROJECT_DIR, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    assert done.stdout + done.stderr == ""


def test_each_line_of_a_request_has_its_id_of_ours_or_of_a_library() -> None:
    code = (
        "import logging, structlog\n"
        "from service import logs, request_ids\n"
        "logs.configure()\n"
        "ours, library = structlog.get_logger(), logging.getLogger('urllib3')\n"
        "with request_ids.bound('shop-7f3a'):\n"
        "    ours.info('a'); library.warning('b'); ours.info('c', request_id='of-its-row-1')\n"
        "    ours.info('d', request_id=None)\n"
        "ours.info('e'); library.warning('f'); ours.info('g', request_id=None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "LOG_FORMAT": "json"},
        cwd=settings.PROJECT_DIR, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    ids = {line["event"]: line.get("request_id", "none") for line in lines}
    assert ids == {
        "a": "shop-7f3a", "b": "shop-7f3a", "c": "of-its-row-1", "d": "shop-7f3a",
        "e": "none", "f": "none", "g": "none",
    }  # fmt: skip
