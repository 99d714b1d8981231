"""The examples of the client's README do what they say."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

import settings
from tests.billing_client.bank import API_KEY, OPENING, Bank, serving
from tests.stack_process import eventually
from tests.worker_process import WorkerProcess

README = settings.PROJECT_DIR / "billing_client" / "README.md"


def example(title: str, bank: Bank) -> str:
    """The code under a title, with the addresses and the key of the tests."""
    [section] = re.findall(rf"^## {title}\n(.*?)^## ", README.read_text(), re.M | re.S)
    [code] = re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)
    for written, real in (
        ("https://billing.example/api", bank.proxy.url),
        ('api_key="..."', f'api_key="{API_KEY}"'),
        ("clinic:42", bank.account),
        ("redis://broker:6379/0", os.environ["REDIS_URL"]),
    ):
        code = str(code).replace(written, real)
    return str(code)


def test_the_calls_spend_credit(bank: Bank) -> None:
    exec(example("Spending credit", bank), {})  # noqa: S102 - it is what is tested
    assert bank.balance() == OPENING - 20 - 35


def test_the_view_is_paid_for(bank: Bank) -> None:
    names: dict[str, Any] = {"__name__": "readme"}
    exec(example("Flask views that are paid for", bank), names)  # noqa: S102
    path = f"/clinics/{bank.account.partition(':')[2]}/summaries"
    body = json.dumps({"notes": "x" * 2_500}).encode()
    with serving(names["app"]) as platform:
        answers = [platform.post(path, once="k", body=body) for _ in range(2)]
        assert [answer.json for answer in answers] == [{"summary": "x" * 80}] * 2
        assert platform.post(path, body=b"{").status == 400
    assert bank.holds() == [("captured", 50, 3), ("voided", 50, 0)]
    assert bank.balance() == OPENING - 3


@pytest.mark.usefixtures("redis")
def test_the_task_is_paid_for(bank: Bank, tmp_path: Path) -> None:
    code = example("Celery tasks that are paid for", bank)
    (tmp_path / "readme_tasks.py").write_text(code)
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{settings.PROJECT_DIR}"}
    url = os.environ["REDIS_URL"]
    with (
        WorkerProcess(tmp_path / "worker.log", app="readme_tasks", **environment) as worker,
        Celery("sender", broker=url, set_as_current=False) as sender,
    ):
        # The worker of the tests listens to this queue
        sender.send_task("readme_tasks.render", (bank.account, 7), queue="leads")
        eventually("it is done", lambda: worker.has_logged("succeeded"))
    assert bank.holds() == [("captured", 14, 7)]
    assert bank.balance() == OPENING - 7
