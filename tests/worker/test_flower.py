"""What Flower's pages show of a message that no worker has received yet."""

import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import urllib3
from celery import Celery
from redis import Redis
from urllib3.exceptions import HTTPError

import settings
from devstack import ports, procfile
from tests.stack_process import eventually

LOGIN = "ops:a,long:password"
AUTH = f'["{LOGIN}"]'
NAME, PHONE = "Asha Rao", "+91 98765 43210"


def page(url: str) -> str:
    headers = urllib3.make_headers(basic_auth=LOGIN)
    try:
        answer = urllib3.request("GET", url, headers=headers, timeout=10, retries=False)
    except HTTPError:
        return ""
    return answer.data.decode() if answer.status == 200 else ""


def test_arguments_that_a_senders_app_told_of_are_not_shown(redis: Redis, tmp_path: Path) -> None:
    # Given Flower as in production, and an app that tells of what it sends
    port = ports.find_free()
    command = procfile.read(settings.PROJECT_DIR / "Procfile")["flower"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with (tmp_path / "flower.log").open("ab") as log:
        flower = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            env={**os.environ, "PATH": path, "FLOWER_PORT": str(port), "FLOWER_BASIC_AUTH": AUTH},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=settings.PROJECT_DIR,
        )  # fmt: skip
    try:
        url = f"http://{ports.HOST}:{port}"
        eventually("Flower listens", lambda: page(f"{url}/healthcheck"))
        with Celery("stranger", broker=os.environ["REDIS_URL"], set_as_current=False) as stranger:
            stranger.conf.task_send_sent_event = True

            def shown() -> str:
                # Again and again: an event is for those who listen at the time.
                stranger.send_task(
                    "tasks.leads.charge", ("L-1", NAME), {"source": PHONE},
                    queue="leads", task_id="call-1",
                )  # fmt: skip
                return page(f"{url}/task/call-1")

            # When Flower has heard of one
            text = eventually("it is shown", shown)
        # Then its page has its name, and neither argument
        assert "tasks.leads.charge" in text
        assert [word for word in ("Asha", "98765") if word in text] == []
        # And a part of the password opens nothing, whose comma Flower would have split it at
        for login in ("ops:a", "long:password", "ops:p\u00e4ss"):
            headers = {"authorization": f"Basic {b64encode(login.encode()).decode()}"}
            answer = urllib3.request("GET", url, headers=headers, retries=False)
            assert answer.status != 200
    finally:
        flower.terminate()
        flower.wait(20)
